"""Tickets: each stays with the lead it was opened for, and counts with the one that it became."""

import uuid
from collections.abc import Iterable
from datetime import datetime
from typing import Any, Final, LiteralString, NamedTuple

from psycopg import Connection
from psycopg.rows import args_row, scalar_row

from capture_service.store.rows import LeadKey
from protos.ids import moment_of


def insert_tickets(conn: Connection[Any], tickets: Iterable[tuple[LeadKey, uuid.UUID]]) -> None:
    """Open these tickets, each at the moment of its id; one that was closed is open again."""
    rows = sorted(tickets)
    conn.execute(
        """
        INSERT INTO tickets (tenant_id, id, lead_id, opened_at)
        SELECT t.tenant_id, t.id, t.lead_id, t.opened_at
        FROM unnest(%(tenants)b::int4[], %(ids)b::uuid[], %(leads)b::uuid[], %(opened)b::timestamptz[])
          AS t (tenant_id, id, lead_id, opened_at)
        ON CONFLICT (tenant_id, id) DO UPDATE SET closed_at = NULL
        """,
        {
            "tenants": [tenant_id for (tenant_id, _), _ in rows],
            "ids": [id for _, id in rows],
            "leads": [lead_id for (_, lead_id), _ in rows],
            "opened": [moment_of(id) for _, id in rows],
        },
    )


class TicketRow(NamedTuple):
    id: uuid.UUID
    lead_id: uuid.UUID
    opened_at: datetime
    closed_at: datetime | None


# What is part of a ticket of somebody else, from whom the lead has been parted, stands by itself.
_OF_LEAD: Final[LiteralString] = """
  every AS (
    SELECT t.id, t.opened_at, t.closed_at, t.part_of
    FROM tickets t
    WHERE t.tenant_id = %(tenant_id)s AND t.lead_id IN (
      SELECT id FROM leads
      WHERE tenant_id = %(tenant_id)s AND (id = %(lead_id)s OR merged_into = %(lead_id)s)
    )
  ), shown AS (
    SELECT t.id, t.opened_at, t.closed_at
    FROM every t
    WHERE NOT EXISTS (SELECT FROM every w WHERE w.id = t.part_of)
  )
"""


def list_tickets(
    conn: Connection[Any], *, tenant_id: int, lead_id: uuid.UUID, before: uuid.UUID | None, count_max: int
) -> list[TicketRow]:
    """Give a lead's tickets, newest first, those before `before`."""
    with conn.cursor(row_factory=args_row(TicketRow)) as cursor:
        return cursor.execute(
            "WITH"
            + _OF_LEAD
            + """
            SELECT id, %(lead_id)s::uuid, opened_at, closed_at
            FROM shown
            WHERE %(before)s::uuid IS NULL OR id < %(before)s
            ORDER BY id DESC
            LIMIT %(count_max)s
            """,
            {"tenant_id": tenant_id, "lead_id": lead_id, "before": before, "count_max": count_max},
        ).fetchall()


def count_tickets(conn: Connection[Any], *, tenant_id: int, lead_id: uuid.UUID) -> int:
    with conn.cursor(row_factory=scalar_row) as cursor:
        count = cursor.execute(
            "WITH" + _OF_LEAD + "SELECT count(*) FROM shown",
            {"tenant_id": tenant_id, "lead_id": lead_id},
        ).fetchone()
    return count or 0


def find_lead_of_ticket(conn: Connection[Any], *, tenant_id: int, id: uuid.UUID) -> uuid.UUID | None:
    """Give whose a ticket is by now."""
    with conn.cursor(row_factory=scalar_row) as cursor:
        return cursor.execute(
            """
            SELECT coalesce(l.merged_into, l.id)
            FROM tickets t
            JOIN leads l ON l.tenant_id = t.tenant_id AND l.id = t.lead_id
            WHERE t.tenant_id = %(tenant_id)s AND t.id = %(id)s
            """,
            {"tenant_id": tenant_id, "id": id},
        ).fetchone()


def find_ticket(
    conn: Connection[Any], *, tenant_id: int, lead_id: uuid.UUID, id: uuid.UUID
) -> TicketRow | None:
    """Give a lead's ticket, or the one that it is part of."""
    with conn.cursor(row_factory=args_row(TicketRow)) as cursor:
        return cursor.execute(
            "WITH RECURSIVE"
            + _OF_LEAD
            + """
            , whole AS (
              SELECT id, part_of FROM every WHERE id = %(id)s
              UNION
              SELECT e.id, e.part_of FROM every e JOIN whole w ON e.id = w.part_of
            )
            SELECT id, %(lead_id)s::uuid, opened_at, closed_at FROM shown WHERE id IN (SELECT id FROM whole)
            """,
            {"tenant_id": tenant_id, "lead_id": lead_id, "id": id},
        ).fetchone()


def find_open_ticket(conn: Connection[Any], *, tenant_id: int, lead_id: uuid.UUID) -> uuid.UUID | None:
    with conn.cursor(row_factory=scalar_row) as cursor:
        return cursor.execute(
            "SELECT open_ticket_id FROM leads WHERE tenant_id = %(tenant_id)s AND id = %(lead_id)s",
            {"tenant_id": tenant_id, "lead_id": lead_id},
        ).fetchone()


def set_ticket_closed(
    conn: Connection[Any], *, tenant_id: int, lead_id: uuid.UUID, id: uuid.UUID, at: datetime | None
) -> None:
    """Close a ticket with its parts, or open it again with None, and let its lead know which one is open."""
    conn.execute(
        "WITH RECURSIVE"
        + _OF_LEAD
        + """
        , parts AS (
          SELECT id FROM every WHERE id = %(id)s
          UNION
          SELECT e.id FROM every e JOIN parts p ON e.part_of = p.id
        ), changed AS (
          UPDATE tickets SET closed_at = %(at)s
          WHERE tenant_id = %(tenant_id)s AND id IN (SELECT id FROM parts)
        )
        UPDATE leads SET open_ticket_id = %(open_ticket_id)s
        WHERE tenant_id = %(tenant_id)s AND id = %(lead_id)s
        """,
        {
            "tenant_id": tenant_id,
            "lead_id": lead_id,
            "id": id,
            "at": at,
            "open_ticket_id": None if at else id,
        },
    )


def settle_tickets(conn: Connection[Any], *, tenant_id: int, lead_id: uuid.UUID) -> None:
    """Make a lead's open tickets one, the earliest, and let the lead know which one is open.

    For a lead that another became part of or was parted from.
    """
    conn.execute(
        "WITH"
        + _OF_LEAD
        + """
        , earliest AS (
          SELECT id FROM shown WHERE closed_at IS NULL ORDER BY id LIMIT 1
        ), joined AS (
          UPDATE tickets t SET part_of = e.id
          FROM earliest e
          WHERE t.tenant_id = %(tenant_id)s AND t.id <> e.id
            AND t.id IN (SELECT id FROM shown WHERE closed_at IS NULL)
        )
        UPDATE leads SET open_ticket_id = (SELECT id FROM earliest)
        WHERE tenant_id = %(tenant_id)s AND id = %(lead_id)s
        """,
        {"tenant_id": tenant_id, "lead_id": lead_id},
    )
