"""A capture service without its process: an Ingest on a database of the test's own."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import psycopg
import pytest
from psycopg import Connection
from psycopg.rows import dict_row
from psycopg_pool import ConnectionPool

from capture_service import ids, store
from capture_service.ingest import Ingest
from plumbing import postgres
from tests import wire


@pytest.fixture
def pool(database_url_for: Callable[[str], str]) -> Iterator[ConnectionPool[Any]]:
    pool = postgres.open_pool(
        database_url_for("recado_capture"),
        role="recado_capture",
        application_name="test",
        size_max=4,
        statement_timeout_s=20,
        lock_timeout_s=10,
        idle_timeout_s=60,
        acquire_timeout_s=5,
    )
    yield pool
    pool.close()


@pytest.fixture
def ingest(pool: ConnectionPool[Any]) -> Ingest:
    return Ingest(pool, clock=lambda: datetime.now(UTC), on_outbox=lambda: None)


@pytest.fixture
def register(pool: ConnectionPool[Any]) -> Callable[..., None]:
    """Register a number for a tenant."""

    def do(tenant: str = "padaria", number_id: str = wire.NUMBER_ID, waba_id: str = wire.WABA_ID) -> None:
        def work(conn: Connection[Any]) -> None:
            store.insert_tenant(conn, tenant)
            tenant_id = store.find_tenant(conn, tenant)
            assert tenant_id
            store.upsert_instance(
                conn,
                tenant_id=tenant_id,
                public_id=ids.instance_id(number_id),
                name="Padaria Aurora",
                waba_id=waba_id,
                phone_number_id=number_id,
                display_phone_number=wire.BUSINESS,
            )
            instance = next(
                row
                for row in store.list_instances(conn, tenant_id=tenant_id)
                if row.phone_number_id == number_id
            )
            for kind, external_id, instance_id in (
                ("phone_number", number_id, instance.id),
                ("waba", waba_id, None),
            ):
                store.insert_route(
                    conn, kind=kind, external_id=external_id, tenant_id=tenant_id, instance_id=instance_id
                )

        postgres.run_transaction(pool, work, timeout_s=10)

    return do


@pytest.fixture
def accept(ingest: Ingest, register: Callable[..., None]) -> Callable[..., list[str]]:
    """Accept webhooks for a registered number; give the ledger state of each."""
    register()

    def do(*bodies: bytes) -> list[str]:
        return [state for _, state in ingest.accept([(b, wire.RECEIVED_AT) for b in bodies], timeout_s=20)]

    return do


@pytest.fixture
def query(database: str) -> Iterator[Callable[..., list[dict[str, Any]]]]:
    """Ask the database as its owner."""
    with psycopg.Connection[dict[str, Any]].connect(database, autocommit=True, row_factory=dict_row) as conn:

        def ask(statement: str, *parameters: Any) -> list[dict[str, Any]]:
            cursor = conn.execute(statement.encode(), parameters or None)
            return cursor.fetchall() if cursor.description else []

        yield ask
