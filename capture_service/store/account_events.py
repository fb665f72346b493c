"""Facts about an account: its events, and the state of its instances."""

import uuid
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import msgspec
from psycopg import Connection
from psycopg.rows import kwargs_row, scalar_row

from capture_service.store.routes import InstanceRow
from capture_service.store.rows import LeadKey, json_rows


class AccountEventRow(msgspec.Struct, frozen=True, kw_only=True):
    """A fact about the account."""

    tenant_id: int
    id: uuid.UUID
    instance_id: int | None
    account_id: str
    field: str
    event: str
    happened_at: datetime
    batch_id: uuid.UUID
    told: str
    numbers: list[str] = []
    """Every form of the number it is about, in digits, where the value names one; only to insert."""


def insert_account_events(
    conn: Connection[Any], rows: Sequence[AccountEventRow]
) -> dict[LeadKey, int | None]:
    """Keep those that are new; give of each, by (tenant, id), the instance that it is about alone.

    What is told again happened when it was told first, whichever of the two is applied first.
    """
    found = conn.execute(
        """
        INSERT INTO account_events AS e (
          tenant_id, id, instance_id, account_id, field, event, happened_at, batch_id, told
        )
        SELECT r.tenant_id, r.id, coalesce(r.instance_id, c.id), r.account_id, r.field, r.event,
          r.happened_at, r.batch_id, r.told
        FROM json_to_recordset(%(rows)s::json) AS r (
          tenant_id int4, id uuid, instance_id int4, account_id text, field text, event text,
          happened_at timestamptz, batch_id uuid, told text, numbers text[]
        )
        LEFT JOIN whatsapp_configs c ON c.tenant_id = r.tenant_id AND c.waba_id = r.account_id
          AND regexp_replace(c.display_phone_number, '[^0-9]', '', 'g') = ANY(r.numbers)
        ORDER BY r.tenant_id, r.id
        ON CONFLICT (tenant_id, id) DO UPDATE
        SET happened_at = least(e.happened_at, EXCLUDED.happened_at),
          batch_id = least(e.batch_id, EXCLUDED.batch_id)
        WHERE EXCLUDED.happened_at < e.happened_at OR EXCLUDED.batch_id < e.batch_id
        RETURNING tenant_id, id, instance_id, xmax = 0 AS is_new
        """,
        {"rows": json_rows(rows)},
    )
    return {(tenant_id, id): instance_id for tenant_id, id, instance_id, is_new in found if is_new}


def list_account_events(
    conn: Connection[Any],
    *,
    tenant_id: int,
    instance: InstanceRow,
    before: tuple[datetime, uuid.UUID] | None,
    count_max: int,
) -> list[AccountEventRow]:
    """List what concerns an instance, by itself or with all numbers of its WABA, newest first."""
    with conn.cursor(row_factory=kwargs_row(AccountEventRow)) as cursor:
        return cursor.execute(
            """
            SELECT tenant_id, id, instance_id, account_id, field, event, happened_at, batch_id, told
            FROM account_events
            WHERE tenant_id = %(tenant_id)s AND account_id = %(account_id)s
              AND (instance_id IS NULL OR instance_id = %(instance_id)s)
              AND (%(at)s::timestamptz IS NULL OR (happened_at, id) < (%(at)s, %(id)s))
            ORDER BY happened_at DESC, id DESC
            LIMIT %(count_max)s
            """,
            {
                "tenant_id": tenant_id,
                "account_id": instance.waba_id,
                "instance_id": instance.id,
                "at": before[0] if before else None,
                "id": before[1] if before else None,
                "count_max": count_max,
            },
        ).fetchall()


def count_account_events(conn: Connection[Any], *, tenant_id: int, instance: InstanceRow) -> int:
    with conn.cursor(row_factory=scalar_row) as cursor:
        found = cursor.execute(
            """
            SELECT count(*)
            FROM account_events
            WHERE tenant_id = %(tenant_id)s AND account_id = %(account_id)s
              AND (instance_id IS NULL OR instance_id = %(instance_id)s)
            """,
            {"tenant_id": tenant_id, "account_id": instance.waba_id, "instance_id": instance.id},
        ).fetchone()
    return found or 0


def change_connection(
    conn: Connection[Any],
    *,
    tenant_id: int,
    account_id: str,
    instance_id: int | None,
    state: str,
    reason: str | None,
    at: datetime,
) -> None:
    """Note that an instance, or all of a WABA, was connected or lost; the latest change counts."""
    conn.execute(
        """
        UPDATE whatsapp_configs
        SET connection_state = %(state)s, connection_reason = %(reason)s, connection_changed_at = %(at)s
        WHERE tenant_id = %(tenant_id)s AND waba_id = %(account_id)s
          AND (%(instance_id)s::int4 IS NULL OR id = %(instance_id)s)
          AND (
            connection_changed_at IS NULL
            OR (connection_changed_at, connection_state) < (%(at)s, %(state)s)
          )
        """,
        {
            "tenant_id": tenant_id,
            "account_id": account_id,
            "instance_id": instance_id,
            "state": state,
            "reason": reason,
            "at": at,
        },
    )
