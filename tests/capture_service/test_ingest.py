"""Webhooks become rows, on a real PostgreSQL."""

import json
import random
import threading
from collections.abc import Callable
from typing import Any

import psycopg
import pytest

from capture_service import fold, recovery, store
from capture_service.ingest import Ingest
from plumbing import errors, postgres
from tests import wire

Accept = Callable[..., list[str]]
Query = Callable[..., list[dict[str, Any]]]

ROWS = """
    SELECT m.wamid, m.type, m.body, m.content, m.context, m.direction, m.status, m.sent_at, m.errors,
      m.billing, m.status_sent_at, m.status_delivered_at, m.status_read_at, i.value AS wa_id
    FROM whatsapp_messages m
    LEFT JOIN lead_identifiers i ON i.tenant_id = m.tenant_id AND i.lead_id = m.lead_id AND i.kind = 'wa_id'
    ORDER BY m.wamid
"""


def test_a_message_is_kept_with_its_contact_conversation_ticket_and_first_sync(
    accept: Accept, query: Query
) -> None:
    assert accept(wire.messages(wire.text("w1", "Bom dia"))) == ["processed"]

    [message] = query("SELECT * FROM whatsapp_messages")
    [lead] = query("SELECT * FROM leads")
    assert (message["body"], message["direction"], message["status"]) == (
        "Bom dia",
        fold.INBOUND,
        fold.DELIVERED,
    )
    assert message["is_sync_initial"]
    assert message["lead_id"] == lead["id"]
    assert (lead["profile_name"], lead["wa_id"], lead["message_count"]) == ("Ana Souza", wire.ANA, 1)
    [conversation] = query("SELECT * FROM conversations")
    assert (conversation["lead_id"], conversation["message_count"]) == (lead["id"], 1)
    [ticket] = query("SELECT * FROM tickets")
    assert (ticket["id"], ticket["closed_at"]) == (lead["open_ticket_id"], None)
    [sync] = query("SELECT * FROM whatsapp_sync_logs")
    assert (sync["sync_type"], sync["lead_id"], sync["messages_imported"]) == (
        "initial_contact",
        lead["id"],
        1,
    )
    [job] = query("SELECT * FROM outbox")
    assert (job["job"], job["id"], job["arguments"]["lead_id"]) == (
        "enrich_lead",
        sync["id"],
        str(lead["id"]),
    )


def test_every_item_of_a_batched_webhook_lands(accept: Accept, query: Query) -> None:
    body = wire.webhook(
        *(
            wire.entry(
                *(
                    wire.change(
                        messages=[
                            wire.text(f"w{e}-{c}-{m}", sender=f"55119{e}{c}{m:06}", at=wire.NOON + m)
                            for m in range(10)
                        ]
                    )
                    for c in range(5)
                )
            )
            for e in range(3)
        )
    )

    assert accept(body) == ["processed"]

    assert query("SELECT count(*) AS n FROM whatsapp_messages")[0]["n"] == 150
    assert query("SELECT sum(message_count)::int AS n FROM leads")[0]["n"] == 150


def test_a_webhook_repeated_at_once_then_split_and_shuffled_changes_nothing(
    ingest: Ingest, accept: Accept, query: Query
) -> None:
    found = [
        wire.text(f"w{e}-{c}-{m}", sender=f"55119{c:02}{m:06}", at=wire.NOON + e)
        for e in range(3)
        for c in range(5)
        for m in range(10)
    ]
    body = wire.webhook(
        *(
            wire.entry(*(wire.change(messages=found[(e * 5 + c) * 10 :][:10]) for c in range(5)))
            for e in range(3)
        )
    )
    failures: list[BaseException] = []

    def post() -> None:
        try:
            ingest.accept([(body, wire.RECEIVED_AT)], timeout_s=20)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=post) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    before = query(ROWS)

    random.Random(7).shuffle(found)
    accept(*(wire.messages(*found[start : start + 7], contacts=[]) for start in range(0, 150, 7)))

    assert len(before) == 150
    assert query(ROWS) == before
    assert query("SELECT sum(message_count)::int AS n FROM leads")[0]["n"] == 150
    assert query("SELECT count(*) AS n FROM leads")[0]["n"] == 50
    assert query("SELECT count(*) AS n FROM tickets")[0]["n"] == 50


