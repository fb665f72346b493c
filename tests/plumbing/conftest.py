import os
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from psycopg import Connection
from psycopg_pool import ConnectionPool

from plumbing import postgres
from recado.stack import postgres as embedded, processes, valkey as embedded_valkey

Pool = ConnectionPool[Connection[Any]]


class Restartable:
    """A server of one test's own, which it may stop, kill and start again."""

    def __init__(self, program: processes.Program, log: Path) -> None:
        self._program = program
        self._log = log
        self._child: processes.Child | None = None

    def start(self) -> None:
        self._program.prepare()
        self._child = processes.Child(self._program, self._log)
        processes.wait_until_healthy(self._child)

    def stop(self) -> None:
        if self._child is not None:
            self._child.stop()

    def kill(self) -> None:
        assert self._child is not None
        self._child.kill()


@pytest.fixture
def restartable_postgres(tmp_path: Path) -> Iterator[tuple[Restartable, str]]:
    server = embedded.Server(data=tmp_path / "pg", password="p", port=processes.free_port(), is_durable=False)
    server.initialise()
    running = Restartable(server.program({**os.environ}), tmp_path / "pg.log")
    running.start()
    yield running, server.url(database="postgres")
    running.stop()


@pytest.fixture
def restartable_valkey(tmp_path: Path) -> Iterator[tuple[Restartable, str]]:
    server = embedded_valkey.Server(
        data=tmp_path / "valkey", password="p", port=processes.free_port(), is_durable=True
    )
    running = Restartable(server.program({**os.environ}), tmp_path / "valkey.log")
    running.start()
    yield running, server.url
    running.stop()


@contextmanager
def pool_of(dsn: str, *, role: str = "recado", size_max: int = 4, **settings: float) -> Generator[Pool]:
    pool = postgres.open_pool(
        dsn,
        role=role,
        application_name="recado-test",
        size_max=size_max,
        statement_timeout_s=settings.get("statement_timeout_s", 10),
        lock_timeout_s=settings.get("lock_timeout_s", 5),
        idle_timeout_s=settings.get("idle_timeout_s", 10),
        acquire_timeout_s=settings.get("acquire_timeout_s", 1),
    )
    try:
        yield pool
    finally:
        pool.close()


@pytest.fixture
def pool(database: str) -> Iterator[Pool]:
    """A pool on this test's database, as its owner."""
    with pool_of(database) as opened:
        yield opened
