"""What the REST API answers: protobuf messages as the JSON of the contract."""

from collections.abc import Sequence
from typing import Any

import msgspec
from msgspec import UNSET

from gateway import shapes
from protos import capture_pb2, history_pb2

_DIRECTIONS = {history_pb2.INBOUND: "INBOUND", history_pb2.OUTBOUND: "OUTBOUND"}
LEDGER_STATES = {
    capture_pb2.LEDGER_STATE_PROCESSED: "processed",
    capture_pb2.LEDGER_STATE_UNROUTED: "unrouted",
    capture_pb2.LEDGER_STATE_FAILED: "failed",
    capture_pb2.LEDGER_STATE_IGNORED: "ignored",
    capture_pb2.LEDGER_STATE_PENDING: "pending",
}
encode = msgspec.json.Encoder().encode
# One level deep: what is inside is passed on as it is.
_read_context = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


def plain(shown: msgspec.Struct) -> dict[str, Any]:
    """Give an answer as whoever reads its JSON has it."""
    return msgspec.json.decode(encode(shown))


def moment(holder: Any, name: str) -> str | None:
    """Write a timestamp field in RFC 3339, UTC, with a fraction if there is one; None when it is not set."""
    return getattr(holder, name).ToJsonString() if holder.HasField(name) else None


def number(digits: str) -> str | None:
    return f"+{digits.removeprefix('+')}" if digits else None


def raw(document: str) -> msgspec.Raw | None:
    """Pass on a JSON document as it is."""
    return msgspec.Raw(document.encode()) if document else None


def party(found: history_pb2.Party) -> shapes.Party:
    return shapes.Party(found.name or None, number(found.number), found.user_id or None)


def message(found: history_pb2.Message) -> shapes.Message:
    # Not spelled out where it is long: every shape is a row of the OpenAPI document, and typed there.
    shown: Any = shapes.Message
    return shown(
        id=found.id,
        wamid=found.wamid,
        type=found.type or "unknown",
        body=found.body or None,
        media_url=found.media_url or None,
        direction=_DIRECTIONS[found.direction],
        timestamp=found.sent_at.ToJsonString(),
        status=found.status,
        sender=party(found.sender),
        timeline=shapes.Timeline(
            moment(found.timeline, "sent_at"),
            moment(found.timeline, "delivered_at"),
            moment(found.timeline, "read_at"),
            moment(found.timeline, "played_at"),
            moment(found.timeline, "failed_at"),
        ),
        lead_id=found.lead_id or None,
        instance_id=found.instance_id,
        batch_id=found.batch_id,
        batch_received_at=moment(found, "batch_received_at"),
        is_sync_initial=found.is_sync_initial,
        sync_source=found.sync_source,
        pattern=found.pattern or None,
        pattern_rule=found.pattern_rule or None,
        reactions=[
            shapes.Reaction(
                reaction.emoji, moment(reaction, "reacted_at"), party(reaction.sender), reaction.wamid
            )
            for reaction in found.reactions
        ],
        edited_at=moment(found, "edited_at"),
        revoked_at=moment(found, "revoked_at"),
        revisions=[
            shapes.Revision(
                revision.body or None,
                raw(revision.content_json),
                moment(revision, "said_at"),
                revision.wamid,
            )
            for revision in found.revisions
        ]
        or UNSET,
        context=_context(found) if found.context_json else UNSET,
        content=raw(found.content_json) or UNSET,
        errors=raw(found.errors_json) or UNSET,
        billing=raw(found.billing_json) or UNSET,
    )


def _context(found: history_pb2.Message) -> dict[str, Any]:
    links = {"messageId": found.reply_to_id or None, "wamid": found.reply_to_wamid or None}
    told = _read_context(found.context_json)
    # The links are ours to give, whatever Meta may once call something; its "id" is the wamid.
    return {**links, **{name: told[name] for name in told if name not in (*links, "id")}}


def conversation(page: history_pb2.ListMessagesResponse) -> shapes.Conversation:
    summary = page.summary
    return shapes.Conversation(
        [message(found) for found in page.messages],
        shapes.PageOfMessages(
            page.next_page_token or None,
            bool(page.next_page_token),
            page.total_size,
            page.is_total_a_minimum,
            page.previous_page_token or None,
        ),
        shapes.Metadata(
            moment(summary, "first_message_at"),
            moment(summary, "last_message_at"),
            summary.total_messages,
            moment(summary, "synced_up_to"),
        ),
    )


def found(page: history_pb2.SearchMessagesResponse) -> shapes.Found:
    return shapes.Found(
        [
            shapes.Hit(
                message(hit.message),
                shapes.FoundLead(
                    hit.lead.id,
                    hit.lead.kind,  # pyright: ignore[reportArgumentType] - the database knows no other
                    hit.lead.name or None,
                    number(hit.lead.number),
                ),
                [shapes.Piece(piece.text, piece.is_match) for piece in hit.snippet],
            )
            for hit in page.hits
        ],
        [lead(row) for row in page.leads],
        shapes.SearchPagination(
            page.next_page_token or None,
            bool(page.next_page_token),
            page.total_size,
            page.is_total_a_minimum,
        ),
    )


