"""The tickets of people of whom two leads were made before a webhook proved them one."""

import random
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from capture_service import recovery, store
from tests import wire
from tests.gateway.conftest import API, System

BSUID = "BR.1234567890"
BY_NUMBER = wire.text("w1", "pelo número", at=wire.NOON)
BY_USER_ID = {**wire.text("w2", "pelo usuário", at=wire.NOON + 10, sender=None), "from_user_id": BSUID}
BY_BOTH = {**wire.text("w3", "por ambos", at=wire.NOON + 20), "from_user_id": BSUID}
# It proves that both are one, and asks for nothing.
SENT_TO_BOTH = wire.echoes({**wire.echo("w4"), "to_user_id": BSUID})

Tickets = Callable[[str], list[dict[str, Any]]]


@pytest.fixture
def tickets(system: System, owner: str) -> Tickets:
    return lambda lead_id: system.get(f"/leads/{lead_id}/tickets", owner).json["tickets"]


def _say(system: System, *messages: dict[str, Any]) -> None:
    for message in messages:
        assert system.post_webhook(wire.messages(message, contacts=[])).status_code == 200


def _change(system: System, owner: str, ticket: dict[str, Any], how: str) -> Any:
    return system.post(f"/tickets/{ticket['id']}/{how}", owner, None)


def _two_leads(system: System, owner: str) -> tuple[str, str]:
    """The older first."""
    system.register(owner)
    _say(system, BY_NUMBER, BY_USER_ID)
    older, younger = sorted(lead["id"] for lead in system.leads(owner))
    return older, younger


def _unite(system: System) -> None:
    system.post_webhook(SENT_TO_BOTH)
    system.run_jobs()


def _part(system: System, owner: str, lead_id: str) -> None:
    [merge] = system.get(f"/leads/{lead_id}/merges", owner).json["merges"]
    path = f"{API}/leads/{lead_id}/merges/{merge['id']}"
    undone = system.client.delete(path, headers={"Authorization": f"Bearer {owner}"})
    assert undone.status_code == 200
    system.run_sync("padaria", undone.json["syncId"])


@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    told=st.permutations([BY_NUMBER, BY_USER_ID, BY_BOTH]),
    others=st.lists(st.sampled_from(["echo", "history", "card"]), max_size=2),
    seed=st.integers(0, 10**9),
)
def test_there_is_one_ticket_opened_at_the_earliest_whatever_the_order_and_after_a_replay(
    system: System, owner: str, tickets: Tickets, told: list[dict[str, Any]], others: list[str], seed: int
) -> None:
    system.execute("TRUNCATE whatsapp_messages, leads, lead_merges, whatsapp_webhook_logs, outbox CASCADE")
    system.register(owner)
    draw = random.Random(seed)
    old = {**wire.text("w0", "antes", at=wire.NOON - 9), "history_context": {}}
    # What makes leads, and asks for nothing.
    body_of = {
        "echo": wire.echoes({**wire.echo("w5"), "to_user_id": BSUID}),
        "history": wire.history({"id": wire.ANA, "messages": [old]}),
        "card": wire.history({"id": "1", "context": {"user_id": BSUID}, "messages": [{**old, "id": "w6"}]}),
    }
    bodies = [wire.messages(message, contacts=[]) for message in told]
    first = bodies[0]
    for other in others:
        bodies.insert(draw.randrange(len(bodies) + 1), body_of[other])

    opened: list[str] = []
    for body in bodies:
        system.post_webhook(body)
        if body == first:
            [moment] = system.execute("SELECT opened_at FROM tickets").fetchall()
            opened += [moment[0]]
        if draw.random() < 0.3:
            system.run_jobs()
    system.run_jobs()

    [lead] = system.leads(owner)
    live = tickets(lead["id"])
    assert [ticket["closedAt"] for ticket in live] == [None]
    assert system.execute("SELECT min(opened_at) FROM tickets").fetchall() == [tuple(opened)]
    assert live[0]["leadId"] == lead["id"]
    system.execute("TRUNCATE whatsapp_messages, leads, lead_merges, outbox CASCADE")
    for _ in recovery.replay(system.ingest, system.pool, store.LedgerFilter()):
        pass
    system.run_jobs()
    assert tickets(lead["id"]) == live


