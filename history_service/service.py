"""HistoryService over gRPC: what each call means stands in protos/history.proto."""

import re
import uuid
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any, Final

import grpc
import msgspec

from history_service import cursor, mentions, search, store
from plumbing import errors, postgres
from plumbing.errors import FieldFault
from plumbing.rpc import calls
from protos import history_pb2 as pb
from protos import history_pb2_grpc, ids

FULL_NAME: Final = "recado.history.v1.HistoryService"

_PAGE_SIZE_DEFAULT: Final = 100
_PAGE_SIZE_MAX: Final = 1000
_QUERY_CHARS_MAX: Final = 200
_MARGIN_S: Final = 0.1

_STATUSES: Final = {1: "pending", 2: "sent", 3: "failed", 4: "delivered", 5: "read", 6: "played"}
_DELIVERED: Final = 4
_INBOUND: Final = 1
# Bits of `whatsapp_messages.sources`, the most telling first: what only a recovery brought says so.
_SOURCES: Final = (
    (128, "manual_sync"),
    (256, "batch_recover"),
    (16, "webhook"),
    (32, "api"),
    (8, "echo"),
    (2 | 4, "history"),
    (64, "chat_export"),
)
# Meta's documents show it where an edit answers nothing.
_NO_MESSAGE: Final = "M0"
_NO_DIGIT: Final = re.compile(r"[^0-9]")


