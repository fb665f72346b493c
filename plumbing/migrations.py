"""Plain SQL migrations: `<package>/migrations/NNNN_name.sql`, applied once, in order, never changed."""

import hashlib
import re
from collections.abc import Mapping, Sequence
from importlib import resources
from typing import Any, Final, NamedTuple

import psycopg
from psycopg import Connection
from psycopg_pool import ConnectionPool

from plumbing import postgres

_FILE: Final = re.compile(r"(\d{4})_(\w+)\.sql", re.ASCII)
# Any number, always the same: who holds it migrates, others wait.
_LOCK: Final = 7_232_391_836
# A statement that waits for a lock makes everybody queue behind it: better to fail and be run again.
_LOCK_TIMEOUT: Final = "10s"
_CHECK_TIMEOUT_S: Final = 10.0


class MigrationError(Exception):
    """The migrations in the code and those applied to the database contradict each other, or one failed."""


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

    def __str__(self) -> str:
        return f"{self.package} {self.version:04} {self.name}"


def load(package: str) -> list[Migration]:
    """List a package's migrations in order. Raises MigrationError when a number is missing or doubled."""
    found: list[Migration] = []
    for file in resources.files(package).joinpath("migrations").iterdir():
        matched = _FILE.fullmatch(file.name)
        if matched:
            found.append(Migration(package, int(matched[1]), matched[2], file.read_bytes()))
    found.sort(key=lambda migration: (migration.version, migration.name))
    for expected, migration in enumerate(found, start=1):
        if migration.version > expected:
            raise MigrationError(f"{package}: there is no migration {expected:04} before {migration}")
        if migration.version < expected:
            raise MigrationError(f"{migration} has a number that another one has, or 0000")
    return found


def apply(dsn: str, packages: Sequence[str]) -> list[str]:
    """Bring the database up to date as its owner; give the names of what was applied.

    Each file is one transaction. Two at once are safe: the second waits and finds nothing to do.
    Migrations in the database that the code does not know stay: they are those of a newer release.

    Raises MigrationError when an applied file has changed since or a file fails; what was applied
    before it stays, and running this again goes on there.
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
            for migration in _missing(load(package), _applied(conn, package)):
                _apply_one(conn, migration)
                done.append(str(migration))
    return done


def _apply_one(conn: Connection[Any], migration: Migration) -> None:
    try:
        with conn.transaction():
            conn.execute(f"SET LOCAL lock_timeout = '{_LOCK_TIMEOUT}'")
            conn.execute(migration.sql)
            conn.execute(
                """
                INSERT INTO recado_migrations (package, version, name, sha256)
                VALUES (%s, %s, %s, %s)
                """,
                (migration.package, migration.version, migration.name, migration.sha256),
            )
    except psycopg.Error as error:
        # The primary message speaks of the schema; the detail, left out here, would quote rows.
        reason = error.diag.message_primary or type(error).__name__
        raise MigrationError(f"{migration} failed: {reason}") from error


def check(pool: ConnectionPool[Connection[Any]], package: str) -> None:
    """Raise SchemaTooOld when the database lacks a migration of this package.

    A newer schema is fine: releases expand first and contract later. Raises MigrationError when an
    applied migration is another one than the code's, errors.Unavailable when PostgreSQL is away.
    """
    try:
        applied = postgres.run_read(pool, lambda conn: _applied(conn, package), timeout_s=_CHECK_TIMEOUT_S)
    except psycopg.errors.UndefinedTable:
        applied = {}
    missing = _missing(load(package), applied)
    if missing:
        raise SchemaTooOld(f"the database lacks {missing[0]}: run `recado migrate`")


def _missing(known: Sequence[Migration], applied: Mapping[int, str]) -> list[Migration]:
    """Give those not applied yet. Raises MigrationError when one has changed or was left out."""
    missing: list[Migration] = []
    for migration in known:
        if migration.version not in applied:
            missing.append(migration)
        elif applied[migration.version] != migration.sha256:
            raise MigrationError(f"{migration} was changed after it was applied")
        elif missing:
            raise MigrationError(f"{migration} was applied without {missing[0]} before it")
    return missing


def _applied(conn: Connection[Any], package: str) -> dict[int, str]:
    """Give the checksum of each applied version."""
    cursor = conn.execute("SELECT version, sha256 FROM recado_migrations WHERE package = %s", (package,))
    return dict(cursor.fetchall())
