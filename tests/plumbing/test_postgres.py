import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, LiteralString

import psycopg
import pytest
from psycopg import Connection, sql

from plumbing import errors, postgres
from tests.plumbing.conftest import Pool, Restartable, pool_of

Work = Callable[[Connection[Any]], Any]


def settings_of(conn: Connection[Any]) -> dict[str, str]:
    names = ["role", "TimeZone", "lock_timeout", "idle_in_transaction_session_timeout", "work_mem"]
    rows = conn.execute("SELECT name, current_setting(name) FROM unnest(%s::text[]) AS name", (names,))
    return dict(rows.fetchall())


@pytest.fixture
def table(pool: Pool) -> str:
    def work(conn: Connection[Any]) -> None:
        conn.execute("CREATE TABLE things (id int PRIMARY KEY DEFERRABLE INITIALLY DEFERRED, n int)")
        conn.execute("INSERT INTO things VALUES (1, 0), (2, 0)")

    postgres.run_transaction(pool, work, timeout_s=5)
    return "things"


def rows_of(pool: Pool) -> list[Any]:
    return postgres.run_read(
        pool, lambda conn: conn.execute("SELECT id, n FROM things ORDER BY id").fetchall(), timeout_s=5
    )


def test_a_connection_acts_as_its_role_with_limits(database: str, database_url_for: Callable[[str], str]):
    dsn = database_url_for("recado_history")
    dsn += ("&" if "?" in dsn else "?") + "options=-c%20work_mem%3D7MB%20-c%20lock_timeout%3D99"

    with pool_of(dsn, role="recado_history", lock_timeout_s=1.5) as opened:
        found = postgres.run_read(opened, settings_of, timeout_s=5)

        assert found == {
            "role": "recado_history",
            "TimeZone": "UTC",
            "lock_timeout": "1500ms",
            "idle_in_transaction_session_timeout": "10s",
            "work_mem": "7MB",
        }


def test_a_role_that_may_not_be_taken_is_unavailable(database_url_for: Callable[[str], str]):
    with (
        pool_of(database_url_for("recado_history"), role="recado_capture") as opened,
        pytest.raises(errors.Unavailable),
    ):
        postgres.run_read(opened, settings_of, timeout_s=5)


def test_what_is_returned_has_been_committed(pool: Pool, table: str):
    def work(conn: Connection[Any]) -> str:
        conn.execute("UPDATE things SET n = 7 WHERE id = 1")
        return "done"

    assert postgres.run_transaction(pool, work, timeout_s=5) == "done"
    assert rows_of(pool) == [(1, 7), (2, 0)]


def test_what_work_raises_passes_and_undoes(pool: Pool, table: str):
    def work(conn: Connection[Any]) -> None:
        conn.execute("UPDATE things SET n = 7")
        raise errors.NotFound("nobody")

    with pytest.raises(errors.NotFound):
        postgres.run_transaction(pool, work, timeout_s=5)

    assert rows_of(pool) == [(1, 0), (2, 0)]


def test_a_swallowed_error_is_no_commit(pool: Pool, table: str):
    def work(conn: Connection[Any]) -> str:
        conn.execute("UPDATE things SET n = 7")
        with contextlib.suppress(psycopg.errors.DivisionByZero):
            conn.execute("SELECT 1 / 0")
        return "done"

    with pytest.raises(psycopg.errors.InFailedSqlTransaction):
        postgres.run_transaction(pool, work, timeout_s=5)

    assert rows_of(pool) == [(1, 0), (2, 0)]


def test_an_error_inside_a_savepoint_may_be_swallowed(pool: Pool, table: str):
    def work(conn: Connection[Any]) -> str:
        conn.execute("UPDATE things SET n = 7")
        with contextlib.suppress(psycopg.errors.DivisionByZero), conn.transaction():
            conn.execute("SELECT 1 / 0")
        return "done"

    assert postgres.run_transaction(pool, work, timeout_s=5) == "done"
    assert rows_of(pool) == [(1, 7), (2, 7)]


def test_a_rule_checked_at_the_commit_is_reported(pool: Pool, table: str):
    with pytest.raises(psycopg.errors.UniqueViolation):
        postgres.run_transaction(
            pool, lambda conn: conn.execute("INSERT INTO things VALUES (1, 9)"), timeout_s=5
        )

    assert rows_of(pool) == [(1, 0), (2, 0)]


def test_a_read_cannot_write_and_sees_one_moment(pool: Pool, table: str):
    def work(conn: Connection[Any]) -> Any:
        before = conn.execute("SELECT n FROM things WHERE id = 1").fetchone()
        postgres.run_transaction(
            pool, lambda other: other.execute("UPDATE things SET n = 7 WHERE id = 1"), timeout_s=5
        )
        return before, conn.execute("SELECT n FROM things WHERE id = 1").fetchone()

    assert postgres.run_read(pool, work, timeout_s=5) == ((0,), (0,))
    with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
        postgres.run_read(pool, lambda conn: conn.execute("DELETE FROM things"), timeout_s=5)
    assert rows_of(pool) == [(1, 7), (2, 0)]