class HistoryServicer(history_pb2_grpc.HistoryServiceServicer):
    def __init__(self, pool: postgres.Pool, *, clock: Callable[[], datetime]) -> None:
        self._pool = pool
        self._clock = clock
        # Tenants are never renamed and their ids never used again, so a name is looked up once.
        self._tenant_ids: dict[str, int] = {}

    def ListMessages(
        self, request: pb.ListMessagesRequest, context: grpc.ServicerContext
    ) -> pb.ListMessagesResponse:
        caller = calls.current().caller
        caller.require("history:read")
        page_size = _page_size(request.page_size)
        lead_id = _uuid("lead_id", request.lead_id)
        from_time = _moment(request, "from_time")
        to_time = _moment(request, "to_time")
        if from_time and to_time and from_time > to_time:
            raise _invalid("from_time", "must not be after the end of the range")
        if request.order not in (pb.ORDER_UNSPECIFIED, pb.ORDER_ASC, pb.ORDER_DESC):
            raise _invalid("order", "must be ORDER_ASC or ORDER_DESC")
        is_descending = request.order == pb.ORDER_DESC
        is_filtered = bool(from_time or to_time)
        question = ("messages", caller.tenant, lead_id, from_time, to_time, is_descending)
        position = _position(request.page_token, question)
        after = (position.moment, position.row_id) if position and position.moment else None

        def work(conn: postgres.Transaction) -> pb.ListMessagesResponse:
            # Before anything is read: what is committed later may be missing from the answer.
            synced_up_to = self._clock()
            access = self._access(conn)
            lead, conversations = _open(conn, access, lead_id)
            wanted = store.MessageFilter(
                tenant_id=access.tenant_id, lead_id=lead.id, from_time=from_time, to_time=to_time
            )
            instances = {row.instance_id: row for row in conversations}
            instance_ids = None if access.instances is None else list(instances)
            rows = store.list_messages(
                conn,
                wanted,
                instance_ids=instance_ids,
                is_descending=is_descending,
                after=after,
                count_max=page_size + 1,
            )
            in_all = sum(row.message_count for row in conversations)
            if not is_filtered:
                total = in_all
            elif position and position.total is not None:
                total = position.total
            else:
                total = store.count_messages(conn, wanted, instance_ids=instance_ids)
            page = rows[:page_size]
            token = ""
            if len(rows) > page_size:
                last = cursor.Position.at(page[-1].sent_at, page[-1].id, total=total if is_filtered else None)
                token = cursor.write(last, *question)
            first_message_at, last_message_at = _span(conversations)
            return pb.ListMessagesResponse(
                messages=[_message(row, instances[row.instance_id], lead) for row in page],
                next_page_token=token,
                total_size=total,
                summary=pb.ConversationSummary(
                    first_message_at=first_message_at,
                    last_message_at=last_message_at,
                    total_messages=in_all,
                    synced_up_to=synced_up_to,
                ),
            )

        return postgres.run_read(self._pool, work, timeout_s=_remaining_s())

    def ListLeads(self, request: pb.ListLeadsRequest, context: grpc.ServicerContext) -> pb.ListLeadsResponse:
        caller = calls.current().caller
        caller.require("history:read")
        page_size = _page_size(request.page_size)
        if len(request.query) > _QUERY_CHARS_MAX or "\0" in request.query:
            raise _invalid("query", f"must be at most {_QUERY_CHARS_MAX} characters, none of them U+0000")
        sought = store.LeadSearch(
            text=search.comparable(request.query),
            numbers=search.number_forms(request.query),
            accented=search.ACCENTED,
            plain=search.PLAIN,
        )
        question = ("leads", caller.tenant, sought.text)
        position = _position(request.page_token, question)
        after = (position.moment, position.row_id) if position else None

        def work(conn: postgres.Transaction) -> pb.ListLeadsResponse:
            try:
                access = self._access(conn)
            except errors.NotFound:  # a business whose first number is yet to be registered
                return pb.ListLeadsResponse()
            rows = store.list_leads(conn, access, sought, after=after, count_max=page_size + 1)
            if position and position.total is not None:
                total = position.total
            else:
                total = store.count_leads(conn, access, sought)
            page = rows[:page_size]
            token = ""
            if len(rows) > page_size:
                last = cursor.Position.at(page[-1].last_message_at, page[-1].id, total=total)
                token = cursor.write(last, *question)
            exchanges: dict[uuid.UUID, list[store.ConversationRow]] = {row.id: [] for row in page}
            for exchange in store.list_conversations(conn, access, list(exchanges)):
                exchanges[exchange.lead_id].append(exchange)
            return pb.ListLeadsResponse(
                leads=[_lead(row, exchanges[row.id]) for row in page],
                next_page_token=token,
                total_size=total,
            )

        return postgres.run_read(self._pool, work, timeout_s=_remaining_s())

    def GetLead(self, request: pb.GetLeadRequest, context: grpc.ServicerContext) -> pb.Lead:
        calls.current().caller.require("history:read")
        lead_id = _uuid("lead_id", request.lead_id)

        def work(conn: postgres.Transaction) -> pb.Lead:
            return _lead(*_open(conn, self._access(conn), lead_id))

        return postgres.run_read(self._pool, work, timeout_s=_remaining_s())

    def _access(self, conn: postgres.Transaction) -> store.Access:
        """Give what the caller's token opens. Raises NotFound when nothing of its tenant is there."""
        caller = calls.current().caller
        tenant_id = self._tenant_ids.get(caller.tenant)
        if tenant_id is None:
            tenant_id = store.find_tenant(conn, caller.tenant)
            if tenant_id is None:
                raise errors.NotFound("no such lead")
            self._tenant_ids[caller.tenant] = tenant_id
        if caller.instances is None:
            return store.Access(tenant_id)
        # What is no UUID is the id of no instance: it opens nothing.
        return store.Access(tenant_id, [id for text in sorted(caller.instances) if (id := _read_uuid(text))])


def register(server: grpc.Server, servicer: HistoryServicer) -> None:
    stubs: Any = history_pb2_grpc  # generated without types
    stubs.add_HistoryServiceServicer_to_server(servicer, server)


def _open(
    conn: postgres.Transaction, access: store.Access, lead_id: uuid.UUID
) -> tuple[store.LeadRow, list[store.ConversationRow]]:
    """Give a lead that the caller may see. Raises NotFound, alike for what is not there."""
    found = store.find_lead(conn, access, lead_id)
    if found is None:
        survivor = store.find_survivor(conn, tenant_id=access.tenant_id, lead_id=lead_id)
        found = store.find_lead(conn, access, survivor) if survivor else None
    if found is None:
        raise errors.NotFound("no such lead")
    return found


