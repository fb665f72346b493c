"""Logs and metrics. Logs carry ids, sizes, durations and outcomes: never content, names or numbers."""

import logging
import os
import sys
from typing import Any

import structlog
from prometheus_client import CollectorRegistry, start_http_server
from prometheus_client.multiprocess import MultiProcessCollector


def configure_logging(service: str) -> None:
    """Send every log of this process to standard error, one JSON object a line."""
    shared: list[Any] = [
        structlog.stdlib.add_log_level,
        structlog.stdlib.ExtraAdder(),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _with_service(service),
    ]
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.format_exc_info,
                structlog.processors.JSONRenderer(),
            ],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(os.environ.get("RECADO_LOG_LEVEL", "INFO").upper())
    # These speak of every connection and request, with addresses in them.
    for chatty in ("urllib3", "psycopg.pool", "rq", "werkzeug"):
        logging.getLogger(chatty).setLevel(logging.WARNING)


def _with_service(service: str) -> Any:
    def add(_logger: Any, _method: str, event: dict[str, Any]) -> dict[str, Any]:
        event["service"] = service
        return event

    return add


def serve_metrics(port: int, *, host: str = "127.0.0.1") -> None:
    """Serve /metrics of this process on its own port, in a thread; 0 is off."""
    if port:
        start_http_server(port, addr=os.environ.get("RECADO_METRICS_HOST", host))


def serve_metrics_of_workers(port: int, *, host: str = "127.0.0.1") -> None:
    """Serve /metrics summed over worker processes, from PROMETHEUS_MULTIPROC_DIR's folder; 0 is off."""
    if port:
        registry = CollectorRegistry()
        MultiProcessCollector(registry)
        start_http_server(port, addr=os.environ.get("RECADO_METRICS_HOST", host), registry=registry)
