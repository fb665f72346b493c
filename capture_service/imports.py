"""Exported chats: a file that the operator brings becomes messages of a lead.

The file is read when it is brought, so that a bad one is refused at once; a job adds its messages.
"""

import uuid
from collections.abc import Callable
from datetime import timedelta
from typing import Any, Final, cast
from zoneinfo import ZoneInfo

import msgspec
import zstandard

from capture_service import fold, kinds, store
from capture_service.chat_export import archive, authors, matching, parser
from capture_service.chat_export.likeness import Known
from capture_service.chat_export.messages import Place
from plumbing import errors, postgres
from plumbing.errors import FieldFault

FILE_BYTES_MAX: Final = 16 * 1024 * 1024
_TIMEOUT_S: Final = 30.0
_CHUNK_MESSAGES: Final = 500
_MARGIN: Final = timedelta(minutes=1)
_PARTICIPANTS_SHOWN: Final = 20
_MEDIA_KINDS: Final = frozenset(
    {"image", "video", "audio", "document", "sticker", "contacts", "media_placeholder"}
)
# What WhatsApp itself says in a chat, or shows of it.
_NOTICES: Final = frozenset({"system", "call", "request_welcome"})


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """How a file is to be read."""

    business: str
    """The participant who is the business, as the file shows the name."""
    time_zone: str
    """Of the telephone that exported it, e.g. America/Sao_Paulo."""
    date_order: parser.DateOrder | None = None


class Brought(msgspec.Struct, frozen=True):
    """A file that has been read."""

    text: str
    media_names: list[str]
    chat: parser.Chat
    other: parser.Chat | None
    """The same with day and month the other way round, where nothing in the file tells which is which."""
    business: str
    """The participant who is the business, as the file writes the name."""


def read(data: bytes, request: Request) -> Brought:
    """Read a file as the request says. Raises InvalidArgument naming what is wrong, never content."""
    if len(data) > FILE_BYTES_MAX:
        raise _refused("file", f"must be at most {FILE_BYTES_MAX // 1024**2} MiB: export without media")
    try:
        zone = ZoneInfo(request.time_zone)
    except (KeyError, ValueError, OSError):
        raise _refused("time_zone", "must be the name of a time zone, e.g. America/Sao_Paulo") from None
    try:
        export = archive.open_export(data)
        return _parsed(export.text, export.media_names, request, zone)
    except (archive.Refused, parser.NotAChat) as error:
        raise _refused("file", error.reason) from None


def _parsed(text: str, media_names: list[str], request: Request, zone: ZoneInfo) -> Brought:
    chat = parser.parse(text, zone=zone, date_order=request.date_order, business=request.business)
    alike = [name for name in chat.participants if authors.key(name) == authors.key(request.business)]
    if request.business in alike:
        alike = [request.business]
    if len(alike) != 1:
        names = ", ".join(list(chat.participants)[:_PARTICIPANTS_SHOWN])
        raise _refused("business_participant", f"is nobody in this chat; those who speak are: {names}")
    other = None
    if chat.is_ambiguous:
        order: parser.DateOrder = "mdy" if chat.date_order == "dmy" else "dmy"
        other = parser.parse(text, zone=zone, date_order=order, business=request.business)
    return Brought(text, media_names, chat, other, alike[0])


def prepare(
    conn: postgres.Transaction,
    brought: Brought,
    *,
    target: store.ImportTarget,
    sync_id: uuid.UUID,
) -> tuple[matching.Plan, dict[str, Any]]:
    """Compare a chat with what is there; give what to add, and the report of it."""
    others = [name for name in brought.chat.participants if name != brought.business]
    if len(others) > 1 and not target.is_group:
        raise _refused("file", f"has {len(others) + 1} participants: it is a group's, the lead is a person")
    readings = [
        (chat, *_compared(conn, chat, brought.business, target=target, sync_id=sync_id))
        for chat in (brought.chat, brought.other)
        if chat
    ]
    # Of two ways to read the dates, the one by which more is known; of equal ones, the likelier.
    chat, plan, known = max(readings, key=lambda reading: reading[1].matched)
    is_guessed = len(readings) > 1 and len({plan.matched for _, plan, _ in readings}) == 1
    new = sum(message.id not in known for message in plan.messages)
    return plan, {
        "lines": len(chat.lines),
        "new": new,
        "matched": plan.matched + len(plan.messages) - new,
        "notices": plan.notices,
        "doubled": len(plan.doubled),
        "deleted": plan.deleted,
        "edited": plan.edited,
        "attachments": len(brought.media_names),
        "participants": [
            {"name": name, "messages": count, "isBusiness": name == brought.business}
            for name, count in chat.participants.items()
        ],
        "platform": chat.platform,
        "dateOrder": chat.date_order,
        "isDateOrderGuessed": is_guessed,
        "firstAt": plan.first_at,
        "lastAt": plan.last_at,
    }


