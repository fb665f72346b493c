"""The ledger: every webhook as it came, and what became of it."""

import uuid
from collections.abc import Sequence
from datetime import datetime
from typing import Any, LiteralString

import msgspec
from psycopg import Connection
from psycopg.rows import kwargs_row, scalar_row

from capture_service import ledger
from capture_service.store.rows import NO_TENANT, LeadKey


class LedgerRow(msgspec.Struct, frozen=True, kw_only=True):
    """One webhook, or one tenant's part of it, as it is kept."""

    tenant_id: int
    id: uuid.UUID
    received_at: datetime
    state: str
    dictionary_id: int
    body_bytes: int
    sha256: bytes
    body: bytes
    attempts: int = 1
    parser_version: int
    awaits: list[str] | None = None
    error: str | None = None


def insert_ledger_rows(conn: Connection[Any], rows: Sequence[LedgerRow]) -> None:
    conn.execute(
        """
        INSERT INTO whatsapp_webhook_logs (
          tenant_id, id, received_at, state, attempts, parser_version, dictionary_id, body_bytes,
          sha256, body, awaits, error
        )
        SELECT r.tenant_id, r.id, r.received_at, r.state, r.attempts, r.parser_version, r.dictionary_id,
          r.body_bytes, r.sha256, r.body, string_to_array(r.awaits, E'\n'), r.error
        FROM unnest(
          %(tenant_id)b::int4[], %(id)b::uuid[], %(received_at)b::timestamptz[], %(state)b::text[],
          %(attempts)b::int2[], %(parser_version)b::int2[], %(dictionary_id)b::int2[], %(body_bytes)b::int4[],
          %(sha256)b::bytea[], %(body)b::bytea[], %(awaits)b::text[], %(error)b::text[]
        ) AS r (
          tenant_id, id, received_at, state, attempts, parser_version, dictionary_id, body_bytes,
          sha256, body, awaits, error
        )
        """,
        {
            "tenant_id": [row.tenant_id for row in rows],
            "id": [row.id for row in rows],
            "received_at": [row.received_at for row in rows],
            "state": [row.state for row in rows],
            "attempts": [row.attempts for row in rows],
            "parser_version": [row.parser_version for row in rows],
            "dictionary_id": [row.dictionary_id for row in rows],
            "body_bytes": [row.body_bytes for row in rows],
            "sha256": [row.sha256 for row in rows],
            "body": [row.body for row in rows],
            "awaits": ["\n".join(row.awaits) if row.awaits else None for row in rows],
            "error": [row.error for row in rows],
        },
    )


def update_ledger_row(conn: Connection[Any], row: LedgerRow) -> None:
    """Note the outcome of applying a kept webhook again."""
    conn.execute(
        """
        UPDATE whatsapp_webhook_logs
        SET state = %(state)s, attempts = attempts + 1, parser_version = %(parser_version)s,
          awaits = %(awaits)s, error = %(error)s
        WHERE tenant_id = %(tenant_id)s AND id = %(id)s
        """,
        {
            "tenant_id": row.tenant_id,
            "id": row.id,
            "state": row.state,
            "parser_version": row.parser_version,
            "awaits": row.awaits,
            "error": row.error,
        },
    )


def delete_ledger_row(conn: Connection[Any], *, tenant_id: int, id: uuid.UUID) -> None:
    """Remove a webhook that is kept again, as its parts, in the same transaction."""
    conn.execute(
        "DELETE FROM whatsapp_webhook_logs WHERE tenant_id = %(tenant_id)s AND id = %(id)s",
        {"tenant_id": tenant_id, "id": id},
    )


class KeptWebhook(msgspec.Struct, frozen=True, kw_only=True):
    """What applying a webhook again needs of its ledger row."""

    tenant_id: int
    id: uuid.UUID
    received_at: datetime
    dictionary_id: int
    body_bytes: int
    """Of the body as it came; `body` is compressed."""
    body: bytes

    def opened(self) -> bytes:
        """Give the webhook byte for byte."""
        return ledger.decompress(self.dictionary_id, self.body)


