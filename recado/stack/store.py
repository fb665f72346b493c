"""What is asked of PostgreSQL by whoever owns it: its database, its logins, its schema, its health.

Every function raises StackError, in the server's own words, when it cannot do what it says.
"""

import contextlib
from collections.abc import Generator, Sequence
from typing import Final

import psycopg
from psycopg import sql
from psycopg.rows import scalar_row

from plumbing import migrations
from recado.stack.processes import StackError

_CONNECT_TIMEOUT_S: Final = 5


def is_answering(url: str) -> bool:
    try:
        psycopg.connect(url, connect_timeout=2).close()
    except psycopg.OperationalError:
        return False
    return True


def create_database(url: str, name: str) -> None:
    """Make the database `name` when it is not there yet; `url` is that of another one."""
    with _stated(), psycopg.connect(url, autocommit=True) as connection:
        found = connection.execute("SELECT FROM pg_database WHERE datname = %s", (name,)).fetchone()
        if found is None:
            connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))


def ensure_login(owner_url: str, *, login: str, password: str, role: str) -> None:
    """Make a login that may do exactly what `role` may, or give it this password when it is there."""
    with _stated(), psycopg.connect(owner_url) as connection:
        # Hashed here: the password itself never travels in a statement, so no log can keep it.
        verifier = connection.pgconn.encrypt_password(
            password.encode(), login.encode(), b"scram-sha-256"
        ).decode()
        exists = connection.execute("SELECT FROM pg_roles WHERE rolname = %s", (login,)).fetchone()
        verb = sql.SQL("CREATE" if exists is None else "ALTER")
        connection.execute(
            sql.SQL("{} ROLE {} LOGIN PASSWORD {}").format(verb, sql.Identifier(login), sql.Literal(verifier))
        )
        connection.execute(sql.SQL("GRANT {} TO {}").format(sql.Identifier(role), sql.Identifier(login)))


def migrate(owner_url: str, packages: Sequence[str]) -> list[str]:
    """Bring the schema up to date and name what was applied. Raises MigrationError, too."""
    with _stated():
        return migrations.apply(owner_url, packages)


def applied_versions(url: str) -> dict[str, int]:
    """Give the newest migration of each package; nothing when the schema was never made."""
    with _stated(), psycopg.connect(url, connect_timeout=_CONNECT_TIMEOUT_S) as connection:
        try:
            rows = connection.execute(
                "SELECT package, max(version) FROM recado_migrations GROUP BY package"
            ).fetchall()
        except psycopg.errors.UndefinedTable:
            return {}
    return dict(rows)


def server_version(url: str) -> str:
    with _stated(), psycopg.connect(url, connect_timeout=_CONNECT_TIMEOUT_S) as connection:
        return str(connection.info.parameter_status("server_version"))


def count_unrouted(url: str) -> int:
    """Count the webhooks kept for numbers that nobody has registered."""
    with (
        _stated(),
        psycopg.connect(url, connect_timeout=_CONNECT_TIMEOUT_S) as connection,
        connection.cursor(row_factory=scalar_row) as cursor,
    ):
        found = cursor.execute(
            "SELECT count(*) FROM whatsapp_webhook_logs WHERE state = 'unrouted'"
        ).fetchone()
    return found or 0


@contextlib.contextmanager
def _stated() -> Generator[None]:
    try:
        yield
    except psycopg.Error as error:
        # The first line says what; those after it may quote rows or repeat the statement.
        text = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise StackError(f"PostgreSQL: {text}") from error
