"""Run the gateway: gunicorn with gevent workers, each with its own channels."""

import contextlib
import ctypes
import logging
import os
import shutil
import signal
import sys
import tempfile
import warnings
from collections.abc import Generator
from typing import Any, Final

from gunicorn import glogging
from gunicorn.app.base import BaseApplication

from gateway import settings

log = logging.getLogger("gateway.server")

_BACKLOG: Final = 2048
_CONNECTIONS_PER_WORKER: Final = 1000
# Longer than Meta and load balancers keep a connection idle, so that it is they who close it.
_KEEPALIVE_S: Final = 65
# A connection that takes nothing of its answer for so long, or gives nothing of its body, is closed: it
# holds the memory of what was read for it. Longer than it may be idle between two requests.
_STALLED_S: Final = 75
_GRACE_S: Final = 5
_REQUEST_LINE_BYTES_MAX: Final = 8190
_PR_SET_PDEATHSIG: Final = 1
_METRICS_FOLDER: Final = "PROMETHEUS_MULTIPROC_DIR"
# What a refused request still sends is read, up to this, so that its sender reads our answer.
_DRAINED_BYTES_MAX: Final = 16 * 1024 * 1024


class _Logger(glogging.Logger):
    """Hands what gunicorn reports to our log, less what it quotes of requests and callers."""

    def setup(self, cfg: Any) -> None:
        super().setup(cfg)
        self.error_log.handlers.clear()
        self.error_log.propagate = True

    def exception(self, msg: Any, *args: Any, **kwargs: Any) -> None:
        if isinstance(sys.exception(), TimeoutError):
            log.info("connection_stalled")
            return
        # Its text would be the address that was asked for, with everything in it.
        self.error_log.error("gunicorn_failed", exc_info=True)


class Gateway(BaseApplication):
    def __init__(self, config: settings.Settings) -> None:
        self._config = config
        super().__init__()

    def load_config(self) -> None:
        for name, value in {
            "bind": f"{self._config.host}:{self._config.port}",
            "workers": self._config.workers,
            # docs/decisions/0004: twice the webhooks of threads.
            "worker_class": "gevent",
            "worker_connections": _CONNECTIONS_PER_WORKER,
            "backlog": _BACKLOG,
            "keepalive": _KEEPALIVE_S,
            # The most it knows: what is too long should be refused by us, who can say which parameter.
            "limit_request_line": _REQUEST_LINE_BYTES_MAX,
            "graceful_timeout": _GRACE_S,
            "accesslog": None,
            # Its warnings are of malformed requests, and quote them.
            "loglevel": "error",
            "logger_class": _Logger,
            "post_fork": _after_fork,
            "pre_request": _before_request,
            "child_exit": _forget_metrics,
            "proc_name": "recado-gateway",
            "control_socket_disable": True,
        }.items():
            self.cfg.set(name, value)

    def load(self) -> Any:
        """Make the application; called in each worker, patched by gevent, after the fork."""
        from gateway import app, backends
        from plumbing.rpc import client

        client.prepare_gevent()
        return app.create(
            self._config,
            backends.Backends(
                capture_address=self._config.capture_address,
                history_address=self._config.history_address,
                auth_secret=self._config.auth_secret,
                jwks_url=self._config.jwks_url,
                issuer=self._config.issuer,
                audience=self._config.audience,
            ),
        )


def _after_fork(_server: Any, worker: Any) -> None:
    if sys.platform == "linux":
        # A worker without its master would go on holding the port.
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != worker.ppid:  # it died before it could be heard of
            os.kill(os.getpid(), signal.SIGTERM)


def _before_request(_worker: Any, request: Any) -> None:
    request.unreader.sock.settimeout(_STALLED_S)
    # gunicorn reads a body that we have refused to its end, however long, before the connection's next
    # request; such a connection is closed instead.
    for name, value in request.headers:
        if name == "TRANSFER-ENCODING" or (
            name == "CONTENT-LENGTH" and not (value.isdigit() and int(value) <= _DRAINED_BYTES_MAX)
        ):
            request.force_close()


def _forget_metrics(_server: Any, worker: Any) -> None:
    from plumbing import telemetry

    telemetry.forget_worker(worker.pid)


@contextlib.contextmanager
def _metrics_folder() -> Generator[None]:
    """Name the empty folder in which the workers add up their counters: the one given, or one of our own."""
    if os.environ.get(_METRICS_FOLDER):
        yield
        return
    master = os.getpid()
    folder = tempfile.mkdtemp(prefix="recado-metrics-")
    os.environ[_METRICS_FOLDER] = folder
    try:
        yield
    finally:
        # A worker that ends comes by here too, while the others still count.
        if os.getpid() == master:
            shutil.rmtree(folder, ignore_errors=True)


def main() -> None:
    config = settings.load(os.environ)
    with _metrics_folder():
        # Only now: prometheus_client looks for the folder when it is imported.
        from plumbing import telemetry

        telemetry.configure_logging("gateway")
        telemetry.serve_metrics_of_workers(config.metrics_port)
        # The settings brought PyJWT and it ssl, which a worker patches once more; no worker speaks TLS.
        warnings.filterwarnings("ignore", message="Monkey-patching ssl after ssl")
        # gunicorn reads arguments of its own otherwise.
        sys.argv = sys.argv[:1]
        Gateway(config).run()


if __name__ == "__main__":
    main()
