"""The history from before the connection, with the traps that the field has reported."""

import json
import uuid
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest

from capture_service import account, recovery, store
from tests import wire
from tests.gateway.conftest import System


def thread(*messages: dict[str, Any], id: str | None = wire.ANA, **more: Any) -> dict[str, Any]:
    return {**({"id": id} if id else {}), "messages": list(messages), **more}


def chunk(*threads: dict[str, Any], phase: int = 0, order: int = 1, progress: int = 50) -> dict[str, Any]:
    return {
        "metadata": {"phase": phase, "chunk_order": order, "progress": progress},
        "threads": list(threads),
    }


def history(*chunks: dict[str, Any], **more: Any) -> bytes:
    return wire.webhook(wire.entry(wire.change("history", history=list(chunks), **more)))


def old(
    id: str, body: str = "antigo", *, ours: bool = False, status: str = "READ", **more: Any
) -> dict[str, Any]:
    return {
        "from": wire.BUSINESS if ours else wire.ANA,
        "id": id,
        "timestamp": str(wire.NOON),
        "type": "text",
        "text": {"body": body},
        "history_context": {"status": status, **({"from_me": True} if ours else {})},
        **more,
    }


def placeholder(id: str, *, ours: bool = False) -> dict[str, Any]:
    found = old(id, ours=ours)
    del found["text"]
    return {**found, "type": "media_placeholder"}


def image(id: str, **more: Any) -> dict[str, Any]:
    picture = {"id": "990", "mime_type": "image/jpeg", "caption": "o cardápio"}
    return {"id": id, "timestamp": str(wire.NOON), "type": "image", "image": picture, **more}


@pytest.fixture
def instance_id(system: System, owner: str) -> str:
    return system.register(owner)


def messages(system: System, token: str) -> list[dict[str, Any]]:
    [lead] = system.leads(token)
    return list(system.walk(token, lead["id"]))


def state(system: System, token: str) -> dict[str, Any]:
    [instance] = system.get("/instances", token).json["instances"]
    return instance["history"]


def test_phases_that_overlap_give_each_message_once(system: System, owner: str, instance_id: str) -> None:
    system.post_webhook(history(chunk(thread(*(old(f"w{n}") for n in range(5))), phase=0)))
    system.post_webhook(history(chunk(thread(*(old(f"w{n}") for n in range(7))), phase=1)))

    assert sorted(message["wamid"] for message in messages(system, owner)) == [f"w{n}" for n in range(7)]
    assert state(system, owner)["messagesImported"] == 7


def test_chunks_out_of_order_are_a_history_in_order(system: System, owner: str, instance_id: str) -> None:
    system.post_webhook(history(chunk(thread(old("w2", timestamp=str(wire.NOON + 2))), order=2, progress=80)))
    system.post_webhook(history(chunk(thread(old("w1", timestamp=str(wire.NOON + 1))), order=1, progress=40)))

    assert [message["wamid"] for message in messages(system, owner)] == ["w1", "w2"]
    assert state(system, owner)["detail"]["phases"] == {"0": {"chunks": [1, 2], "progress": 80}}


def test_the_last_phase_at_100_completes_the_history_and_an_earlier_one_does_not(
    system: System, owner: str, instance_id: str
) -> None:
    system.post_webhook(history(chunk(thread(old("w1")), phase=1, progress=100)))
    assert state(system, owner)["status"] == "in_progress"

    system.post_webhook(history(chunk(phase=2, progress=100)))

    assert state(system, owner)["status"] == "completed"
    assert state(system, owner)["percent"] == 100


def test_an_empty_chunk_makes_no_contact(system: System, owner: str, instance_id: str) -> None:
    system.post_webhook(history(chunk(phase=2, progress=100)))

    assert system.leads(owner) == []
    assert state(system, owner)["status"] == "completed"


@pytest.mark.parametrize("status", ["READ", "read", "PENDING", "pending", "DELIVERED", "strange"])
def test_what_the_contact_wrote_is_inbound_whatever_status_the_history_gives(
    system: System, owner: str, instance_id: str, status: str
) -> None:
    system.post_webhook(history(chunk(thread(old("w1", status=status)))))

    [message] = messages(system, owner)
    assert message["direction"] == "INBOUND"
    assert message["status"] == "delivered"