def _span(conversations: Sequence[store.ConversationRow]) -> tuple[datetime | None, datetime | None]:
    """Give the times of the first and of the last message of all of them."""
    return (
        min((row.first_message_at for row in conversations if row.first_message_at), default=None),
        max((row.last_message_at for row in conversations if row.last_message_at), default=None),
    )


def _message(row: store.MessageRow, instance: store.ConversationRow, lead: store.LeadRow) -> pb.Message:
    is_inbound = row.direction == _INBOUND
    reply_to_wamid = _reply_to(row.context) if row.context else ""
    said = mentions.read(row.mentions) if row.mentions else mentions.NONE
    message = pb.Message(
        id=str(row.id),
        wamid=row.wamid,
        type=row.type,
        body=row.body or "",
        direction=pb.INBOUND if is_inbound else pb.OUTBOUND,
        sent_at=row.sent_at,
        # What a person wrote has been delivered: it is here.
        status=_STATUSES[max(row.status, _DELIVERED) if is_inbound else row.status],
        sender=_sender(row, instance, lead, is_inbound=is_inbound),
        content_json=row.content or "",
        context_json=row.context or "",
        reply_to_id=str(ids.message_id(instance.instance_public_id, reply_to_wamid))
        if reply_to_wamid
        else "",
        reply_to_wamid=reply_to_wamid,
        errors_json=row.errors or "",
        billing_json=row.billing or "",
        timeline=pb.Timeline(
            sent_at=row.status_sent_at,
            delivered_at=row.status_delivered_at,
            read_at=row.status_read_at,
            played_at=row.status_played_at,
            failed_at=row.status_failed_at,
        ),
        instance_id=str(instance.instance_public_id),
        batch_id=str(row.batch_id),
        batch_received_at=row.batch_received_at,
        is_sync_initial=row.is_sync_initial,
        sync_source=next((name for bits, name in _SOURCES if row.sources & bits), "webhook"),
    )
    if row.pattern:
        message.pattern, _, message.pattern_rule = row.pattern.partition(":")
    if said is not mentions.NONE:
        _show_mentions(message, said, row, instance, lead)
    return message


def _show_mentions(
    message: pb.Message,
    said: mentions.Mentions,
    row: store.MessageRow,
    instance: store.ConversationRow,
    lead: store.LeadRow,
) -> None:
    """Let the message look as it does after all that was said of it."""
    message.reactions.extend(
        pb.Reaction(
            emoji=reaction.emoji or "",
            reacted_at=_seconds(reaction.at),
            sender=_reactor(reaction.by, instance, lead),
            wamid=reaction.wamid,
        )
        for reaction in mentions.standing_reactions(said.reactions)
    )
    if said.calls:
        message.content_json = msgspec.json.encode({"calls": said.calls}).decode()
    edits = mentions.in_order(said.edits)
    if edits:
        *earlier, newest = edits
        if row.type:
            message.revisions.add(
                body=row.body or "", content_json=row.content or "", said_at=row.sent_at, wamid=row.wamid
            )
        for edit in earlier:
            message.revisions.add(
                body=edit.body or "",
                content_json=_document(edit.content),
                said_at=_seconds(edit.at),
                wamid=edit.wamid,
            )
        message.type, message.body = newest.type, newest.body or ""
        message.content_json = _document(newest.content)
        message.edited_at.FromDatetime(_seconds(newest.at))
    revoke = mentions.first_revoke(said.revokes)
    if revoke:
        message.revoked_at.FromDatetime(_seconds(revoke.at))
        for name in ("body", "content_json", "revisions"):
            message.ClearField(name)


def _reactor(by: str, instance: store.ConversationRow, lead: store.LeadRow) -> pb.Party:
    match by:
        case "business":
            return _business(instance)
        case "contact":
            return _contact(lead)
        case _:  # a participant of a group: a user id has a dot, a number only digits
            return pb.Party(user_id=by) if "." in by else pb.Party(number=by)


def _document(content: dict[str, Any]) -> str:
    return msgspec.json.encode(content, order="sorted").decode() if content else ""


