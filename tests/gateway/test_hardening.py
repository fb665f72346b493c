"""Rare mixtures: broken parts beside good ones, merges while others work, what is told again."""

import json
import uuid
from datetime import UTC, datetime
from typing import Any

import pytest

from capture_service import fold, imports, ledger, merging, recovery, store
from plumbing import errors
from tests import wire
from tests.gateway import test_large
from tests.gateway.conftest import System
from tests.gateway.test_import import bring, imported

OTHER_NUMBER = {"number_id": "999", "waba_id": "888", "display_number": "551140000099"}


def of_two_owners(*between: Any) -> bytes:
    first = wire.entry(wire.change(messages=[wire.text("a1")], contacts=[wire.contact()]))
    second = wire.change(messages=[wire.text("b1")], contacts=[wire.contact()], number_id="999")
    return wire.webhook(first, *between, wire.entry(second, id="888"))


@pytest.mark.parametrize(
    "between",
    [
        {"id": "x"},
        None,
        5,
        {"id": "x", "changes": None},
        {"id": "x", "changes": {}},
        {"id": "x", "changes": []},
    ],
    ids=str,
)
def test_a_broken_entry_costs_neither_of_two_owners_anything(
    system: System, owner: str, stranger: str, between: Any
):
    system.register(owner)
    system.register(stranger, **OTHER_NUMBER)

    assert system.post_webhook(of_two_owners(between)).status_code == 200

    assert [len(system.leads(token)) for token in (owner, stranger)] == [1, 1]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b'{"object"', b'\xef\xbb\xbf{"object"'),
        (b'"oi"', b'"\\ud800"'),
        (b'"oi"', b'"\xff"'),
        (b'"oi"', b'"\\u0000"'),
        (b'"oi"}', b'"oi","x":1e999}'),
        (b'"oi"}', b'"oi","x":[NaN,-Infinity]}'),
        (b'{"object"', b'{"\\ud800":1,"object"'),
        (b'"oi"}', b'"oi","x":' + b"[" * 3000 + b"]" * 3000 + b"}"),
    ],
    ids=["mark", "surrogate", "bytes", "nul", "number", "no number", "key", "depth"],
)
def test_a_body_that_must_be_mended_is_divided_among_its_owners(
    system: System, owner: str, stranger: str, old: bytes, new: bytes
):
    system.register(owner)
    system.register(stranger, **OTHER_NUMBER)
    body = of_two_owners().replace(old, new, 1)

    assert system.post_webhook(body).status_code == 200

    assert [len(system.leads(token)) for token in (owner, stranger)] == [1, 1]


def test_a_webhook_that_a_bug_keeps_from_being_read_is_kept_and_its_neighbours_are_applied(
    system: System, owner: str, monkeypatch: pytest.MonkeyPatch
):
    def fail(*_: Any) -> None:
        raise ZeroDivisionError

    system.register(owner)
    system.register(owner, **{**OTHER_NUMBER, "waba_id": wire.WABA_ID})
    monkeypatch.setattr(ledger, "divide", fail)

    # One of another number that nobody has registered: it would have to be divided.
    lost = wire.change(messages=[wire.text("c1")], number_id="777")
    kept = wire.change(messages=[wire.text("a1")], contacts=[wire.contact()])
    assert system.post_webhook(wire.webhook(wire.entry(kept), wire.entry(lost, id="666"))).status_code == 200
    assert system.post_webhook(wire.messages(wire.text("a2"))).status_code == 200

    [failure] = system.get("/webhooks/failures", owner).json["failures"]
    assert failure["faults"] == [{"path": "", "reason": "not read: ZeroDivisionError"}]
    [lead] = system.leads(owner)
    assert [message["wamid"] for message in system.page(owner, lead["id"])["messages"]] == ["a2"]


def test_a_number_beyond_all_numbers_costs_only_itself(system: System, owner: str):
    system.register(owner)
    body = wire.messages(wire.text("a1")).replace(b'"oi"}', b'"oi","x":1e999}')

    assert system.post_webhook(body).status_code == 200

    [lead] = system.leads(owner)
    assert system.page(owner, lead["id"])["messages"][0]["wamid"] == "a1"


def test_what_is_told_again_opens_no_ticket(system: System, owner: str):
    system.register(owner)
    system.post_webhook(wire.messages(wire.text("w1")))
    [lead] = system.leads(owner)
    [ticket] = system.get(f"/leads/{lead['id']}/tickets", owner).json["tickets"]
    system.post(f"/tickets/{ticket['id']}/close", owner, None)

    system.post_webhook(wire.messages(wire.text("w1")))
    system.post("/webhooks/replay", owner, {})

    assert len(system.get(f"/leads/{lead['id']}/tickets", owner).json["tickets"]) == 1