@pytest.mark.parametrize(("status", "shown"), [("READ", "read"), ("played", "played"), ("ERROR", "failed")])
def test_statuses_of_what_the_business_wrote_count_in_either_case(
    system: System, owner: str, instance_id: str, status: str, shown: str
) -> None:
    system.post_webhook(history(chunk(thread(old("w1", ours=True, status=status)))))

    [message] = messages(system, owner)
    assert (message["direction"], message["status"]) == ("OUTBOUND", shown)


@pytest.mark.parametrize(
    "told",
    [
        {"from": wire.BUSINESS, "history_context": {"status": "READ"}},
        {"from": "5511900000000", "history_context": {"status": "READ"}},
        {"from": wire.ANA, "history_context": {"from_me": True}},
    ],
    ids=["from the business's number", "from another number than the thread's", "from_me"],
)
def test_each_sign_of_the_business_makes_a_message_outbound(
    system: System, owner: str, instance_id: str, told: dict[str, Any]
) -> None:
    system.post_webhook(history(chunk(thread({**old("w1"), **told}))))

    assert messages(system, owner)[0]["direction"] == "OUTBOUND"


def test_a_thread_without_a_number_is_found_by_its_context(
    system: System, owner: str, instance_id: str
) -> None:
    system.post_webhook(
        history(chunk(thread(old("w1"), id=None, context={"user_id": "BR.1", "username": "ana"})))
    )

    [lead] = system.leads(owner)
    assert (lead["userId"], lead["username"], lead["number"]) == ("BR.1", "ana", f"+{wire.ANA}")


def test_what_cannot_be_rendered_through_another_number_breaks_no_reading(
    system: System, owner: str, instance_id: str
) -> None:
    system.register(owner, number_id="777", display_number="551150000000")
    system.post_webhook(wire.messages(wire.text("wamid.live", "oi", at=wire.NOON)))
    [lead] = [found["id"] for found in system.leads(owner)]
    unsupported = {**old("wamid.old"), "type": "unsupported", "errors": [{"code": 131051}]}
    del unsupported["text"]
    change = wire.change("history", number_id="777", history=[chunk(thread(unsupported))])
    system.post_webhook(wire.webhook(wire.entry(change)))

    assert [found["lastMessage"]["body"] for found in system.leads(owner)] == ["oi"]
    page = system.page(owner, lead)
    assert [message["body"] for message in page["messages"]] == ["oi"]
    assert page["pagination"]["total"] == 1
    assert system.get(f"/leads/{lead}/export", owner, format="jsonl").status_code == 200
    assert system.get("/messages/search", owner, q="oi").json["pagination"]["total"] == 1


def test_metas_welcome_that_cannot_be_rendered_makes_no_contact(
    system: System, owner: str, instance_id: str
) -> None:
    fault = {"id": "w1", "timestamp": str(wire.NOON), "type": "errors", "errors": [{"code": 131051}]}
    system.post_webhook(history(chunk(thread(fault, id="447710173736"), thread(old("w2")))))

    [lead] = system.leads(owner)
    assert lead["number"] == f"+{wire.ANA}"
    batch = messages(system, owner)[0]["batchId"]
    listed = {item["wamid"]: item["outcome"] for item in system.get(f"/batches/{batch}", owner).json["items"]}
    assert listed["w1"] == "applied"


@pytest.mark.parametrize("is_last", [True, False])
def test_what_cannot_be_rendered_is_shown_beside_what_can(
    system: System, owner: str, instance_id: str, is_last: bool
) -> None:
    fault = {
        "id": "w1",
        "timestamp": str(wire.NOON),
        "type": "errors",
        "errors": [{"code": 131051, "title": "?"}],
    }
    bodies = [history(chunk(thread(fault))), history(chunk(thread(old("w2"))))]

    for body in reversed(bodies) if is_last else bodies:
        system.post_webhook(body)

    assert {message["wamid"] for message in messages(system, owner)} == {"w1", "w2"}
    assert system.leads(owner)[0]["messageCount"] == 2


