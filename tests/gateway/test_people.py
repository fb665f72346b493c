"""One person, one lead, whatever they are known by."""

from collections.abc import Callable
from typing import Any

import pytest

from tests import wire
from tests.gateway.conftest import System

SHORT = "551188887777"
MOVED = "5521999990000"


@pytest.fixture(autouse=True)
def instance_id(system: System, owner: str) -> str:
    return system.register(owner)


@pytest.fixture
def only_lead(system: System, owner: str) -> Callable[[], dict[str, Any]]:
    def find() -> dict[str, Any]:
        system.run_jobs()
        [lead] = system.leads(owner)
        lead["wamids"] = [message["wamid"] for message in system.walk(owner, lead["id"])]
        return lead

    return find


def post(system: System, *items: dict[str, Any], **more: Any) -> None:
    assert system.post_webhook(wire.messages(*items, **more)).status_code == 200


def test_with_and_without_the_ninth_digit_is_one_lead(system: System, only_lead: Any) -> None:
    post(system, wire.text("w1", sender=wire.ANA), contacts=[])
    post(system, wire.text("w2", sender=SHORT, at=wire.NOON + 1), contacts=[])

    assert only_lead()["wamids"] == ["w1", "w2"]


def test_with_and_without_a_plus_is_one_lead(system: System, only_lead: Any) -> None:
    post(system, wire.text("w1", sender=wire.ANA), contacts=[])
    post(system, wire.text("w2", sender=f"+{wire.ANA}", at=wire.NOON + 1), contacts=[])

    assert only_lead()["wamids"] == ["w1", "w2"]


def test_one_who_adopts_a_username_and_hides_the_number_stays_one_lead(
    system: System, only_lead: Any
) -> None:
    post(system, wire.text("w1", from_user_id="BR.1"))
    named = {"profile": {"name": "Ana", "username": "ana.souza"}, "user_id": "BR.1"}
    post(system, wire.text("w2", sender=None, at=wire.NOON + 1, from_user_id="BR.1"), contacts=[named])

    lead = only_lead()
    assert lead["wamids"] == ["w1", "w2"]
    assert (lead["username"], lead["number"], lead["userId"]) == ("ana.souza", f"+{wire.ANA}", "BR.1")


def system_message(id: str, kind: str, told: dict[str, str]) -> dict[str, Any]:
    body = "Ana mudou de número"
    return {
        "from": wire.ANA,
        "id": id,
        "timestamp": str(wire.NOON + 5),
        "type": "system",
        "system": {"body": body, "type": kind, **told},
    }


@pytest.mark.parametrize("key", ["wa_id", "new_wa_id"])
@pytest.mark.parametrize("order", [(0, 1, 2), (2, 0, 1), (0, 2, 1), (1, 2, 0)])
def test_one_who_changes_number_stays_one_lead(
    system: System, only_lead: Any, key: str, order: tuple[int, ...]
) -> None:
    told = [
        wire.text("w1", sender=wire.ANA),
        system_message("w2", "user_changed_number", {key: MOVED}),
        wire.text("w3", sender=MOVED, at=wire.NOON + 9),
    ]
    for number in order:
        post(system, told[number], contacts=[])

    lead = only_lead()
    assert lead["wamids"] == ["w1", "w2", "w3"]
    assert lead["number"] == f"+{MOVED}"


@pytest.mark.parametrize("is_late", [True, False])
def test_one_whose_user_id_is_renewed_stays_one_lead(system: System, only_lead: Any, is_late: bool) -> None:
    renewal = {
        "wa_id": wire.ANA,
        "user_id": {"previous": "BR.1", "current": "BR.2"},
        "timestamp": str(wire.NOON + 5),
    }
    bodies = [
        wire.messages(wire.text("w1", sender=None, from_user_id="BR.1"), contacts=[]),
        wire.messages(wire.text("w2", sender=None, at=wire.NOON + 9, from_user_id="BR.2"), contacts=[]),
        wire.webhook(wire.entry(wire.change("user_id_update", user_id_update=[renewal]))),
    ]
    for body in bodies if is_late else reversed(bodies):
        system.post_webhook(body)

    lead = only_lead()
    assert lead["wamids"] == ["w1", "w2"]
    assert lead["userId"] == "BR.2"


