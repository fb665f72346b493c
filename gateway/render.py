"""What the REST API answers: protobuf messages as the JSON of the contract."""

from typing import Any

import flask
import msgspec

from protos import capture_pb2, history_pb2

_DIRECTIONS = {history_pb2.INBOUND: "INBOUND", history_pb2.OUTBOUND: "OUTBOUND"}
LEDGER_STATES = {
    capture_pb2.LEDGER_STATE_PROCESSED: "processed",
    capture_pb2.LEDGER_STATE_UNROUTED: "unrouted",
    capture_pb2.LEDGER_STATE_FAILED: "failed",
    capture_pb2.LEDGER_STATE_IGNORED: "ignored",
    capture_pb2.LEDGER_STATE_PENDING: "pending",
}
_encoder = msgspec.json.Encoder()
# One level deep: what is inside is passed on as it is.
_read_context = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


def answer(value: Any, status: int = 200) -> flask.Response:
    return flask.Response(_encoder.encode(value), status, mimetype="application/json")


def moment(holder: Any, name: str) -> str | None:
    """Write a timestamp field in RFC 3339, UTC, with a fraction if there is one; None when it is not set."""
    return getattr(holder, name).ToJsonString() if holder.HasField(name) else None


def number(digits: str) -> str | None:
    return f"+{digits.removeprefix('+')}" if digits else None


def raw(document: str) -> msgspec.Raw | None:
    """Pass on a JSON document as it is."""
    return msgspec.Raw(document.encode()) if document else None


def party(found: history_pb2.Party) -> dict[str, Any]:
    return {"name": found.name or None, "number": number(found.number), "userId": found.user_id or None}


def message(found: history_pb2.Message) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "id": found.id,
        "wamid": found.wamid,
        "type": found.type or "unknown",
        "body": found.body or None,
        "mediaUrl": found.media_url or None,
        "direction": _DIRECTIONS[found.direction],
        "timestamp": found.sent_at.ToJsonString(),
        "status": found.status,
        "from": party(found.sender),
        "timeline": {
            "sentAt": moment(found.timeline, "sent_at"),
            "deliveredAt": moment(found.timeline, "delivered_at"),
            "readAt": moment(found.timeline, "read_at"),
            "playedAt": moment(found.timeline, "played_at"),
            "failedAt": moment(found.timeline, "failed_at"),
        },
        "instanceId": found.instance_id,
        "batchId": found.batch_id,
        "batchReceivedAt": moment(found, "batch_received_at"),
        "isSyncInitial": found.is_sync_initial,
        "syncSource": found.sync_source,
        "pattern": found.pattern or None,
        "patternRule": found.pattern_rule or None,
        "reactions": [
            {
                "emoji": reaction.emoji,
                "timestamp": moment(reaction, "reacted_at"),
                "from": party(reaction.sender),
                "wamid": reaction.wamid,
            }
            for reaction in found.reactions
        ],
        "editedAt": moment(found, "edited_at"),
        "revokedAt": moment(found, "revoked_at"),
    }
    if found.revisions:
        shown["revisions"] = [
            {
                "body": revision.body or None,
                "content": raw(revision.content_json),
                "timestamp": moment(revision, "said_at"),
                "wamid": revision.wamid,
            }
            for revision in found.revisions
        ]
    if found.context_json:
        links = {"messageId": found.reply_to_id or None, "wamid": found.reply_to_wamid or None}
        told = _read_context(found.context_json)
        # The links are ours to give, whatever Meta may once call something; its "id" is the wamid.
        shown["context"] = {**links, **{name: told[name] for name in told if name not in (*links, "id")}}
    for name, document in (
        ("content", found.content_json),
        ("errors", found.errors_json),
        ("billing", found.billing_json),
    ):
        if document:
            shown[name] = raw(document)
    return shown