@pytest.mark.parametrize("fill_first", [True, False])
@pytest.mark.parametrize("field", ["history", "smb_message_echoes"])
def test_media_fill_their_placeholder_before_or_after_it(
    system: System, owner: str, instance_id: str, field: str, fill_first: bool
) -> None:
    fill = image("w1", **{"from": wire.BUSINESS, "to": wire.ANA})
    bodies = [
        history(chunk(thread(placeholder("w1", ours=True)))),
        wire.webhook(wire.entry(wire.change(field, message_echoes=[fill]))),
    ]
    for body in reversed(bodies) if fill_first else bodies:
        system.post_webhook(body)

    [message] = messages(system, owner)
    assert (message["type"], message["body"]) == ("image", "o cardápio")
    assert message["direction"] == "OUTBOUND"
    assert message["syncSource"] == "history"
    assert not message["isSyncInitial"]


@pytest.mark.parametrize("fill_first", [True, False])
def test_a_fill_that_names_the_contact_as_sender_of_our_message_changes_no_direction(
    system: System, owner: str, instance_id: str, fill_first: bool
) -> None:
    fill = image("w1", **{"from": wire.ANA})
    bodies = [
        history(chunk(thread(placeholder("w1", ours=True)))),
        wire.webhook(wire.entry(wire.change("history", messages=[fill]))),
    ]
    for body in reversed(bodies) if fill_first else bodies:
        system.post_webhook(body)

    [message] = messages(system, owner)
    assert (message["type"], message["direction"]) == ("image", "OUTBOUND")


@pytest.mark.parametrize("fill_first", [True, False])
@pytest.mark.parametrize("reported", ["ERROR", "pending", "SENT"])
def test_a_fill_that_names_the_contact_delivers_nothing(
    system: System, owner: str, instance_id: str, reported: str, fill_first: bool
) -> None:
    hollow = placeholder("w1", ours=True)
    hollow["history_context"]["status"] = reported
    bodies = [
        history(chunk(thread(hollow))),
        wire.webhook(wire.entry(wire.change("history", messages=[image("w1", **{"from": wire.ANA})]))),
    ]
    for body in reversed(bodies) if fill_first else bodies:
        system.post_webhook(body)

    [message] = messages(system, owner)
    expected = {"ERROR": "failed", "pending": "pending", "SENT": "sent"}
    assert (message["direction"], message["status"]) == ("OUTBOUND", expected[reported])


@pytest.mark.parametrize("fill_first", [True, False])
@pytest.mark.parametrize("to", [{}, {"to": wire.ANA}])
def test_a_fill_that_names_the_business_makes_it_no_contact(
    system: System, owner: str, instance_id: str, to: dict[str, str], fill_first: bool
) -> None:
    fill = image("w1", **{"from": wire.BUSINESS}, **to)
    bodies = [
        history(chunk(thread(placeholder("w1", ours=True)))),
        wire.webhook(wire.entry(wire.change("history", messages=[fill]))),
    ]
    for body in reversed(bodies) if fill_first else bodies:
        system.post_webhook(body)

    [message] = messages(system, owner)
    assert (message["type"], message["direction"]) == ("image", "OUTBOUND")


@pytest.mark.parametrize("is_late", [True, False])
def test_whom_a_weaker_route_names_by_mistake_is_listed_nowhere(
    system: System, owner: str, instance_id: str, is_late: bool
) -> None:
    other = "5521977776666"
    bodies = [
        wire.webhook(wire.entry(wire.change("messages", statuses=[wire.status("w1", "sent", to=other)]))),
        wire.echoes(wire.echo("w1")),
    ]
    for body in reversed(bodies) if is_late else bodies:
        system.post_webhook(body)

    assert [lead["number"] for lead in system.leads(owner)] == [f"+{wire.ANA}"]
    assert len(messages(system, owner)) == 1


