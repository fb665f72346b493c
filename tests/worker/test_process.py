"""The worker as a process of its own: it performs what is queued, and stops in order."""

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import redis

from plumbing import errors
from plumbing.queues import Queues
from plumbing.settings import SettingsError
from protos import capture_pb2, jobs
from recado import worker
from tests.stack.marks import wait_until
from tests.worker.conftest import Services

LEAD = "0193a2b0-0000-7000-8000-00000000000a"
ENRICH = {"tenant": "padaria", "lead_id": LEAD, "outbox_id": "o1"}
SYNC = {"tenant": "padaria", "sync_id": "s1"}


class Running:
    def __init__(self, process: subprocess.Popen[bytes], log: Path) -> None:
        self.process = process
        self._log = log

    def entries(self) -> list[dict[str, str]]:
        return [json.loads(line) for line in self._log.read_text().splitlines() if line.startswith("{")]

    def text(self) -> str:
        return self._log.read_text()

    def wait_for(self, event: str, *, count: int = 1) -> None:
        wait_until(lambda: sum(entry["event"] == event for entry in self.entries()) >= count)

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(20)


@pytest.fixture
def environment(valkey: str, address: str, auth_secret: str) -> dict[str, str]:
    return {
        **{name: value for name, value in os.environ.items() if not name.startswith("RECADO_")},
        "RECADO_REDIS_URL": valkey,
        "RECADO_AUTH_SECRET": auth_secret,
        "RECADO_CAPTURE_ADDRESS": address,
        "RECADO_ENRICHMENT_ADDRESS": address,
        "RECADO_HISTORY_ADDRESS": address,
    }


@pytest.fixture
def start(environment: dict[str, str], tmp_path: Path) -> Iterator[Callable[[], Running]]:
    started: list[subprocess.Popen[bytes]] = []

    def run(**more: str) -> Running:
        log = tmp_path / f"{len(started)}.log"
        with log.open("wb") as output:
            started.append(
                subprocess.Popen(
                    [sys.executable, "-m", "recado", "serve", "worker"],
                    env=environment | more,
                    stderr=output,
                )
            )
        return Running(started[-1], log)

    yield run
    for process in started:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        process.wait()


def test_queued_jobs_are_performed_recovery_first(
    start: Callable[[], Running], valkey: str, services: Services
):
    services.lead = capture_pb2.LeadProfile(lead_id=LEAD)
    queues = Queues(valkey)
    queues.enqueue(jobs.ENRICH_LEAD, "o1", ENRICH)
    queues.enqueue(jobs.RUN_SYNC, "s1", SYNC)

    running = start()
    running.wait_for("job_done", count=2)

    assert services.methods() == ["RunSync", "GetLeadProfile", "FetchContactProfile", "ApplyLeadProfile"]
    assert running.stop() == 0
    assert "padaria" not in running.text()
    assert LEAD not in running.text()


def test_a_worker_takes_the_jobs_that_it_is_for(
    start: Callable[..., Running], valkey: str, services: Services
):
    services.lead = capture_pb2.LeadProfile(lead_id=LEAD)
    queues = Queues(valkey)
    queues.enqueue(jobs.RUN_SYNC, "s1", SYNC)
    queues.enqueue(jobs.ENRICH_LEAD, "o1", ENRICH)

    start(RECADO_QUEUES="enrichment,exports").wait_for("job_done")

    assert services.methods() == ["GetLeadProfile", "FetchContactProfile", "ApplyLeadProfile"]
    with redis.Redis.from_url(valkey) as client:
        assert client.lrange("rq:queue:recovery", 0, -1) == [b"s1"]


def test_a_queue_that_is_none_is_named():
    with pytest.raises(SettingsError, match="RECADO_QUEUES: export: there are webhooks, recovery"):
        worker.load({"RECADO_QUEUES": "recovery, export"})


def test_a_job_under_way_is_finished_before_the_end(
    start: Callable[[], Running], valkey: str, services: Services
):
    services.may_answer.clear()
    running = start()
    Queues(valkey).enqueue(jobs.RUN_SYNC, "s1", SYNC)
    services.wait_until_asked(1)

    running.process.send_signal(signal.SIGTERM)
    with pytest.raises(subprocess.TimeoutExpired):
        running.process.wait(0.5)
    services.may_answer.set()

    assert running.process.wait(20) == 0
    assert [entry["event"] for entry in running.entries()].count("job_done") == 1


def test_a_job_that_failed_is_performed_when_it_is_handed_over_again(
    start: Callable[[], Running], valkey: str, services: Services
):
    services.faults["RunSync"] = [errors.Unavailable("away", retry_after_s=1)]
    queues = Queues(valkey)
    queues.enqueue(jobs.RUN_SYNC, "s1", SYNC)
    running = start()
    running.wait_for("job_postponed")
    # Until RQ has put it away it counts as at work, and is not doubled.
    with redis.Redis.from_url(valkey) as client:
        wait_until(lambda: not client.exists("rq:job:s1"))

    queues.enqueue(jobs.RUN_SYNC, "s1", SYNC)
    running.wait_for("job_done")

    assert services.methods() == ["RunSync", "RunSync"]


def test_every_fault_of_the_settings_is_named_at_once():
    with pytest.raises(SettingsError) as caught:
        worker.load({"RECADO_CAPTURE_ADDRESS": "nowhere"})

    for name in (
        "RECADO_REDIS_URL",
        "RECADO_AUTH_SECRET",
        "RECADO_CAPTURE_ADDRESS",
        "RECADO_ENRICHMENT_ADDRESS",
    ):
        assert name in str(caught.value)