def test_a_message_whose_contact_is_named_otherwise_later_keeps_its_ticket_in_a_replay(
    system: System, owner: str, tickets: Tickets
) -> None:
    system.register(owner)
    _say(
        system,
        wire.text("w0", "quem é", at=wire.NOON, sender="551188887777"),
        BY_USER_ID,
        {**wire.text("w0", "quem é", at=wire.NOON, sender="5511988887777"), "from_user_id": BSUID},
    )
    system.run_jobs()
    [lead] = system.leads(owner)
    live = tickets(lead["id"])
    rows = system.execute("SELECT * FROM tickets ORDER BY id").fetchall()

    system.execute("TRUNCATE whatsapp_messages, leads, lead_merges, outbox CASCADE")
    for _ in recovery.replay(system.ingest, system.pool, store.LedgerFilter()):
        pass
    system.run_jobs()

    assert tickets(lead["id"]) == live
    assert system.execute("SELECT * FROM tickets ORDER BY id").fetchall() == rows


def test_a_ticket_that_somebody_closed_stays_a_closed_one(
    system: System, owner: str, tickets: Tickets
) -> None:
    older, younger = _two_leads(system, owner)
    [first], [second] = tickets(older), tickets(younger)
    closed = _change(system, owner, second, "close").json

    _unite(system)

    assert tickets(older) == [{**closed, "leadId": older}, first]
    assert tickets(younger) == tickets(older)
    assert _change(system, owner, second, "reopen").status_code == 422


def test_the_later_ticket_of_two_is_closed_and_opened_with_the_earlier(
    system: System, owner: str, tickets: Tickets
) -> None:
    older, younger = _two_leads(system, owner)
    [first], [second] = tickets(older), tickets(younger)
    _unite(system)
    assert tickets(older) == [first]

    # By the id that somebody may have kept.
    closed = _change(system, owner, second, "close").json
    reopened = _change(system, owner, second, "reopen").json
    _change(system, owner, first, "close")
    _say(system, wire.text("w9", at=wire.NOON + 60))

    assert (closed["id"], closed["leadId"], reopened) == (first["id"], older, first)
    assert closed["closedAt"]
    [third, before] = tickets(older)
    assert (third["closedAt"], before["id"]) == (None, first["id"])
    assert _change(system, owner, second, "reopen").status_code == 422


@pytest.mark.parametrize("is_closed", [True, False])
def test_parted_each_lead_has_the_ticket_it_had(
    system: System, owner: str, tickets: Tickets, is_closed: bool
) -> None:
    older, younger = _two_leads(system, owner)
    [first], [second] = tickets(older), tickets(younger)
    _unite(system)
    if is_closed:
        _change(system, owner, first, "close")

    _part(system, owner, older)

    parted = [tickets(older), tickets(younger)]
    assert [[ticket["id"] for ticket in found] for found in parted] == [[first["id"]], [second["id"]]]
    assert [bool(found[0]["closedAt"]) for found in parted] == [is_closed] * 2
    # What they write now finds it open, or opens another for each.
    _say(system, wire.text("w8", at=wire.NOON + 50), {**BY_USER_ID, "id": "w9"})
    assert [len(tickets(lead)) for lead in (older, younger)] == [1 + is_closed] * 2
    if not is_closed:
        _change(system, owner, first, "close")
        assert tickets(younger) == [second]


def test_of_three_leads_that_become_one_the_earliest_ticket_counts(
    system: System, owner: str, tickets: Tickets
) -> None:
    other = "5521977776666"
    system.register(owner)
    # The oldest lead has the latest ticket.
    old = {**wire.text("w0", at=wire.NOON - 9, sender=other), "history_context": {}}
    system.post_webhook(wire.history({"id": other, "messages": [old]}))
    _say(system, BY_NUMBER, BY_USER_ID, wire.text("w7", at=wire.NOON + 30, sender=other))
    a, b, c = sorted(lead["id"] for lead in system.leads(owner))
    [of_number] = tickets(b)
    assert len(tickets(a)) == len(tickets(c)) == 1
    _unite(system)

    system.post_webhook(wire.echoes({**wire.echo("w6", to=other), "to_user_id": BSUID}))
    system.run_jobs()

    assert {lead["id"] for lead in system.leads(owner)} == {a}
    assert tickets(a) == tickets(b) == tickets(c) == [{**of_number, "leadId": a}]
    closed = system.post(f"/tickets/{of_number['id']}/close", owner, None).json
    _part(system, owner, a)
    assert [ticket["id"] for ticket in tickets(b)] == [of_number["id"]]
    assert tickets(b)[0]["closedAt"] == tickets(a)[0]["closedAt"] == closed["closedAt"]