@pytest.mark.parametrize("is_late", [True, False])
def test_one_whose_parent_id_alone_is_renewed_stays_one_lead(
    system: System, only_lead: Any, is_late: bool
) -> None:
    renewal = {
        "parent_user_id": {"previous": "BR.ENT.1", "current": "BR.ENT.2"},
        "timestamp": str(wire.NOON + 1),
    }
    before: dict[str, Any] = {"from_user_id": "BR.1", "from_parent_user_id": "BR.ENT.1"}
    after: dict[str, Any] = {"from_user_id": "BR.2", "from_parent_user_id": "BR.ENT.2"}
    bodies = [
        wire.messages(wire.text("w1", sender=None, **before), contacts=[]),
        wire.webhook(wire.entry(wire.change("user_id_update", user_id_update=[renewal]))),
        wire.messages(wire.text("w2", sender=None, at=wire.NOON + 2, **after), contacts=[]),
    ]
    for body in reversed(bodies) if is_late else bodies:
        system.post_webhook(body)

    assert only_lead()["wamids"] == ["w1", "w2"]


def test_a_renewed_user_id_brings_the_name_beside_it(system: System, only_lead: Any) -> None:
    post(system, wire.text("w1", sender=None, from_user_id="BR.1"), contacts=[])
    renewal = {"user_id": {"previous": "BR.1", "current": "BR.2"}, "timestamp": str(wire.NOON + 1)}
    contacts = [{"user_id": "BR.2", "profile": {"name": "Ana", "username": "ana"}}]
    change = wire.change("user_id_update", user_id_update=[renewal], contacts=contacts)
    system.post_webhook(wire.webhook(wire.entry(change)))

    lead = only_lead()
    assert (lead["name"], lead["username"], lead["userId"]) == ("Ana", "ana", "BR.2")


def test_two_numbers_of_a_business_are_two_conversations_of_one_lead(
    system: System, owner: str, only_lead: Any
) -> None:
    system.register(owner, "222", wire.WABA_ID)
    post(system, wire.text("w1"))
    other = wire.change(number_id="222", messages=[wire.text("w1")], contacts=[wire.contact()])
    system.post_webhook(wire.webhook(wire.entry(other)))

    assert len(only_lead()["conversations"]) == 2


def test_the_same_name_proves_nothing(system: System, owner: str) -> None:
    post(system, wire.text("w1", sender="5511911111111"), contacts=[wire.contact("5511911111111")])
    post(system, wire.text("w2", sender="5511922222222"), contacts=[wire.contact("5511922222222")])
    system.run_jobs()

    assert len(system.leads(owner)) == 2


def two_leads_of_one_person(system: System, owner: str) -> list[str]:
    post(system, wire.text("w1", "pelo número"), contacts=[])
    post(system, wire.text("w2", "pelo usuário", sender=None, from_user_id="BR.1"), contacts=[])
    return [lead["id"] for lead in system.leads(owner)]


def test_a_merged_lead_still_answers_under_its_old_id(system: System, owner: str, only_lead: Any) -> None:
    both = two_leads_of_one_person(system, owner)
    assert len(both) == 2

    post(system, wire.text("w3", from_user_id="BR.1"))

    assert only_lead()["messageCount"] == 3
    for lead_id in both:
        assert system.page(owner, lead_id)["pagination"]["total"] == 3
        assert system.get(f"/leads/{lead_id}", owner).json["id"] == only_lead()["id"]


def test_a_merge_can_be_undone_and_is_not_repeated(system: System, owner: str, only_lead: Any) -> None:
    two_leads_of_one_person(system, owner)
    post(system, wire.text("w3", from_user_id="BR.1"))
    survivor = only_lead()["id"]
    [merge] = system.get(f"/leads/{survivor}/merges", owner).json["merges"]

    undone = system.client.delete(
        f"/api/v1/whatsapp/leads/{survivor}/merges/{merge['id']}",
        headers={"Authorization": f"Bearer {owner}"},
    )

    assert undone.status_code == 200
    assert undone.json["undoneAt"]
    post(system, wire.text("w4", from_user_id="BR.1", at=wire.NOON + 60))
    system.run_jobs()
    counts = {lead["id"]: lead["messageCount"] for lead in system.leads(owner)}
    assert len(counts) == 2
    assert sum(counts.values()) == 4


def test_an_open_ticket_and_a_count_survive_a_merge(system: System, owner: str, only_lead: Any) -> None:
    two_leads_of_one_person(system, owner)
    post(system, wire.text("w3", from_user_id="BR.1"))

    [ticket] = system.get(f"/leads/{only_lead()['id']}/tickets", owner).json["tickets"]
    assert ticket["closedAt"] is None
    counted = "SELECT message_count FROM leads WHERE merged_into IS NULL"
    assert (
        system.execute(counted).fetchall()
        == system.execute("SELECT count(*) FROM whatsapp_messages WHERE lead_id IS NOT NULL").fetchall()
    )
