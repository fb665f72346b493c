"""The ledger alone gives everything back: replayed into empty tables it makes the rows of the live run."""

import random
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from capture_service import recovery, store
from capture_service.ingest import DEFERRED_BYTES, Ingest
from plumbing import postgres
from tests import wire

Query = Callable[..., list[dict[str, Any]]]

MESSAGES = "SELECT * FROM whatsapp_messages ORDER BY tenant_id, id"
LEADS = "SELECT * FROM leads ORDER BY tenant_id, id"
IDENTIFIERS = "SELECT tenant_id, kind, value, lead_id FROM lead_identifiers ORDER BY tenant_id, kind, value"
CONVERSATIONS = """
    SELECT tenant_id, lead_id, instance_id, id, message_count, first_message_at, last_message_at
    FROM conversations ORDER BY tenant_id, id
"""
TICKETS = "SELECT * FROM tickets ORDER BY tenant_id, id"
EVENTS = "SELECT * FROM account_events ORDER BY tenant_id, id"
# How many messages a history was the first to bring is a fact of arrival.
HISTORIES = """
    SELECT instance_id, status, percent, detail, started_at, updated_at
    FROM whatsapp_sync_logs WHERE sync_type = 'history_import' ORDER BY instance_id, started_at
"""


def _life(seed: int) -> list[bytes]:
    draw = random.Random(seed)
    bodies: list[bytes] = []
    for number in range(40):
        wamid, at = f"w{draw.randrange(12)}", wire.NOON + number
        match draw.randrange(7):
            case 0:
                bodies.append(wire.messages(wire.text(wamid, f"oi {number}", at=at)))
            case 1:
                bodies.append(wire.echoes(wire.echo(wamid, f"pois {number}", at=at)))
            case 2:
                bodies.append(
                    wire.statuses(wire.status(wamid, draw.choice(["sent", "read", "failed"]), at=at))
                )
            case 3:
                edited = {"original_message_id": wamid, "message": {"type": "text", "text": {"body": "x"}}}
                bodies.append(
                    wire.messages({**wire.text(f"e{number}", at=at), "type": "edit", "edit": edited})
                )
            case 4:
                reaction = {"message_id": wamid, "emoji": draw.choice("👍👎")}
                bodies.append(
                    wire.messages(
                        {**wire.text(f"r{number}", at=at), "type": "reaction", "reaction": reaction}
                    )
                )
            case 5:
                thread = {"id": wire.ANA, "messages": [{**wire.text(wamid, at=at), "history_context": {}}]}
                bodies.append(wire.history(thread))
            case _:
                bodies.append(
                    wire.webhook(wire.entry({"field": "account_alerts", "value": {"number": number % 5}}))
                )
    return bodies


@pytest.mark.parametrize("seed", range(5))
def test_the_ledger_replayed_into_empty_tables_gives_the_rows_of_the_live_run(
    ingest: Ingest, pool: postgres.Pool, register: Callable[..., None], query: Query, seed: int
) -> None:
    register()
    draw = random.Random(seed)
    bodies = _life(seed)
    bodies += draw.choices(bodies, k=20)
    # Some come alone; others together, and not as they came.
    came = [(body, wire.RECEIVED_AT + timedelta(microseconds=at)) for at, body in enumerate(bodies)]
    for number in range(0, len(came), 3):
        some = came[number : number + 3]
        together = [draw.sample(some, len(some))] if draw.random() < 0.5 else [[one] for one in some]
        for told in together:
            ingest.accept(told, timeout_s=20)
    asked = (MESSAGES, LEADS, IDENTIFIERS, CONVERSATIONS, TICKETS, EVENTS, HISTORIES)
    live = [query(statement) for statement in asked]

    query("TRUNCATE leads, whatsapp_messages, account_events, lead_merges, outbox CASCADE")
    for _ in recovery.replay(ingest, pool, store.LedgerFilter()):
        pass

    for statement, rows in zip(asked, live, strict=True):
        assert query(statement) == rows
    assert all(rows for rows in live[:5])


def _histories(draw: random.Random) -> list[tuple[bytes, datetime]]:
    """Chunks, repetitions, declines and reconnections of one number over weeks."""
    came: list[tuple[bytes, datetime]] = []
    chunks: list[bytes] = []
    at = wire.RECEIVED_AT
    for number in range(draw.randrange(3, 14)):
        at += timedelta(seconds=draw.choice([1, 20, 600, 5 * 3600, 7 * 3600, 9 * 86400]))
        match draw.randrange(6):
            case 0:
                body = wire.webhook(
                    wire.entry(wire.change("history", history=[{"errors": [wire.HISTORY_DECLINED]}]))
                )
            case 1:
                event = draw.choice(["ACCOUNT_OFFBOARDED", "ACCOUNT_RECONNECTED"])
                fact = {"field": "account_update", "value": {"event": event}}
                body = wire.webhook({"id": wire.WABA_ID, "time": int(at.timestamp()), "changes": [fact]})
            case 2 if chunks:
                body = draw.choice(chunks)
            case _:
                told = [{**wire.text(f"h{number}"), "history_context": {}}] * draw.randrange(2)
                thread = {"id": wire.ANA, "messages": told}
                body = wire.history(
                    thread,
                    phase=draw.randrange(3),
                    order=draw.randrange(3),
                    progress=draw.choice([10, 100]),
                )
                chunks.append(body)
        came.append((body, at))
    return came