class LedgerFilter(msgspec.Struct, frozen=True, kw_only=True):
    """Which rows of the ledger; what is None does not restrict."""

    tenant_id: int | None = None
    states: list[str] | None = None
    from_time: datetime | None = None
    to_time: datetime | None = None
    awaits: list[str] | None = None
    """Unrouted rows that wait for one of these."""
    ids: list[uuid.UUID] | None = None
    parser_version_below: int | None = None
    mentions: str | None = None
    """Rows whose body holds this number (Meta's id); for the caller to look for, the body is compressed."""
    account: str | None = None
    """Beside those that `mentions` names: rows about this WABA as a whole; for the caller as well."""


def _matching(rows: LedgerFilter) -> LiteralString:
    # Only the conditions that are asked for: "column = x OR x IS NULL" would cost the index.
    conditions: LiteralString = "true"
    if rows.tenant_id is not None:
        conditions += " AND tenant_id = %(tenant_id)s"
    if rows.states is not None:
        conditions += " AND state = ANY(%(states)s)"
    if rows.from_time is not None:
        conditions += " AND received_at >= %(from_time)s"
    if rows.to_time is not None:
        conditions += " AND received_at < %(to_time)s"
    if rows.awaits is not None:
        conditions += " AND awaits && %(awaits)s"
    if rows.ids is not None:
        conditions += " AND id = ANY(%(ids)s)"
    if rows.parser_version_below is not None:
        conditions += " AND parser_version < %(parser_version_below)s"
    return conditions


def count_ledger_rows(conn: Connection[Any], rows: LedgerFilter) -> int:
    with conn.cursor(row_factory=scalar_row) as cursor:
        found = cursor.execute(
            "SELECT count(*) FROM whatsapp_webhook_logs WHERE " + _matching(rows),
            msgspec.structs.asdict(rows),
        ).fetchone()
    return found or 0


def list_ledger_rows(
    conn: Connection[Any],
    rows: LedgerFilter,
    *,
    after: LeadKey | None,
    count_max: int,
    bytes_max: int,
    is_locking: bool,
) -> list[KeptWebhook]:
    """Give the next rows in the order of (tenant, id), which is that of their arrival.

    No more than hold `bytes_max` of bodies, but at least one, if there is any.
    """
    tenant_id, id = after or (-1, uuid.UUID(int=0))
    lock: LiteralString = "FOR UPDATE" if is_locking else ""
    with conn.cursor(row_factory=kwargs_row(KeptWebhook), binary=True) as cursor:
        return cursor.execute(
            """
            SELECT tenant_id, id, received_at, dictionary_id, body_bytes, body
            FROM whatsapp_webhook_logs
            WHERE (tenant_id, id) IN (
              SELECT tenant_id, id FROM (
                SELECT tenant_id, id,
                  sum(body_bytes) OVER (ORDER BY tenant_id, id) - body_bytes AS bytes_before
                FROM (
                  SELECT tenant_id, id, body_bytes
                  FROM whatsapp_webhook_logs
                  WHERE (tenant_id, id) > (%(after_tenant)s, %(after_id)s) AND
            """
            + _matching(rows)
            + """
                  ORDER BY tenant_id, id
                  LIMIT %(count_max)s
                ) AS next
              ) AS counted
              WHERE bytes_before < %(bytes_max)s
            )
            ORDER BY tenant_id, id
            """
            + lock,
            {
                **msgspec.structs.asdict(rows),
                "after_tenant": tenant_id,
                "after_id": id,
                "count_max": count_max,
                "bytes_max": bytes_max,
            },
        ).fetchall()


def list_forgotten(conn: Connection[Any], *, before: datetime, count_max: int) -> list[LeadKey]:
    """Give (tenant, id) of webhooks that wait to be applied and of which no job knows."""
    return conn.execute(
        """
        SELECT w.tenant_id, w.id
        FROM whatsapp_webhook_logs w
        WHERE w.state = 'pending' AND w.tenant_id <> 0 AND w.received_at < %(before)s
          AND NOT EXISTS (SELECT FROM outbox o WHERE o.tenant_id = w.tenant_id AND o.id = w.id)
        LIMIT %(count_max)s
        """,
        {"before": before, "count_max": count_max},
    ).fetchall()


class BatchRow(msgspec.Struct, frozen=True, kw_only=True):
    """A ledger row with what became of it."""

    tenant_id: int
    id: uuid.UUID
    received_at: datetime
    state: str
    attempts: int
    parser_version: int
    body_bytes: int
    dictionary_id: int
    body: bytes
    error: str | None

    def opened(self) -> bytes:
        """Give the webhook byte for byte."""
        return ledger.decompress(self.dictionary_id, self.body)


