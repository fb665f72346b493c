"""What the database holds, as the messages of protos/history.proto."""

import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import msgspec
from google.protobuf.timestamp_pb2 import Timestamp

from history_service import coverage, store
from protos import history_pb2 as pb, ids, mentions

STATUSES: Final = {1: "pending", 2: "sent", 3: "failed", 4: "delivered", 5: "read", 6: "played"}
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
# What has errors in place of a content; other content takes their place (capture_service/fold.py).
_HOLLOW_TYPES: Final = frozenset({"media_placeholder", "errors", "unsupported", "unknown", "template"})
# Meta's documents show it where an edit answers nothing.
_NO_MESSAGE: Final = "M0"
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_NO_DIGIT: Final = re.compile(r"[^0-9]")
_ACTIVE_WITHIN: Final = timedelta(days=30)


def _stamp(moment: datetime | None) -> Timestamp | None:
    """Do what protobuf does with a datetime, in a fifth of the time: a page has hundreds of them."""
    if moment is None:
        return None
    since = moment - _EPOCH
    return Timestamp(seconds=since.days * 86_400 + since.seconds, nanos=since.microseconds * 1000)


def span(conversations: Sequence[store.ConversationRow]) -> tuple[datetime | None, datetime | None]:
    """Give the times of the first and of the last message of all of them."""
    return (
        min((row.first_message_at for row in conversations if row.first_message_at), default=None),
        max((row.last_message_at for row in conversations if row.last_message_at), default=None),
    )


def message_of(row: store.MessageRow, instance: store.ConversationRow, lead: store.LeadRow) -> pb.Message:
    is_inbound = row.direction == _INBOUND
    reply_to_wamid = _reply_to(row.context) if row.context else ""
    said = mentions.read(row.mentions) if row.mentions else mentions.NONE
    source = next((name for bits, name in _SOURCES if row.sources & bits), "webhook")
    message = pb.Message(
        id=str(row.id),
        wamid=row.wamid,
        type=row.type,
        body=row.body or "",
        direction=pb.INBOUND if is_inbound else pb.OUTBOUND,
        sent_at=_stamp(row.sent_at),
        # What a person wrote has been delivered: it is here.
        status=STATUSES[max(row.status, _DELIVERED) if is_inbound else row.status],
        sender=_sender(row, instance, lead, is_inbound=is_inbound),
        content_json=row.content or "",
        context_json=row.context or "",
        reply_to_id=str(ids.message_id(instance.instance_public_id, reply_to_wamid))
        if reply_to_wamid
        else "",
        reply_to_wamid=reply_to_wamid,
        errors_json=_errors(row.errors) if row.errors else "",
        billing_json=_billing(row.billing) if row.billing else "",
        timeline=pb.Timeline(
            sent_at=_stamp(row.status_sent_at),
            delivered_at=_stamp(row.status_delivered_at),
            read_at=_stamp(row.status_read_at),
            played_at=_stamp(row.status_played_at),
            failed_at=_stamp(row.status_failed_at),
        ),
        instance_id=str(instance.instance_public_id),
        batch_id=str(row.batch_id),
        batch_received_at=_stamp(row.batch_received_at),
        # A status that came before the history that it belongs to is no first contact.
        is_sync_initial=row.is_sync_initial and source != "history",
        sync_source=source,
        lead_id=str(lead.id),
    )
    if row.type in _HOLLOW_TYPES and row.content:
        _show_why_hollow(message, row.content)
    if row.pattern:
        message.pattern, _, message.pattern_rule = row.pattern.partition(":")
    if said is not mentions.NONE:
        _show_mentions(message, said, row, instance, lead)
    return message


def _billing(told: str) -> str:
    """Show of several attempts to pay the last one as `payment`; all of them stay in `payments`."""
    if '"payments"' not in told:
        return told
    billing: dict[str, Any] = msgspec.json.decode(told)
    attempts: list[dict[str, Any]] = billing.get("payments") or []
    if attempts:
        billing["payment"] = max(attempts, key=lambda attempt: (attempt["at"], _document(attempt)))["payment"]
    return _document(billing)


