"""Plain SQL migrations: `<package>/migrations/NNNN_name.sql`, applied once, in order, never changed."""

import hashlib
import re
from collections.abc import Sequence
from importlib import resources
from typing import Any, Final, NamedTuple

import psycopg
from psycopg import Connection
from psycopg_pool import ConnectionPool

from plumbing import postgres

_FILE: Final = re.compile(r"(\d{4})_(\w+)\.sql")
# Any number, always the same: who holds it migrates, others wait.
_LOCK: Final = 7_232_391_836


class MigrationError(Exception):
    """The migrations in the code and those applied to the database contradict each other."""


class SchemaTooOld(Exception):
    """The database lacks migrations that this code needs."""


class Migration(NamedTuple):
    package: str
    version: int
    name: str
    sql: bytes

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.sql).hexdigest()


def load(package: str) -> list[Migration]:
    """List a package's migrations in order. Raises MigrationError when a number is missing or doubled."""
    found: list[Migration] = []
    for file in resources.files(package).joinpath("migrations").iterdir():
        matched = _FILE.fullmatch(file.name)
        if matched:
            found.append(Migration(package, int(matched[1]), matched[2], file.read_bytes()))
    found.sort(key=lambda migration: migration.version)
    if [migration.version for migration in found] != list(range(1, len(found) + 1)):
        raise MigrationError(f"{package}: migrations must be numbered 0001, 0002 ... without a gap")
    return found


def apply(dsn: str, packages: Sequence[str]) -> list[str]:
    """Bring the database up to date as its owner; give the names of what was applied.

    Each file is one transaction. Two at once are safe: the second waits and finds nothing to do.

    Raises MigrationError when an applied file has changed since.
    """
    done: list[str] = []
    with psycopg.connect(dsn, autocommit=True, application_name="recado-migrate") as conn:
        conn.execute("SELECT pg_advisory_lock(%s)", (_LOCK,))
        conn.execute(
            """
            CREATE TABLE IF NOT EXISTS recado_migrations (
              package text NOT NULL,
              version int4 NOT NULL,
              name text NOT NULL,
              sha256 text NOT NULL,
              applied_at timestamptz NOT NULL DEFAULT now(),
              CONSTRAINT recado_migrations_are_applied_once PRIMARY KEY (package, version)
            )
            """
        )
        # Every service checks at its start whether the schema is one it can serve.
        conn.execute("GRANT SELECT ON recado_migrations TO PUBLIC")
        for package in packages:
            applied = _applied(conn, package)
            for migration in load(package):
                if migration.version in applied:
                    if applied[migration.version] != migration.sha256:
                        raise MigrationError(
                            f"{package} {migration.version:04} {migration.name} was changed after it was"
                            " applied"
                        )
                    continue
                with conn.transaction():
                    conn.execute(migration.sql)
                    conn.execute(
                        """
                        INSERT INTO recado_migrations (package, version, name, sha256)
                        VALUES (%s, %s, %s, %s)
                        """,
                        (package, migration.version, migration.name, migration.sha256),
                    )
                done.append(f"{package} {migration.version:04} {migration.name}")
    return done


def check(pool: ConnectionPool[Connection[Any]], package: str) -> None:
    """Raise SchemaTooOld when the database lacks a migration of this package.

    Raises MigrationError when an applied one differs from the code's.

    A newer schema is fine: releases expand first and contract later.
    """
    try:
        applied = postgres.run_read(pool, lambda conn: _applied(conn, package), timeout_s=10)
    except psycopg.errors.UndefinedTable:
        applied = {}
    for migration in load(package):
        if migration.version not in applied:
            raise SchemaTooOld(
                f"the database lacks {package} {migration.version:04} {migration.name}: run `recado migrate`"
            )
        if applied[migration.version] != migration.sha256:
            raise MigrationError(
                f"{package} {migration.version:04} {migration.name} was changed after it was applied"
            )


def _applied(conn: Connection[Any], package: str) -> dict[int, str]:
    rows = conn.execute("SELECT version, sha256 FROM recado_migrations WHERE package = %s", (package,))
    return dict(rows)