def _compared(
    conn: postgres.Transaction,
    chat: parser.Chat,
    business: str,
    *,
    target: store.ImportTarget,
    sync_id: uuid.UUID,
) -> tuple[matching.Plan, set[uuid.UUID]]:
    """Give what a chat adds, and the ids of what it was compared with."""
    times = [line.at for line in chat.lines]
    known = store.list_known(
        conn,
        tenant_id=target.tenant_id,
        lead_id=target.lead_id,
        instance_id=target.instance_id,
        from_time=min(times) - _MARGIN,
        to_time=max(times) + _MARGIN,
    )
    plan = matching.plan(
        chat,
        business=business,
        known=[_known(row) for row in known],
        place=Place(
            tenant_id=target.tenant_id,
            instance_id=target.instance_id,
            instance_public_id=target.instance_public_id,
            lead_id=target.lead_id,
            batch_id=sync_id,
            is_group=target.is_group,
        ),
    )
    return plan, {row.id for row in known}


def is_zone(name: str) -> bool:
    try:
        ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        return False
    return True


def keep(text: str) -> bytes:
    """Give the text as it is kept for the job."""
    return zstandard.ZstdCompressor(level=9).compress(text.encode(errors="surrogatepass"))


def run(
    pool: postgres.Pool, sync: store.SyncLogRow, *, on_chunk: Callable[[postgres.Transaction], None]
) -> str:
    """Do what the sync log of a chat export asks for; give the report. Safe to run again.

    The step "compare" adds no message: it takes out what a history has brought since, and tells of that
    what the chat alone knows.
    """

    def load(conn: postgres.Transaction) -> tuple[store.ImportRow, store.ImportTarget]:
        row = store.find_import(conn, tenant_id=sync.tenant_id, id=sync.id)
        if row is None or sync.lead_id is None or sync.instance_id is None:
            raise errors.NotFound("no such import")
        target = store.find_import_target(
            conn, tenant_id=sync.tenant_id, lead_id=sync.lead_id, instance_id=sync.instance_id
        )
        if target is None:
            raise errors.NotFound("no such lead")
        return row, target

    row, target = postgres.run_read(pool, load, timeout_s=_TIMEOUT_S)
    request = msgspec.json.decode(row.request, type=Request)
    text = zstandard.ZstdDecompressor().decompress(row.text).decode(errors="surrogatepass")
    brought = _parsed(text, row.media_names, request, ZoneInfo(request.time_zone))
    plan, report = postgres.run_read(
        pool,
        lambda conn: prepare(conn, brought, target=target, sync_id=sync.id),
        timeout_s=_TIMEOUT_S,
    )
    is_import = sync.step != "compare"
    messages = plan.messages if is_import else []
    for start in range(0, len(messages), _CHUNK_MESSAGES):
        chunk = fold.fold(messages[start : start + _CHUNK_MESSAGES])
        percent = 95 * (start + len(chunk)) // len(messages)

        def work(
            conn: postgres.Transaction, chunk: list[fold.Message] = chunk, percent: int = percent
        ) -> None:
            # The lead may have become part of another since.
            lead_id = store.lock_survivor(conn, tenant_id=target.tenant_id, lead_id=target.lead_id)
            if lead_id is None:
                raise errors.NotFound("no such lead")
            placed = [msgspec.structs.replace(message, lead_id=lead_id) for message in chunk]
            added = store.insert_messages(conn, placed)
            if added:
                told = [id for _, id in sorted(added)]
                store.insert_changes(conn, [store.LeadTouch(target.tenant_id, lead_id, told, False)])
            store.add_to_sync(
                conn, tenant_id=sync.tenant_id, id=sync.id, percent=percent, messages=len(added)
            )
            on_chunk(conn)

        postgres.run_transaction(pool, work, timeout_s=_TIMEOUT_S)
    if plan.changed:

        def change(conn: postgres.Transaction) -> None:
            said = {message.id: message for message in plan.changed}
            rows = store.lock_messages(conn, [(target.tenant_id, id) for id in sorted(said)])
            store.update_messages(conn, [_said_of(row, said[row.id]) for row in rows])
            leads = {row.lead_id for row in rows if row.lead_id}
            store.insert_changes(
                conn, [store.LeadTouch(target.tenant_id, lead_id, sorted(said), False) for lead_id in leads]
            )

        postgres.run_transaction(pool, change, timeout_s=_TIMEOUT_S)
    if plan.doubled:

        def take_out(conn: postgres.Transaction) -> None:
            lead_id = store.lock_survivor(conn, tenant_id=target.tenant_id, lead_id=target.lead_id)
            store.take_out_of_lead(conn, tenant_id=target.tenant_id, ids=sorted(plan.doubled))
            if lead_id is not None:
                store.insert_changes(conn, [store.LeadTouch(target.tenant_id, lead_id, [], True)])

        postgres.run_transaction(pool, take_out, timeout_s=_TIMEOUT_S)
    if not is_import:
        before: dict[str, Any] = msgspec.json.decode(sync.detail) if sync.detail else {}
        report = {**before, "doubled": before.get("doubled", 0) + len(plan.doubled)}
    return fold.document(report)


