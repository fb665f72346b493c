"""The feed of changes, and the record of who did what."""

import uuid
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import msgspec
from psycopg import Connection

from capture_service.store.rows import json_rows


class LeadTouch(msgspec.Struct, frozen=True):
    """What a transaction changed of one lead."""

    tenant_id: int
    lead_id: uuid.UUID
    message_ids: list[uuid.UUID]
    is_of_lead: bool
    """The lead itself: how it is shown, or which one it is part of."""


def insert_changes(conn: Connection[Any], touches: Sequence[LeadTouch]) -> None:
    """Tell those who watch, of each lead once; they hear of it when the transaction is committed."""
    conn.execute(
        """
        INSERT INTO changes AS c (tenant_id, lead_id, message_ids, is_of_lead)
        SELECT tenant_id, lead_id, message_ids, is_of_lead
        FROM json_to_recordset(%(rows)s::json)
          AS r (tenant_id int4, lead_id uuid, message_ids uuid[], is_of_lead bool)
        ON CONFLICT (tenant_id, lead_id, changed_in) DO UPDATE SET
          message_ids = c.message_ids || EXCLUDED.message_ids,
          is_of_lead = c.is_of_lead OR EXCLUDED.is_of_lead
        """,
        {"rows": json_rows(touches)},
    )


def insert_audit(
    conn: Connection[Any],
    *,
    tenant_id: int,
    id: uuid.UUID,
    at: datetime,
    subject: str,
    action: str,
    lead_id: uuid.UUID | None,
    count: int,
    request_id: str,
) -> None:
    """Note who changed what."""
    conn.execute(
        """
        INSERT INTO audit_log (tenant_id, id, happened_at, subject, action, lead_id, count, request_id)
        VALUES (
          %(tenant_id)s, %(id)s, %(at)s, %(subject)s, %(action)s, %(lead_id)s, %(count)s, %(request_id)s
        )
        """,
        {
            "tenant_id": tenant_id,
            "id": id,
            "at": at,
            "subject": subject,
            "action": action,
            "lead_id": lead_id,
            "count": count,
            "request_id": request_id,
        },
    )


def delete_old_changes(conn: Connection[Any], *, before: datetime, count_max: int) -> int:
    """Delete up to so many of the oldest rows of the feed, those that are from before; give their number."""
    return conn.execute(
        """
        DELETE FROM changes
        WHERE ctid = ANY (ARRAY (
          SELECT place FROM (
            SELECT ctid AS place, changed_at FROM changes ORDER BY changed_in LIMIT %(count_max)s
          ) oldest
          WHERE changed_at < %(before)s
        ))
        """,
        {"before": before, "count_max": count_max},
    ).rowcount
