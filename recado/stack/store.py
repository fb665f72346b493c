"""The statements of whoever runs the embedded PostgreSQL: its database and its logins."""

import psycopg
from psycopg import sql


def is_answering(url: str) -> bool:
    try:
        psycopg.connect(url, connect_timeout=2).close()
    except psycopg.OperationalError:
        return False
    return True


def create_database(url: str, name: str) -> None:
    """Make the database `name` when it is not there yet; `url` is that of another one."""
    with psycopg.connect(url, autocommit=True) as connection:
        found = connection.execute("SELECT FROM pg_database WHERE datname = %s", (name,)).fetchone()
        if found is None:
            connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))


def ensure_login(owner_url: str, *, login: str, password: str, role: str) -> None:
    """Make a login that may do exactly what `role` may, or give it this password when it is there."""
    with psycopg.connect(owner_url) as connection:
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
