"""Queues of jobs on Redis, by RQ: the only place that knows either.

A job is a name and string arguments, all ids. Its truth lives in the database (the outbox): Redis
may lose a job, and a job may run twice.
"""

import logging
import signal
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Protocol

import redis
from prometheus_client import Counter, Histogram
from redis.backoff import NoBackoff
from redis.retry import Retry
from rq import Queue, SimpleWorker
from rq.exceptions import DuplicateJobError, NoSuchJobError
from rq.job import Job as QueuedJob
from rq.job import JobStatus
from rq.serializers import JSONSerializer

from plumbing import errors

log = logging.getLogger(__name__)

_CONNECT_TIMEOUT_S: Final = 0.4
_COMMAND_TIMEOUT_S: Final = 0.5
_RECONNECT_EVERY_S: Final = 1.0
_PERFORM: Final = "plumbing.queues.perform"

_performed: Final = Counter("recado_jobs_total", "Jobs performed", ["job", "outcome"])
_seconds: Final = Histogram("recado_job_seconds", "Time to perform a job", ["job"])

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
        # The client's own patience with a refused connection is 3.6 s: too long for a sweep.
        self._redis = redis.Redis.from_url(
            redis_url,
            socket_connect_timeout=_CONNECT_TIMEOUT_S,
            socket_timeout=_COMMAND_TIMEOUT_S,
            retry=Retry(NoBackoff(), 0),
        )

    def enqueue(self, job: Job, job_id: str, arguments: Mapping[str, str]) -> None:
        """Put a job on its queue; one of the same id that still waits there is not doubled.

        Raises Unavailable within about half a second while Redis is away.
        """
        queue = Queue(job.queue, connection=self._redis, serializer=JSONSerializer)
        try:
            for _ in range(2):
                try:
                    queue.enqueue_call(
                        _PERFORM,
                        args=[job.name],
                        kwargs=dict(arguments),
                        job_id=job_id,
                        timeout=job.timeout_s,
                        result_ttl=0,
                        failure_ttl=3600,
                        unique=True,
                        # RQ would otherwise log and keep the call with its arguments.
                        description=job.name,
                    )
                except DuplicateJobError:
                    if self._is_waiting(job_id):
                        return
                else:
                    return
        except redis.RedisError as error:
            raise errors.Unavailable("Redis is away", retry_after_s=1) from error

    def _is_waiting(self, job_id: str) -> bool:
        """Tell whether a job is queued; what failed, or died with its worker, is cleared away."""
        try:
            known = QueuedJob.fetch(job_id, connection=self._redis, serializer=JSONSerializer)
        except NoSuchJobError:
            return False
        if known.get_status() == JobStatus.QUEUED:
            return True
        known.delete()
        return False


def ping(redis_url: str) -> bool:
    """Tell whether Redis answers."""
    try:
        return bool(Queues(redis_url)._redis.ping())  # pyright: ignore[reportPrivateUsage]
    except redis.RedisError:
        return False


_handlers: dict[str, Handler] = {}


def perform(name: str, **arguments: str) -> None:
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

    max_connection_wait_time = 2

    def _install_signal_handlers(self) -> None:
        """Leave signals to `run_worker`."""


def run_worker(redis_url: str, queues: Sequence[str], handlers: Mapping[str, Handler]) -> None:
    """Perform jobs of these queues, first queue first, until SIGTERM or SIGINT. Call it from the main thread.

    A job under way is finished first. While Redis is away the worker waits for it.
    """
    _handlers.update(handlers)
    is_stopping = threading.Event()
    current: list[_Worker] = []

    def stop(*_: Any) -> None:
        is_stopping.set()
        for worker in current:
            worker._stop_requested = True  # pyright: ignore[reportPrivateUsage]

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    while not is_stopping.is_set():
        connection = redis.Redis.from_url(
            redis_url, socket_connect_timeout=_CONNECT_TIMEOUT_S, retry=Retry(NoBackoff(), 0)
        )
        try:
            worker = _Worker(
                [Queue(name, connection=connection, serializer=JSONSerializer) for name in queues],
                connection=connection,
                serializer=JSONSerializer,
                log_job_description=False,
                worker_ttl=30,
            )
            current[:] = [worker]
            worker.work(logging_level="WARNING", max_idle_time=2)
        except redis.RedisError as error:
            log.warning("redis_away", extra={"reason": type(error).__name__})
            is_stopping.wait(_RECONNECT_EVERY_S)
