import itertools
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest

from plumbing import migrations
from recado.stack import postgres as embedded, store
from tests.plumbing.conftest import pool_of

_numbers = itertools.count()


class Package:
    """A package with migrations that a test writes."""

    def __init__(self, folder: Path) -> None:
        self.name = f"migrated_{next(_numbers)}"
        self._folder = folder / self.name / "migrations"
        self._folder.mkdir(parents=True)
        (self._folder.parent / "__init__.py").touch()

    def write(self, name: str, sql: str) -> None:
        (self._folder / name).write_text(sql)

    def remove(self, name: str) -> None:
        (self._folder / name).unlink()


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Package]:
    monkeypatch.syspath_prepend(tmp_path)
    made = Package(tmp_path)
    made.write("0001_things.sql", "CREATE TABLE things (id int); INSERT INTO things VALUES (1);")
    made.write("0002_more.sql", "ALTER TABLE things ADD COLUMN more text;")
    made.write("README.md", "not a migration")
    yield made
    sys.modules.pop(made.name, None)


@pytest.fixture
def empty(postgres_server: embedded.Server) -> Iterator[str]:
    """The owner's connection string to a database without anything."""
    name = f"empty_{next(_numbers)}"
    store.create_database(postgres_server.url(database="postgres"), name)
    yield postgres_server.url(database=name)
    with psycopg.connect(postgres_server.url(database="postgres"), autocommit=True) as conn:
        conn.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())


def columns(dsn: str) -> list[str]:
    with psycopg.connect(dsn) as conn:
        rows = conn.execute(
            "SELECT attname FROM pg_attribute WHERE attrelid = to_regclass('things') AND attnum > 0"
        )
        return [name for (name,) in rows]


def check(dsn: str, package: Package) -> None:
    with pool_of(dsn) as pool:
        migrations.check(pool, package.name)


def test_each_is_applied_once_in_order(empty: str, package: Package):
    assert migrations.apply(empty, [package.name]) == [
        f"{package.name} 0001 things",
        f"{package.name} 0002 more",
    ]
    assert migrations.apply(empty, [package.name]) == []
    assert columns(empty) == ["id", "more"]
    check(empty, package)


def test_a_release_adds_to_what_is_there(empty: str, package: Package):
    migrations.apply(empty, [package.name])
    package.write("0003_even_more.sql", "ALTER TABLE things ADD COLUMN even_more text;")

    with pytest.raises(migrations.SchemaTooOld, match="0003 even_more: run `recado migrate`"):
        check(empty, package)

    assert migrations.apply(empty, [package.name]) == [f"{package.name} 0003 even_more"]
    check(empty, package)


def test_yesterdays_code_serves_todays_schema(empty: str, package: Package):
    migrations.apply(empty, [package.name])
    package.remove("0002_more.sql")

    check(empty, package)
    assert migrations.apply(empty, [package.name]) == []


def test_an_empty_database_is_too_old(empty: str, package: Package):
    with pytest.raises(migrations.SchemaTooOld, match="0001 things"):
        check(empty, package)


def test_an_applied_file_that_changed_is_named(empty: str, package: Package):
    migrations.apply(empty, [package.name])
    package.write("0001_things.sql", "CREATE TABLE things (id bigint);")

    with pytest.raises(migrations.MigrationError, match="0001 things was changed after it was applied"):
        migrations.apply(empty, [package.name])
    with pytest.raises(migrations.MigrationError, match="0001 things was changed after it was applied"):
        check(empty, package)


def test_a_file_that_fails_is_named_and_leaves_nothing(empty: str, package: Package):
    package.write("0002_more.sql", "ALTER TABLE things ADD COLUMN more text; SELECT 1 / 0;")

    with pytest.raises(migrations.MigrationError, match="0002 more failed: division by zero"):
        migrations.apply(empty, [package.name])

    assert columns(empty) == ["id"]
    package.write("0002_more.sql", "ALTER TABLE things ADD COLUMN more text;")
    assert migrations.apply(empty, [package.name]) == [f"{package.name} 0002 more"]


def test_a_gap_in_the_files_is_named(package: Package):
    package.write("0004_late.sql", "SELECT 1;")

    with pytest.raises(migrations.MigrationError, match=r"no migration 0003 before .* 0004 late"):
        migrations.load(package.name)


def test_a_number_given_twice_is_named(package: Package):
    package.write("0002_too.sql", "SELECT 1;")

    with pytest.raises(migrations.MigrationError, match="0002 too has a number that another one has"):
        migrations.load(package.name)


def test_a_gap_in_the_database_is_named(empty: str, package: Package):
    migrations.apply(empty, [package.name])
    with psycopg.connect(empty) as conn:
        conn.execute("DELETE FROM recado_migrations WHERE version = 1")

    with pytest.raises(migrations.MigrationError, match=r"0002 more was applied without .* 0001 things"):
        migrations.apply(empty, [package.name])


def test_several_at_once_apply_each_once(empty: str, package: Package):
    package.write("0003_slow.sql", "SELECT pg_sleep(0.2);")
    done: list[str] = []
    threads = [
        threading.Thread(target=lambda: done.extend(migrations.apply(empty, [package.name])))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert done == [f"{package.name} {name}" for name in ("0001 things", "0002 more", "0003 slow")]


def test_a_migration_does_not_wait_for_ever_for_a_lock(empty: str, package: Package):
    package.write("0003_limit.sql", "CREATE TABLE seen AS SELECT current_setting('lock_timeout') AS limit_;")

    migrations.apply(empty, [package.name])

    with psycopg.connect(empty) as conn:
        assert conn.execute("SELECT limit_ FROM seen").fetchone() == ("10s",)


@pytest.mark.parametrize("role", ["recado_capture", "recado_history", "recado_enrichment"])
def test_every_role_can_check_the_schema(database_url_for: Callable[[str], str], role: str):
    with pool_of(database_url_for(role), role=role) as pool:
        migrations.check(pool, "capture_service")
