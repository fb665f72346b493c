"""Sync logs: recoveries and histories under way."""

import uuid
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, Final, LiteralString, NamedTuple

import msgspec
from psycopg import Connection
from psycopg.rows import kwargs_row, scalar_row


class SyncLogRow(msgspec.Struct, frozen=True, kw_only=True):
    tenant_id: int
    id: uuid.UUID
    lead_id: uuid.UUID | None
    sync_type: str
    status: str
    step: str
    percent: int
    messages_imported: int
    error_message: str | None
    created_at: datetime
    started_at: datetime | None
    completed_at: datetime | None
    instance_id: int | None
    instance_public_id: uuid.UUID | None
    detail: str | None


SYNC_COLUMNS: Final[LiteralString] = """
  tenant_id, id, lead_id, sync_type, status, step, percent, messages_imported, error_message,
  created_at, started_at, completed_at, instance_id,
  (
    SELECT c.public_id FROM whatsapp_configs c
    WHERE c.tenant_id = whatsapp_sync_logs.tenant_id AND c.id = whatsapp_sync_logs.instance_id
  ) AS instance_public_id,
  detail
"""


class NewSync(NamedTuple):
    tenant_id: int
    id: uuid.UUID
    lead_id: uuid.UUID
    messages_imported: int


def insert_initial_syncs(conn: Connection[Any], syncs: Sequence[NewSync]) -> set[uuid.UUID]:
    """Note first contacts, one of each lead, whose row the caller has locked; give those that are new.

    Their profile is empty from now on, and no longer absent: nobody asks for it again.
    """
    rows = conn.execute(
        """
        WITH asked AS (
          UPDATE leads SET profile = '{}'
          WHERE (tenant_id, id) IN (SELECT * FROM unnest(%(tenants)b::int4[], %(leads)b::uuid[]))
            AND profile IS NULL
        )
        INSERT INTO whatsapp_sync_logs (tenant_id, id, lead_id, messages_imported, sync_type, started_at)
        SELECT s.tenant_id, s.id, s.lead_id, s.messages_imported, 'initial_contact', now()
        FROM unnest(%(tenants)b::int4[], %(ids)b::uuid[], %(leads)b::uuid[], %(counts)b::int8[])
          AS s (tenant_id, id, lead_id, messages_imported)
        WHERE NOT EXISTS (
          SELECT FROM whatsapp_sync_logs l
          WHERE l.tenant_id = s.tenant_id AND l.lead_id = s.lead_id AND l.sync_type = 'initial_contact'
        )
        RETURNING id
        """,
        {
            "tenants": [sync.tenant_id for sync in syncs],
            "ids": [sync.id for sync in syncs],
            "leads": [sync.lead_id for sync in syncs],
            "counts": [sync.messages_imported for sync in syncs],
        },
    )
    return {id for (id,) in rows}


def insert_recovery(
    conn: Connection[Any], *, tenant_id: int, id: uuid.UUID, lead_id: uuid.UUID, requested_by: str
) -> SyncLogRow | None:
    """Note a manual recovery; None when one is pending or in progress already."""
    with conn.cursor(row_factory=kwargs_row(SyncLogRow)) as cursor:
        return cursor.execute(
            """
            INSERT INTO whatsapp_sync_logs (tenant_id, id, lead_id, sync_type, requested_by)
            VALUES (%(tenant_id)s, %(id)s, %(lead_id)s, 'manual_recovery', %(requested_by)s)
            ON CONFLICT (tenant_id, lead_id)
              WHERE sync_type = 'manual_recovery' AND status IN ('pending', 'in_progress')
              DO NOTHING
            RETURNING
            """
            + SYNC_COLUMNS,
            {"tenant_id": tenant_id, "id": id, "lead_id": lead_id, "requested_by": requested_by},
        ).fetchone()


