"""A history service over a real database, and somebody who writes into it."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from history_service import audit, service
from plumbing import postgres, tokens
from plumbing.rpc import client, server
from protos import history_pb2_grpc
from tests.history_service.archive import Archive


@pytest.fixture
def archive(database: str) -> Iterator[Archive]:
    archive = Archive(database)
    yield archive
    archive.conn.close()


@pytest.fixture
def history(database_url_for: Callable[[str], str], auth_secret: str) -> Iterator[Any]:
    """A stub whose methods take (request, token) and raise the errors of plumbing.errors."""
    pool, recording = (
        postgres.open_pool(
            database_url_for("recado_history"),
            role="recado_history",
            application_name="recado-history",
            size_max=size,
            statement_timeout_s=10,
            lock_timeout_s=2,
            idle_timeout_s=10,
            acquire_timeout_s=5,
        )
        for size in (2, 1)
    )
    recorder = audit.Recorder(recording)
    servicer = service.HistoryServicer(pool, recorder, clock=lambda: datetime.now(UTC))
    running = server.start(
        "history",
        address="127.0.0.1:0",
        register=lambda grpc_server: service.register(grpc_server, servicer),
        full_names=[service.FULL_NAME],
        verifier=tokens.Verifier(auth_secret),
        workers=4,
        on_stopping=servicer.stop,
    )
    channel = client.open_channel(running.address)
    yield _Caller(history_pb2_grpc.HistoryServiceStub(channel))
    channel.close()
    running.stop()
    recorder.stop()
    pool.close()
    recording.close()


class _Caller:
    def __init__(self, stub: Any) -> None:
        self._stub = stub

    def __getattr__(self, method: str) -> Callable[[Any, str], Any]:
        if method in ("ExportMessages", "WatchMessages", "WatchLeads"):
            return lambda request, token: client.stream(
                getattr(self._stub, method), request, token=token, timeout_s=20
            )
        return lambda request, token: client.call(
            getattr(self._stub, method), request, token=token, timeout_s=10
        )