def test_a_status_before_its_message_makes_a_stub_that_an_echo_fills(accept: Accept, query: Query) -> None:
    accept(wire.statuses(wire.status("w1", "delivered", at=wire.NOON + 2)))
    accept(wire.statuses(wire.status("w1", "sent", at=wire.NOON + 1)))
    [stub] = query("SELECT * FROM whatsapp_messages")

    accept(wire.echoes(wire.echo("w1", "Seu pedido saiu", at=wire.NOON)))

    [message] = query("SELECT * FROM whatsapp_messages")
    assert (stub["type"], stub["body"], stub["direction"], stub["status"]) == ("", None, 2, fold.DELIVERED)
    assert (message["type"], message["body"], message["status"]) == (
        "text",
        "Seu pedido saiu",
        fold.DELIVERED,
    )
    [lead] = query("SELECT * FROM leads")
    assert lead["message_count"] == 1
    assert lead["first_message_at"].timestamp() == lead["last_message_at"].timestamp() == wire.NOON


def test_a_status_that_names_nobody_waits_for_the_route_that_does(accept: Accept, query: Query) -> None:
    accept(wire.statuses(wire.status("w1", "sent", to=None)))
    [stub] = query("SELECT * FROM whatsapp_messages")

    accept(wire.echoes(wire.echo("w1")))

    [message] = query("SELECT * FROM whatsapp_messages")
    assert stub["lead_id"] is None
    assert message["lead_id"] is not None
    assert query("SELECT message_count FROM leads") == [{"message_count": 1}]
    assert query("SELECT message_count FROM conversations") == [{"message_count": 1}]


def test_the_ninth_digit_and_a_hidden_number_lead_to_the_same_person(accept: Accept, query: Query) -> None:
    accept(wire.messages(wire.text("w1", sender="5511988887777", from_user_id="BR.77"), contacts=[]))
    accept(wire.messages(wire.text("w2", sender="551188887777"), contacts=[]))
    accept(wire.messages(wire.text("w3", sender=None, from_user_id="BR.77"), contacts=[]))

    [lead] = query("SELECT * FROM leads")

    assert lead["message_count"] == 3


def test_of_two_names_the_one_said_last_counts(accept: Accept, query: Query) -> None:
    accept(wire.messages(wire.text("w2", at=wire.NOON + 60), contacts=[wire.contact(name="Ana S.")]))
    accept(wire.messages(wire.text("w1", at=wire.NOON), contacts=[wire.contact(name="Ana")]))

    assert query("SELECT profile_name FROM leads") == [{"profile_name": "Ana S."}]


@pytest.mark.parametrize(
    "bad",
    [
        None,
        5,
        "text",
        [],
        {},
        {"id": 5, "from": "5511", "timestamp": "1790000000"},
        {"id": "", "from": "5511", "timestamp": "1790000000"},
        {"id": "bad", "timestamp": "1790000000", "type": "text"},
        {"id": "bad", "from": [5511], "timestamp": "1790000000", "type": "text"},
        {"id": "bad", "from": "5511", "timestamp": "1790000000", "type": "text", "text": {"body": 5}},
        {"id": "bad", "from": "5" * 300, "timestamp": "1790000000", "type": "text"},
    ],
)
def test_a_bad_item_is_noted_and_the_good_ones_beside_it_are_applied(
    accept: Accept, query: Query, bad: object
) -> None:
    body = wire.webhook(
        wire.entry(
            wire.change(messages=[wire.text("good1"), bad, wire.text("good2")]), wire.change(statuses=None)
        )
    )

    assert accept(body) == ["failed"]

    assert [row["wamid"] for row in query(ROWS)] == ["good1", "good2"]
    [row] = query("SELECT error FROM whatsapp_webhook_logs")
    faults = json.loads(row["error"])
    assert faults[0]["path"].startswith("entry[0].changes[0].value.messages[1]")
    assert faults[1]["path"] == "entry[0].changes[1].value.statuses"