def find_batch(conn: Connection[Any], *, tenant_id: int, id: uuid.UUID) -> BatchRow | None:
    with conn.cursor(row_factory=kwargs_row(BatchRow), binary=True) as cursor:
        return cursor.execute(
            """
            SELECT tenant_id, id, received_at, state, attempts, parser_version, body_bytes, dictionary_id,
              body, error
            FROM whatsapp_webhook_logs
            WHERE tenant_id = %(tenant_id)s AND id = %(id)s
            """,
            {"tenant_id": tenant_id, "id": id},
        ).fetchone()


def batches_of_messages(
    conn: Connection[Any], *, tenant_id: int, ids: Sequence[uuid.UUID]
) -> dict[uuid.UUID, uuid.UUID]:
    """Say of each message that is kept which webhook brought it first."""
    return dict(
        conn.execute(
            """
            SELECT id, batch_id FROM whatsapp_messages
            WHERE tenant_id = %(tenant_id)s AND id = ANY(%(ids)s)
            """,
            {"tenant_id": tenant_id, "ids": list(ids)},
        )
    )


def batches_of_account_events(
    conn: Connection[Any], *, tenant_id: int, ids: Sequence[uuid.UUID]
) -> dict[uuid.UUID, uuid.UUID]:
    return dict(
        conn.execute(
            """
            SELECT id, batch_id FROM account_events
            WHERE tenant_id = %(tenant_id)s AND id = ANY(%(ids)s)
            """,
            {"tenant_id": tenant_id, "ids": list(ids)},
        )
    )


class FailureRow(msgspec.Struct, frozen=True, kw_only=True):
    id: uuid.UUID
    tenant_id: int
    received_at: datetime
    attempts: int
    body_bytes: int
    error: str | None


def list_failures(
    conn: Connection[Any], *, tenant_id: int | None, before: tuple[uuid.UUID, int] | None, count_max: int
) -> list[FailureRow]:
    """List webhooks with items not applied, newest first; also those too broken to have an owner.

    `tenant_id` None is every tenant. `before` names the row to go on after: a webhook has one for each
    tenant it concerns, and perhaps one that is nobody's.
    """
    with conn.cursor(row_factory=kwargs_row(FailureRow)) as cursor:
        return cursor.execute(
            """
            SELECT id, tenant_id, received_at, attempts, body_bytes, error
            FROM whatsapp_webhook_logs
            WHERE (tenant_id IN (%(tenant_id)s, %(nobody)s) OR %(tenant_id)s::int4 IS NULL)
              AND state = 'failed'
              AND (%(id)s::uuid IS NULL OR (id, tenant_id) < (%(id)s, %(owner)s))
            ORDER BY id DESC, tenant_id DESC
            LIMIT %(count_max)s
            """,
            {
                "tenant_id": tenant_id,
                "nobody": NO_TENANT,
                "id": before[0] if before else None,
                "owner": before[1] if before else None,
                "count_max": count_max,
            },
        ).fetchall()


def count_failures(conn: Connection[Any], *, tenant_id: int | None) -> int:
    with conn.cursor(row_factory=scalar_row) as cursor:
        found = cursor.execute(
            """
            SELECT count(*)
            FROM whatsapp_webhook_logs
            WHERE (tenant_id IN (%(tenant_id)s, %(nobody)s) OR %(tenant_id)s::int4 IS NULL)
              AND state = 'failed'
            """,
            {"tenant_id": tenant_id, "nobody": NO_TENANT},
        ).fetchone()
    return found or 0


def tenants_awaited(conn: Connection[Any]) -> list[str]:
    """Name the tenants for whose numbers unrouted webhooks are still kept."""
    with conn.cursor(row_factory=scalar_row) as cursor:
        return cursor.execute(
            """
            SELECT DISTINCT t.name
            FROM webhook_routes r
            JOIN tenants t ON t.id = r.tenant_id
            WHERE EXISTS (
              SELECT FROM whatsapp_webhook_logs l
              WHERE l.tenant_id = %(nobody)s AND l.state = 'unrouted'
                AND l.awaits @> ARRAY[r.kind || ':' || r.external_id]
            )
            """,
            {"nobody": NO_TENANT},
        ).fetchall()