def lead(found: history_pb2.Lead) -> dict[str, Any]:
    return {
        "id": found.id,
        "kind": found.kind,
        "name": found.name or None,
        "number": number(found.number),
        "waId": found.wa_id or None,
        "userId": found.user_id or None,
        "username": found.username or None,
        "profilePicUrl": found.profile_picture_url or None,
        "verified": found.is_verified if found.HasField("is_verified") else None,
        "status": found.status or None,
        "firstMessageAt": moment(found, "first_message_at"),
        "lastMessageAt": moment(found, "last_message_at"),
        "messageCount": found.message_count,
        "createdAt": moment(found, "created_at"),
        "conversations": [
            {
                "id": conversation.id,
                "instanceId": conversation.instance_id,
                "firstMessageAt": moment(conversation, "first_message_at"),
                "lastMessageAt": moment(conversation, "last_message_at"),
                "messageCount": conversation.message_count,
            }
            for conversation in found.conversations
        ],
    }


def sync(found: capture_pb2.SyncLog) -> dict[str, Any]:
    return {
        "syncId": found.id,
        "leadId": found.lead_id or None,
        "syncType": found.sync_type,
        "status": found.status,
        "step": found.step or None,
        "percent": found.percent,
        "messagesImported": found.messages_imported,
        "errorMessage": found.error_message or None,
        "createdAt": moment(found, "created_at"),
        "startedAt": moment(found, "started_at"),
        "completedAt": moment(found, "completed_at"),
        "instanceId": found.instance_id or None,
        "detail": raw(found.detail_json),
    }


def instance(found: capture_pb2.Instance) -> dict[str, Any]:
    return {
        "id": found.id,
        "wabaId": found.waba_id,
        "phoneNumberId": found.phone_number_id,
        "displayPhoneNumber": found.display_phone_number,
        "name": found.name or None,
        "webhookActivatedAt": moment(found, "webhook_activated_at"),
        "lastSyncAt": moment(found, "last_sync_at"),
        "syncStatus": found.sync_status,
        "syncError": found.sync_error or None,
        "connection": {
            "state": found.connection_state,
            "reason": found.connection_reason or None,
            "changedAt": moment(found, "connection_changed_at"),
        },
        "history": sync(found.history) if found.HasField("history") else None,
    }


def account_event(found: capture_pb2.AccountEvent) -> dict[str, Any]:
    return {
        "id": found.id,
        "field": found.field or None,
        "event": found.event or None,
        "happenedAt": moment(found, "happened_at"),
        "value": raw(found.value_json),
        "instanceId": found.instance_id or None,
        "accountId": found.account_id,
        "batchId": found.batch_id,
    }


def batch(found: capture_pb2.Batch) -> dict[str, Any]:
    return {
        "batchId": found.id,
        "receivedAt": moment(found, "received_at"),
        "state": LEDGER_STATES[found.state],
        "attempts": found.attempts,
        "bodyBytes": found.body_bytes,
        "parserVersion": found.parser_version,
        "counts": {
            outcome: sum(item.outcome == outcome for item in found.items)
            for outcome in ("applied", "merged", "duplicate", "pending")
        },
        "items": [
            {
                "path": item.path,
                "kind": item.kind,
                "outcome": item.outcome,
                "messageId": item.message_id or None,
                "wamid": item.wamid or None,
                "type": item.type or None,
            }
            for item in found.items
        ],
        "faults": [{"path": fault.path, "reason": fault.reason} for fault in found.faults],
    }


def lead_merge(found: capture_pb2.LeadMerge) -> dict[str, Any]:
    return {
        "id": found.id,
        "leadId": found.lead_id,
        "mergedLeadId": found.merged_lead_id,
        "messageCount": found.message_count,
        "mergedAt": moment(found, "merged_at"),
        "undoneAt": moment(found, "undone_at"),
    }


def failure(found: capture_pb2.WebhookFailure) -> dict[str, Any]:
    return {
        "batchId": found.batch_id,
        "receivedAt": moment(found, "received_at"),
        "attempts": found.attempts,
        "bodyBytes": found.body_bytes,
        "faults": [{"path": fault.path, "reason": fault.reason} for fault in found.faults],
    }


def pagination(cursor: str, total: int) -> dict[str, Any]:
    return {"cursor": cursor or None, "hasMore": bool(cursor), "total": total}
