"""Queues of jobs on Redis, by RQ: the only place that knows either.

A job is a name and string arguments, all ids. Its truth lives in the database (the outbox): Redis
may lose a job, and a job may run twice.
"""

import logging
import signal
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from types import FrameType
from typing import Any, Final, Protocol, cast

import redis
from prometheus_client import Counter, Histogram
from redis.backoff import NoBackoff
from redis.retry import Retry
from rq import Queue, SimpleWorker
from rq.exceptions import DequeueTimeout, DuplicateJobError, NoSuchJobError
from rq.job import Job as QueuedJob, JobStatus
from rq.serializers import JSONSerializer
from rq.worker import WorkerStatus

from plumbing import errors

log = logging.getLogger(__name__)

_CONNECT_TIMEOUT_S: Final = 0.4
_COMMAND_TIMEOUT_S: Final = 0.5
_RECONNECT_EVERY_S: Final = 1.0
# How long a worker waits for a job before it looks whether it is to stop.
_DEQUEUE_TIMEOUT_S: Final = 1
_FAILURE_TTL_S: Final = 3600
_HEARTBEAT_EVERY_S: Final = 2.0
# A job under way that has not been heard of for so long has died with its worker.
_HEARTBEAT_TTL_S: Final = 30
_PERFORM: Final = "plumbing.queues.perform"

_performed: Final = Counter("recado_jobs_total", "Jobs performed", ["job", "outcome"])
_seconds: Final = Histogram(
    "recado_job_seconds", "Time to perform a job", ["job"], buckets=(0.01, 0.05, 0.25, 1, 5, 30, 120, 600)
)

Handler = Callable[..., None]


class Job(Protocol):
    """What a queue must know of a kind of job."""

    @property
    def name(self) -> str: ...
    @property
    def queue(self) -> str: ...
    @property
    def timeout_s(self) -> int: ...


class Queues:
    """Hands jobs over. Safe to use from several threads."""

    def __init__(self, redis_url: str) -> None:
        self._redis = _connect(redis_url)
        self._queues: dict[str, Queue] = {}

    def enqueue(self, job: Job, job_id: str, arguments: Mapping[str, str]) -> None:
        """Put a job on its queue; one of the same id that waits or runs already is not doubled.

        Raises Unavailable within about half a second while Redis is away.
        """
        try:
            queue = self._queue(job.queue)
            if not self._put(queue, job, job_id, arguments) and not self._is_taken_care_of(queue, job_id):
                # Another process may have been quicker, which is as good.
                self._put(queue, job, job_id, arguments)
        except redis.RedisError as error:
            raise errors.Unavailable("Redis is away", retry_after_s=1) from error

    def _queue(self, name: str) -> Queue:
        if name not in self._queues:
            self._queues[name] = Queue(name, connection=self._redis, serializer=JSONSerializer)
        return self._queues[name]

    def _put(self, queue: Queue, job: Job, job_id: str, arguments: Mapping[str, str]) -> bool:
        """Tell whether it was put there: not when the id is known, in whatever state."""
        try:
            cast("Any", queue).enqueue_call(
                _PERFORM,
                args=[job.name],
                kwargs=dict(arguments),
                job_id=job_id,
                timeout=job.timeout_s,
                result_ttl=0,
                failure_ttl=_FAILURE_TTL_S,
                unique=True,
                # RQ would otherwise log and keep the call with its arguments.
                description=job.name,
            )
        except DuplicateJobError:
            return False
        return True

    def _is_taken_care_of(self, queue: Queue, job_id: str) -> bool:
        """Tell whether a job waits or runs; one that failed or died with its worker is cleared away."""
        try:
            known: QueuedJob = cast("Any", QueuedJob).fetch(
                job_id, connection=self._redis, serializer=JSONSerializer
            )
        except NoSuchJobError:
            return False
        status = known.get_status(refresh=False)
        if status == JobStatus.QUEUED:
            # A worker that dies between taking a job and starting it leaves it "queued" and on no queue.
            is_alive = cast("Any", self._redis).lpos(queue.key, job_id) is not None
        else:
            heard_of = known.last_heartbeat
            is_alive = status == JobStatus.STARTED and (
                heard_of is not None and datetime.now(UTC) - heard_of < timedelta(seconds=_HEARTBEAT_TTL_S)
            )
        if not is_alive:
            known.delete()
        return is_alive


def ping(redis_url: str) -> bool:
    """Tell whether Redis answers."""
    try:
        with _connect(redis_url) as connection:
            return bool(cast("Any", connection).ping())
    except redis.RedisError:
        return False


