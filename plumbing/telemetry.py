"""Logs and metrics. Logs carry ids, sizes, durations and outcomes: never content, names or numbers."""

import logging
import os
import sys
import threading
from collections.abc import Generator, Mapping, MutableMapping
from pathlib import Path
from types import TracebackType
from typing import Any, Final, cast

import structlog
from prometheus_client import CollectorRegistry, multiprocess, start_http_server
from prometheus_client.multiprocess import MultiProcessCollector

from plumbing import errors

_FRAMES_MAX: Final = 40
# These speak of every connection, request and job, with addresses and arguments in them.
_CHATTY: Final = ("urllib3", "psycopg.pool", "rq", "werkzeug", "grpc")


def configure_logging(service: str) -> None:
    """Send every log of this process to standard error, one JSON object a line.

    Its keys are `event`, `service`, `level`, `logger`, `time` (UTC), `request_id` where a call is being
    served, and what `extra` brings. A trace says where and not what: exceptions quote what they
    choke on (PostgreSQL the row, a decoder the value), so their texts are left out.
    """
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="time"),
        _with_service(service),
    ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*shared, structlog.stdlib.ExtraAdder()],
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                _describe_exception,
                structlog.processors.JSONRenderer(default=_name_of_type, ensure_ascii=False),
            ],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(os.environ.get("RECADO_LOG_LEVEL", "INFO").upper())
    for chatty in _CHATTY:
        logging.getLogger(chatty).setLevel(logging.WARNING)
    logging.captureWarnings(capture=True)
    # Python's own way would print the exception's text.
    threading.excepthook = _log_failed_thread


def _log_failed_thread(failure: threading.ExceptHookArgs) -> None:
    name = failure.thread.name if failure.thread else ""
    log = logging.getLogger(__name__)
    log.error("thread_failed", exc_info=failure.exc_value, extra={"failed_thread": name})


def _with_service(service: str) -> Any:
    def add(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        event["service"] = service
        return event

    return add


def _name_of_type(value: object) -> str:
    """Stand in for what JSON cannot express, whose text might be anything."""
    return f"<{type(value).__name__}>"


def _describe_exception(
    _logger: Any, _method: str, event: MutableMapping[str, Any]
) -> MutableMapping[str, Any]:
    # An exception, the triple of sys.exc_info, or just true.
    info: Any = event.pop("exc_info", None)
    event.pop("stack_info", None)
    error = cast("tuple[Any, ...]", info)[1] if isinstance(info, tuple) else info
    if error is not None and not isinstance(error, BaseException):
        error = sys.exc_info()[1] if error else None
    if error is not None:
        event["exception"] = list(_describe(error))
    return event


def _describe(error: BaseException) -> Generator[Mapping[str, Any]]:
    """Tell where an exception comes from and what kind it is, then the same of its causes; not its text."""
    seen: set[int] = set()
    current: BaseException | None = error
    while current is not None and id(current) not in seen:
        seen.add(id(current))
        kind = type(current)
        described: dict[str, Any] = {"type": f"{kind.__module__}.{kind.__qualname__}"}
        if isinstance(current, errors.RecadoError):
            described["detail"] = current.detail  # ours, without content
        # PostgreSQL's name of the trouble and of the rule that was broken; its messages quote rows.
        for name in ("sqlstate", "errno"):
            if isinstance(found := getattr(current, name, None), str | int):
                described[name] = found
        constraint = getattr(getattr(current, "diag", None), "constraint_name", None)
        if isinstance(constraint, str):
            described["constraint"] = constraint
        described["frames"] = list(_frames(current.__traceback__))[-_FRAMES_MAX:]
        yield described
        current = current.__cause__ or (None if current.__suppress_context__ else current.__context__)


def _frames(traceback: TracebackType | None) -> Generator[str]:
    while traceback is not None:
        code = traceback.tb_frame.f_code
        path = Path(code.co_filename)
        yield f"{'/'.join(path.parts[-2:])}:{traceback.tb_lineno} {code.co_qualname}"
        traceback = traceback.tb_next


def serve_metrics(port: int, *, host: str = "127.0.0.1") -> None:
    """Serve /metrics of this process on its own port, in a thread; 0 is off.

    RECADO_METRICS_HOST replaces `host`, for containers.
    """
    if port:
        start_http_server(port, addr=os.environ.get("RECADO_METRICS_HOST", host))


def serve_metrics_of_workers(port: int, *, host: str = "127.0.0.1") -> None:
    """Serve /metrics summed over worker processes, in the master of gunicorn; 0 is off.

    PROMETHEUS_MULTIPROC_DIR must name an empty directory before prometheus_client is imported for the
    first time, in the master too. Each worker that ends is given to `forget_worker`.
    """
    if port:
        registry = CollectorRegistry()
        MultiProcessCollector(registry)
        start_http_server(port, addr=os.environ.get("RECADO_METRICS_HOST", host), registry=registry)


def forget_worker(pid: int) -> None:
    """Drop what a worker that has ended said about the present; its counts stay."""
    if os.environ.get("PROMETHEUS_MULTIPROC_DIR"):
        cast("Any", multiprocess).mark_process_dead(pid)
