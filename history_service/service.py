"""HistoryService over gRPC: what each call means stands in protos/history.proto."""

import re
import uuid
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any, Final

import grpc
import msgspec
from google.protobuf.timestamp_pb2 import Timestamp
from psycopg import Connection
from psycopg_pool import ConnectionPool

from history_service import cursor, store
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
_SEPARATORS: Final = re.compile(r"[\s()+.-]")
_BRAZIL_LONG: Final = re.compile(r"(55[1-9]\d)9([6-9]\d{7})")


class HistoryServicer(history_pb2_grpc.HistoryServiceServicer):
    def __init__(self, pool: ConnectionPool[Any], *, clock: Callable[[], datetime]) -> None:
        self._pool = pool
        self._clock = clock

    def ListMessages(
        self, request: pb.ListMessagesRequest, context: grpc.ServicerContext
    ) -> pb.ListMessagesResponse:
        calls.current().caller.require("history:read")
        page_size = _page_size(request.page_size)
        is_descending = request.order == pb.ORDER_DESC
        wanted = store.MessageFilter(
            lead_id=_uuid("lead_id", request.lead_id),
            from_time=request.from_time.ToDatetime(UTC) if request.HasField("from_time") else None,
            to_time=request.to_time.ToDatetime(UTC) if request.HasField("to_time") else None,
        )
        is_filtered = bool(wanted.from_time or wanted.to_time)
        question = ("messages", calls.current().caller.tenant, wanted, is_descending)
        position = _position(request.page_token, question)
        if position and position.moment is None:
            raise _bad_page_token()

        def work(conn: Connection[Any]) -> pb.ListMessagesResponse:
            # Before anything is read: what is committed later may be missing from the answer.
            synced_up_to = self._clock()
            scope, lead, conversations = _open(conn, wanted.lead_id)
            after = (position.moment, position.row_id) if position and position.moment else None
            rows = store.list_messages(
                conn, scope, wanted, is_descending=is_descending, after=after, count_max=page_size + 1
            )
            page = rows[:page_size]
            in_all = sum(conversation.message_count for conversation in conversations)
            if not is_filtered:
                total = in_all
            elif position and position.total is not None:
                total = position.total
            else:
                total = store.count_messages(conn, scope, wanted)
            token = ""
            if len(rows) > page_size:
                last = cursor.Position.at(page[-1].sent_at, page[-1].id, total=total if is_filtered else None)
                token = cursor.write(last, *question)
            answer = pb.ListMessagesResponse(
                messages=[_message(row, scope, lead) for row in page],
                next_page_token=token,
                total_size=total,
                summary=pb.ConversationSummary(total_messages=in_all),
            )
            summary = answer.summary
            _set(
                summary.first_message_at,
                min(_present(c.first_message_at for c in conversations), default=None),
            )
            _set(
                summary.last_message_at, max(_present(c.last_message_at for c in conversations), default=None)
            )
            _set(summary.synced_up_to, synced_up_to)
            return answer

        return postgres.run_read(self._pool, work, timeout_s=_remaining_s())

    def ListLeads(self, request: pb.ListLeadsRequest, context: grpc.ServicerContext) -> pb.ListLeadsResponse:
        calls.current().caller.require("history:read")
        page_size = _page_size(request.page_size)
        if len(request.query) > _QUERY_CHARS_MAX or "\0" in request.query:
            raise _invalid("query", f"must be at most {_QUERY_CHARS_MAX} characters, none of them U+0000")
        text = request.query.strip()
        search = store.LeadSearch(text=text, numbers=number_forms(text))
        question = ("leads", calls.current().caller.tenant, text)
        position = _position(request.page_token, question)

        def work(conn: Connection[Any]) -> pb.ListLeadsResponse:
            scope = _scope(conn)
            if scope is None:
                return pb.ListLeadsResponse()
            after = (position.moment, position.row_id) if position else None
            rows = store.list_leads(conn, scope, search, after=after, count_max=page_size + 1)
            page = rows[:page_size]
            total = (
                position.total
                if position and position.total is not None
                else store.count_leads(conn, scope, search)
            )
            token = ""
            if len(rows) > page_size:
                last = cursor.Position.at(page[-1].last_message_at, page[-1].id, total=total)
                token = cursor.write(last, *question)
            exchanges = store.list_conversations(conn, scope, [row.id for row in page])
            return pb.ListLeadsResponse(
                leads=[
                    _lead(row, [exchange for exchange in exchanges if exchange.lead_id == row.id], scope)
                    for row in page
                ],
                next_page_token=token,
                total_size=total,
            )

        return postgres.run_read(self._pool, work, timeout_s=_remaining_s())

    def GetLead(self, request: pb.GetLeadRequest, context: grpc.ServicerContext) -> pb.Lead:
        calls.current().caller.require("history:read")
        lead_id = _uuid("lead_id", request.lead_id)

        def work(conn: Connection[Any]) -> pb.Lead:
            scope, lead, conversations = _open(conn, lead_id)
            return _lead(lead, conversations, scope)

        return postgres.run_read(self._pool, work, timeout_s=_remaining_s())


def register(server: grpc.Server, servicer: HistoryServicer) -> None:
    history_pb2_grpc.add_HistoryServiceServicer_to_server(servicer, server)