def test_a_time_that_cannot_be_read_places_the_message_at_its_arrival_and_is_noted(
    accept: Accept, query: Query
) -> None:
    assert accept(wire.messages({**wire.text("w1"), "timestamp": "<TIMESTAMP>"})) == ["failed"]

    assert query("SELECT sent_at FROM whatsapp_messages") == [{"sent_at": wire.RECEIVED_AT}]


@pytest.mark.parametrize(
    "body", [b"garbage", b"[]", b"{}", b'{"entry":5}', b'{"entry":[null]}', b'{"entry":[{"changes":[7]}]}']
)
def test_what_is_no_webhook_is_kept_as_failed(accept: Accept, query: Query, body: bytes) -> None:
    assert accept(body) == ["failed"]

    assert query("SELECT state, body_bytes FROM whatsapp_webhook_logs") == [
        {"state": "failed", "body_bytes": len(body)}
    ]


def test_unknown_types_and_fields_are_kept_as_they_are(accept: Accept, query: Query) -> None:
    odd = {**wire.text("w1"), "type": "hologram", "hologram": {"depth": 12345678901234567890}, "text": None}
    accept(wire.messages(odd), wire.webhook(wire.entry(wire.change("astrology", stars=[1]))))

    [message] = query("SELECT type, content FROM whatsapp_messages")
    assert message["type"] == "hologram"
    assert json.loads(message["content"])["hologram"] == {"depth": 12345678901234567890}
    assert query("SELECT state FROM whatsapp_webhook_logs ORDER BY state") == [
        {"state": "processed"},
        {"state": "processed"},
    ]


@pytest.fixture
def refuses_poison(query: Query) -> None:
    query(
        """
        DO $$ BEGIN
          EXECUTE 'CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS
            ''BEGIN IF NEW.body = ''''poison'''' THEN RAISE EXCEPTION ''''no''''; END IF; RETURN NEW; END''';
          EXECUTE 'CREATE TRIGGER refuse BEFORE INSERT ON whatsapp_messages
            FOR EACH ROW EXECUTE FUNCTION refuse()';
        END $$
        """
    )


@pytest.mark.usefixtures("refuses_poison")
def test_what_the_database_refuses_among_many_is_sought_by_a_job(
    accept: Accept, ingest: Ingest, pool: postgres.Pool, query: Query
) -> None:
    items = [wire.text(f"w{n}", "poison" if n == 77 else "oi", at=wire.NOON + n) for n in range(150)]

    states = accept(wire.messages(wire.text("neighbour")), wire.messages(*items))

    assert states == ["processed", "pending"]
    assert [row["job"] for row in query("SELECT job FROM outbox WHERE job = 'apply_webhook'")] == [
        "apply_webhook"
    ]
    [row] = query("SELECT id FROM whatsapp_webhook_logs WHERE state = 'pending'")
    state, imported = recovery.apply_webhook(ingest, pool, tenant="padaria", batch_id=row["id"])
    assert (state, imported) == ("failed", 149)
    [row] = query("SELECT error FROM whatsapp_webhook_logs WHERE state = 'failed'")
    assert [fault["path"] for fault in json.loads(row["error"])] == ["entry[0].changes[0].value.messages[77]"]


@pytest.mark.usefixtures("refuses_poison")
def test_what_the_database_refuses_is_isolated_and_the_rest_is_applied(accept: Accept, query: Query) -> None:
    bodies = [wire.messages(wire.text(f"w{n}", at=wire.NOON + n)) for n in range(5)]
    bodies.insert(2, wire.messages(wire.text("wa"), wire.text("bad", "poison"), wire.text("wb")))

    states = accept(*bodies)

    assert states == ["processed", "processed", "failed", "processed", "processed", "processed"]
    assert [row["wamid"] for row in query(ROWS)] == ["w0", "w1", "w2", "w3", "w4", "wa", "wb"]
    [row] = query("SELECT error FROM whatsapp_webhook_logs WHERE state = 'failed'")
    assert [fault["path"] for fault in json.loads(row["error"])] == ["entry[0].changes[0].value.messages[1]"]