def test_a_large_webhook_of_two_numbers_is_applied_whole_once_the_second_is_registered(
    system: System, owner: str
):
    system.register(owner)
    first = json.loads(test_large.large())
    second = test_large.large(100).replace(wire.NUMBER_ID.encode(), b"999").replace(b"wamid.", b"xmid.")
    first["entry"] += json.loads(second)["entry"]
    system.post_webhook(json.dumps(first).encode())
    system.run_jobs()

    system.register(owner, number_id="999", display_number="551140000099")
    recovery.apply_unrouted(system.ingest, system.pool, "padaria")
    system.run_jobs()

    assert system.execute("SELECT DISTINCT state FROM whatsapp_webhook_logs").fetchall() == [("processed",)]
    assert system.execute("SELECT count(*) FROM whatsapp_messages").fetchall() == [(2 * test_large.COUNT,)]


def test_a_webhook_that_no_job_knows_of_is_asked_for_again(system: System, owner: str):
    system.register(owner)
    system.post_webhook(test_large.large())
    system.execute("DELETE FROM outbox")

    system.sweeper.ask_again(now=datetime(2999, 1, 1, tzinfo=UTC))
    system.run_jobs()

    assert system.execute("SELECT DISTINCT state FROM whatsapp_webhook_logs").fetchall() == [("processed",)]


def test_a_large_webhook_is_replayed_in_slices(system: System, owner: str, monkeypatch: pytest.MonkeyPatch):
    system.register(owner)
    system.post_webhook(test_large.large())
    system.run_jobs()
    system.execute("TRUNCATE whatsapp_messages")
    read: list[int] = []
    listed = store.list_ledger_rows

    def listing(*args: Any, **how: Any) -> Any:
        rows = listed(*args, **how)
        read.append(sum(row.body_bytes for row in rows))
        return rows

    monkeypatch.setattr(store, "list_ledger_rows", listing)
    system.execute(
        """
        INSERT INTO whatsapp_webhook_logs
        SELECT tenant_id, gen_random_uuid(), received_at, state, attempts, parser_version, dictionary_id,
          body_bytes, sha256, body, awaits, error
        FROM whatsapp_webhook_logs CROSS JOIN generate_series(1, 12)
        """
    )

    assert system.post("/webhooks/replay", owner, {}).json["webhooksReplayed"] == 13

    assert system.execute("SELECT count(*) FROM whatsapp_messages").fetchall() == [(test_large.COUNT,)]
    assert max(read) < 2 * 1024 * 1024 + len(test_large.large())


def two_people(system: System, owner: str) -> tuple[str, str]:
    """Two leads, the older known by a user id and the other by a number, that are one person."""
    system.register(owner)
    system.post_webhook(wire.messages(wire.text("w0", "x", sender=None, from_user_id="BR.1"), contacts=[]))
    system.post_webhook(wire.messages(wire.text("w1", "hoje não")))
    by_number = {bool(lead["waId"]): lead["id"] for lead in system.leads(owner)}
    return by_number[False], by_number[True]


def prove_one(system: System) -> None:
    system.post_webhook(wire.messages(wire.text("w2", "y", from_user_id="BR.1")))


def test_a_chat_that_is_imported_while_its_lead_is_merged_goes_to_the_survivor(
    system: System, owner: str, monkeypatch: pytest.MonkeyPatch
):
    _, lead = two_people(system, owner)
    sync = bring(system, owner, lead).json["syncId"]
    prove_one(system)
    prepare, has_merged = imports.prepare, False

    def merging_meanwhile(*args: Any, **how: Any) -> Any:
        nonlocal has_merged
        found = prepare(*args, **how)
        if not has_merged:
            has_merged = True
            system.run_jobs()
        return found

    monkeypatch.setattr(imports, "prepare", merging_meanwhile)
    system.run_sync("padaria", sync)

    dead = "SELECT count(*) FROM {} t JOIN leads l ON l.id = t.lead_id WHERE l.merged_into IS NOT NULL"
    for table in ("whatsapp_messages", "conversations"):
        assert system.execute(dead.format(table)).fetchone() == (0,)
    [survivor] = system.leads(owner)
    assert survivor["messageCount"] == system.page(owner, survivor["id"])["pagination"]["total"] == 10


def test_a_chat_imported_before_a_merge_and_again_after_it_doubles_nothing(system: System, owner: str):
    _, lead = two_people(system, owner)
    imported(system, owner, lead)
    prove_one(system)
    system.run_jobs()
    [survivor] = system.leads(owner)
    assert survivor["id"] != lead

    imported(system, owner, survivor["id"])

    assert system.page(owner, survivor["id"])["pagination"]["total"] == 10


