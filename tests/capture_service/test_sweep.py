"""The outbox: what must follow a commit follows it, through every outage."""

from collections.abc import Callable, Mapping
from typing import Any

import pytest

from capture_service.ingest import Ingest
from capture_service.sweep import Sweeper
from plumbing import errors, postgres
from protos import jobs
from tests import wire
from tests.stack.marks import wait_until

Accept = Callable[..., list[str]]
Query = Callable[..., list[dict[str, Any]]]


class FakeQueue:
    """Takes jobs, or is away."""

    def __init__(self) -> None:
        self.is_away = False
        self.taken: list[tuple[str, str, dict[str, str]]] = []

    def enqueue(self, job: jobs.Job, job_id: str, arguments: Mapping[str, str]) -> None:
        if self.is_away:
            raise errors.Unavailable("Redis is away")
        self.taken.append((job.name, job_id, dict(arguments)))


@pytest.fixture
def queue() -> FakeQueue:
    return FakeQueue()


@pytest.fixture
def sweeper(pool: postgres.Pool, ingest: Ingest, queue: FakeQueue) -> Sweeper:
    return Sweeper(pool, ingest, queue.enqueue)


def test_a_new_contact_is_handed_to_enrichment_with_ids_alone(
    accept: Accept, query: Query, sweeper: Sweeper, queue: FakeQueue
) -> None:
    accept(wire.messages(wire.text("w1")))

    sweeper.hand_over()

    [(name, job_id, arguments)] = queue.taken
    [lead] = query("SELECT id FROM leads")
    assert name == jobs.ENRICH_LEAD.name
    assert arguments == {"tenant": "padaria", "lead_id": str(lead["id"]), "outbox_id": job_id}
    assert set(arguments) == set(jobs.ENRICH_LEAD.arguments)


def test_a_job_is_not_handed_over_twice_while_it_may_be_at_work(
    accept: Accept, sweeper: Sweeper, queue: FakeQueue
) -> None:
    accept(wire.messages(wire.text("w1")))

    sweeper.hand_over()
    sweeper.hand_over()

    assert len(queue.taken) == 1


def test_a_job_that_never_settled_is_handed_over_again(
    accept: Accept, query: Query, sweeper: Sweeper, queue: FakeQueue
) -> None:
    accept(wire.messages(wire.text("w1")))
    sweeper.hand_over()

    query("UPDATE outbox SET due_at = now() - interval '1 second'")
    sweeper.hand_over()

    assert len(queue.taken) == 2
    assert query("SELECT attempts FROM outbox") == [{"attempts": 2}]


def test_while_redis_is_away_webhooks_are_kept_and_their_jobs_wait(
    accept: Accept, query: Query, sweeper: Sweeper, queue: FakeQueue
) -> None:
    queue.is_away = True
    assert accept(wire.messages(wire.text("w1"))) == ["processed"]
    sweeper.hand_over()
    assert query("SELECT due_at < now() + interval '3 seconds' AS is_soon FROM outbox") == [{"is_soon": True}]

    queue.is_away = False
    query("UPDATE outbox SET due_at = now()")
    sweeper.hand_over()

    assert len(queue.taken) == 1


def test_a_registered_number_gets_its_waiting_webhooks_without_being_asked(
    ingest: Ingest, register: Callable[..., None], query: Query, sweeper: Sweeper
) -> None:
    ingest.accept([(wire.messages(wire.text("early")), wire.RECEIVED_AT)], timeout_s=10)
    assert query("SELECT state FROM whatsapp_webhook_logs") == [{"state": "unrouted"}]
    register()
    sweeper.start()

    sweeper.number_registered()

    wait_until(lambda: bool(query("SELECT 1 FROM whatsapp_messages")))
    sweeper.stop()
    assert query("SELECT state FROM whatsapp_webhook_logs") == [{"state": "processed"}]


def test_an_outage_of_redis_counts_against_no_job(
    accept: Accept, query: Query, sweeper: Sweeper, queue: FakeQueue
) -> None:
    accept(wire.messages(wire.text("w1")))
    queue.is_away = True
    for _ in range(5):
        query("UPDATE outbox SET due_at = now()")
        sweeper.hand_over()

    assert query("SELECT attempts FROM outbox") == [{"attempts": 0}]


def test_a_chore_that_fails_keeps_no_other_from_being_done(
    query: Query, sweeper: Sweeper, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[str] = []

    def fail(**_: object) -> None:
        raise RuntimeError("a bug")

    monkeypatch.setattr(sweeper, "apply_unrouted", fail)
    monkeypatch.setattr(sweeper, "mark_patterns", fail)
    monkeypatch.setattr(sweeper, "forget_changes", lambda now: done.append("forget_changes"))
    sweeper.start()
    try:
        wait_until(lambda: done == ["forget_changes"])
    finally:
        sweeper.stop()