def lead(row: history_pb2.Lead) -> shapes.Lead:
    return shapes.Lead(
        id=row.id,
        kind=row.kind,  # pyright: ignore[reportArgumentType] - the database knows no other
        name=row.name or None,
        number=number(row.number),
        wa_id=row.wa_id or None,
        user_id=row.user_id or None,
        username=row.username or None,
        profile_pic_url=row.profile_picture_url or None,
        verified=row.is_verified if row.HasField("is_verified") else None,
        status=row.status or None,
        first_message_at=moment(row, "first_message_at"),
        last_message_at=moment(row, "last_message_at"),
        message_count=row.message_count,
        created_at=moment(row, "created_at"),
        conversations=[
            shapes.LeadConversation(
                conversation.id,
                conversation.instance_id,
                moment(conversation, "first_message_at"),
                moment(conversation, "last_message_at"),
                conversation.message_count,
            )
            for conversation in row.conversations
        ],
    )


def listed_lead(row: history_pb2.Lead) -> shapes.Lead:
    shown = lead(row)
    shown.last_message = _last_message(row.last_message) if row.HasField("last_message") else None
    return shown


def _last_message(row: history_pb2.Message) -> shapes.LastMessage:
    return shapes.LastMessage(
        row.id,
        row.type or "unknown",
        row.body or None,
        _DIRECTIONS[row.direction],  # pyright: ignore[reportArgumentType]
        row.sent_at.ToJsonString(),
        row.status,
        moment(row, "revoked_at"),
    )


def sync(row: capture_pb2.SyncLog) -> shapes.Sync:
    shown: Any = shapes.Sync
    return shown(
        sync_id=row.id,
        lead_id=row.lead_id or None,
        sync_type=row.sync_type,
        status=row.status,
        step=row.step or None,
        percent=row.percent,
        messages_imported=row.messages_imported,
        error_message=row.error_message or None,
        created_at=moment(row, "created_at"),
        started_at=moment(row, "started_at"),
        completed_at=moment(row, "completed_at"),
        instance_id=row.instance_id or None,
        detail=raw(row.detail_json),
    )


def instance(row: capture_pb2.Instance) -> shapes.Instance:
    return shapes.Instance(
        id=row.id,
        waba_id=row.waba_id,
        phone_number_id=row.phone_number_id,
        display_phone_number=row.display_phone_number,
        name=row.name or None,
        webhook_activated_at=moment(row, "webhook_activated_at"),
        last_sync_at=moment(row, "last_sync_at"),
        sync_status=row.sync_status,
        sync_error=row.sync_error or None,
        connection=shapes.Connection(
            row.connection_state,  # pyright: ignore[reportArgumentType] - the database knows no other
            row.connection_reason or None,
            moment(row, "connection_changed_at"),
        ),
        history=sync(row.history) if row.HasField("history") else None,
    )


def account_event(row: capture_pb2.AccountEvent) -> shapes.AccountEvent:
    return shapes.AccountEvent(
        id=row.id,
        field=row.field or None,
        event=row.event or None,
        happened_at=moment(row, "happened_at"),
        value=raw(row.value_json),
        instance_id=row.instance_id or None,
        account_id=row.account_id,
        batch_id=row.batch_id,
    )


def batch(row: capture_pb2.Batch) -> shapes.Batch:
    shown: Any = shapes.Batch
    outcomes = [item.outcome for item in row.items]
    return shown(
        batch_id=row.id,
        received_at=moment(row, "received_at"),
        state=LEDGER_STATES[row.state],
        attempts=row.attempts,
        body_bytes=row.body_bytes,
        parser_version=row.parser_version,
        counts=shapes.BatchCounts(
            outcomes.count("applied"),
            outcomes.count("merged"),
            outcomes.count("duplicate"),
            outcomes.count("pending"),
        ),
        items=[
            shapes.BatchItem(
                item.path,
                item.kind,
                item.outcome,  # pyright: ignore[reportArgumentType] - capture knows no other
                item.message_id or None,
                item.wamid or None,
                item.type or None,
            )
            for item in row.items
        ],
        faults=_faults(row.faults),
    )


def lead_merge(row: capture_pb2.LeadMerge) -> shapes.Merge:
    return shapes.Merge(
        row.id,
        row.lead_id,
        row.merged_lead_id,
        row.message_count,
        moment(row, "merged_at"),
        moment(row, "undone_at"),
        row.sync_id or None,
    )


def failure(row: capture_pb2.WebhookFailure) -> shapes.Failure:
    return shapes.Failure(
        row.batch_id, moment(row, "received_at"), row.attempts, row.body_bytes, _faults(row.faults)
    )


def ticket(row: capture_pb2.Ticket) -> shapes.Ticket:
    return shapes.Ticket(row.id, row.lead_id, moment(row, "opened_at"), moment(row, "closed_at"))


def export(row: capture_pb2.Export) -> shapes.Export:
    return shapes.Export(
        row.id,
        row.status,  # pyright: ignore[reportArgumentType] - the database knows no other
        row.percent,
        row.leads_done,
        row.leads_total,
        row.file_bytes or None,
        row.error_message or None,
        moment(row, "created_at"),
        moment(row, "started_at"),
        moment(row, "completed_at"),
    )


def audit_entry(row: history_pb2.AuditEntry) -> shapes.AuditEntry:
    return shapes.AuditEntry(
        row.id,
        moment(row, "happened_at"),
        row.subject,
        row.action,
        row.lead_id or None,
        row.count,
        row.request_id,
    )


def _faults(rows: Sequence[capture_pb2.ItemFault]) -> list[shapes.Fault]:
    return [shapes.Fault(fault.path, fault.reason) for fault in rows]


def pagination(cursor: str, total: int) -> shapes.Pagination:
    return shapes.Pagination(cursor or None, bool(cursor), total)