def test_a_media_echo_is_of_a_history_by_its_own_times_alone(
    system: System, owner: str, instance_id: str
) -> None:
    now = int(datetime.now(UTC).timestamp())
    for wamid, at in (("w1", now - 3600), ("w2", now)):
        sent = {**image(wamid, **{"from": wire.BUSINESS, "to": wire.ANA}), "timestamp": str(at)}
        system.post_webhook(
            wire.webhook(wire.entry(wire.change("smb_message_echoes", message_echoes=[sent])))
        )
    told = [message["syncSource"] for message in messages(system, owner)]

    system.execute("TRUNCATE leads, whatsapp_messages CASCADE")
    system.execute("UPDATE whatsapp_configs SET webhook_activated_at = now() + interval '1 hour'")
    system.post("/webhooks/replay", owner, {"states": ["processed"]})

    assert told == ["history", "echo"]
    assert [message["syncSource"] for message in messages(system, owner)] == told


@pytest.mark.parametrize(
    "body",
    [
        history({"errors": [wire.HISTORY_DECLINED]}),
        wire.webhook(wire.entry(wire.change("history", errors=[wire.HISTORY_DECLINED]))),
        wire.webhook(wire.entry({"value": wire.value(errors=[wire.HISTORY_DECLINED])})),
        wire.webhook(wire.entry(wire.change("messages", errors=[wire.HISTORY_DECLINED]))),
        json.dumps(wire.value(history=[{"errors": [wire.HISTORY_DECLINED]}])).encode(),
        json.dumps(wire.value(errors=[wire.HISTORY_DECLINED])).encode(),
    ],
    ids=[
        "history errors",
        "value errors",
        "without a field",
        "of another field",
        "without an envelope",
        "value errors without an envelope",
    ],
)
def test_a_declined_history_says_so_in_every_position(
    system: System, owner: str, instance_id: str, body: bytes
) -> None:
    assert system.post_webhook(body).status_code == 200

    assert state(system, owner)["status"] == "failed"
    assert "turned off by the business" in state(system, owner)["errorMessage"]
    assert system.get("/webhooks/failures", owner).json["failures"] == []


@pytest.mark.parametrize("is_history_first", [False, True])
def test_what_a_history_knows_takes_the_place_of_a_message_without_body(
    system: System, owner: str, instance_id: str, is_history_first: bool
) -> None:
    told = {"id": "w1", "from": wire.ANA, "timestamp": str(wire.NOON), "type": "interactive"}
    reply = {"type": "button_reply", "button_reply": {"id": "1", "title": "Sim"}}
    bodies = [
        wire.messages(told, errors=[{"code": 131000, "title": "Unsupported webhook payload"}]),
        history(chunk(thread({**told, "interactive": reply, "history_context": {"status": "READ"}}))),
    ]
    for body in reversed(bodies) if is_history_first else bodies:
        system.post_webhook(body)

    [message] = messages(system, owner)
    assert (message["type"], message["body"]) == ("interactive", "Sim")


@pytest.mark.parametrize("is_history_first", [False, True])
@pytest.mark.parametrize("hollow", ["media_placeholder", "unsupported", "unknown"])
@pytest.mark.parametrize("kind", ["interactive", "request_welcome", "location"])
def test_a_message_without_body_has_its_type_whatever_a_history_makes_of_it(
    system: System, owner: str, instance_id: str, kind: str, hollow: str, is_history_first: bool
) -> None:
    told = {"id": "w1", "from": wire.ANA, "timestamp": str(wire.NOON), "type": kind}
    bodies = [
        wire.messages(told),
        history(chunk(thread({**told, "type": hollow, "history_context": {"status": "READ"}}))),
    ]
    for body in reversed(bodies) if is_history_first else bodies:
        system.post_webhook(body)

    [message] = messages(system, owner)
    assert message["type"] == kind


def test_another_error_of_a_history_is_a_fact_and_begins_none(
    system: System, owner: str, instance_id: str
) -> None:
    error = {"code": 131000, "title": "Something went wrong"}
    system.post_webhook(history({"errors": [error]}))

    [event] = system.get(f"/instances/{instance_id}/events", owner).json["events"]
    assert (event["field"], event["value"]) == ("history", {"errors": [error]})
    assert state(system, owner) is None
    assert system.get("/webhooks/failures", owner).json["failures"] == []


