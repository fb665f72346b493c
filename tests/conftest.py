"""A real PostgreSQL and a real Valkey for every test that asks, and the three people of every test.

Each worker of pytest-xdist has its own servers: they start in half a second, and no test can
disturb another. A test's database is a clone of one that has been migrated once.
"""

import secrets
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import hypothesis
import psycopg
import pytest
import redis
from psycopg import Connection, sql

from plumbing import migrations, tokens
from recado.stack import postgres, store, valkey as embedded_valkey
from recado.stack.plan import MIGRATED_PACKAGES

# Time per example says nothing on a machine that is shared.
hypothesis.settings.register_profile("recado", deadline=None, print_blob=True)
hypothesis.settings.load_profile("recado")

ALL_SCOPES = frozenset(
    {
        "history:read",
        "history:sync",
        "leads:write",
        "leads:erase",
        "instances:admin",
        "messages:send",
        "audit:read",
    }
)


@pytest.fixture(scope="session")
def postgres_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[postgres.Server]:
    """A PostgreSQL without durability, for all tests of this worker. Never stop it: others use it."""
    with postgres.running(tmp_path_factory.mktemp("pg") / "data") as server:
        yield server


@pytest.fixture(scope="session")
def template_database(postgres_server: postgres.Server) -> str:
    """The name of a migrated, empty database to clone."""
    name = "template_migrated"
    store.create_database(postgres_server.url(database="postgres"), name)
    migrations.apply(postgres_server.url(database=name), MIGRATED_PACKAGES)
    return name


def _run_alone(server: postgres.Server, statement: sql.Composed) -> None:
    with psycopg.connect(server.url(database="postgres"), autocommit=True) as conn:
        conn.execute(statement)


@pytest.fixture
def database_name(postgres_server: postgres.Server, template_database: str) -> Iterator[str]:
    name = f"test_{secrets.token_hex(6)}"
    _run_alone(
        postgres_server,
        sql.SQL("CREATE DATABASE {} TEMPLATE {} STRATEGY file_copy").format(
            sql.Identifier(name), sql.Identifier(template_database)
        ),
    )
    yield name
    _run_alone(postgres_server, sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


@pytest.fixture
def database(postgres_server: postgres.Server, database_name: str) -> str:
    """The owner's connection string to a migrated, empty database of this test's own."""
    return postgres_server.url(database=database_name)


@pytest.fixture
def migrated(database: str) -> Iterator[Connection[Any]]:
    """The owner's connection to this test's own database; what is not committed is rolled back."""
    with psycopg.connect(database) as conn:
        yield conn
        conn.rollback()


@pytest.fixture
def database_url_for(postgres_server: postgres.Server, database_name: str) -> Callable[[str], str]:
    """Give the connection string of a login that may do what the role (recado_capture ...) may."""

    def url_for(role: str) -> str:
        login, password = f"test_{role}", "of a test"
        store.ensure_login(postgres_server.url(), login=login, password=password, role=role)
        return postgres_server.url(user=login, password=password, database=database_name)

    return url_for


@pytest.fixture(scope="session")
def valkey_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[embedded_valkey.Server]:
    """A Valkey for all tests of this worker. Never stop it: others use it."""
    with embedded_valkey.running(tmp_path_factory.mktemp("valkey")) as server:
        yield server


@pytest.fixture
def valkey(valkey_server: embedded_valkey.Server) -> str:
    """The address of an empty Valkey."""
    with redis.Redis.from_url(valkey_server.url) as client:
        client.flushall()
    return valkey_server.url


@pytest.fixture(scope="session")
def auth_secret() -> str:
    return "of the tests, long enough to sign with"


@pytest.fixture(scope="session")
def token_for(auth_secret: str) -> Callable[..., str]:
    """Make a token: token_for("padaria", scopes=..., instances=..., subject=...)."""

    def make(
        tenant: str,
        *,
        scopes: Iterable[str] = ALL_SCOPES,
        instances: Iterable[str] | None = None,
        subject: str = "ana",
    ) -> str:
        return tokens.issue(
            auth_secret, subject=subject, tenant=tenant, scopes=scopes, instances=instances, ttl_s=3600
        )

    return make


@pytest.fixture(scope="session")
def owner(token_for: Callable[..., str]) -> str:
    """The token of whom the data belongs to: tenant padaria, every scope."""
    return token_for("padaria", subject="olivia")


@pytest.fixture(scope="session")
def colleague(token_for: Callable[..., str]) -> str:
    """The token of somebody of the same tenant who may only read history."""
    return token_for("padaria", subject="caio", scopes=["history:read"])


@pytest.fixture(scope="session")
def stranger(token_for: Callable[..., str]) -> str:
    """The token of somebody of another tenant, who may do everything there."""
    return token_for("outra", subject="samuel")
