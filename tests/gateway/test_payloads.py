"""Meta's own examples, where they lie beside the repository: all that each says is found again.

Every file is posted for a number and an account of its own, because the examples use the same ids for
different messages.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests import wire
from tests.gateway.conftest import System

PAYLOADS = Path(__file__).parents[3] / "shared" / "payloads"
ARRAYS = ("messages", "message_echoes", "statuses", "calls")
SPOKEN = {"messages", "message_echoes", "statuses", "calls", "history", "state_sync", "standby"}


def _items(value: Any) -> Iterator[tuple[str, dict[str, Any]]]:
    """All messages, echoes, statuses and calls in a value, wherever they hang."""
    if isinstance(value, dict):
        for key, inner in value.items():
            if key in ARRAYS and isinstance(inner, list):
                yield from ((key, item) for item in inner if isinstance(item, dict) and "id" in item)
            yield from _items(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _items(inner)


class Seen:
    """What the API tells of one number."""

    def __init__(self, system: System, token: str, instance_id: str) -> None:
        self.messages: dict[str, dict[str, Any]] = {}
        self.acts: dict[str, dict[str, Any]] = {}
        for lead in system.leads(token, limit=1000):
            for message in system.walk(token, lead["id"]):
                if message["instanceId"] != instance_id:
                    continue
                self.messages[message["wamid"]] = message
                for act in (*message["reactions"], *message.get("revisions", ())):
                    self.acts[act["wamid"]] = {**act, "target": message}
        self.events = system.get(f"/instances/{instance_id}/events", token, limit=1000).json["events"]
        self.listed: dict[str, dict[str, Any]] = {}
        for batch_id in {found["batchId"] for found in (*self.messages.values(), *self.events)}:
            for item in system.get(f"/batches/{batch_id}", token).json["items"]:
                self.listed[item["wamid"]] = item


def _check(kind: str, item: dict[str, Any], seen: Seen, *, hidden: set[str]) -> None:
    """Assert that the item's content is what the API shows of it."""
    wamid = item["id"]
    if wamid in hidden:
        assert seen.listed[wamid]["outcome"] == "applied"
        assert wamid not in seen.messages
        return
    what: str = item.get("type") or ""
    if what in ("reaction", "edit", "revoke") and kind != "statuses":
        told = item[what]
        target = seen.messages[told.get("message_id") or told.get("original_message_id")]
        if what == "reaction" and told.get("emoji"):
            assert told["emoji"] in [reaction["emoji"] for reaction in target["reactions"]]
        elif what == "edit" and not target["revokedAt"]:
            assert target["editedAt"]
            edited = told["message"]
            if edited["type"] == "text":
                assert target["body"] == edited["text"]["body"]
            else:
                assert target["content"][edited["type"]] == edited[edited["type"]]
        elif what == "revoke":
            assert target["revokedAt"]
            assert target["body"] is None
            assert "content" not in target
        assert seen.listed[wamid]["kind"] == what
        return
    message = seen.messages[wamid]
    if kind == "statuses":
        assert message["direction"] == "OUTBOUND"
        state = item["status"].lower()
        if state in ("sent", "delivered", "read", "played", "failed"):
            assert message["timeline"][f"{state}At"]
        else:
            assert item["status"] in message["billing"]["states"]
        for error in item.get("errors") or ():
            assert error in message["errors"]
        for key in ("pricing", "conversation", "payment", "biz_opaque_callback_data"):
            if key in item:
                assert message["billing"][key] == item[key]
        return
    if kind == "calls":
        assert item in message["content"]["calls"]
        return
    assert message["type"] == what
    assert message["body"], "every message has a line to read"
    if what == "text":
        assert message["body"] == item["text"]["body"]
    elif what in item:
        assert message["content"][what] == item[what]
    caption = isinstance(item.get(what), dict) and item[what].get("caption")
    if caption:
        assert message["body"] == caption
    for error in item.get("errors") or ():
        assert error in message["errors"]
    for key in ("referral", "identity", "group_id", "unsupported"):
        if key in item:
            assert message["content"][key] == item[key]
    for key, told in (item.get("context") or {}).items():
        assert message["context"]["wamid" if key == "id" else key] == told


def _files() -> list[Path]:
    return sorted(PAYLOADS.glob("*/*.json"))


def _own_ids(body: str, told: Any, number: int) -> tuple[bytes, str, str]:
    """Rewrite a body so that its number and account are nobody else's."""
    number_id, waba_id = f"{7_000_000 + number}", f"{8_000_000 + number}"
    for entry in told["entry"]:
        body = body.replace(json.dumps(entry["id"]), f'"{waba_id}"')
        for change in entry["changes"]:
            metadata = change["value"].get("metadata") or {}
            if "phone_number_id" in metadata:
                body = body.replace(json.dumps(metadata["phone_number_id"]), f'"{number_id}"')
    return body.encode(), number_id, waba_id


@pytest.mark.skipif(not PAYLOADS.is_dir(), reason="no collection of Meta's examples beside the repository")
def test_what_every_example_says_is_found_through_the_api(system: System, owner: str) -> None:
    items = facts = bodies = 0
    for number, file in enumerate(_files()):
        told = json.loads(file.read_text())
        if not (isinstance(told, dict) and isinstance(told.get("entry"), list)):
            continue
        bodies += 1
        body, number_id, waba_id = _own_ids(file.read_text(), told, number)
        told = json.loads(body)
        display = next(
            (
                change["value"]["metadata"]["display_phone_number"]
                for entry in told["entry"]
                for change in entry["changes"]
                if "display_phone_number" in (change["value"].get("metadata") or {})
            ),
            wire.BUSINESS,
        )
        instance_id = system.register(owner, number_id, waba_id, display)
        assert system.post_webhook(body).status_code == 200
        system.run_jobs()
        seen = Seen(system, owner, instance_id)
        # Threads of nothing that could be rendered are nobody's conversation.
        hidden = {
            message["id"]
            for entry in told["entry"]
            for change in entry["changes"]
            for chunk in change["value"].get("history") or ()
            for thread in chunk.get("threads") or ()
            if all(message["type"] in ("errors", "unsupported") for message in thread["messages"])
            for message in thread["messages"]
        }
        for entry in told["entry"]:
            for change in entry["changes"]:
                value = change["value"]
                for kind, item in _items(value):
                    items += 1
                    try:
                        _check(kind, item, seen, hidden=hidden)
                    except (AssertionError, KeyError) as error:
                        raise AssertionError(f"{file.name}: {kind} {item}") from error
                if SPOKEN.isdisjoint(value):
                    facts += 1
                    told_value = {
                        key: inner
                        for key, inner in value.items()
                        if key not in ("messaging_product", "metadata")
                    }
                    assert told_value in [event["value"] for event in seen.events], file.name
                    assert change.get("field") in [event["field"] for event in seen.events], file.name
    faults = [
        fault
        for (error,) in system.execute("SELECT error FROM whatsapp_webhook_logs WHERE error IS NOT NULL")
        for fault in json.loads(error)
    ]
    assert [fault for fault in faults if not fault["reason"].endswith("; placed at its arrival")] == []
    assert bodies > 200
    assert items > 100
    assert facts > 60