def test_an_error_beside_a_thread_stops_neither_it_nor_its_progress(
    system: System, owner: str, instance_id: str
) -> None:
    error = {"code": 131000, "title": "Something went wrong"}
    system.post_webhook(history({**chunk(thread(old("w1"))), "errors": [error]}))

    assert len(system.get(f"/instances/{instance_id}/events", owner).json["events"]) == 1
    assert state(system, owner)["status"] == "in_progress"
    assert len(messages(system, owner)) == 1


def test_a_history_before_the_number_is_registered_is_there_afterwards(system: System, owner: str) -> None:
    system.post_webhook(history(chunk(thread(old("w1")), phase=2, progress=100)))
    system.register(owner)

    system.post("/webhooks/replay", owner, {})

    assert [message["body"] for message in messages(system, owner)] == ["antigo"]
    assert state(system, owner)["status"] == "completed"


def test_imported_messages_are_no_first_contact_and_open_no_ticket(
    system: System, owner: str, instance_id: str
) -> None:
    system.post_webhook(history(chunk(thread(old("w1"), old("w2", ours=True)))))

    assert [message["isSyncInitial"] for message in messages(system, owner)] == [False, False]
    assert {message["syncSource"] for message in messages(system, owner)} == {"history"}
    assert system.execute("SELECT count(*) FROM tickets").fetchall() == [(0,)]
    assert system.execute("SELECT count(*) FROM outbox").fetchall() == [(0,)]


@pytest.mark.parametrize("is_late", [True, False])
def test_one_who_writes_is_enriched_whether_a_history_came_before_or_after(
    system: System, owner: str, instance_id: str, is_late: bool
) -> None:
    bodies = [history(chunk(thread(old("w1")))), wire.messages(wire.text("w2"))]

    for body in reversed(bodies) if is_late else bodies:
        system.post_webhook(body)
    system.post_webhook(wire.messages(wire.text("w3")))

    jobs = system.execute("SELECT job FROM outbox").fetchall()
    syncs = system.execute("SELECT sync_type FROM whatsapp_sync_logs WHERE lead_id IS NOT NULL").fetchall()
    assert (jobs, syncs) == ([("enrich_lead",)], [("initial_contact",)])


def test_a_contact_known_from_the_address_book_alone_is_a_first_contact_when_it_writes(
    system: System, owner: str, instance_id: str
) -> None:
    card = {"full_name": "Ana da Esquina", "phone_number": f"+{wire.ANA}"}
    entry = {"type": "contact", "contact": card, "action": "add", "metadata": {"timestamp": "1790000000123"}}
    system.post_webhook(wire.webhook(wire.entry(wire.change("smb_app_state_sync", state_sync=[entry]))))
    assert system.leads(owner) == []

    system.post_webhook(wire.messages(wire.text("w1")))

    [lead] = system.leads(owner)
    assert lead["name"] == "Ana da Esquina"
    assert messages(system, owner)[0]["isSyncInitial"]


@pytest.mark.parametrize("removed_at", ["1790000200", "0"])
def test_a_removed_card_gives_back_the_name_that_the_person_chose(
    system: System, owner: str, instance_id: str, removed_at: str
) -> None:
    system.post_webhook(wire.messages(wire.text("w1")))
    contact = {"phone_number": wire.ANA}
    for action, at, name in (("add", "1790000100", {"full_name": "Cliente"}), ("remove", removed_at, {})):
        entry = {
            "type": "contact",
            "contact": {**contact, **name},
            "action": action,
            "metadata": {"timestamp": at},
        }
        system.post_webhook(wire.webhook(wire.entry(wire.change("smb_app_state_sync", state_sync=[entry]))))

    assert system.leads(owner)[0]["name"] == "Ana Souza"


def test_a_removal_without_a_time_that_is_delivered_again_takes_no_later_name(
    system: System, owner: str, instance_id: str
) -> None:
    system.post_webhook(wire.messages(wire.text("w1")))

    def card(action: str, at: int | None, **name: str) -> bytes:
        entry: dict[str, Any] = {
            "type": "contact",
            "contact": {"phone_number": wire.ANA, **name},
            "action": action,
            "metadata": {"timestamp": str(at or 0)},
        }
        change = wire.change("smb_app_state_sync", state_sync=[entry])
        return wire.webhook({**wire.entry(change), "time": wire.NOON + 60})

    for body in (
        card("remove", None),
        card("add", wire.NOON + 120, full_name="Cliente"),
        card("remove", None),
    ):
        system.post_webhook(body)

    assert system.leads(owner)[0]["name"] == "Cliente"