def restart_recovery(
    conn: Connection[Any], *, tenant_id: int, id: uuid.UUID, lead_id: uuid.UUID, requested_by: str | None
) -> SyncLogRow:
    """Note a manual recovery; one that is pending or in progress begins again."""
    with conn.cursor(row_factory=kwargs_row(SyncLogRow)) as cursor:
        sync = cursor.execute(
            """
            INSERT INTO whatsapp_sync_logs (tenant_id, id, lead_id, sync_type, requested_by)
            VALUES (%(tenant_id)s, %(id)s, %(lead_id)s, 'manual_recovery', %(requested_by)s)
            ON CONFLICT (tenant_id, lead_id)
              WHERE sync_type = 'manual_recovery' AND status IN ('pending', 'in_progress')
              DO UPDATE SET status = 'pending', percent = 0
            RETURNING
            """
            + SYNC_COLUMNS,
            {"tenant_id": tenant_id, "id": id, "lead_id": lead_id, "requested_by": requested_by},
        ).fetchone()
    assert sync
    return sync


def find_running_recovery(conn: Connection[Any], *, tenant_id: int, lead_id: uuid.UUID) -> SyncLogRow | None:
    with conn.cursor(row_factory=kwargs_row(SyncLogRow)) as cursor:
        return cursor.execute(
            "SELECT"
            + SYNC_COLUMNS
            + """
            FROM whatsapp_sync_logs
            WHERE tenant_id = %(tenant_id)s AND lead_id = %(lead_id)s
              AND sync_type = 'manual_recovery' AND status IN ('pending', 'in_progress')
            """,
            {"tenant_id": tenant_id, "lead_id": lead_id},
        ).fetchone()


def find_sync(conn: Connection[Any], *, tenant_id: int, id: uuid.UUID) -> SyncLogRow | None:
    with conn.cursor(row_factory=kwargs_row(SyncLogRow)) as cursor:
        return cursor.execute(
            "SELECT"
            + SYNC_COLUMNS
            + "FROM whatsapp_sync_logs WHERE tenant_id = %(tenant_id)s AND id = %(id)s",
            {"tenant_id": tenant_id, "id": id},
        ).fetchone()


_SYNCS_OF_LEAD: Final[LiteralString] = """
            FROM whatsapp_sync_logs
            WHERE tenant_id = %(tenant_id)s AND lead_id = %(lead_id)s
              AND (
                %(instances)s::uuid[] IS NULL OR instance_id IS NULL
                OR instance_id IN (
                  SELECT id FROM whatsapp_configs
                  WHERE tenant_id = %(tenant_id)s AND public_id = ANY(%(instances)s)
                )
              )
"""


def list_syncs(
    conn: Connection[Any],
    *,
    tenant_id: int,
    lead_id: uuid.UUID,
    instances: Sequence[uuid.UUID] | None,
    before: uuid.UUID | None,
    count_max: int,
) -> list[SyncLogRow]:
    """Give a lead's sync logs, newest first, those before `before`; none of other instances than these."""
    with conn.cursor(row_factory=kwargs_row(SyncLogRow)) as cursor:
        return cursor.execute(
            "SELECT "
            + SYNC_COLUMNS
            + _SYNCS_OF_LEAD
            + """
              AND (%(before)s::uuid IS NULL OR id < %(before)s)
            ORDER BY id DESC
            LIMIT %(count_max)s
            """,
            {
                "tenant_id": tenant_id,
                "lead_id": lead_id,
                "instances": None if instances is None else list(instances),
                "before": before,
                "count_max": count_max,
            },
        ).fetchall()


def count_syncs(
    conn: Connection[Any],
    *,
    tenant_id: int,
    lead_id: uuid.UUID,
    instances: Sequence[uuid.UUID] | None,
) -> int:
    with conn.cursor(row_factory=scalar_row) as cursor:
        count = cursor.execute(
            "SELECT count(*)" + _SYNCS_OF_LEAD,
            {
                "tenant_id": tenant_id,
                "lead_id": lead_id,
                "instances": None if instances is None else list(instances),
            },
        ).fetchone()
    return count or 0


class HistoryRow(msgspec.Struct, frozen=True, kw_only=True):
    """The sync log of one history of an instance."""

    id: uuid.UUID
    status: str
    detail: str | None
    started_at: datetime
    updated_at: datetime


# %(connected_at)s: when the number was connected, or was again.
_IS_OF_A_FORMER_CONNECTION: Final[LiteralString] = """
  EXISTS (
    SELECT FROM unnest(%(connected_at)s::timestamptz[]) AS connected_at
    WHERE connected_at > updated_at AND connected_at <= %(came_at)s
  )
"""


