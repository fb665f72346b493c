import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import redis

from plumbing import errors, queues
from tests.plumbing.conftest import Restartable

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Job:
    name: str
    queue: str = "first"
    timeout_s: int = 60


class Worker:
    def __init__(self, url: str, folder: Path) -> None:
        self._url = url
        self._written = folder / "written"
        self._log = folder / "worker.log"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self._log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "tests.plumbing.jobs_for_a_worker", self._url, str(self._written)],
                cwd=ROOT,
                stderr=log,
                env={**os.environ, "PYTHONWARNINGS": "default"},
            )

    def stop(self, number: signal.Signals = signal.SIGTERM) -> float:
        """Give how long it took to end."""
        assert self.process is not None
        started = time.monotonic()
        self.process.send_signal(number)
        self.process.wait(timeout=20)
        return time.monotonic() - started

    @property
    def written(self) -> list[str]:
        return self._written.read_text().splitlines() if self._written.exists() else []

    @property
    def log(self) -> list[dict[str, object]]:
        return [json.loads(line) for line in self._log.read_text().splitlines()]

    def wait_for(self, *lines: str) -> None:
        wait_until(lambda: self.written == list(lines), lambda: f"{self.written}\n{self._log.read_text()}")


def wait_until(is_so: Callable[[], bool], told: Callable[[], str] = str) -> None:
    deadline = time.monotonic() + 15
    while not is_so():
        assert time.monotonic() < deadline, told()
        time.sleep(0.02)


@pytest.fixture
def worker(valkey: str, tmp_path: Path) -> Iterator[Worker]:
    made = Worker(valkey, tmp_path)
    yield made
    if made.process is not None and made.process.poll() is None:
        made.stop(signal.SIGKILL)


def test_jobs_are_performed_in_order_first_queue_first(valkey: str, worker: Worker):
    queue = queues.Queues(valkey)
    queue.enqueue(Job("write", queue="second"), "1", {"text": "one"})
    queue.enqueue(Job("write"), "2", {"text": "two"})
    queue.enqueue(Job("write"), "3", {"text": "três"})

    worker.start()

    worker.wait_for("two", "três", "one")


def test_nothing_stays_in_redis_after_a_job(valkey: str, worker: Worker):
    queues.Queues(valkey).enqueue(Job("write"), "1", {"text": "one"})
    worker.start()
    worker.wait_for("one")

    with redis.Redis.from_url(valkey) as client:
        wait_until(lambda: not client.exists("rq:job:1"))


def test_a_waiting_job_is_not_doubled(valkey: str, worker: Worker):
    queue = queues.Queues(valkey)
    for _ in range(3):
        queue.enqueue(Job("write"), "1", {"text": "one"})
    queue.enqueue(Job("write"), "2", {"text": "two"})

    worker.start()

    worker.wait_for("one", "two")


def test_a_running_job_is_not_doubled_and_may_come_again(valkey: str, worker: Worker):
    queue = queues.Queues(valkey)
    worker.start()
    queue.enqueue(Job("dawdle"), "1", {"text": "one", "seconds": "1"})
    worker.wait_for("begin one")

    queue.enqueue(Job("dawdle"), "1", {"text": "one", "seconds": "1"})
    queue.enqueue(Job("write"), "2", {"text": "two"})
    worker.wait_for("begin one", "end one", "two")

    queue.enqueue(Job("write"), "1", {"text": "one again"})
    worker.wait_for("begin one", "end one", "two", "one again")


def test_a_job_that_died_with_its_worker_may_come_again(valkey: str, worker: Worker):
    queue = queues.Queues(valkey)
    worker.start()
    queue.enqueue(Job("dawdle", timeout_s=3600), "1", {"text": "one", "seconds": "60"})
    worker.wait_for("begin one")
    worker.stop(signal.SIGKILL)
    with redis.Redis.from_url(valkey) as client:
        # What half a minute of silence looks like.
        assert client.hget("rq:job:1", "status") == b"started"
        client.hset("rq:job:1", "last_heartbeat", "2026-01-01T00:00:00.000000Z")

    queue.enqueue(Job("write"), "1", {"text": "one again"})
    worker.start()

    worker.wait_for("begin one", "one again")