def test_a_history_after_a_long_silence_is_that_of_a_reconnection(
    system: System, owner: str, instance_id: str
) -> None:
    system.post_webhook(history(chunk(thread(old("w1")), phase=2, progress=100)))
    long_ago = datetime.now(UTC) - timedelta(days=3)
    system.execute(f"UPDATE whatsapp_sync_logs SET started_at = '{long_ago}', updated_at = '{long_ago}'")

    system.post_webhook(history(chunk(thread(old("w1"), old("w2")), phase=0, progress=10)))

    assert state(system, owner)["status"] == "in_progress"
    assert state(system, owner)["messagesImported"] == 1
    assert len(messages(system, owner)) == 2


def test_chunks_that_come_at_once_are_of_one_history(
    system: System, owner: str, instance_id: str, database: str
) -> None:
    now = datetime.now(UTC)
    complete = account.History(phases={"2": account.Phase(progress=100, chunks=[1])})
    with psycopg.connect(database) as other, ThreadPoolExecutor(1) as pool:
        tenant_id, number = other.execute("SELECT tenant_id, id FROM whatsapp_configs").fetchall()[0]
        id = uuid.uuid4()
        store.hold_instance(other, tenant_id=tenant_id, id=number)
        store.insert_history(other, tenant_id=tenant_id, id=id, instance_id=number, came_at=now)
        answer = pool.submit(system.post_webhook, history(chunk(thread(old("w1")), phase=1)))
        while not system.execute("SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock'").fetchall():
            assert not answer.done()
        store.update_history(
            other,
            tenant_id=tenant_id,
            id=id,
            status="completed",
            percent=100,
            error=None,
            detail=complete.document(),
            messages=1,
            came_at=now,
        )
        other.commit()
        assert answer.result().status_code == 200

    assert system.execute("SELECT count(*) FROM whatsapp_sync_logs").fetchall() == [(1,)]
    found = state(system, owner)
    assert (found["status"], sorted(found["detail"]["phases"])) == ("completed", ["1", "2"])


def test_a_chunk_that_is_delivered_again_days_later_begins_no_history(
    system: System, owner: str, instance_id: str
) -> None:
    bodies = [
        history(chunk(thread(old("w1")), phase=0, progress=100)),
        history(chunk(phase=2, progress=100)),
    ]
    for body in bodies:
        system.post_webhook(body)
    then = days_ago(3)
    system.execute(f"UPDATE whatsapp_sync_logs SET started_at = {then}, updated_at = {then}")

    system.post_webhook(bodies[0])

    assert (state(system, owner)["status"], state(system, owner)["percent"]) == ("completed", 100)


def days_ago(days: int) -> str:
    return f"'{datetime.now(UTC) - timedelta(days=days)}'"


def test_a_chunk_of_a_history_that_fell_silent_begins_none_when_it_comes_again(
    system: System, owner: str, instance_id: str
) -> None:
    body = history(chunk(thread(old("w1")), phase=1, progress=100))
    system.post_webhook(body)
    then = days_ago(2)
    system.execute(
        "UPDATE whatsapp_sync_logs SET status = 'completed', step = 'idle',"
        f" started_at = {then}, updated_at = {then}"
    )

    system.post_webhook(body)

    found = state(system, owner)
    assert (found["status"], found["messagesImported"]) == ("completed", 1)


def test_a_decline_that_comes_again_after_the_history_was_shared_declines_nothing(
    system: System, owner: str, instance_id: str
) -> None:
    decline = history({"errors": [wire.HISTORY_DECLINED]})
    system.post_webhook(decline)
    then = days_ago(3)
    system.execute(f"UPDATE whatsapp_sync_logs SET started_at = {then}, updated_at = {then}")
    system.post_webhook(history(chunk(thread(old("w1")), phase=2, progress=100)))
    then = days_ago(1)
    system.execute(
        f"UPDATE whatsapp_sync_logs SET started_at = {then}, updated_at = {then} WHERE status = 'completed'"
    )

    system.post_webhook(decline)

    assert state(system, owner)["status"] == "completed"