def list_histories_over(
    conn: Connection[Any],
    *,
    tenant_id: int,
    instance_id: int,
    came_at: datetime,
    connected_at: Sequence[datetime],
) -> list[str | None]:
    """Give how far the histories had come that are over and of the connection of this time.

    `connected_at`: when the number was connected, or was again.
    """
    with conn.cursor(row_factory=scalar_row) as cursor:
        return cursor.execute(
            """
            SELECT detail
            FROM whatsapp_sync_logs
            WHERE tenant_id = %(tenant_id)s AND instance_id = %(instance_id)s
              AND sync_type = 'history_import' AND status IN ('completed', 'failed')
              AND started_at < %(came_at)s AND NOT
            """
            + _IS_OF_A_FORMER_CONNECTION,
            {
                "tenant_id": tenant_id,
                "instance_id": instance_id,
                "came_at": came_at,
                "connected_at": list(connected_at),
            },
        ).fetchall()


def find_history(
    conn: Connection[Any],
    *,
    tenant_id: int,
    instance_id: int,
    came_at: datetime,
    connected_at: Sequence[datetime],
    idle: timedelta,
) -> HistoryRow | None:
    """Lock the history that a chunk of this time belongs to; one that has been idle longer is another.

    What came long before a history that is arriving now, and is applied only now, belongs to that one.
    """
    with conn.cursor(row_factory=kwargs_row(HistoryRow)) as cursor:
        return cursor.execute(
            """
            SELECT id, status, detail, started_at, updated_at
            FROM whatsapp_sync_logs
            WHERE tenant_id = %(tenant_id)s AND instance_id = %(instance_id)s
              AND sync_type = 'history_import'
              AND (status = 'in_progress' OR started_at - %(idle)s <= %(came_at)s)
              AND updated_at + %(idle)s >= %(came_at)s
              -- One that is over is not that of a number that was connected again since.
              AND (status = 'in_progress' OR NOT
            """
            + _IS_OF_A_FORMER_CONNECTION
            + """
              )
            ORDER BY %(came_at)s BETWEEN started_at AND updated_at DESC,
              started_at - %(idle)s <= %(came_at)s DESC, id DESC
            LIMIT 1
            FOR UPDATE
            """,
            {
                "tenant_id": tenant_id,
                "instance_id": instance_id,
                "came_at": came_at,
                "connected_at": list(connected_at),
                "idle": idle,
            },
        ).fetchone()


def insert_history(
    conn: Connection[Any], *, tenant_id: int, id: uuid.UUID, instance_id: int, came_at: datetime
) -> bool:
    """Note that a history begins; False when another one is arriving."""
    return (
        conn.execute(
            """
            INSERT INTO whatsapp_sync_logs (
              tenant_id, id, sync_type, status, instance_id, started_at, updated_at
            )
            VALUES (
              %(tenant_id)s, %(id)s, 'history_import', 'in_progress', %(instance_id)s,
              %(came_at)s, %(came_at)s
            )
            ON CONFLICT (tenant_id, instance_id)
              WHERE sync_type = 'history_import' AND status IN ('pending', 'in_progress')
              DO NOTHING
            """,
            {"tenant_id": tenant_id, "id": id, "instance_id": instance_id, "came_at": came_at},
        ).rowcount
        == 1
    )


def update_history(
    conn: Connection[Any],
    *,
    tenant_id: int,
    id: uuid.UUID,
    status: str,
    percent: int,
    error: str | None,
    detail: str,
    messages: int,
    came_at: datetime,
) -> None:
    """Note what a chunk that came then has made of a history."""
    conn.execute(
        """
        UPDATE whatsapp_sync_logs
        SET status = %(status)s, percent = %(percent)s, error_message = %(error)s, detail = %(detail)s,
          step = CASE WHEN %(status)s = 'in_progress' THEN 'receiving' ELSE '' END,
          messages_imported = messages_imported + %(messages)s,
          started_at = least(started_at, %(came_at)s), updated_at = greatest(updated_at, %(came_at)s),
          completed_at = CASE
            WHEN %(status)s = 'in_progress' THEN NULL
            ELSE greatest(completed_at, %(came_at)s) END
        WHERE tenant_id = %(tenant_id)s AND id = %(id)s
        """,
        {
            "tenant_id": tenant_id,
            "id": id,
            "status": status,
            "percent": percent,
            "error": error,
            "detail": detail,
            "messages": messages,
            "came_at": came_at,
        },
    )