def chain(system: System, owner: str) -> tuple[uuid.UUID, uuid.UUID, uuid.UUID, Any]:
    """B was merged into A, and A then into C; give the three and a way to undo."""
    system.register(owner)
    for number, user_id in enumerate(("BR.C", "BR.A", "BR.B")):
        system.post_webhook(
            wire.messages(wire.text(f"w{number}", "x", sender=None, from_user_id=user_id), contacts=[])
        )
    oldest, middle, youngest = (
        lead for (lead,) in system.execute("SELECT id FROM leads ORDER BY id").fetchall()
    )
    now = datetime.now(UTC)
    for pair in ((middle, youngest), (oldest, middle)):
        merging.merge(system.pool, tenant="padaria", leads=pair, outbox_id=None, now=now)

    def undo(survivor: uuid.UUID) -> None:
        [(merge,)] = system.execute(f"SELECT id FROM lead_merges WHERE survivor_id = '{survivor}'").fetchall()
        merging.undo(system.pool, tenant="padaria", survivor_id=survivor, merge_id=merge, now=now)

    return oldest, middle, youngest, undo


def test_an_inner_merge_cannot_be_undone_before_the_outer_one(system: System, owner: str):
    oldest, middle, youngest, undo = chain(system, owner)

    with pytest.raises(errors.FailedPrecondition):
        undo(middle)
    undo(oldest)
    assert system.execute(f"SELECT merged_into FROM leads WHERE id = '{youngest}'").fetchone() == (middle,)
    undo(middle)

    counted = system.execute("SELECT lead_id, count(*) FROM whatsapp_messages GROUP BY 1 ORDER BY 1")
    assert counted.fetchall() == [(oldest, 1), (middle, 1), (youngest, 1)]


def test_the_acts_of_a_merged_lead_are_the_survivors(system: System, owner: str):
    reaction = {
        "from": wire.ANA,
        "id": "r1",
        "timestamp": str(wire.NOON),
        "type": "reaction",
        "reaction": {"message_id": "w1", "emoji": "👍"},
    }
    two_people(system, owner)
    system.post_webhook(wire.messages(reaction))
    prove_one(system)
    system.run_jobs()

    dead = "SELECT count(*) FROM whatsapp_messages m JOIN leads l ON l.id = m.act_lead_id"
    assert system.execute(f"{dead} WHERE l.merged_into IS NOT NULL").fetchone() == (0,)


def test_one_fact_of_two_numbers_is_two_facts(system: System, owner: str):
    instances = [system.register(owner), system.register(owner, number_id="999", display_number="55114000")]
    for number_id in (wire.NUMBER_ID, "999"):
        change = wire.change(number_id=number_id, errors=[{"code": 131000}])
        entry = wire.entry(change)
        entry.pop("time", None)
        system.post_webhook(wire.webhook(entry))

    for instance in instances:
        assert len(system.get(f"/instances/{instance}/events", owner).json["events"]) == 1


def test_a_file_that_comes_before_its_number_is_registered_is_a_history_after_it(system: System, owner: str):
    echo = {
        "from": wire.BUSINESS,
        "to": wire.ANA,
        "id": "p1",
        "timestamp": str(wire.NOON),
        "type": "image",
        "image": {"id": "1"},
    }
    system.post_webhook(wire.echoes(echo))
    system.register(owner)
    recovery.apply_unrouted(system.ingest, system.pool, "padaria")

    # It came long after it was sent: the tests' clock is the present, the message is of the past.
    assert system.execute("SELECT sources FROM whatsapp_messages").fetchone() == (fold.HISTORY_MEDIA,)


def test_counts_do_not_depend_on_what_could_not_be_rendered_coming_first(system: System, owner: str):
    system.register(owner)
    system.register(owner, number_id="999", display_number="551140000099")
    unrendered = {
        "id": wire.ANA,
        "messages": [
            {
                "from": wire.ANA,
                "id": "e1",
                "timestamp": str(wire.NOON),
                "type": "errors",
                "errors": [{"code": 131051}],
            }
        ],
    }
    message = wire.change(messages=[wire.text("w1")], contacts=[wire.contact()], number_id="999")
    tellings = [wire.history(unrendered), wire.webhook(wire.entry(message))]

    counts: list[Any] = []
    for order in (tellings, tellings[::-1]):
        system.execute("TRUNCATE whatsapp_messages, leads, whatsapp_webhook_logs, whatsapp_sync_logs CASCADE")
        for body in order:
            system.post_webhook(body)
        counts.append(system.execute("SELECT message_count FROM leads").fetchall())

    assert counts[0] == counts[1] == [(1,)]


def test_a_null_beside_a_value_takes_nothing_away_and_a_repeat_changes_nothing():
    def told(billing: Any) -> fold.Message:
        return fold.Message(
            tenant_id=1,
            instance_id=1,
            id=uuid.UUID(int=1),
            wamid="w",
            batch_id=uuid.UUID(int=1),
            sources=fold.STATUS,
            sent_at=datetime(2026, 1, 1, tzinfo=UTC),
            billing=fold.joinable(billing),
        )

    assert fold.merge(told({"r": None}), told({"r": "55"})) == told({"r": "55"})
    assert fold.merge(told({"r": "55"}), told({"r": None})) == told({"r": "55"})
    first, second = told({"payment": {"items": ["b", "a"]}}), told({"pricing": 1})
    both = fold.merge(first, second)
    assert fold.merge(both, first) == both
