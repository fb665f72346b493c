"""Run the gateway: gunicorn with gevent workers, each with its own channels."""

import ctypes
import os
import signal
import sys
import tempfile
from typing import Any, Final

from gunicorn.app.base import BaseApplication

from gateway import settings

_BACKLOG: Final = 2048
_CONNECTIONS_PER_WORKER: Final = 1000
# Longer than Meta and load balancers keep a connection idle, so that it is they who close it.
_KEEPALIVE_S: Final = 65
_GRACE_S: Final = 10
_PR_SET_PDEATHSIG: Final = 1


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
            "graceful_timeout": _GRACE_S,
            "accesslog": None,
            "loglevel": "warning",
            "post_fork": _after_fork,
            "child_exit": _forget_metrics,
            "proc_name": "recado-gateway",
            "control_socket_disable": True,
        }.items():
            if name in self.cfg.settings:
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
            ),
        )


def _after_fork(_server: Any, _worker: Any) -> None:
    if sys.platform == "linux":
        # A worker without its master would go on holding the port.
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def _forget_metrics(_server: Any, worker: Any) -> None:
    from prometheus_client import multiprocess

    multiprocess.mark_process_dead(worker.pid)


def main() -> None:
    config = settings.load(os.environ)
    with tempfile.TemporaryDirectory(prefix="recado-metrics-") as folder:
        # Read when prometheus_client is first imported, so set before anything that counts.
        os.environ["PROMETHEUS_MULTIPROC_DIR"] = folder
        from plumbing import telemetry, tokens

        telemetry.configure_logging("gateway")
        tokens.check_secret(config.auth_secret)
        telemetry.serve_metrics_of_workers(config.metrics_port)
        # gunicorn reads arguments of its own otherwise.
        sys.argv = sys.argv[:1]
        Gateway(config).run()


if __name__ == "__main__":
    main()