def _errors(reports: str) -> str:
    """Give the errors of all reports of a failure, those of the earliest first; what is said twice once."""
    if reports.startswith("["):
        return reports  # kept by an earlier version, as one list
    by_report = msgspec.json.decode(reports, type=dict[str, list[Any]])
    told: list[list[Any]] = []
    for key, errors in sorted(by_report.items()):
        if not key:
            # Of no report that is known: what a later replay has found the report of stands there.
            others = [error for report, found in by_report.items() if report for error in found]
            errors = [error for error in errors if error not in others]
        if errors not in told:
            told.append(errors)
    return msgspec.json.encode([error for errors in told for error in errors]).decode()


def _show_why_hollow(message: pb.Message, content: str) -> None:
    """Give the errors that came in place of a content where all errors are."""
    told: dict[str, Any] = msgspec.json.decode(content)
    why: list[Any] = told.pop("errors", [])
    if why:
        others: list[Any] = msgspec.json.decode(message.errors_json) if message.errors_json else []
        message.errors_json = msgspec.json.encode(why + others).decode()
        message.content_json = _document(told)


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
        calls = sorted(said.calls, key=lambda call: str(call.get("timestamp", "")))
        message.content_json = msgspec.json.encode({"calls": calls}).decode()
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
        message.content_json = _edited(row, newest)
        message.edited_at.FromDatetime(_seconds(newest.at))
    revoke = mentions.first_revoke(said.revokes)
    if revoke:
        message.revoked_at.FromDatetime(_seconds(revoke.at))
        for name in ("body", "content_json", "revisions"):
            message.ClearField(name)


def _edited(row: store.MessageRow, edit: mentions.Edit) -> str:
    """Give the content after an edit: of a caption, the medium stays."""
    if edit.type != row.type or not row.content:
        return _document(edit.content)
    content: dict[str, Any] = msgspec.json.decode(row.content)
    before, after = content.get(row.type), edit.content.get(row.type)
    if isinstance(before, dict) and isinstance(after, dict):
        return _document({**content, **edit.content, row.type: before | after})
    return _document(edit.content)


def _reactor(by: str, instance: store.ConversationRow, lead: store.LeadRow) -> pb.Party:
    match by:
        case "business":
            return _business(instance)
        case "contact":
            return _contact(lead)
        case _:  # a participant of a group: a user id has a dot, a number only digits
            ids = by.split()
            return pb.Party(
                user_id=next((id for id in ids if "." in id), ""),
                number=next((id for id in ids if "." not in id), ""),
            )


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


def lead_of(row: store.LeadRow, exchanges: Sequence[store.ConversationRow], *, now: datetime) -> pb.Lead:
    profile = row.profile or {}
    first_message_at, last_message_at = span(exchanges)
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
        status=_status(last_message_at, now),
        is_verified=profile.get("verified"),
    )


def _status(last_message_at: datetime | None, now: datetime) -> str:
    """Say how a lead stands today: what was true when its profile was asked for says nothing of it."""
    if last_message_at is None:
        return ""
    return "ACTIVE" if now - last_message_at <= _ACTIVE_WITHIN else "INACTIVE"


def coverage_of(row: store.ConversationRow, found: coverage.Coverage) -> pb.ConversationCoverage:
    return pb.ConversationCoverage(
        instance_id=str(row.instance_public_id),
        instance_name=row.instance_name,
        display_phone_number=row.instance_number,
        intervals=[
            pb.Interval(from_time=interval.start, to_time=interval.end, route=interval.route)
            for interval in found.intervals
        ],
        gaps=[
            pb.Gap(from_time=gap.start, to_time=gap.end, reason=gap.reason, detail=gap.detail)
            for gap in found.gaps
        ],
    )


def audit_entry_of(row: store.AuditRow) -> pb.AuditEntry:
    return pb.AuditEntry(
        id=str(row.id),
        happened_at=row.happened_at,
        subject=row.subject,
        action=row.action,
        lead_id=str(row.lead_id) if row.lead_id else "",
        count=row.count,
        request_id=row.request_id,
    )
