"""Facts about an account, and which of them are told of an instance."""

import uuid
from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any, Final, LiteralString, NamedTuple

import msgspec
from psycopg import Connection
from psycopg.rows import kwargs_row, scalar_row

from capture_service import account
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
    number: str | None
    """The digits of the number of the account that it is about alone, where it names one."""


def insert_account_events(conn: Connection[Any], rows: Sequence[AccountEventRow]) -> list[LeadKey]:
    """Keep those that are new; give (tenant, id) of these, and of those that turned out to be older.

    What is told again happened when it was told first, whichever of the two is applied first. What is about a
    number alone is of the account whose number it is now.
    """
    return list(
        conn.execute(
            """
            INSERT INTO account_events AS e (
              tenant_id, id, instance_id, account_id, field, event, happened_at, batch_id, told, number
            )
            SELECT r.tenant_id, r.id, r.instance_id, coalesce(c.waba_id, r.account_id), r.field, r.event,
              r.happened_at, r.batch_id, r.told, r.number
            FROM json_to_recordset(%(rows)s::json) AS r (
              tenant_id int4, id uuid, instance_id int4, account_id text, field text, event text,
              happened_at timestamptz, batch_id uuid, told text, number text
            )
            -- The route by which it came may be some seconds old.
            LEFT JOIN whatsapp_configs c ON c.tenant_id = r.tenant_id AND c.id = r.instance_id
            ORDER BY r.tenant_id, r.id
            ON CONFLICT (tenant_id, id) DO UPDATE
            SET account_id = EXCLUDED.account_id,
              happened_at = least(e.happened_at, EXCLUDED.happened_at),
              batch_id = least(e.batch_id, EXCLUDED.batch_id),
              number = coalesce(e.number, EXCLUDED.number)
            WHERE e.account_id <> EXCLUDED.account_id
              OR (e.number IS NULL AND EXCLUDED.number IS NOT NULL)
              OR EXCLUDED.happened_at < e.happened_at OR EXCLUDED.batch_id < e.batch_id
            RETURNING e.tenant_id, e.id
            """,
            {"rows": json_rows(rows)},
        )
    )


class Concerned(NamedTuple):
    """The instance whose facts are asked for."""

    tenant_id: int
    instance_id: int
    account_id: str
    numbers: list[str]
    """Every form of its number."""
    known_numbers: list[str]
    """Every form of the numbers of all instances of the account."""


# What is about a number that is no instance is told of all: nowhere else would it be found.
_CONCERNS: Final[LiteralString] = """
  account_id = %(account_id)s
  AND (instance_id IS NULL OR instance_id = %(instance_id)s)
  AND (number IS NULL OR number = ANY(%(numbers)s) OR number <> ALL(%(known_numbers)s))
"""


def list_account_events(
    conn: Connection[Any],
    concerned: Concerned,
    *,
    before: tuple[datetime, uuid.UUID] | None,
    count_max: int,
) -> list[AccountEventRow]:
    """List what concerns an instance, by itself or with all numbers of its WABA, newest first."""
    with conn.cursor(row_factory=kwargs_row(AccountEventRow)) as cursor:
        return cursor.execute(
            """
            SELECT tenant_id, id, instance_id, account_id, field, event, happened_at, batch_id, told, number
            FROM account_events
            WHERE tenant_id = %(tenant_id)s AND
            """
            + _CONCERNS
            + """
              AND (%(at)s::timestamptz IS NULL OR (happened_at, id) < (%(at)s, %(id)s))
            ORDER BY happened_at DESC, id DESC
            LIMIT %(count_max)s
            """,
            {
                **concerned._asdict(),
                "at": before[0] if before else None,
                "id": before[1] if before else None,
                "count_max": count_max,
            },
        ).fetchall()


def count_account_events(conn: Connection[Any], concerned: Concerned) -> int:
    with conn.cursor(row_factory=scalar_row) as cursor:
        found = cursor.execute(
            "SELECT count(*) FROM account_events WHERE tenant_id = %(tenant_id)s AND " + _CONCERNS,
            concerned._asdict(),
        ).fetchone()
    return found or 0


def take_along_account_events(conn: Connection[Any], *, tenant_id: int, phone_number_id: str) -> None:
    """Have what is about this number, and no other, be about the account whose number it is by now."""
    conn.execute(
        """
        UPDATE account_events e SET account_id = c.waba_id
        FROM whatsapp_configs c
        WHERE c.tenant_id = %(tenant_id)s AND c.phone_number_id = %(phone_number_id)s
          AND e.tenant_id = c.tenant_id AND e.instance_id = c.id AND e.account_id <> c.waba_id
        """,
        {"tenant_id": tenant_id, "phone_number_id": phone_number_id},
    )


def list_facts(
    conn: Connection[Any],
    *,
    tenant_id: int,
    account_id: str,
    fields: Collection[str],
    events: Collection[str],
) -> list[AccountEventRow]:
    """List all facts about an account with one of these fields and events."""
    with conn.cursor(row_factory=kwargs_row(AccountEventRow)) as cursor:
        return cursor.execute(
            """
            SELECT tenant_id, id, instance_id, account_id, field, event, happened_at, batch_id, told, number
            FROM account_events
            WHERE tenant_id = %(tenant_id)s AND account_id = %(account_id)s
              AND field = ANY(%(fields)s) AND event = ANY(%(events)s)
            """,
            {
                "tenant_id": tenant_id,
                "account_id": account_id,
                "fields": list(fields),
                "events": list(events),
            },
        ).fetchall()


def update_connection(
    conn: Connection[Any], *, tenant_id: int, id: int, connection: account.Connection
) -> None:
    conn.execute(
        """
        UPDATE whatsapp_configs
        SET connection_state = %(state)s, connection_reason = %(reason)s,
          connection_changed_at = %(changed_at)s
        WHERE tenant_id = %(tenant_id)s AND id = %(id)s
        """,
        {"tenant_id": tenant_id, "id": id, **connection._asdict()},
    )
