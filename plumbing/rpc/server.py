"""A gRPC server with health, reflection, authentication, and an orderly end."""

import logging
import signal
import threading
from collections.abc import Callable, Sequence
from concurrent import futures
from types import FrameType
from typing import Final

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from plumbing import tokens
from plumbing.rpc import MESSAGE_BYTES_MAX, METADATA_BYTES_MAX
from plumbing.rpc.interceptors import ServerInterceptor

log = logging.getLogger(__name__)

_READY_EVERY_S: Final = 2.0
_GRACE_S: Final = 5.0
_OPTIONS: Final = [
    ("grpc.max_receive_message_length", MESSAGE_BYTES_MAX),
    ("grpc.max_send_message_length", MESSAGE_BYTES_MAX),
    ("grpc.max_metadata_size", METADATA_BYTES_MAX),
    # Two servers on one port would share its calls unseen; fail instead.
    ("grpc.so_reuseport", 0),
    # Clients ask every 30 s whether we are still there (plumbing.rpc.client). By default more than once
    # in five minutes counts as abuse, and the connection is closed under a long call.
    ("grpc.http2.min_recv_ping_interval_without_data_ms", 10_000),
    ("grpc.keepalive_permit_without_calls", 1),
]


class Server:
    """A running server. `address` is where it listens, with the port that was chosen for port 0."""

    def __init__(
        self,
        name: str,
        *,
        address: str,
        register: Callable[[grpc.Server], None],
        full_names: Sequence[str],
        verifier: tokens.Verifier,
        workers: int,
        on_stopping: Callable[[], None] | None,
        on_stop: Callable[[], None] | None,
        ready: Callable[[], bool] | None,
    ) -> None:
        self._on_stopping = on_stopping
        self._on_stop = on_stop
        self._ready = ready
        self._names = ("", *full_names)
        self._is_serving: bool | None = None
        self._is_stopping = threading.Event()
        # Whoever asks whether we are alive is answered even while every worker waits for PostgreSQL.
        self._probes = futures.ThreadPoolExecutor(1, thread_name_prefix="probe")
        self._server = grpc.server(
            futures.ThreadPoolExecutor(workers, thread_name_prefix=name),
            interceptors=[ServerInterceptor(verifier, probes=self._probes)],
            options=_OPTIONS,
        )
        self._health = health.HealthServicer()
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        register(self._server)
        reflection.enable_server_reflection(
            (*full_names, reflection.SERVICE_NAME, health.SERVICE_NAME), self._server
        )
        host = address.rpartition(":")[0]
        self.address = f"{host}:{self._server.add_insecure_port(address)}"

    def start(self) -> None:
        self._look()
        self._server.start()
        if self._ready is not None:
            threading.Thread(target=self._watch, name="ready", daemon=True).start()
        log.info("listening", extra={"address": self.address})

    def stop(self) -> None:
        """Refuse new calls, let those under way end, then close what they used. Once is enough."""
        if self._is_stopping.is_set():
            return
        self._is_stopping.set()
        # First, so that a balancer that asks sends nobody here any more. It also ends the setting of states.
        self._health.enter_graceful_shutdown()
        if self._on_stopping is not None:
            self._on_stopping()
        self._server.stop(_GRACE_S).wait()
        self._probes.shutdown(wait=False)
        if self._on_stop is not None:
            self._on_stop()
        log.info("stopped")

    def _watch(self) -> None:
        while not self._is_stopping.wait(_READY_EVERY_S):
            self._look()

    def _look(self) -> None:
        """Tell health what `ready` says. It informs whoever asks and stops no call."""
        try:
            is_serving = self._ready is None or self._ready()
        except Exception:
            log.exception("ready_failed")
            is_serving = False
        if is_serving == self._is_serving or self._is_stopping.is_set():
            return
        if self._is_serving is not None:
            log.warning("readiness_changed", extra={"is_serving": is_serving})
        self._is_serving = is_serving
        states = health_pb2.HealthCheckResponse
        for name in self._names:
            self._health.set(name, states.SERVING if is_serving else states.NOT_SERVING)


def start(
    name: str,
    *,
    address: str,
    register: Callable[[grpc.Server], None],
    full_names: Sequence[str],
    verifier: tokens.Verifier,
    workers: int,
    on_stopping: Callable[[], None] | None = None,
    on_stop: Callable[[], None] | None = None,
    ready: Callable[[], bool] | None = None,
) -> Server:
    """Start a server and return it. RuntimeError when the address is taken.

    `full_names` are the services for health and reflection; `ready` is asked at the start and then
    every two seconds; `workers` calls are served at once, others wait; `on_stopping` ends the streams that
    would go on, `on_stop` closes what calls use.
    """
    server = Server(
        name,
        address=address,
        register=register,
        full_names=full_names,
        verifier=verifier,
        workers=workers,
        on_stopping=on_stopping,
        on_stop=on_stop,
        ready=ready,
    )
    server.start()
    return server


def run(
    name: str,
    *,
    address: str,
    register: Callable[[grpc.Server], None],
    full_names: Sequence[str],
    verifier: tokens.Verifier,
    workers: int,
    on_stopping: Callable[[], None] | None = None,
    on_stop: Callable[[], None] | None = None,
    ready: Callable[[], bool] | None = None,
) -> None:
    """Serve until SIGTERM or SIGINT, then stop in order. Call it from the main thread."""
    finish = threading.Event()

    def ask_to_finish(_number: int, _frame: FrameType | None) -> None:
        finish.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, ask_to_finish)
    server = start(
        name,
        address=address,
        register=register,
        full_names=full_names,
        verifier=verifier,
        workers=workers,
        on_stopping=on_stopping,
        on_stop=on_stop,
        ready=ready,
    )
    finish.wait()
    server.stop()
