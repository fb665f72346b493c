"""Webhooks as Meta sends them, for tests: every argument is what the test is about."""

import json
import uuid
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from capture_service.events import Instance

BUSINESS = "551140000000"
NUMBER_ID = "106540352242922"
WABA_ID = "102290129340398"
ANA = "5511988887777"
NOON = 1_790_000_000

INSTANCE = Instance(1, 1, uuid.UUID(int=7), NUMBER_ID, BUSINESS)
RECEIVED_AT = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)


HISTORY_DECLINED = {
    "code": 2593109,
    "title": "History sync is turned off by the business from the WhatsApp Business App",
    "error_data": {"details": "History sharing is turned off by the business"},
}


def text(
    id: str, body: str = "oi", *, at: int = NOON, sender: str | None = ANA, **more: Any
) -> dict[str, Any]:
    message = {"id": id, "timestamp": str(at), "type": "text", "text": {"body": body}, **more}
    return message if sender is None else {"from": sender, **message}


def echo(id: str, body: str = "pois não", *, at: int = NOON, to: str = ANA) -> dict[str, Any]:
    return {
        "from": BUSINESS,
        "to": to,
        "id": id,
        "timestamp": str(at),
        "type": "text",
        "text": {"body": body},
    }


def status(id: str, state: str, *, at: int = NOON, to: str | None = ANA, **more: Any) -> dict[str, Any]:
    found = {"id": id, "status": state, "timestamp": str(at), **more}
    return found if to is None else {**found, "recipient_id": to}


def contact(wa_id: str = ANA, name: str = "Ana Souza", **more: Any) -> dict[str, Any]:
    return {"wa_id": wa_id, "profile": {"name": name}, **more}


def value(*, number_id: str = NUMBER_ID, **arrays: Any) -> dict[str, Any]:
    return {
        "messaging_product": "whatsapp",
        "metadata": {"display_phone_number": BUSINESS, "phone_number_id": number_id},
        **arrays,
    }


def change(field: str = "messages", **arrays: Any) -> dict[str, Any]:
    return {"field": field, "value": value(**arrays)}


def entry(*changes: dict[str, Any], id: str = WABA_ID) -> dict[str, Any]:
    return {"id": id, "changes": list(changes)}


def webhook(*entries: dict[str, Any]) -> bytes:
    return json.dumps(
        {"object": "whatsapp_business_account", "entry": list(entries)}, separators=(",", ":")
    ).encode()


def messages(*found: dict[str, Any], contacts: Sequence[dict[str, Any]] | None = None, **more: Any) -> bytes:
    """One webhook with one change of messages."""
    told = [contact()] if contacts is None else list(contacts)
    return webhook(entry(change(messages=list(found), contacts=told, **more)))


def statuses(*found: dict[str, Any]) -> bytes:
    return webhook(entry(change(statuses=list(found))))


def echoes(*found: dict[str, Any]) -> bytes:
    return webhook(entry(change("smb_message_echoes", message_echoes=list(found))))


def history(*threads: dict[str, Any], phase: int = 0, order: int = 1, progress: int = 50) -> bytes:
    about = {"phase": phase, "chunk_order": order, "progress": progress}
    return webhook(entry(change("history", history=[{"metadata": about, "threads": list(threads)}])))
