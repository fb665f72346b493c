"""A webhook of thousands of messages: kept and answered first, applied by a job."""

import pytest

from capture_service.ingest import DEFERRED_BYTES
from tests import wire
from tests.gateway.conftest import System

COUNT = 2_000


def large(first: int = 0) -> bytes:
    threads = [
        {
            "id": f"55119{contact:08}",
            "messages": [
                {
                    "from": f"55119{contact:08}",
                    "id": f"wamid.{contact}.{number}",
                    "timestamp": str(wire.NOON + number),
                    "type": "text",
                    "text": {"body": "uma mensagem de antes da conexão"},
                    "history_context": {"status": "READ"},
                }
                for number in range(COUNT // 20)
            ],
        }
        for contact in range(first, first + 20)
    ]
    chunk = {"metadata": {"phase": 2, "chunk_order": 1, "progress": 100}, "threads": threads}
    return wire.webhook(wire.entry(wire.change("history", history=[chunk])))


def total(system: System, token: str) -> int:
    return sum(lead["messageCount"] for lead in system.leads(token, limit=1000))


def test_it_is_answered_at_once_and_applied_by_the_job(system: System, owner: str) -> None:
    system.register(owner)
    body = large()
    assert len(body) > DEFERRED_BYTES

    assert system.post_webhook(body).status_code == 200
    assert total(system, owner) == 0
    assert system.execute("SELECT state FROM whatsapp_webhook_logs").fetchall() == [("pending",)]
    system.run_jobs()

    assert total(system, owner) == COUNT
    assert system.execute("SELECT state, error FROM whatsapp_webhook_logs").fetchall() == [
        ("processed", None)
    ]
    assert system.execute("SELECT count(*) FROM outbox").fetchall() == [(0,)]
    [instance] = system.get("/instances", owner).json["instances"]
    assert (instance["history"]["status"], instance["history"]["messagesImported"]) == ("completed", COUNT)


def test_applying_it_again_or_sending_it_again_adds_nothing(system: System, owner: str) -> None:
    system.register(owner)
    for _ in range(2):
        system.post_webhook(large())
        system.run_jobs()
    system.post("/webhooks/replay", owner, {})

    assert total(system, owner) == COUNT


def test_a_bad_item_in_it_costs_only_itself(system: System, owner: str) -> None:
    system.register(owner)
    body = large().replace(b'"id":"wamid.3.7"', b'"id":12345', 1)
    system.post_webhook(body)
    system.run_jobs()

    assert total(system, owner) == COUNT - 1
    [failure] = system.get("/webhooks/failures", owner).json["failures"]
    [fault] = failure["faults"]
    assert fault["path"].endswith("threads[3].messages[7].id")


def test_one_for_a_number_not_registered_yet_waits_for_it(system: System, owner: str) -> None:
    system.post_webhook(large())
    assert system.execute("SELECT state FROM whatsapp_webhook_logs").fetchall() == [("unrouted",)]
    system.register(owner)
    system.post("/webhooks/replay", owner, {})
    system.run_jobs()

    assert total(system, owner) == COUNT


@pytest.mark.parametrize("kept", [0, 250, 1_250])
def test_a_job_that_died_halfway_is_done_by_the_next(system: System, owner: str, kept: int) -> None:
    system.register(owner)
    system.post_webhook(large())
    rows = system.execute("SELECT job, arguments FROM outbox").fetchall()
    assert [job for job, _ in rows] == ["apply_webhook"]
    system.run_jobs()
    # As if the job had died after `kept` messages, before it could say that it was done.
    system.execute(
        "DELETE FROM whatsapp_messages WHERE id IN"
        f" (SELECT id FROM whatsapp_messages ORDER BY wamid OFFSET {kept})"
    )
    system.execute("UPDATE whatsapp_webhook_logs SET state = 'pending'")
    system.execute(
        "INSERT INTO outbox (tenant_id, id, job, arguments) SELECT tenant_id, id, 'apply_webhook',"
        " json_build_object('tenant', 'padaria', 'batch_id', id) FROM whatsapp_webhook_logs"
    )

    system.run_jobs()

    assert system.execute("SELECT count(*) FROM whatsapp_messages").fetchall() == [(COUNT,)]


@pytest.mark.parametrize(
    "junk",
    [
        '{"id":"440","changes":[' + ",".join(["{}"] * 1_000_000) + "]}",
        ",".join(['{"changes":[{"value":{}}]}'] * 110_000),
    ],
    ids=["changes", "entries"],
)
def test_one_of_a_million_parts_is_kept_at_once_and_its_good_items_are_applied(
    system: System, owner: str, junk: str
) -> None:
    system.register(owner)
    good = wire.messages(wire.text("w1")).decode().removeprefix('{"object":"whatsapp_business_account",')
    body = good.replace('{"id"', junk + ',{"id"', 1).replace('"entry":', '{"entry":', 1).encode()
    assert len(body) < 3 * 1024 * 1024

    assert system.post_webhook(body).status_code == 200
    # Reading it is left for later, whatever it takes.
    assert system.execute("SELECT state FROM whatsapp_webhook_logs").fetchall() == [("unrouted",)]
    system.sweeper.apply_unrouted()
    system.run_jobs()

    assert total(system, owner) == 1
    assert len(system.get("/webhooks/failures", owner).json["failures"]) >= 1


def test_one_of_a_million_parts_that_names_nobody_is_a_failure_that_says_so(
    system: System, owner: str
) -> None:
    assert system.post_webhook(b"[" * 3_000_000).status_code == 200

    [failure] = system.get("/webhooks/failures", owner).json["failures"]
    assert failure["faults"][0]["reason"].startswith("not read")
