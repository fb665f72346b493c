"""Meta's own examples, where they lie beside the repository: every item of every body is found again."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.gateway.conftest import System

PAYLOADS = Path(__file__).parents[3] / "shared" / "payloads"


def _items(value: Any) -> list[str]:
    """The ids of all messages, echoes, statuses and calls in a value, wherever they hang."""
    found: list[str] = []
    if isinstance(value, dict):
        for key, inner in value.items():
            if key in ("messages", "message_echoes", "statuses", "calls") and isinstance(inner, list):
                found += [item["id"] for item in inner if isinstance(item, dict) and "id" in item]
            found += _items(inner)
    elif isinstance(value, list):
        for inner in value:
            found += _items(inner)
    return found


@pytest.mark.skipif(not PAYLOADS.is_dir(), reason="no collection of Meta's examples beside the repository")
def test_every_item_of_every_example_is_found_through_the_api(system: System, owner: str) -> None:
    expected: set[str] = set()
    bodies: list[bytes] = []
    for file in sorted(PAYLOADS.glob("*/*.json")):
        body = file.read_bytes()
        told = json.loads(body)
        if not (isinstance(told, dict) and isinstance(told.get("entry"), list)):
            continue
        bodies.append(body)
        for entry in told["entry"]:
            for change in entry["changes"]:
                metadata = change["value"].get("metadata")
                if metadata:
                    system.register(owner, metadata["phone_number_id"], entry["id"])
                expected.update(_items(change["value"]))

    statuses = [system.post_webhook(body).status_code for body in bodies]

    assert len(bodies) > 200
    assert set(statuses) == {200}
    found = {
        message["wamid"]
        for lead in system.leads(owner, limit=1000)
        for message in system.walk(owner, lead["id"])
    }
    assert expected - found == set()
    assert len(expected) > 30
