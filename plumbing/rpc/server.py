"""A gRPC server with health, reflection, authentication, and an orderly end."""

import logging
import signal
import threading
from collections.abc import Callable, Sequence
from concurrent import futures
from typing import Final

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from plumbing import tokens
from plumbing.rpc import MESSAGE_BYTES_MAX
from plumbing.rpc.interceptors import ServerInterceptor

log = logging.getLogger(__name__)

_READY_EVERY_S: Final = 2.0
_GRACE_S: Final = 5.0


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
        on_stop: Callable[[], None] | None,
        ready: Callable[[], bool] | None,
    ) -> None:
        self._name = name
        self._on_stop = on_stop
        self._ready = ready
        self._names = ("", *full_names)
        self._is_stopping = threading.Event()
        self._server = grpc.server(
            futures.ThreadPoolExecutor(max_workers=workers, thread_name_prefix=name),
            interceptors=[ServerInterceptor(verifier)],
            options=[
                ("grpc.max_receive_message_length", MESSAGE_BYTES_MAX),
                ("grpc.max_send_message_length", MESSAGE_BYTES_MAX),
                # Two servers on one port would share its calls unseen; fail instead.
                ("grpc.so_reuseport", 0),
            ],
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
        self._tell(serving=True)
        self._server.start()
        if self._ready:
            threading.Thread(target=self._watch, args=(self._ready,), name="ready", daemon=True).start()
        log.info("listening", extra={"address": self.address})

    def stop(self) -> None:
        """Refuse new calls, let those under way end, then close what they used."""
        self._is_stopping.set()
        self._health.enter_graceful_shutdown()
        self._server.stop(_GRACE_S).wait()
        if self._on_stop:
            self._on_stop()
        log.info("stopped")

    def _tell(self, *, serving: bool) -> None:
        states = health_pb2.HealthCheckResponse
        state = states.SERVING if serving else states.NOT_SERVING
        for name in self._names:
            self._health.set(name, state)

    def _watch(self, ready: Callable[[], bool]) -> None:
        while not self._is_stopping.wait(_READY_EVERY_S):
            self._tell(serving=ready())


def start(
    name: str,
    *,
    address: str,
    register: Callable[[grpc.Server], None],
    full_names: Sequence[str],
    verifier: tokens.Verifier,
    workers: int,
    on_stop: Callable[[], None] | None = None,
    ready: Callable[[], bool] | None = None,
) -> Server:
    """Start a server and return it. RuntimeError when the address is taken.

    `full_names` are the services for health and reflection; `ready` is asked every two seconds.
    """
    server = Server(
        name,
        address=address,
        register=register,
        full_names=full_names,
        verifier=verifier,
        workers=workers,
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
    on_stop: Callable[[], None] | None = None,
    ready: Callable[[], bool] | None = None,
) -> None:
    """Serve until SIGTERM or SIGINT, then stop in order. Call it from the main thread."""
    finish = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: finish.set())
    server = start(
        name,
        address=address,
        register=register,
        full_names=full_names,
        verifier=verifier,
        workers=workers,
        on_stop=on_stop,
        ready=ready,
    )
    finish.wait()
    server.stop()
