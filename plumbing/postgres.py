"""Connections to PostgreSQL, and transactions that end one way or the other."""

import random
import time
from collections.abc import Callable
from typing import Any, Final, LiteralString, TypeAlias, TypeVar

import psycopg
from psycopg import Connection, conninfo, sql
from psycopg_pool import ConnectionPool, PoolClosed, PoolTimeout, TooManyRequests

from plumbing import errors

T = TypeVar("T")

# By these names the rest of the code speaks of psycopg's types, which only stores import.
Transaction: TypeAlias = Connection[Any]
"""An open transaction, as `run_transaction` and `run_read` give it to their work."""
Pool: TypeAlias = ConnectionPool[Connection[Any]]
Error = psycopg.Error

_CONNECT_TIMEOUT_S: Final = 2
# The pool doubles its pause between attempts until it gives up, and then begins anew with the next
# request. Patience of its own would make it look away for minutes after an outage of minutes.
_RECONNECT_TIMEOUT_S: Final = 1.0
_RETRY_DELAY_MAX_S: Final = 0.05
_RETRY_AFTER_S: Final = 1.0

# A peer that vanished without a word (a machine that died) is noticed while an answer is awaited.
# Whoever runs the database may set others in the connection string.
_KEEPALIVES: Final = {
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 15_000,
}

# Transactions that lost against another one and may simply be tried again.
_LOST: Final = (psycopg.errors.SerializationFailure, psycopg.errors.DeadlockDetected)
_TOO_SLOW: Final = (
    psycopg.errors.QueryCanceled,
    psycopg.errors.IdleInTransactionSessionTimeout,
    psycopg.errors.TransactionTimeout,
)
# Classes of SQLSTATE that speak of the server and not of the statement: connection, rolled back for
# reasons of its own, out of resources, operator intervened, system. Others of psycopg's "operational"
# errors are about data (54000: a row too large for an index) and no retry would help them.
_AWAY: Final = ("08", "40", "53", "57", "58")


class Retry(Exception):
    """Raised by a transaction's work: roll back and do it again, on a fresh view of the data."""


def blames_the_data(error: Exception) -> bool:
    """Tell an error that the data written causes, now and ever, from one of the database or its set-up."""
    return isinstance(
        error,
        psycopg.DataError
        | psycopg.IntegrityError
        | psycopg.errors.CardinalityViolation
        | psycopg.errors.RaiseException
        | psycopg.errors.ProgramLimitExceeded,
    )


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
    it for a connection then fails after `acquire_timeout_s`. `dsn` may carry options of its own; ours
    come after them and win. `idle_timeout_s` is how long a transaction may do nothing.
    """
    settings = {
        "role": role,
        "TimeZone": "UTC",
        "statement_timeout": f"{round(statement_timeout_s * 1000)}",
        "lock_timeout": f"{round(lock_timeout_s * 1000)}",
        "idle_in_transaction_session_timeout": f"{round(idle_timeout_s * 1000)}",
        # Starting workers and compiling cost more than the short statements that are asked here.
        "max_parallel_workers_per_gather": "0",
        "jit": "off",
    }
    given = conninfo.conninfo_to_dict(dsn)
    options = " ".join(
        [str(given.get("options") or ""), *(f"-c {name}={value}" for name, value in settings.items())]
    ).strip()
    pool: ConnectionPool[Connection[Any]] = ConnectionPool(
        conninfo.make_conninfo(
            "",
            **{
                "connect_timeout": _CONNECT_TIMEOUT_S,
                **_KEEPALIVES,
                **given,
                "options": options,
                "application_name": application_name,
            },
        ),
        # BEGIN and COMMIT are sent by `_attempt`: the one together with the timeout, the other looked at.
        kwargs={"autocommit": True},
        min_size=min(2, size_max),
        max_size=size_max,
        timeout=acquire_timeout_s,
        reconnect_timeout=_RECONNECT_TIMEOUT_S,
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
    `timeout_s` bounds the wait for a connection, and then every statement by what is left.

    Raises Unavailable when PostgreSQL is away, also when it went away during the commit: then the
    outcome is unknown, and the caller must be able to try again. Raises DeadlineExceeded when
    `timeout_s` is over. What `work` raises passes through after the rollback.
    """
    try:
        return _run(pool, work, begin="BEGIN", timeout_s=timeout_s, attempts=attempts)
    except psycopg.errors.ReadOnlySqlTransaction as error:
        # After a failover: the connection led to what has become a standby.
        raise _unavailable("PostgreSQL takes no writes now") from error


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
    begin: LiteralString,
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
                raise _unavailable("the transaction lost against others") from error
            time.sleep(random.uniform(0, _RETRY_DELAY_MAX_S * attempt))  # noqa: S311 - not a secret
        except _StaleConnection as error:
            # The server closed it while it lay in the pool, perhaps all of them; nothing has been done yet.
            attempt, stale = attempt - 1, stale + 1
            if stale > pool.max_size:
                raise _unavailable("PostgreSQL closes its connections") from error
        except _TOO_SLOW as error:
            raise errors.DeadlineExceeded("PostgreSQL did not answer in time") from error
        except psycopg.errors.LockNotAvailable as error:
            raise _unavailable("a lock was not free in time") from error
        except (PoolTimeout, PoolClosed, TooManyRequests) as error:
            raise _unavailable("no connection to PostgreSQL") from error
        except psycopg.OperationalError as error:
            if error.sqlstate and not error.sqlstate.startswith(_AWAY):
                raise
            raise _unavailable("PostgreSQL is away") from error


class _StaleConnection(Exception):
    """It failed before anything was done with it."""


def _unavailable(detail: str) -> errors.Unavailable:
    return errors.Unavailable(detail, retry_after_s=_RETRY_AFTER_S)


def _attempt(
    pool: ConnectionPool[Connection[Any]],
    work: Callable[[Connection[Any]], T],
    begin: LiteralString,
    deadline: float,
) -> T:
    remaining_s = deadline - time.monotonic()
    if remaining_s <= 0:
        raise errors.DeadlineExceeded("no time left")
    with pool.connection(timeout=min(pool.timeout, remaining_s)) as conn:
        remaining_ms = max(1, round((deadline - time.monotonic()) * 1000))
        try:
            # One round trip for both.
            conn.execute(
                sql.SQL(begin)
                + sql.SQL("; SET LOCAL statement_timeout = {}").format(sql.Literal(remaining_ms))
            )
        except psycopg.OperationalError as error:
            conn.close()
            raise _StaleConnection from error
        try:
            result = work(conn)
        except psycopg.errors.ReadOnlySqlTransaction:
            conn.close()
            raise
        except BaseException:
            _roll_back(conn)
            raise
        # A transaction in which a statement failed answers COMMIT with a rollback and no error: whoever
        # swallowed that statement's error would be told that all is well.
        if conn.execute("COMMIT").statusmessage != "COMMIT":
            raise psycopg.errors.InFailedSqlTransaction("a statement failed, and its error was swallowed")
        return result


def _roll_back(conn: Connection[Any]) -> None:
    try:
        if not conn.closed:
            conn.execute("ROLLBACK")
    except psycopg.Error:
        conn.close()