def test_a_webhook_that_spans_tenants_is_divided_and_no_part_holds_the_others_data(
    ingest: Ingest, register: Callable[..., None], query: Query
) -> None:
    register("padaria", "111", "1")
    register("clinica", "222", "2")
    body = wire.webhook(
        wire.entry(wire.change(number_id="111", messages=[wire.text("of-padaria")])),
        wire.entry(
            wire.change(number_id="222", messages=[wire.text("of-clinica")]),
            wire.change(number_id="333", messages=[wire.text("of-nobody")]),
        ),
    )

    ingest.accept([(body, wire.RECEIVED_AT)], timeout_s=20)

    rows = query(
        "SELECT t.name, l.state, l.awaits, l.body_bytes FROM whatsapp_webhook_logs l"
        " JOIN tenants t ON t.id = l.tenant_id ORDER BY t.name"
    )
    assert [(row["name"], row["state"]) for row in rows] == [
        ("", "unrouted"),
        ("clinica", "processed"),
        ("padaria", "processed"),
    ]
    assert rows[0]["awaits"] == ["phone_number:333"]
    assert sum(row["body_bytes"] for row in rows) > len(body)
    assert {row["wamid"] for row in query(ROWS)} == {"of-padaria", "of-clinica"}


def test_what_came_before_a_number_was_registered_is_applied_afterwards(
    ingest: Ingest, register: Callable[..., None], query: Query, pool: Any
) -> None:
    register("padaria", "111", "1")
    mixed = wire.webhook(
        wire.entry(
            wire.change(number_id="111", messages=[wire.text("known")]),
            wire.change(number_id="222", messages=[wire.text("early")]),
        )
    )
    alone = wire.webhook(wire.entry(wire.change(number_id="222", messages=[wire.text("earlier")])))
    ingest.accept([(mixed, wire.RECEIVED_AT), (alone, wire.RECEIVED_AT)], timeout_s=20)
    assert {row["wamid"] for row in query(ROWS)} == {"known"}

    register("padaria", "222", "1")
    progress = recovery.apply_unrouted(ingest, pool, "padaria")

    assert progress.messages_imported == 2
    assert {row["wamid"] for row in query(ROWS)} == {"known", "early", "earlier"}
    assert query("SELECT DISTINCT state FROM whatsapp_webhook_logs") == [{"state": "processed"}]


def test_replaying_the_whole_ledger_changes_nothing(
    ingest: Ingest, accept: Accept, query: Query, pool: Any
) -> None:
    accept(
        wire.messages(wire.text("w1"), wire.text("w2", at=wire.NOON + 5)),
        wire.statuses(wire.status("w3", "read", at=wire.NOON + 9)),
        wire.echoes(wire.echo("w3", at=wire.NOON + 8)),
    )
    before, leads = query(ROWS), query("SELECT * FROM leads")

    *_, progress = recovery.replay(ingest, pool, store.LedgerFilter())

    assert (progress.webhooks_done, progress.webhooks_replayed, progress.messages_imported) == (3, 3, 0)
    assert query(ROWS) == before
    assert query("SELECT * FROM leads") == leads


def test_a_replay_of_one_number_tells_what_it_applied_from_what_it_looked_at(
    ingest: Ingest, accept: Accept, pool: Any
) -> None:
    accept(wire.messages(wire.text("w1")), wire.messages(wire.text("w2")))

    *_, ours = recovery.replay(ingest, pool, store.LedgerFilter(mentions=wire.NUMBER_ID))
    *_, others = recovery.replay(ingest, pool, store.LedgerFilter(mentions="999999999999999"))

    assert (ours.webhooks_done, ours.webhooks_replayed) == (2, 2)
    assert (others.webhooks_done, others.webhooks_replayed) == (2, 0)


def test_an_emptied_table_is_rebuilt_from_the_ledger(
    ingest: Ingest, accept: Accept, query: Query, pool: Any
) -> None:
    accept(wire.messages(*(wire.text(f"w{n}", at=wire.NOON + n) for n in range(20))))
    before = query(ROWS)
    query("DELETE FROM whatsapp_messages")

    list(recovery.replay(ingest, pool, store.LedgerFilter()))

    assert query(ROWS) == before