def test_a_job_under_way_is_heard_of(valkey: str, worker: Worker):
    worker.start()
    queues.Queues(valkey).enqueue(Job("dawdle"), "1", {"text": "one", "seconds": "10"})
    worker.wait_for("begin one")
    with redis.Redis.from_url(valkey) as client:
        first = client.hget("rq:job:1", "last_heartbeat")

        wait_until(lambda: client.hget("rq:job:1", "last_heartbeat") not in (None, first))


def test_a_job_that_was_taken_and_never_begun_may_come_again(valkey: str, worker: Worker):
    queue = queues.Queues(valkey)
    queue.enqueue(Job("write"), "1", {"text": "one"})
    with redis.Redis.from_url(valkey) as client:
        assert client.lpop("rq:queue:first") == b"1"

    queue.enqueue(Job("write"), "1", {"text": "one"})
    worker.start()

    worker.wait_for("one")


def test_a_job_that_fails_is_logged_without_what_it_said(valkey: str, worker: Worker):
    queue = queues.Queues(valkey)
    queue.enqueue(Job("fail"), "1", {"text": "one"})
    queue.enqueue(Job("postpone"), "2", {"text": "two"})
    queue.enqueue(Job("unheard_of"), "3", {})
    queue.enqueue(Job("write"), "4", {"text": "four"})
    worker.start()

    worker.wait_for("fail one", "postpone two", "four")

    worker.stop()
    events = [(entry["event"], entry.get("job")) for entry in worker.log]
    assert events == [
        ("job_failed", "fail"),
        ("job_postponed", "postpone"),
        ("job_failed", "unheard_of"),
        ("job_done", "write"),
    ]
    assert "content of" not in json.dumps(worker.log)


def test_a_job_that_takes_too_long_is_ended(valkey: str, worker: Worker):
    queue = queues.Queues(valkey)
    queue.enqueue(Job("dawdle", timeout_s=1), "1", {"text": "one", "seconds": "60"})
    queue.enqueue(Job("write"), "2", {"text": "two"})
    worker.start()

    worker.wait_for("begin one", "two")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_job_under_way_is_finished_first(valkey: str, worker: Worker, number: signal.Signals):
    queue = queues.Queues(valkey)
    queue.enqueue(Job("dawdle"), "1", {"text": "one", "seconds": "1"})
    queue.enqueue(Job("write"), "2", {"text": "two"})
    worker.start()
    worker.wait_for("begin one")

    worker.stop(number)

    assert worker.written == ["begin one", "end one"]
    assert worker.process is not None
    assert worker.process.returncode == 0


def test_an_idle_worker_ends_soon(valkey: str, worker: Worker):
    worker.start()
    queues.Queues(valkey).enqueue(Job("write"), "1", {"text": "one"})
    worker.wait_for("one")

    assert worker.stop() < 4


def test_redis_away_is_unavailable_at_once(restartable_valkey: tuple[Restartable, str]):
    server, url = restartable_valkey
    queue = queues.Queues(url)
    queue.enqueue(Job("write"), "1", {"text": "one"})
    assert queues.ping(url)
    server.stop()

    for _ in range(3):
        started = time.monotonic()
        with pytest.raises(errors.Unavailable) as raised:
            queue.enqueue(Job("write"), "2", {"text": "two"})
        assert raised.value.retry_after_s == 1
        assert time.monotonic() - started < 1
    assert not queues.ping(url)

    server.start()
    queue.enqueue(Job("write"), "2", {"text": "two"})


def test_a_worker_survives_an_outage_of_redis(restartable_valkey: tuple[Restartable, str], tmp_path: Path):
    server, url = restartable_valkey
    worker = Worker(url, tmp_path)
    worker.start()
    try:
        queue = queues.Queues(url)
        queue.enqueue(Job("write"), "1", {"text": "one"})
        worker.wait_for("one")
        server.kill()
        wait_until(lambda: any(entry["event"] == "redis_away" for entry in worker.log))
        server.start()
        queue.enqueue(Job("write"), "2", {"text": "two"})
        worker.wait_for("one", "two")

        server.kill()
        time.sleep(1)
        assert worker.stop() < 6
    finally:
        if worker.process is not None and worker.process.poll() is None:
            worker.stop(signal.SIGKILL)