def test_a_chunk_that_waited_for_days_is_not_the_last_history(system: System, owner: str) -> None:
    system.post_webhook(history(chunk(thread(old("w0")), phase=0, progress=10)))
    system.execute(f"UPDATE whatsapp_webhook_logs SET received_at = {days_ago(3)}")
    system.register(owner)
    system.post_webhook(history(chunk(thread(old("w1")), phase=2, progress=100)))
    assert state(system, owner)["status"] == "completed"

    recovery.apply_unrouted(system.ingest, system.pool, "padaria")

    assert {message["wamid"] for message in messages(system, owner)} == {"w0", "w1"}
    assert state(system, owner)["status"] == "completed"


@pytest.mark.parametrize("where", ["thread", "message"])
def test_a_decline_may_stand_in_a_thread_or_a_message(
    system: System, owner: str, instance_id: str, where: str
) -> None:
    message = {"id": "w1", "timestamp": str(wire.NOON), "type": "errors", "errors": [wire.HISTORY_DECLINED]}
    told = thread(message) if where == "message" else thread(errors=[wire.HISTORY_DECLINED])
    system.post_webhook(history({"threads": [told]}))

    assert state(system, owner)["status"] == "failed"


def test_what_a_history_says_beside_its_messages_is_a_fact(
    system: System, owner: str, instance_id: str
) -> None:
    system.post_webhook(history({**chunk(thread(old("w1"), archived=True)), "source": "phone"}))

    found = system.get(f"/instances/{instance_id}/events", owner).json["events"]
    assert sorted(str(event["value"]) for event in found) == ["{'archived': True}", "{'source': 'phone'}"]


def test_a_thread_may_be_named_as_people_write_numbers_or_by_a_user_id(
    system: System, owner: str, instance_id: str
) -> None:
    system.post_webhook(history(chunk(thread(old("w1"), id="+55 11 98888-7777"))))
    system.post_webhook(wire.messages(wire.text("w2", at=wire.NOON + 1, from_user_id="BR.77")))
    system.post_webhook(history(chunk(thread(old("w3"), id="BR.77"), order=2)))

    [lead] = system.leads(owner)
    assert (lead["waId"], lead["messageCount"]) == (wire.ANA, 3)
    assert {message["direction"] for message in messages(system, owner)} == {"INBOUND"}


def test_the_number_that_the_webhook_itself_gives_is_the_business_too(
    system: System, owner: str, instance_id: str
) -> None:
    written = {"display_phone_number": "+55 (21) 3333-4444", "phone_number_id": wire.NUMBER_ID}
    sent = {**old("w1"), "from": "552133334444"}
    value = {
        **wire.value(history=[chunk(thread(sent, id=None, context={"user_id": "BR.77"}))]),
        "metadata": written,
    }
    system.post_webhook(wire.webhook(wire.entry({"field": "history", "value": value})))

    [lead] = system.leads(owner)
    assert (lead["number"], lead["userId"]) == (None, "BR.77")
    assert [message["direction"] for message in messages(system, owner)] == ["OUTBOUND"]


def test_a_message_of_the_business_to_nobody_is_a_failure_and_not_lost(
    system: System, owner: str, instance_id: str
) -> None:
    system.post_webhook(wire.messages(wire.text("w1", sender=wire.BUSINESS), contacts=[]))

    [failure] = system.get("/webhooks/failures", owner).json["failures"]
    assert "names nobody" in failure["faults"][0]["reason"]


@pytest.mark.parametrize("is_late", [True, False])
def test_a_status_of_an_imported_message_makes_it_no_first_contact(
    system: System, owner: str, instance_id: str, is_late: bool
) -> None:
    bodies = [history(chunk(thread(old("w1", ours=True)))), wire.statuses(wire.status("w1", "read"))]
    for body in bodies if is_late else reversed(bodies):
        system.post_webhook(body)

    [message] = messages(system, owner)
    assert (message["syncSource"], message["isSyncInitial"]) == ("history", False)