@pytest.mark.parametrize("seed", range(25))
def test_histories_weeks_apart_are_replayed_as_they_were(
    ingest: Ingest, pool: postgres.Pool, register: Callable[..., None], query: Query, seed: int
) -> None:
    register()
    ended = datetime.max.replace(tzinfo=UTC)

    def settled() -> list[dict[str, Any]]:
        postgres.run_transaction(
            pool, lambda conn: store.end_idle_histories(conn, before=ended), timeout_s=20
        )
        return query(HISTORIES)

    for body, at in _histories(random.Random(seed)):
        ingest.accept([(body, at)], timeout_s=20)
    live = settled()

    for is_empty in (False, True):
        if is_empty:
            query("TRUNCATE leads, whatsapp_messages, account_events, lead_merges, outbox CASCADE")
        for _ in recovery.replay(ingest, pool, store.LedgerFilter()):
            pass
        assert settled() == live


def test_a_large_webhook_is_replayed_in_its_turn(
    ingest: Ingest, pool: postgres.Pool, register: Callable[..., None], query: Query
) -> None:
    register()
    told = [{**wire.text(f"h{n}", "x" * 1000, at=wire.NOON - n), "history_context": {}} for n in range(300)]
    large = wire.history({"id": wire.ANA, "messages": told})
    assert len(large) >= DEFERRED_BYTES
    [(batch_id, _)] = ingest.accept([(large, wire.RECEIVED_AT)], timeout_s=20)
    recovery.apply_webhook(ingest, pool, tenant="padaria", batch_id=batch_id)
    later = wire.RECEIVED_AT + timedelta(seconds=9)
    ingest.accept([(wire.messages(wire.text("w1")), later)], timeout_s=20)
    live = [query(statement) for statement in (LEADS, CONVERSATIONS, TICKETS)]

    query("TRUNCATE leads, whatsapp_messages, account_events, lead_merges, outbox CASCADE")
    for _ in recovery.replay(ingest, pool, store.LedgerFilter()):
        pass

    assert [query(statement) for statement in (LEADS, CONVERSATIONS, TICKETS)] == live


def test_a_replay_can_be_limited_to_a_number_and_to_older_parsers(
    ingest: Ingest, pool: postgres.Pool, register: Callable[..., None], query: Query
) -> None:
    register()
    register(number_id="222")
    other = wire.change(number_id="222", messages=[wire.text("w2")], contacts=[wire.contact()])
    bodies = [wire.messages(wire.text("w1")), wire.webhook(wire.entry(other))]
    ingest.accept([(body, wire.RECEIVED_AT) for body in bodies], timeout_s=20)

    def replayed(**limits: Any) -> int:
        query("TRUNCATE whatsapp_messages")
        for _ in recovery.replay(ingest, pool, store.LedgerFilter(tenant_id=1, **limits)):
            pass
        return query("SELECT count(*) AS found FROM whatsapp_messages")[0]["found"]

    assert replayed(mentions="222") == 1
    assert replayed(mentions="333") == 0
    assert replayed(parser_version_below=1) == 0
    assert replayed(parser_version_below=1000) == 2


def test_a_replay_of_a_number_includes_what_is_about_its_account_as_a_whole(
    ingest: Ingest, pool: postgres.Pool, register: Callable[..., None], query: Query
) -> None:
    register()
    register(number_id="222")
    register(number_id="333", waba_id="444")
    banned = {"field": "account_update", "value": {"event": "DISABLED_UPDATE"}}
    other = wire.change(number_id="222", messages=[wire.text("w2")], contacts=[wire.contact()])
    bodies = [
        wire.messages(wire.text("w1")),
        wire.webhook(wire.entry(other)),
        wire.webhook(wire.entry(banned)),
        wire.webhook(wire.entry(banned, id="444")),
    ]
    ingest.accept([(body, wire.RECEIVED_AT) for body in bodies], timeout_s=20)
    query("TRUNCATE whatsapp_messages, account_events")

    limits = store.LedgerFilter(tenant_id=1, mentions=wire.NUMBER_ID, account=wire.WABA_ID)
    *_, progress = recovery.replay(ingest, pool, limits)

    assert (progress.webhooks_done, progress.webhooks_replayed) == (4, 2)
    assert query("SELECT wamid FROM whatsapp_messages") == [{"wamid": "w1"}]
    assert query("SELECT account_id FROM account_events") == [{"account_id": wire.WABA_ID}]


def test_a_replay_puts_right_what_an_older_parser_read_otherwise(
    ingest: Ingest, pool: postgres.Pool, register: Callable[..., None], query: Query
) -> None:
    register()
    told = {**wire.text("w1"), "type": "button", "button": {"text": "Sim", "payload": "x"}}
    ingest.accept([(wire.messages(told), wire.RECEIVED_AT)], timeout_s=20)
    read = "SELECT body, direction, content_version, party_version FROM whatsapp_messages"
    live = query(read)
    # Both are greater than what is right.
    query(
        "UPDATE whatsapp_messages"
        " SET body = '❔ button', content_version = 1, direction = 2, party_version = 1"
    )

    for _ in recovery.replay(ingest, pool, store.LedgerFilter()):
        pass

    assert query(read) == live
    assert (live[0]["body"], live[0]["direction"]) == ("Sim", 1)