def number_forms(text: str) -> list[str]:
    """Give the digits of a typed number, also without Brazil's ninth digit; nothing when it is no number.

    Stored numbers carry both forms where they have two, so only a whole long form needs shortening.
    """
    digits = _SEPARATORS.sub("", text)
    if not (digits.isascii() and digits.isdigit() and len(digits) >= 3):
        return []
    short = _BRAZIL_LONG.fullmatch(digits)
    return [digits, short[1] + short[2]] if short else [digits]


def _scope(conn: Connection[Any]) -> store.Scope | None:
    caller = calls.current().caller
    granted = None if caller.instances is None else [_uuid("instances", id) for id in caller.instances]
    return store.find_scope(conn, tenant=caller.tenant, granted=granted)


def _open(
    conn: Connection[Any], lead_id: uuid.UUID
) -> tuple[store.Scope, store.LeadRow, list[store.ConversationRow]]:
    """Give a lead that the caller may see. Raises NotFound, alike for what is not there."""
    scope = _scope(conn)
    conversations = store.list_conversations(conn, scope, [lead_id]) if scope else []
    lead = store.find_lead(conn, scope, lead_id) if scope and conversations else None
    if scope is None or lead is None:
        raise errors.NotFound("no such lead")
    return scope, lead, conversations


def _message(row: store.MessageRow, scope: store.Scope, lead: store.LeadRow) -> pb.Message:
    instance = scope.instances[row.instance_id]
    is_inbound = row.direction == _INBOUND
    message = pb.Message(
        id=str(row.id),
        wamid=row.wamid,
        type=row.type,
        body=row.body or "",
        direction=pb.INBOUND if is_inbound else pb.OUTBOUND,
        status=_STATUSES[row.status],
        sender=_sender(row, instance, lead, is_inbound=is_inbound),
        content_json=row.content or "",
        errors_json=row.errors or "",
        billing_json=row.billing or "",
        instance_id=str(instance.public_id),
        batch_id=str(row.batch_id),
        is_sync_initial=row.is_sync_initial,
        sync_source=next((name for bits, name in _SOURCES if row.sources & bits), "webhook"),
        pattern=row.pattern or "",
    )
    _set(message.sent_at, row.sent_at)
    _set(message.batch_received_at, row.batch_received_at)
    if row.context:
        message.context_json = row.context
        target = msgspec.json.decode(row.context).get("id")
        if isinstance(target, str) and target and target != _NO_MESSAGE:
            message.reply_to_wamid = target
            message.reply_to_id = str(ids.message_id(instance.public_id, target))
    for name in ("sent_at", "delivered_at", "read_at", "played_at", "failed_at"):
        moment = getattr(row, f"status_{name}")
        if moment:
            _set(getattr(message.timeline, name), moment)
    return message


def _sender(
    row: store.MessageRow, instance: store.Instance, lead: store.LeadRow, *, is_inbound: bool
) -> pb.Party:
    if row.sender:
        told = msgspec.json.decode(row.sender)
        return pb.Party(
            name=told.get("name") or "", number=told.get("number") or "", user_id=told.get("user_id") or ""
        )
    if is_inbound:
        return pb.Party(name=lead.name or "", number=lead.wa_id or "", user_id=lead.user_id or "")
    return pb.Party(name=instance.name, number=_SEPARATORS.sub("", instance.display_phone_number))


def _lead(row: store.LeadRow, exchanges: Sequence[store.ConversationRow], scope: store.Scope) -> pb.Lead:
    profile = row.profile or {}
    lead = pb.Lead(
        id=str(row.id),
        kind=row.kind,
        name=row.name or "",
        number=f"+{row.wa_id}" if row.wa_id else "",
        wa_id=row.wa_id or "",
        user_id=row.user_id or "",
        username=row.username or "",
        profile_picture_url=profile.get("profilePictureUrl") or "",
        message_count=sum(exchange.message_count for exchange in exchanges),
        status=profile.get("status") or "",
        conversations=[_conversation(exchange, scope) for exchange in exchanges],
    )
    if isinstance(profile.get("verified"), bool):
        lead.is_verified = profile["verified"]
    _set(lead.first_message_at, min(_present(e.first_message_at for e in exchanges), default=None))
    _set(lead.last_message_at, max(_present(e.last_message_at for e in exchanges), default=None))
    _set(lead.created_at, row.created_at)
    return lead


def _conversation(row: store.ConversationRow, scope: store.Scope) -> pb.Conversation:
    conversation = pb.Conversation(
        id=str(row.id),
        instance_id=str(scope.instances[row.instance_id].public_id),
        message_count=row.message_count,
    )
    _set(conversation.first_message_at, row.first_message_at)
    _set(conversation.last_message_at, row.last_message_at)
    return conversation


def _present(moments: Any) -> list[datetime]:
    return [moment for moment in moments if moment is not None]


def _set(stamp: Timestamp, moment: datetime | None) -> None:
    if moment is not None:
        stamp.FromDatetime(moment)


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
    try:
        return uuid.UUID(text)
    except ValueError:
        raise _invalid(name, "must be a UUID") from None


def _invalid(name: str, reason: str) -> errors.InvalidArgument:
    return errors.InvalidArgument("the request is not right", fields=(FieldFault(name, reason),))
