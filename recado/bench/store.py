"""What the benchmarks ask and load directly in the database, as its owner."""

import uuid
from collections.abc import Generator, Iterable, Sequence
from contextlib import contextmanager
from typing import Any, Final, LiteralString, TypeAlias

import msgspec
import psycopg
from psycopg import Connection, sql
from psycopg.rows import class_row

Conn: TypeAlias = Connection[Any]

_IDS_MAX: Final = 20_000
_CONNECT_S: Final = 5


@contextmanager
def connect(url: str) -> Generator[Conn]:
    with psycopg.connect(
        url, autocommit=True, connect_timeout=_CONNECT_S, application_name="recado bench"
    ) as conn:
        yield conn


class Version(msgspec.Struct, frozen=True):
    server: str
    shared_buffers: str
    synchronous_commit: str


def version(conn: Conn) -> Version:
    row = conn.execute(
        """
        SELECT current_setting('server_version'), current_setting('shared_buffers'),
          current_setting('synchronous_commit')
        """
    ).fetchone()
    assert row
    return Version(*row)


def find_instance(conn: Conn, phone_number_id: str) -> tuple[int, int]:
    """Give (tenant id, instance id) of a registered number."""
    row = conn.execute(
        "SELECT tenant_id, id FROM whatsapp_configs WHERE phone_number_id = %(phone_number_id)s",
        {"phone_number_id": phone_number_id},
    ).fetchone()
    assert row, "registered before"
    return row[0], row[1]


def count_missing(conn: Conn, *, tenant_id: int, message_ids: Sequence[uuid.UUID]) -> int:
    """Say how many of these messages are not there."""
    missing = 0
    for start in range(0, len(message_ids), _IDS_MAX):
        row = conn.execute(
            """
            SELECT count(*)
            FROM (SELECT DISTINCT id FROM unnest(%(ids)s::uuid[]) AS t (id)) AS wanted
            WHERE NOT EXISTS (
              SELECT FROM whatsapp_messages m WHERE m.tenant_id = %(tenant_id)s AND m.id = wanted.id
            )
            """,
            {"tenant_id": tenant_id, "ids": list(message_ids[start : start + _IDS_MAX])},
        ).fetchone()
        assert row
        missing += row[0]
    return missing


def count_webhooks(conn: Conn, *, tenant_id: int) -> tuple[int, int]:
    """Give how many webhooks of a tenant are kept, and how many of them were not applied."""
    row = conn.execute(
        """
        SELECT count(*), count(*) FILTER (WHERE state <> 'processed')
        FROM whatsapp_webhook_logs
        WHERE tenant_id = %(tenant_id)s
        """,
        {"tenant_id": tenant_id},
    ).fetchone()
    assert row
    return row[0], row[1]


def count_messages(conn: Conn, *, tenant_id: int) -> int:
    row = conn.execute(
        "SELECT count(*) FROM whatsapp_messages WHERE tenant_id = %(tenant_id)s", {"tenant_id": tenant_id}
    ).fetchone()
    assert row
    return row[0]


def count_leads(conn: Conn, *, tenant_id: int) -> int:
    row = conn.execute(
        "SELECT count(*) FROM leads WHERE tenant_id = %(tenant_id)s", {"tenant_id": tenant_id}
    ).fetchone()
    assert row
    return row[0]


def list_leads_by_size(conn: Conn, *, tenant_id: int) -> list[tuple[uuid.UUID, int]]:
    """Give (lead, messages), the largest first."""
    return conn.execute(
        """
        SELECT id, message_count
        FROM leads
        WHERE tenant_id = %(tenant_id)s
        ORDER BY message_count DESC, id
        """,
        {"tenant_id": tenant_id},
    ).fetchall()


def count_outbox(conn: Conn, *, tenant_id: int) -> int:
    """Say how many jobs still follow from what was ingested."""
    row = conn.execute(
        "SELECT count(*) FROM outbox WHERE tenant_id = %(tenant_id)s", {"tenant_id": tenant_id}
    ).fetchone()
    assert row
    return row[0]


class Relation(msgspec.Struct, frozen=True):
    """A table's heap, its out-of-line values (TOAST), or one of its indexes."""

    table: str
    name: str
    kind: str
    bytes: int