def _said_of(row: fold.Message, said: fold.Message) -> fold.Message:
    """Add what an export says of a message; whose it is by now stays, and which webhook brought it."""
    return fold.merge(row, msgspec.structs.replace(said, lead_id=row.lead_id, batch_id=row.batch_id))


def _known(row: store.KnownMessage) -> Known:
    mentions = cast("dict[str, Any]", msgspec.json.decode(row.mentions)) if row.mentions else {}
    edits = [edit.get("body") or "" for edit in mentions.get("edits", ())]
    is_export = row.sources & ~fold.MENTION == fold.CHAT_EXPORT
    is_media = row.type in _MEDIA_KINDS
    file_name = _file_name(row.content) if row.content and row.type == "document" else ""
    # The line of a contact's card is ours: nobody wrote it.
    is_sign = row.type == "contacts" or (is_media and row.body in (kinds.line(row.type, {}), file_name))
    chosen = _choice(row.content) if row.content and row.type == "interactive" else []
    is_borrowed = not is_export and row.content_rank == fold.CONTENT_RANKS[fold.CHAT_EXPORT]
    return Known(
        id=row.id,
        wamid=row.wamid,
        is_export=is_export,
        sent_at=row.sent_at,
        direction=row.direction,
        type=row.type,
        content_rank=row.content_rank,
        texts=[text for text in (None if is_sign else row.body, *chosen, *edits) if text],
        file_name=file_name,
        senders=_senders(row.sender) if row.sender else [],
        is_media=is_media,
        is_wordless=not is_media and row.type != "text",
        is_revoked=bool(mentions.get("revokes")),
        is_hollow=is_borrowed or row.content_rank <= fold.HOLLOW_RANK,
        is_expected=row.status != fold.FAILED
        and row.type not in _NOTICES
        and (row.type != "" or row.is_sent),
    )


class _Document(msgspec.Struct):
    filename: str = ""


class _WithDocument(msgspec.Struct):
    document: _Document


def _file_name(content: str) -> str:
    try:
        return msgspec.json.decode(content, type=_WithDocument).document.filename
    except msgspec.ValidationError:
        return ""


class _Sender(msgspec.Struct):
    name: str | None = None
    number: str | None = None


def _senders(sender: str) -> list[str]:
    read = msgspec.json.decode(sender, type=_Sender)
    return [authors.key(called) for called in (read.name, read.number) if called]


class _Row(msgspec.Struct):
    title: str
    description: str


class _Reply(msgspec.Struct):
    list_reply: _Row


class _Interactive(msgspec.Struct):
    interactive: _Reply


def _choice(content: str) -> list[str]:
    """Give what a chat export writes of a row chosen from a list: its title, and the description below."""
    try:
        row = msgspec.json.decode(content, type=_Interactive).interactive.list_reply
    except msgspec.ValidationError:
        return []
    return [f"{row.title}\n{row.description}"]


def _refused(field: str, reason: str) -> errors.InvalidArgument:
    return errors.InvalidArgument("the chat cannot be imported", fields=(FieldFault(field, reason),))
