"""Jobs that must follow a commit, and the exports that are such jobs."""

import uuid
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final, LiteralString, NamedTuple

import msgspec
from psycopg import Connection
from psycopg.rows import args_row, kwargs_row

from capture_service.store.rows import json_rows


class ExportRow(msgspec.Struct, frozen=True, kw_only=True):
    tenant_id: int
    id: uuid.UUID
    requested_by: str
    instances: list[uuid.UUID] | None
    request: str
    status: str
    leads_done: int
    leads_total: int
    file_bytes: int
    error_message: str | None
    created_at: datetime
    started_at: datetime | None
    completed_at: datetime | None


_EXPORT_COLUMNS: Final[LiteralString] = """
  tenant_id, id, requested_by, instances, request, status, leads_done, leads_total, file_bytes,
  error_message, created_at, started_at, completed_at
"""


def insert_export(
    conn: Connection[Any],
    *,
    tenant_id: int,
    id: uuid.UUID,
    requested_by: str,
    instances: Collection[uuid.UUID] | None,
    request: str,
) -> None:
    conn.execute(
        """
        INSERT INTO exports (tenant_id, id, requested_by, instances, request)
        VALUES (%(tenant_id)s, %(id)s, %(requested_by)s, %(instances)s, %(request)s)
        """,
        {
            "tenant_id": tenant_id,
            "id": id,
            "requested_by": requested_by,
            "instances": None if instances is None else sorted(instances),
            "request": request,
        },
    )


def find_export(conn: Connection[Any], *, tenant_id: int, id: uuid.UUID) -> ExportRow | None:
    with conn.cursor(row_factory=kwargs_row(ExportRow)) as cursor:
        return cursor.execute(
            "SELECT " + _EXPORT_COLUMNS + "FROM exports WHERE tenant_id = %(tenant_id)s AND id = %(id)s",
            {"tenant_id": tenant_id, "id": id},
        ).fetchone()


def update_export(
    conn: Connection[Any],
    *,
    tenant_id: int,
    id: uuid.UUID,
    status: str,
    leads_done: int,
    leads_total: int,
    file_bytes: int,
    error: str | None,
    at: datetime,
) -> None:
    """Note how far an export has come; one that has ended stays as it is."""
    conn.execute(
        """
        UPDATE exports
        SET status = %(status)s, leads_done = %(leads_done)s, leads_total = %(leads_total)s,
          file_bytes = %(file_bytes)s, error_message = %(error)s,
          started_at = coalesce(started_at, %(at)s),
          completed_at = CASE WHEN %(status)s IN ('completed', 'failed') THEN %(at)s END
        WHERE tenant_id = %(tenant_id)s AND id = %(id)s AND status IN ('pending', 'in_progress')
        """,
        {
            "tenant_id": tenant_id,
            "id": id,
            "status": status,
            "leads_done": leads_done,
            "leads_total": leads_total,
            "file_bytes": file_bytes,
            "error": error,
            "at": at,
        },
    )


class OutboxRow(NamedTuple):
    tenant_id: int
    id: uuid.UUID
    job: str
    arguments: Mapping[str, str]


def insert_outbox_rows(conn: Connection[Any], rows: Sequence[OutboxRow]) -> None:
    conn.execute(
        """
        INSERT INTO outbox (tenant_id, id, job, arguments)
        SELECT r.tenant_id, r.id, r.job, r.arguments
        FROM json_to_recordset(%(rows)s::json) AS r (tenant_id int4, id uuid, job text, arguments jsonb)
        ON CONFLICT (tenant_id, id) DO NOTHING
        """,
        {"rows": json_rows([row._asdict() for row in rows])},
    )


def claim_outbox_rows(conn: Connection[Any], *, lease: timedelta, count_max: int) -> list[OutboxRow]:
    """Take what is due; each is due again after the lease, doubled with every attempt, up to an hour."""
    with conn.cursor(row_factory=args_row(OutboxRow)) as cursor:
        return cursor.execute(
            """
            UPDATE outbox o
            SET attempts = least(o.attempts + 1, 1000),
              due_at = now() + least(%(lease)s * 2 ^ least(o.attempts, 12), interval '1 hour')
            FROM (
              SELECT tenant_id, id
              FROM outbox
              WHERE due_at <= now()
              ORDER BY due_at
              LIMIT %(count_max)s
              FOR UPDATE
            ) AS due
            WHERE o.tenant_id = due.tenant_id AND o.id = due.id
            RETURNING o.tenant_id, o.id, o.job, o.arguments
            """,
            {"lease": lease, "count_max": count_max},
        ).fetchall()


def postpone_outbox_row(conn: Connection[Any], *, tenant_id: int, id: uuid.UUID, by: timedelta) -> None:
    """Let nobody hand it over before `by` has passed: its job is at work."""
    conn.execute(
        """
        UPDATE outbox SET due_at = now() + %(by)s
        WHERE tenant_id = %(tenant_id)s AND id = %(id)s
        """,
        {"tenant_id": tenant_id, "id": id, "by": by},
    )


def give_back_outbox_row(conn: Connection[Any], *, tenant_id: int, id: uuid.UUID, by: timedelta) -> None:
    """Take the last attempt back, which came to nothing, and try again once `by` has passed."""
    conn.execute(
        """
        UPDATE outbox SET due_at = now() + %(by)s, attempts = greatest(attempts - 1, 0)
        WHERE tenant_id = %(tenant_id)s AND id = %(id)s
        """,
        {"tenant_id": tenant_id, "id": id, "by": by},
    )


def delete_outbox_row(conn: Connection[Any], *, tenant_id: int, id: uuid.UUID) -> None:
    """Its job has done its work."""
    conn.execute(
        "DELETE FROM outbox WHERE tenant_id = %(tenant_id)s AND id = %(id)s",
        {"tenant_id": tenant_id, "id": id},
    )
