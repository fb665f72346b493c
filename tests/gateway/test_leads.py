"""GET /leads and /instances, /webhooks/failures, /webhooks/replay."""

from typing import Any

import pytest

from tests import wire
from tests.gateway.conftest import System


@pytest.fixture
def shop(system: System, owner: str) -> System:
    """Three people, the last to write last."""
    system.register(owner)
    for number, (wa_id, name) in enumerate(
        [("5511988887777", "Ana Souza"), ("552133334444", "Bruno Lima"), ("551199990000", "Carla Dias")]
    ):
        system.post_webhook(
            wire.messages(
                wire.text(f"w{number}", sender=wa_id, at=wire.NOON + number),
                contacts=[wire.contact(wa_id, name)],
            )
        )
    return system


def test_leads_come_by_their_last_message(shop: System, owner: str) -> None:
    assert [lead["name"] for lead in shop.leads(owner)] == ["Carla Dias", "Bruno Lima", "Ana Souza"]


def test_a_walk_of_leads_is_complete(shop: System, owner: str) -> None:
    names: list[str] = []
    query: dict[str, Any] = {"limit": 1}
    while True:
        page = shop.get("/leads", owner, **query).json
        names += [lead["name"] for lead in page["leads"]]
        assert page["pagination"]["total"] == 3
        if not page["pagination"]["hasMore"]:
            break
        query["cursor"] = page["pagination"]["cursor"]

    assert names == ["Carla Dias", "Bruno Lima", "Ana Souza"]


@pytest.mark.parametrize(
    ("q", "found"),
    [
        ("bruno", ["Bruno Lima"]),
        ("988887777", ["Ana Souza"]),
        ("+55 (11) 98888-7777", ["Ana Souza"]),
        ("551188887777", ["Ana Souza"]),
        ("5511999990000", ["Carla Dias"]),
        ("551199990000", ["Carla Dias"]),
        ("2133334444", ["Bruno Lima"]),
        ("100%", []),
        ("' OR 1=1 --", []),
    ],
)
def test_leads_are_found_by_name_and_number_with_and_without_the_ninth_digit(
    shop: System, owner: str, q: str, found: list[str]
) -> None:
    assert [lead["name"] for lead in shop.leads(owner, q=q)] == found


def test_a_lead_shows_its_numbers_and_conversations(shop: System, owner: str) -> None:
    lead = shop.leads(owner, q="Ana")[0]

    shown = shop.get(f"/leads/{lead['id']}", owner).json

    assert lead.pop("lastMessage")["body"] == "oi"
    assert shown == lead
    assert (shown["number"], shown["waId"], shown["messageCount"]) == ("+5511988887777", "5511988887777", 1)
    assert len(shown["conversations"]) == 1


def test_registering_a_number_again_changes_nothing_and_anothers_is_409(
    system: System, owner: str, stranger: str, colleague: str
) -> None:
    body = {"wabaId": "1", "phoneNumberId": "2", "displayPhoneNumber": "3"}
    first, again = (system.post("/instances", owner, body) for _ in range(2))

    assert first.status_code == again.status_code == 201
    assert first.json["id"] == again.json["id"]
    assert system.post("/instances", stranger, body).status_code == 409
    assert system.post("/instances", colleague, body).status_code == 403
    assert system.get("/instances", stranger).json["instances"] == []
    assert system.post("/instances", owner, {**body, "wabaId": ""}).json["errors"][0]["field"] == "wabaId"


@pytest.mark.parametrize("limit", [1, 2, 3])
def test_failures_of_owners_and_of_nobody_are_all_listed_whatever_the_page(
    system: System, owner: str, limit: int
) -> None:
    system.register(owner)
    for number in range(3):
        bad = wire.change(messages=[wire.text(f"w{number}"), {"id": 7}])
        system.post_webhook(wire.webhook({"changes": [{"value": {}}]}, wire.entry(bad)))

    found: list[Any] = []
    query: dict[str, Any] = {"limit": limit}
    while True:
        page = system.get("/webhooks/failures", owner, **query).json
        found += page["failures"]
        if not page["pagination"]["hasMore"]:
            break
        query["cursor"] = page["pagination"]["cursor"]

    assert len(found) == page["pagination"]["total"] == 6
    assert system.get("/webhooks/failures", owner, cursor="x_1").status_code == 400
    assert system.get("/webhooks/failures", owner, cursor=found[0]["batchId"]).status_code == 400


def test_of_a_webhook_of_very_many_broken_items_the_first_faults_are_listed_and_the_rest_counted(
    system: System, owner: str
) -> None:
    system.register(owner)
    system.post_webhook(wire.messages(wire.text("w1"), *({} for _ in range(250))))

    [failure] = system.get("/webhooks/failures", owner).json["failures"]
    assert len(failure["faults"]) == 101
    assert failure["faults"][-1] == {"path": "", "reason": "and 150 more"}
    assert len(system.leads(owner)) == 1


def test_failures_are_listed_and_replayed(system: System, owner: str, colleague: str, stranger: str) -> None:
    system.register(owner)
    for number in range(3):
        system.post_webhook(wire.messages(wire.text(f"good{number}"), {"id": 7}))

    page = system.get("/webhooks/failures", owner, limit=2).json
    rest = system.get("/webhooks/failures", owner, cursor=page["pagination"]["cursor"]).json

    assert page["pagination"]["total"] == 3
    assert len(page["failures"] + rest["failures"]) == 3
    assert page["failures"][0]["faults"][0]["path"] == "entry[0].changes[0].value.messages[1].id"
    assert system.get("/webhooks/failures", colleague).status_code == 403
    assert system.get("/webhooks/failures", stranger).json["failures"] == []
    replayed = system.post("/webhooks/replay", owner, {"states": ["failed"]})
    assert replayed.json == {"webhooksReplayed": 3, "webhooksFailed": 3, "messagesImported": 0}
    assert system.post("/webhooks/replay", stranger, {}).json["webhooksReplayed"] == 0
    assert system.post("/webhooks/replay", colleague, {}).status_code == 403
    assert system.post("/webhooks/replay", owner, {"states": ["lost"]}).status_code == 400


def test_what_is_no_route_and_no_method_is_a_problem_document_too(system: System) -> None:
    for answer, status in (
        (system.client.get("/nowhere"), 404),
        (system.client.delete("/webhooks/whatsapp"), 405),
    ):
        assert answer.status_code == status
        assert answer.mimetype == "application/problem+json"
        assert answer.json["status"] == status


def test_it_says_when_it_is_live_and_ready(system: System) -> None:
    assert system.client.get("/livez").status_code == 200
    assert system.client.get("/readyz").status_code == 200

    system.capture.stop()

    assert system.client.get("/readyz").status_code == 503