def _seconds(at: int) -> datetime:
    return datetime.fromtimestamp(at, UTC)


class _Context(msgspec.Struct):
    """What Meta says of the message that this one refers to; the rest is passed on as it is."""

    id: Any = None


class _Sender(msgspec.Struct):
    name: str | None = None
    number: str | None = None
    user_id: str | None = None


_read_context: Final = msgspec.json.Decoder(_Context).decode
_read_sender: Final = msgspec.json.Decoder(_Sender).decode


def _reply_to(context: str) -> str:
    """Give the wamid that a message answers; "" when it answers none."""
    target = _read_context(context).id
    return target if isinstance(target, str) and target != _NO_MESSAGE else ""


def _sender(
    row: store.MessageRow, instance: store.ConversationRow, lead: store.LeadRow, *, is_inbound: bool
) -> pb.Party:
    if row.sender:
        told = _read_sender(row.sender)
        return pb.Party(name=told.name or "", number=told.number or "", user_id=told.user_id or "")
    if is_inbound:
        return _contact(lead)
    return _business(instance)


def _contact(lead: store.LeadRow) -> pb.Party:
    return pb.Party(name=lead.name or "", number=lead.wa_id or "", user_id=lead.user_id or "")


def _business(instance: store.ConversationRow) -> pb.Party:
    return pb.Party(name=instance.instance_name, number=_NO_DIGIT.sub("", instance.instance_number))


def _lead(row: store.LeadRow, exchanges: Sequence[store.ConversationRow]) -> pb.Lead:
    profile = row.profile or {}
    first_message_at, last_message_at = _span(exchanges)
    return pb.Lead(
        id=str(row.id),
        kind=row.kind,
        name=row.name or "",
        number=f"+{row.wa_id}" if row.wa_id else "",
        wa_id=row.wa_id or "",
        user_id=row.user_id or "",
        username=row.username or "",
        profile_picture_url=profile.get("profilePictureUrl") or "",
        first_message_at=first_message_at,
        last_message_at=last_message_at,
        message_count=sum(exchange.message_count for exchange in exchanges),
        created_at=row.created_at,
        conversations=[
            pb.Conversation(
                id=str(exchange.id),
                instance_id=str(exchange.instance_public_id),
                first_message_at=exchange.first_message_at,
                last_message_at=exchange.last_message_at,
                message_count=exchange.message_count,
            )
            for exchange in exchanges
        ],
        status=profile.get("status") or "",
        is_verified=profile.get("verified"),
    )


def _moment(request: pb.ListMessagesRequest, name: str) -> datetime | None:
    if not request.HasField(name):
        return None
    try:
        return getattr(request, name).ToDatetime(UTC)
    except (ValueError, OverflowError):
        raise _invalid(name, "must be a time of the years 1 to 9999") from None


def _position(page_token: str, question: tuple[Any, ...]) -> cursor.Position | None:
    if not page_token:
        return None
    try:
        return cursor.read(page_token, *question)
    except cursor.Bad:
        raise _bad_page_token() from None


def _bad_page_token() -> errors.InvalidArgument:
    return _invalid("page_token", "is damaged or belongs to another query")


def _page_size(asked: int) -> int:
    page_size = asked or _PAGE_SIZE_DEFAULT
    if not 1 <= page_size <= _PAGE_SIZE_MAX:
        raise _invalid("page_size", f"must be 1 to {_PAGE_SIZE_MAX}")
    return page_size


def _remaining_s() -> float:
    remaining_s = calls.current().remaining_s() - _MARGIN_S
    if remaining_s <= 0:
        raise errors.DeadlineExceeded("no time left")
    return remaining_s


def _uuid(name: str, text: str) -> uuid.UUID:
    found = _read_uuid(text)
    if found is None:
        raise _invalid(name, "must be a UUID")
    return found


def _read_uuid(text: str) -> uuid.UUID | None:
    try:
        return uuid.UUID(text)
    except ValueError:
        return None


def _invalid(name: str, reason: str) -> errors.InvalidArgument:
    return errors.InvalidArgument("the request is not right", fields=(FieldFault(name, reason),))