def list_relations(conn: Conn) -> list[Relation]:
    """Give the size of every part of every table of ours."""
    with conn.cursor(row_factory=class_row(Relation)) as cursor:
        return cursor.execute(
            """
            SELECT c.relname AS table, c.relname AS name, 'rows' AS kind,
              pg_table_size(c.oid) - coalesce(pg_total_relation_size(nullif(c.reltoastrelid, 0)), 0) AS bytes
            FROM pg_class c
            JOIN pg_namespace n ON n.oid = c.relnamespace
            WHERE c.relkind = 'r' AND n.nspname IN ('public', 'enrichment')
            UNION ALL
            SELECT c.relname, t.relname, 'out of line', pg_total_relation_size(t.oid)
            FROM pg_class c
            JOIN pg_namespace n ON n.oid = c.relnamespace
            JOIN pg_class t ON t.oid = c.reltoastrelid
            WHERE c.relkind = 'r' AND n.nspname IN ('public', 'enrichment')
            UNION ALL
            SELECT c.relname, i.relname, 'index', pg_relation_size(i.oid)
            FROM pg_class c
            JOIN pg_namespace n ON n.oid = c.relnamespace
            JOIN pg_index x ON x.indrelid = c.oid
            JOIN pg_class i ON i.oid = x.indexrelid
            WHERE c.relkind = 'r' AND n.nspname IN ('public', 'enrichment')
            """
        ).fetchall()


def vacuum(conn: Conn) -> None:
    """Leave the tables as autovacuum will: dead rows gone, statistics true."""
    conn.execute("VACUUM (ANALYZE)")
    conn.execute("CHECKPOINT")


def let_an_hour_pass(conn: Conn, *, tenant_id: int) -> None:
    """Forget the changes of a tenant, as the sweeper does with what is older, and vacuum."""
    conn.execute("DELETE FROM changes WHERE tenant_id = %(tenant_id)s", {"tenant_id": tenant_id})
    vacuum(conn)


# Bulk loading, for more messages than anybody wants to wait for: rows as capture writes them.

_COLUMNS: Final[dict[str, tuple[LiteralString, ...]]] = {
    "leads": (
        "tenant_id", "id", "profile_name", "profile_name_at", "wa_id", "user_id", "username",
        "open_ticket_id", "message_count", "first_message_at", "last_message_at",
    ),
    "lead_identifiers": ("tenant_id", "kind", "value", "lead_id"),
    "conversations": (
        "tenant_id", "lead_id", "instance_id", "id", "message_count", "first_message_at", "last_message_at",
    ),
    "tickets": ("tenant_id", "id", "lead_id", "opened_at"),
    "whatsapp_messages": (
        "tenant_id", "instance_id", "id", "lead_id", "batch_id", "sent_at", "direction", "status", "sources",
        "content_rank", "party_rank", "is_sync_initial", "wamid", "type", "body", "billing", "status_sent_at",
        "status_delivered_at", "status_read_at",
    ),
    "whatsapp_webhook_logs": (
        "tenant_id", "id", "received_at", "state", "parser_version", "dictionary_id", "body_bytes", "sha256",
        "body",
    ),
}  # fmt: skip


def list_leads_of(conn: Conn, *, tenant_id: int, user_ids: Sequence[str]) -> list[str]:
    rows = conn.execute(
        """
        SELECT lead_id FROM lead_identifiers
        WHERE tenant_id = %(tenant_id)s AND kind = 'bsuid' AND value = ANY(%(user_ids)s)
        ORDER BY lead_id
        """,
        {"tenant_id": tenant_id, "user_ids": list(user_ids)},
    )
    return [str(lead_id) for (lead_id,) in rows]


def note_examined(conn: Conn, *, tenant_id: int, to: uuid.UUID) -> None:
    conn.execute(
        "UPDATE whatsapp_configs SET examined_to = %(to)s WHERE tenant_id = %(tenant_id)s",
        {"tenant_id": tenant_id, "to": to},
    )


def copy(conn: Conn, table: str, rows: Iterable[bytes]) -> None:
    """Load rows that are written in COPY's text form, columns in the order of `_COLUMNS`."""
    statement = sql.SQL("COPY {} ({}) FROM STDIN").format(
        sql.Identifier(table), sql.SQL(", ").join(map(sql.Identifier, _COLUMNS[table]))
    )
    with conn.cursor().copy(statement) as target:
        for row in rows:
            target.write(row)