def test_a_deadlock_is_resolved_by_doing_it_again(pool: Pool, table: str):
    both_hold_one = threading.Barrier(2, timeout=10)
    tries: list[int] = []

    def change(first: int, second: int) -> Work:
        is_first_try = True

        def work(conn: Connection[Any]) -> None:
            nonlocal is_first_try
            tries.append(first)
            conn.execute("UPDATE things SET n = n + 1 WHERE id = %s", (first,))
            if is_first_try:
                is_first_try = False
                both_hold_one.wait()
            conn.execute("UPDATE things SET n = n + 1 WHERE id = %s", (second,))

        return work

    threads = [
        threading.Thread(target=postgres.run_transaction, args=(pool, change(*ids)), kwargs={"timeout_s": 20})
        for ids in ((1, 2), (2, 1))
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert rows_of(pool) == [(1, 2), (2, 2)]
    assert len(tries) == 3


def test_retry_does_the_work_again_from_the_start(pool: Pool, table: str):
    tries: list[int] = []

    def work(conn: Connection[Any]) -> int:
        conn.execute("UPDATE things SET n = n + 1")
        tries.append(1)
        if len(tries) < 3:
            raise postgres.Retry
        return len(tries)

    assert postgres.run_transaction(pool, work, timeout_s=5) == 3
    assert rows_of(pool) == [(1, 1), (2, 1)]


def test_a_work_that_always_loses_is_unavailable(pool: Pool):
    tries: list[int] = []

    def work(_: Connection[Any]) -> None:
        tries.append(1)
        raise postgres.Retry

    with pytest.raises(errors.Unavailable) as raised:
        postgres.run_transaction(pool, work, timeout_s=5, attempts=3)

    assert len(tries) == 3
    assert raised.value.retry_after_s == 1


def test_the_callers_time_bounds_every_statement(pool: Pool):
    started = time.monotonic()

    with pytest.raises(errors.DeadlineExceeded):
        postgres.run_read(pool, lambda conn: conn.execute("SELECT pg_sleep(5)"), timeout_s=0.3)

    assert time.monotonic() - started < 2
    assert postgres.ping(pool)


def test_no_time_is_no_work(pool: Pool):
    with pytest.raises(errors.DeadlineExceeded):
        postgres.run_read(pool, lambda _: pytest.fail("it was done"), timeout_s=0)


def test_the_limit_of_one_call_does_not_stick_to_the_connection(database: str):
    with pool_of(database, size_max=1) as opened:
        postgres.run_read(opened, lambda conn: conn.execute("SELECT 1"), timeout_s=0.05)
        postgres.run_read(opened, lambda conn: conn.execute("SELECT pg_sleep(0.2)"), timeout_s=5)


def test_a_transaction_that_does_nothing_for_too_long_is_ended(database: str):
    def work(conn: Connection[Any]) -> None:
        time.sleep(0.5)
        conn.execute("SELECT 1")

    with pool_of(database, idle_timeout_s=0.1) as opened:
        with pytest.raises(errors.DeadlineExceeded):
            postgres.run_transaction(opened, work, timeout_s=5)
        assert postgres.ping(opened)


def test_a_lock_that_is_not_free_is_unavailable(pool: Pool, database: str, table: str):
    def hold(_: Connection[Any]) -> None:
        with pool_of(database, lock_timeout_s=0.1) as other, pytest.raises(errors.Unavailable, match="lock"):
            postgres.run_transaction(other, lambda conn: conn.execute("UPDATE things SET n = 9"), timeout_s=5)

    def work(conn: Connection[Any]) -> None:
        conn.execute("UPDATE things SET n = 1")
        hold(conn)

    postgres.run_transaction(pool, work, timeout_s=5)

    assert rows_of(pool) == [(1, 1), (2, 1)]


def test_an_exhausted_pool_is_unavailable(database: str):
    def work(conn: Connection[Any]) -> None:
        with pytest.raises(errors.Unavailable):
            postgres.run_read(opened, lambda _: None, timeout_s=5)

    with pool_of(database, size_max=1, acquire_timeout_s=0.2) as opened:
        postgres.run_read(opened, work, timeout_s=5)


def test_a_closed_pool_is_unavailable(database: str):
    with pool_of(database) as opened:
        pass

    assert not postgres.ping(opened)


def test_a_row_that_can_never_be_stored_is_no_outage(pool: Pool):
    def work(conn: Connection[Any]) -> None:
        conn.execute("CREATE TABLE long (value text PRIMARY KEY)")
        conn.execute(
            "INSERT INTO long SELECT string_agg(md5(n::text), '') FROM generate_series(1, 1000) AS n"
        )

    with pytest.raises(psycopg.errors.ProgramLimitExceeded):
        postgres.run_transaction(pool, work, timeout_s=5)


def end_connections(database: str) -> None:
    with psycopg.connect(database, autocommit=True) as conn:
        conn.execute(
            """
            SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity
            WHERE application_name = 'recado-test' AND pid <> pg_backend_pid()
            """
        )


def test_connections_that_the_server_closed_are_replaced_unseen(pool: Pool, database: str, table: str):
    pool.wait()

    for _ in range(3):
        end_connections(database)
        tries: list[int] = []

        def work(conn: Connection[Any], tries: list[int] = tries) -> None:
            tries.append(1)
            conn.execute("UPDATE things SET n = n + 1")

        postgres.run_transaction(pool, work, timeout_s=5)
        assert len(tries) == 1

    assert rows_of(pool) == [(1, 3), (2, 3)]


def test_a_connection_lost_during_the_work_is_unavailable(pool: Pool, database: str, table: str):
    tries: list[int] = []

    def work(conn: Connection[Any]) -> None:
        tries.append(1)
        conn.execute("UPDATE things SET n = 7")
        end_connections(database)
        conn.execute("UPDATE things SET n = 8")

    with pytest.raises(errors.Unavailable) as raised:
        postgres.run_transaction(pool, work, timeout_s=5)

    assert raised.value.retry_after_s == 1
    assert len(tries) == 1
    assert rows_of(pool) == [(1, 0), (2, 0)]


def test_a_connection_lost_in_the_commit_is_unavailable_and_not_repeated(
    pool: Pool, database: str, table: str
):
    def prepare(conn: Connection[Any]) -> None:
        conn.execute(
            """
            CREATE FUNCTION dawdle() RETURNS trigger LANGUAGE plpgsql AS
            $$ BEGIN PERFORM pg_sleep(30); RETURN NULL; END $$
            """
        )
        conn.execute(
            """
            CREATE CONSTRAINT TRIGGER dawdles AFTER UPDATE ON things DEFERRABLE INITIALLY DEFERRED
            FOR EACH ROW EXECUTE FUNCTION dawdle()
            """
        )

    postgres.run_transaction(pool, prepare, timeout_s=5)
    tries: list[int] = []
    ending = threading.Timer(0.3, end_connections, (database,))

    def work(conn: Connection[Any]) -> None:
        tries.append(1)
        conn.execute("UPDATE things SET n = 7")
        ending.start()

    with pytest.raises(errors.Unavailable):
        postgres.run_transaction(pool, work, timeout_s=20)
    ending.join()

    assert len(tries) == 1
    assert rows_of(pool) == [(1, 0), (2, 0)]
    assert postgres.ping(pool)


def test_what_became_a_standby_is_unavailable_until_it_leads_again(pool: Pool, database: str, table: str):
    def write() -> None:
        postgres.run_transaction(pool, lambda conn: conn.execute("UPDATE things SET n = n + 1"), timeout_s=5)

    def set_read_only(value: LiteralString) -> None:
        with psycopg.connect(database, autocommit=True) as conn:
            conn.execute("SET default_transaction_read_only = off")
            conn.execute(
                sql.SQL("ALTER DATABASE {} SET default_transaction_read_only = " + value).format(
                    sql.Identifier(conn.info.dbname)
                )
            )

    set_read_only("on")
    end_connections(database)
    with pytest.raises(errors.Unavailable):
        write()

    # Connections from before know nothing of it: each is given up when it refuses to write.
    set_read_only("off")
    deadline = time.monotonic() + 5
    while True:
        try:
            write()
            break
        except errors.Unavailable:
            assert time.monotonic() < deadline

    assert rows_of(pool) == [(1, 1), (2, 1)]


@pytest.fixture
def outage(restartable_postgres: tuple[Restartable, str]) -> Iterator[tuple[Restartable, Pool]]:
    server, url = restartable_postgres
    with pool_of(url) as opened:
        assert postgres.ping(opened)
        yield server, opened


@pytest.mark.parametrize("how", ["stop", "kill"])
def test_an_outage_fails_fast_and_ends_by_itself(outage: tuple[Restartable, Pool], how: str):
    server, opened = outage
    getattr(server, how)()
    while postgres.ping(opened):  # backends outlive a killed postmaster by a moment
        time.sleep(0.01)
    ends_at = time.monotonic() + 4
    while time.monotonic() < ends_at:
        started = time.monotonic()
        with pytest.raises(errors.Unavailable) as raised:
            postgres.run_transaction(opened, lambda conn: conn.execute("SELECT 1"), timeout_s=10)
        assert raised.value.retry_after_s == 1
        assert time.monotonic() - started < 1.5

    server.start()

    back_at = time.monotonic()
    while not postgres.ping(opened):
        assert time.monotonic() - back_at < 3


def test_a_pool_may_be_opened_before_the_server(restartable_postgres: tuple[Restartable, str]):
    server, url = restartable_postgres
    server.stop()
    with pool_of(url) as opened:
        assert not postgres.ping(opened)
        server.start()
        deadline = time.monotonic() + 3
        while not postgres.ping(opened):
            assert time.monotonic() < deadline