def test_what_an_imported_reaction_is_about_is_imported(system: System, owner: str, instance_id: str) -> None:
    reaction = {**old("w2"), "type": "reaction", "reaction": {"message_id": "w1", "emoji": "👍"}}
    del reaction["text"]
    system.post_webhook(history(chunk(thread(reaction, old("w3")))))

    found = {message["wamid"]: message["syncSource"] for message in messages(system, owner)}
    assert found == {"w1": "history", "w3": "history"}


@pytest.mark.parametrize("is_late", [True, False])
def test_a_reaction_of_the_contact_does_not_make_their_picture_ours(
    system: System, owner: str, instance_id: str, is_late: bool
) -> None:
    fill = wire.webhook(wire.entry(wire.change("history", messages=[image("w1", **{"from": wire.ANA})])))
    reaction = {**wire.text("w2"), "type": "reaction", "reaction": {"message_id": "w1", "emoji": "👍"}}
    bodies = [fill, wire.messages(reaction)]
    for body in bodies if is_late else reversed(bodies):
        system.post_webhook(body)

    [message] = messages(system, owner)
    assert (message["type"], message["direction"]) == ("image", "INBOUND")


@pytest.mark.parametrize("is_late", [True, False])
def test_a_fill_that_names_nobody_leaves_a_picture_where_a_reaction_has_placed_it(
    system: System, owner: str, instance_id: str, is_late: bool
) -> None:
    fill = wire.webhook(wire.entry(wire.change("history", messages=[image("w1", **{"from": wire.BUSINESS})])))
    reaction = {**wire.text("w2"), "type": "reaction", "reaction": {"message_id": "w1", "emoji": "👍"}}
    bodies = [wire.messages(reaction), fill]
    for body in bodies if is_late else reversed(bodies):
        system.post_webhook(body)

    [message] = messages(system, owner)
    assert (message["type"], message["direction"]) == ("image", "OUTBOUND")


@pytest.mark.parametrize("threads", [None, []])
def test_progress_is_read_as_text_and_without_threads(
    system: System, owner: str, instance_id: str, threads: Any
) -> None:
    told = {"metadata": {"phase": "2", "chunk_order": "1", "progress": "100"}, "threads": threads}
    system.post_webhook(history(told))

    assert state(system, owner)["status"] == "completed"


def test_a_number_connected_again_soon_begins_a_new_history(
    system: System, owner: str, instance_id: str
) -> None:
    system.post_webhook(history(chunk(thread(old("w1")), phase=2, progress=100)))
    minutes_ago = datetime.now(UTC) - timedelta(minutes=5)
    system.execute(
        f"UPDATE whatsapp_sync_logs SET started_at = '{minutes_ago}', updated_at = '{minutes_ago}'"
    )
    event = {"field": "account_update", "value": {"event": "ACCOUNT_RECONNECTED"}}
    at = int(datetime.now(UTC).timestamp()) - 60
    system.post_webhook(wire.webhook({"id": wire.WABA_ID, "time": at, "changes": [event]}))

    system.post_webhook(history(chunk(thread(old("w1"), old("w2")), phase=0, progress=30)))

    assert (state(system, owner)["status"], state(system, owner)["percent"]) == ("in_progress", 10)
    system.post_webhook(history(chunk(phase=2, progress=100)))
    assert state(system, owner)["status"] == "completed"


def test_a_history_that_waited_for_its_number_joins_the_one_that_arrives_now(
    system: System, owner: str
) -> None:
    system.post_webhook(history(chunk(thread(old("w1")), phase=0, progress=10)))
    long_ago = datetime.now(UTC) - timedelta(days=3)
    system.execute(f"UPDATE whatsapp_webhook_logs SET received_at = '{long_ago}'")
    system.register(owner, "222")
    system.register(owner)
    system.post_webhook(history(chunk(thread(old("w2")), phase=1, progress=20)))

    system.post("/webhooks/replay", owner, {})

    assert {message["wamid"] for message in messages(system, owner)} == {"w1", "w2"}
    histories = system.execute("SELECT count(*) FROM whatsapp_sync_logs WHERE sync_type = 'history_import'")
    assert histories.fetchall() == [(1,)]
