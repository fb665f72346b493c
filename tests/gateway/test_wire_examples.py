"""Every type, status and field of docs/wire.md has an example, and it is found where the table says."""

import json
from pathlib import Path
from typing import Any

import pytest

from capture_service import fields, kinds
from recado import wire_table
from tests import wire
from tests.gateway.conftest import System

ROOT = Path(__file__).parents[2]


def send(system: System, token: str, group: str, name: str) -> dict[str, Any]:
    """Post an example; give its value."""
    body = (ROOT / wire_table.example(group, name)).read_bytes()
    assert system.post_webhook(body).status_code == 200
    return json.loads(body)["entry"][0]["changes"][0]["value"]


def messages(system: System, token: str) -> dict[str, dict[str, Any]]:
    return {
        message["wamid"]: message
        for lead in system.leads(token)
        for message in system.walk(token, lead["id"])
    }


@pytest.fixture
def instance_id(system: System, owner: str) -> str:
    return system.register(owner)


def test_the_document_is_what_the_tables_say() -> None:
    written = (ROOT / "docs/wire.md").read_text("utf-8")

    assert written == wire_table.table(), "run `make docs`"


def test_every_row_has_an_example_and_every_example_a_row() -> None:
    rows = {
        wire_table.example(group, name)
        for group, names in (("message", kinds.KINDS), ("status", fields.STATUSES), ("field", fields.FIELDS))
        for name in names
    }

    assert {str(path.relative_to(ROOT)) for path in (ROOT / wire_table.EXAMPLES).glob("*.json")} == rows


@pytest.mark.parametrize("kind", sorted(kinds.KINDS.keys() - kinds.ACTS - {"call"}))
def test_a_message_is_found_with_its_line_and_content(
    system: System, owner: str, instance_id: str, kind: str
) -> None:
    value = send(system, owner, "message", kind)

    found = messages(system, owner)[f"wamid.example.{kind}"]
    told = [
        *value.get("messages", ()),
        *(m for c in value.get("history", ()) for t in c["threads"] for m in t["messages"]),
    ]
    [item] = [item for item in told if item["id"] == f"wamid.example.{kind}"]
    assert found["type"] == kind
    assert found["body"]
    for key in item.keys() & {kind, "errors"} - {"text"}:
        assert (found["errors"] if key == "errors" else found["content"][key]) == item[key]


@pytest.mark.parametrize("is_late", [True, False])
@pytest.mark.parametrize("kind", sorted(kinds.ACTS))
def test_an_act_is_found_on_its_target_whichever_comes_first(
    system: System, owner: str, instance_id: str, kind: str, is_late: bool
) -> None:
    target = wire.messages(wire.text("wamid.example.target", "até hoje"))
    if is_late:
        system.post_webhook(target)
    send(system, owner, "message", kind)
    if not is_late:
        system.post_webhook(target)

    [message] = messages(system, owner).values()
    match kind:
        case "reaction":
            assert [reaction["emoji"] for reaction in message["reactions"]] == ["❤️"]
            assert message["reactions"][0]["from"]["number"] == f"+{wire.ANA}"
        case "edit":
            assert message["body"] == "quis dizer amanhã"
            assert [revision["body"] for revision in message["revisions"]] == ["até hoje"]
            assert message["editedAt"]
        case _:
            assert message["revokedAt"]
            assert message["body"] is None
            assert "content" not in message


def test_a_call_is_one_message_with_its_events(system: System, owner: str, instance_id: str) -> None:
    value = send(system, owner, "message", "call")

    found = messages(system, owner)["wacid.example.call"]
    assert sorted(call["event"] for call in found["content"]["calls"]) == ["connect", "terminate"]
    assert all(call in found["content"]["calls"] for call in value["calls"])


@pytest.mark.parametrize("state", sorted(fields.STATUSES))
def test_a_status_is_found_on_its_message(system: System, owner: str, instance_id: str, state: str) -> None:
    [item] = send(system, owner, "status", state)["statuses"]

    found = messages(system, owner)[item["id"]]
    assert found["direction"] == "OUTBOUND"
    if state == "payment":
        assert found["billing"]["payment"] == item["payment"]
        assert found["billing"]["states"] == {"captured": item["timestamp"]}
        return
    assert found["status"] == state
    assert found["timeline"][f"{state}At"]
    assert sorted(found.get("errors", []), key=_code) == sorted(item.get("errors", []), key=_code)
    for key in item.keys() & {"pricing", "conversation"}:
        assert found["billing"][key] == item[key]


@pytest.mark.parametrize("field", sorted(fields.FIELDS))
def test_a_field_is_found_where_the_table_says(
    system: System, owner: str, instance_id: str, field: str
) -> None:
    kept = fields.FIELDS[field]
    value = send(system, owner, "field", field)

    events = system.get(f"/instances/{instance_id}/events", owner).json["events"]
    if "account event" in kept:
        [event] = events
        assert event["field"] == field
        told = {key: inner for key, inner in value.items() if key not in ("messaging_product", "metadata")}
        assert event["value"] == ({"errors": told["errors"]} if field == "messages" else told)
    else:
        assert events == []
    if "conversation" in kept:
        assert messages(system, owner)
    if field == "account_update":
        [instance] = system.get("/instances", owner).json["instances"]
        assert instance["connection"]["state"] == "disconnected"
    if field == "smb_app_state_sync":
        system.post_webhook(wire.messages(wire.text("w1"), contacts=[]))
        assert system.leads(owner)[0]["name"] == "Ana da Esquina"
    assert system.get("/webhooks/failures", owner).json["failures"] == []


def _code(error: dict[str, Any]) -> int:
    return error["code"]