def test_without_postgres_nothing_is_acknowledged(ingest: Ingest, database: str, pool: Any) -> None:
    pool.close()

    with pytest.raises(errors.Unavailable):
        ingest.accept([(wire.messages(wire.text("w1")), wire.RECEIVED_AT)], timeout_s=2)

    with psycopg.connect(database) as conn:
        assert conn.execute("SELECT count(*) FROM whatsapp_webhook_logs").fetchone() == (0,)


def test_every_recipient_of_a_group_message_keeps_their_own_states(accept: Accept, query: Query) -> None:
    def told(state: str, who: str, at: int) -> dict[str, Any]:
        return wire.status(
            "w1", state, at=at, to="Y2FwaV9n", recipient_type="group", recipient_participant_id=who
        )

    accept(
        wire.statuses(told("delivered", "5511911111111", wire.NOON)),
        wire.statuses(
            told("read", "5511922222222", wire.NOON + 1), told("read", "5511911111111", wire.NOON + 2)
        ),
        wire.statuses(told("delivered", "5511911111111", wire.NOON)),
    )

    [message] = query("SELECT status, billing FROM whatsapp_messages")
    assert message["status"] == 5
    recipients = json.loads(message["billing"])["recipients"]
    assert {who: [state["status"] for state in told["states"]] for who, told in recipients.items()} == {
        "5511911111111": ["delivered", "read"],
        "5511922222222": ["read"],
    }


@pytest.mark.parametrize("is_status_first", [False, True])
def test_a_person_is_met_by_whatever_tells_of_them_first(
    accept: Accept, query: Query, is_status_first: bool
) -> None:
    told = [wire.echoes(wire.echo("w1")), wire.statuses(wire.status("w1", "sent"))]
    for body in reversed(told) if is_status_first else told:
        accept(body)
    accept(wire.messages(wire.text("w2", at=wire.NOON + 60)))

    assert query("SELECT wamid FROM whatsapp_messages WHERE is_sync_initial") == [{"wamid": "w1"}]
    assert query("SELECT sync_type FROM whatsapp_sync_logs") == [{"sync_type": "initial_contact"}]
    assert [row["job"] for row in query("SELECT job FROM outbox")] == ["enrich_lead"]


def test_what_happens_to_another_number_of_the_account_disconnects_none_of_ours(
    accept: Accept, query: Query
) -> None:
    told = {"phone_number": "5521999990000", "event": "PARTNER_REMOVED"}
    accept(wire.webhook({**wire.entry({"field": "account_update", "value": told}), "time": wire.NOON}))

    assert query("SELECT connection_state FROM whatsapp_configs") == [{"connection_state": "connected"}]
    assert query("SELECT event FROM account_events") == [{"event": "PARTNER_REMOVED"}]


def test_a_payment_that_fails_is_no_message_that_failed(accept: Accept, query: Query) -> None:
    accept(wire.echoes(wire.echo("w1")), wire.statuses(wire.status("w1", "delivered")))
    accept(
        wire.statuses(wire.status("w1", "failed", at=wire.NOON + 60, type="payment", payment={"amount": 1}))
    )

    [row] = query("SELECT status, status_failed_at, billing FROM whatsapp_messages")
    assert (row["status"], row["status_failed_at"]) == (fold.DELIVERED, None)
    assert json.loads(row["billing"])["states"] == {"failed": str(wire.NOON + 60)}


def test_an_address_that_is_a_number_and_a_number_beyond_all_bounds_lose_nothing(
    accept: Accept, query: Query
) -> None:
    body = wire.messages(wire.text("w1"), wire.text("w2", at=wire.NOON + 1, zz=0))
    body = body.replace(
        f'"phone_number_id":"{wire.NUMBER_ID}"'.encode(), f'"phone_number_id":{wire.NUMBER_ID}'.encode()
    )
    body = body.replace(b'"zz":0', b'"zz":' + b"9" * 5_000)

    assert accept(body) == ["processed"]
    assert [row["wamid"] for row in query(ROWS)] == ["w1", "w2"]