def _connect(redis_url: str) -> redis.Redis:
    return cast("Any", redis.Redis).from_url(
        redis_url,
        socket_connect_timeout=_CONNECT_TIMEOUT_S,
        socket_timeout=_COMMAND_TIMEOUT_S,
        # The client's own patience with a refused connection is 3.6 s: too long for a sweep.
        retry=Retry(NoBackoff(), 0),
    )


_handlers: dict[str, Handler] = {}


def perform(name: str, /, **arguments: str) -> None:
    """Run the handler of a job: the one function that every queued job names."""
    started = time.perf_counter()
    try:
        _handlers[name](**arguments)
    except errors.RecadoError as error:
        # Handed over again from the outbox; the queue has nothing to add.
        _performed.labels(name, error.reason).inc()
        log.warning("job_postponed", extra={"job": name, "reason": error.reason})
    except Exception:
        _performed.labels(name, "FAILED").inc()
        log.exception("job_failed", extra={"job": name})
    else:
        _performed.labels(name, "OK").inc()
        log.info("job_done", extra={"job": name})
    finally:
        _seconds.labels(name).observe(time.perf_counter() - started)


class _Worker(SimpleWorker):
    """Performs jobs in this process: nothing is forked under gRPC's threads."""

    def ask_to_stop(self) -> None:
        self._stop_requested = True

    def _install_signal_handlers(self) -> None:
        """Leave signals to `run_worker`."""

    def get_heartbeat_ttl(self, job: QueuedJob, working_time: float = 0.0) -> int:
        return _HEARTBEAT_TTL_S

    def dequeue_job_and_maintain_ttl(
        self, timeout: int | None, max_idle_time: int | None = None
    ) -> tuple[QueuedJob, Queue] | None:
        """Wait for a job; None when asked to stop.

        RQ's own loop looks neither for that while it waits nor while Redis is away.
        """
        self.set_state(WorkerStatus.IDLE)
        while not self._stop_requested:
            cast("Any", self).heartbeat()
            if self.should_run_maintenance_tasks:
                self.run_maintenance_tasks()
            with suppress(DequeueTimeout):
                found = self.queue_class.dequeue_any(
                    self.queues,
                    _DEQUEUE_TIMEOUT_S,
                    connection=self.connection,
                    job_class=self.job_class,
                    serializer=self.serializer,
                    death_penalty_class=self.death_penalty_class,
                )
                if found is not None:
                    found[0].redis_server_version = self.get_redis_server_version()
                    return found
        return None

    def execute_job(self, job: QueuedJob, queue: Queue) -> None:
        """Perform a job and meanwhile tell Redis that it is under way, which RQ does for forked ones only."""
        execution = self.prepare_execution(job)
        is_over = threading.Event()

        def beat() -> None:
            while not is_over.wait(_HEARTBEAT_EVERY_S):
                with suppress(redis.RedisError):
                    self.maintain_heartbeats(job, execution)

        beating = threading.Thread(target=beat, name="heartbeat", daemon=True)
        beating.start()
        try:
            self.perform_job(job, queue, execution)
        finally:
            is_over.set()
            beating.join()
        self.set_state(WorkerStatus.IDLE)


def run_worker(redis_url: str, queues: Sequence[str], handlers: Mapping[str, Handler]) -> None:
    """Perform jobs of these queues, first queue first, until SIGTERM or SIGINT. Call it from the main thread.

    A job under way is finished first. While Redis is away the worker waits for it.
    """
    _handlers.update(handlers)
    is_stopping = threading.Event()
    workers: list[_Worker] = []

    def stop(_number: int, _frame: FrameType | None) -> None:
        is_stopping.set()
        for worker in workers:
            worker.ask_to_stop()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    is_away = False
    while not is_stopping.is_set():
        if ping(redis_url):
            if is_away:
                log.info("redis_back")
            is_away = False
            with suppress(redis.RedisError), _connect(redis_url) as connection:
                workers[:] = [_make_worker(connection, queues)]
                if not is_stopping.is_set():
                    workers[0].work(logging_level="WARNING")
        elif not is_away:
            log.warning("redis_away")
            is_away = True
        # Also when RQ gave up for a reason of its own.
        is_stopping.wait(_RECONNECT_EVERY_S)


def _make_worker(connection: redis.Redis, queues: Sequence[str]) -> _Worker:
    return _Worker(
        [Queue(name, connection=connection, serializer=JSONSerializer) for name in queues],
        connection=connection,
        serializer=JSONSerializer,
        log_job_description=False,
        worker_ttl=30,
    )
