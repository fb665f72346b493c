"""Connections to PostgreSQL, and transactions that end one way or the other."""

import random
import time
from collections.abc import Callable
from typing import Any, Final, TypeVar

import psycopg
from psycopg import Connection, conninfo
from psycopg_pool import ConnectionPool, PoolClosed, PoolTimeout, TooManyRequests

from plumbing import errors

T = TypeVar("T")

_CONNECT_TIMEOUT_S: Final = 3
_RETRY_DELAY_MAX_S: Final = 0.05
# Transactions that lost against another one and may simply be tried again.
_LOST: Final = (psycopg.errors.SerializationFailure, psycopg.errors.DeadlockDetected)


class Retry(Exception):
    """Raised by a transaction's work: roll back and do it again, on a fresh view of the data."""


def open_pool(
    dsn: str,
    *,
    role: str,
    application_name: str,
    size_max: int,
    statement_timeout_s: float,
    lock_timeout_s: float,
    idle_timeout_s: float,
    acquire_timeout_s: float,
) -> ConnectionPool[Connection[Any]]:
    """Open a pool whose connections act as `role`, whatever login `dsn` brings.

    Returns at once and connects in the background, again and again while PostgreSQL is away; asking
    it for a connection then fails after `acquire_timeout_s`.
    """
    settings = {
        "role": role,
        "TimeZone": "UTC",
        "statement_timeout": f"{round(statement_timeout_s * 1000)}",
        "lock_timeout": f"{round(lock_timeout_s * 1000)}",
        "idle_in_transaction_session_timeout": f"{round(idle_timeout_s * 1000)}",
    }
    given = conninfo.conninfo_to_dict(dsn)
    options = " ".join(
        [str(given.get("options") or ""), *(f"-c {name}={value}" for name, value in settings.items())]
    ).strip()
    pool: ConnectionPool[Connection[Any]] = ConnectionPool(
        conninfo.make_conninfo(
            dsn, options=options, application_name=application_name, connect_timeout=_CONNECT_TIMEOUT_S
        ),
        # COMMIT and BEGIN are sent by `_attempt`, together with the timeout.
        kwargs={"autocommit": True},
        min_size=min(2, size_max),
        max_size=size_max,
        timeout=acquire_timeout_s,
        reconnect_timeout=float("inf"),
        open=False,
        name=application_name,
    )
    pool.open(wait=False)
    return pool


def run_transaction(
    pool: ConnectionPool[Connection[Any]],
    work: Callable[[Connection[Any]], T],
    *,
    timeout_s: float,
    attempts: int = 5,
) -> T:
    """Do `work` in one READ COMMITTED transaction and return its result after the commit.

    The whole work is done again when the transaction loses against another one (40001, 40P01) and
    when it raises Retry; it must not do anything outside the database that cannot be repeated.

    Raises Unavailable when PostgreSQL is away, also when it went away during the commit: then the
    outcome is unknown, and the caller must be able to try again. Raises DeadlineExceeded when
    `timeout_s` is over. What `work` raises passes through after the rollback.
    """
    return _run(pool, work, begin="BEGIN", timeout_s=timeout_s, attempts=attempts)


def run_read(
    pool: ConnectionPool[Connection[Any]], work: Callable[[Connection[Any]], T], *, timeout_s: float
) -> T:
    """Do `work` in one read-only transaction that sees one moment. Raises like `run_transaction`."""
    return _run(
        pool, work, begin="BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY", timeout_s=timeout_s, attempts=2
    )


def ping(pool: ConnectionPool[Connection[Any]]) -> bool:
    """Tell whether PostgreSQL answers."""
    try:
        run_read(pool, lambda conn: conn.execute("SELECT 1"), timeout_s=2)
    except errors.RecadoError:
        return False
    return True


def _run(
    pool: ConnectionPool[Connection[Any]],
    work: Callable[[Connection[Any]], T],
    *,
    begin: str,
    timeout_s: float,
    attempts: int,
) -> T:
    deadline = time.monotonic() + timeout_s
    attempt = stale = 0
    while True:
        attempt += 1
        try:
            return _attempt(pool, work, begin, deadline)
        except (*_LOST, Retry) as error:
            if attempt == attempts:
                raise errors.Unavailable("the transaction lost against others", retry_after_s=1) from error
            time.sleep(random.uniform(0, _RETRY_DELAY_MAX_S * attempt))  # noqa: S311 - not a secret
        except _StaleConnection as error:
            # The server closed it while it lay in the pool, perhaps all of them; nothing has been done yet.
            attempt, stale = attempt - 1, stale + 1
            if stale > pool.max_size:
                raise errors.Unavailable("PostgreSQL closed the connection", retry_after_s=1) from error
        except psycopg.errors.QueryCanceled as error:
            raise errors.DeadlineExceeded("PostgreSQL did not answer in time") from error
        except (
            PoolTimeout,
            PoolClosed,
            TooManyRequests,
            psycopg.OperationalError,
            psycopg.InterfaceError,
        ) as error:
            if isinstance(error, psycopg.errors.ProgramLimitExceeded):
                raise
            raise errors.Unavailable("PostgreSQL is away", retry_after_s=1) from error


class _StaleConnection(Exception):
    pass


def _attempt(
    pool: ConnectionPool[Connection[Any]], work: Callable[[Connection[Any]], T], begin: str, deadline: float
) -> T:
    remaining_s = deadline - time.monotonic()
    if remaining_s <= 0:
        raise errors.DeadlineExceeded("no time left")
    with pool.connection(timeout=min(pool.timeout, remaining_s)) as conn:
        remaining_ms = max(1, round((deadline - time.monotonic()) * 1000))
        try:
            conn.execute(f"{begin}; SET LOCAL statement_timeout = {remaining_ms}".encode())
        except psycopg.OperationalError as error:
            raise _StaleConnection from error
        try:
            result = work(conn)
        except BaseException:
            if not conn.closed:
                try:
                    conn.execute("ROLLBACK")
                except psycopg.Error:
                    conn.close()
            raise
        conn.execute("COMMIT")
        return result