def end_idle_histories(conn: Connection[Any], *, before: datetime) -> int:
    """End the histories of which nothing has come since; what came stays, and the log says so."""
    return conn.execute(
        """
        UPDATE whatsapp_sync_logs
        SET status = 'completed', step = 'idle', completed_at = updated_at
        WHERE sync_type = 'history_import' AND status = 'in_progress' AND updated_at < %(before)s
          AND tenant_id IN (SELECT id FROM tenants)
        """,
        {"before": before},
    ).rowcount


def latest_histories(conn: Connection[Any], *, tenant_id: int) -> dict[int, SyncLogRow]:
    """Give the last history of every instance that ever sent one, by the instance's internal id."""
    rows = conn.execute(
        "SELECT DISTINCT ON (instance_id) instance_id,"
        + SYNC_COLUMNS
        + """
        FROM whatsapp_sync_logs
        WHERE tenant_id = %(tenant_id)s AND instance_id IS NOT NULL AND sync_type = 'history_import'
        ORDER BY instance_id, started_at DESC, id DESC
        """,
        {"tenant_id": tenant_id},
    )
    names = SyncLogRow.__struct_fields__
    return {instance: SyncLogRow(**dict(zip(names, row, strict=True))) for instance, *row in rows}


def update_sync(
    conn: Connection[Any],
    *,
    tenant_id: int,
    id: uuid.UUID,
    status: str,
    step: str = "",
    percent: int,
    error_message: str | None = None,
    detail: str | None = None,
    is_end: bool = False,
) -> bool:
    """Write how far a sync has come; its start and end are noted by its status.

    With `is_end` only while it is at work: tell whether it was, and nobody has asked for it again meanwhile.
    """
    done = conn.execute(
        """
        UPDATE whatsapp_sync_logs
        SET status = %(status)s, step = %(step)s, percent = %(percent)s,
          error_message = %(error_message)s, detail = coalesce(%(detail)s, detail),
          started_at = coalesce(started_at, now()),
          completed_at = CASE WHEN %(status)s IN ('completed', 'failed') THEN now() END
        WHERE tenant_id = %(tenant_id)s AND id = %(id)s AND (NOT %(is_end)s OR status = 'in_progress')
        """,
        {
            "tenant_id": tenant_id,
            "id": id,
            "is_end": is_end,
            "status": status,
            "step": step,
            "percent": percent,
            "error_message": error_message,
            "detail": detail,
        },
    )
    return done.rowcount == 1


def add_to_sync(conn: Connection[Any], *, tenant_id: int, id: uuid.UUID, percent: int, messages: int) -> None:
    """Note progress, in the transaction that made it: `messages` more than were noted before."""
    conn.execute(
        """
        UPDATE whatsapp_sync_logs
        SET percent = greatest(percent, %(percent)s), messages_imported = messages_imported + %(messages)s
        WHERE tenant_id = %(tenant_id)s AND id = %(id)s
        """,
        {"tenant_id": tenant_id, "id": id, "percent": percent, "messages": messages},
    )


def note_sync_of_instances(
    conn: Connection[Any], *, tenant_id: int, lead_id: uuid.UUID, status: str, error: str | None
) -> None:
    """Note the outcome of a lead's recovery on the numbers it talked to."""
    conn.execute(
        """
        UPDATE whatsapp_configs i
        SET last_sync_at = now(), sync_status = %(status)s, sync_error = %(error)s
        FROM conversations c
        WHERE c.tenant_id = %(tenant_id)s AND c.lead_id = %(lead_id)s
          AND i.tenant_id = c.tenant_id AND i.id = c.instance_id
        """,
        {"tenant_id": tenant_id, "lead_id": lead_id, "status": status, "error": error},
    )
