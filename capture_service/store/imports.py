"""The texts of exported chats, and the messages they are compared with."""

import uuid
from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any

import msgspec
from psycopg import Connection
from psycopg.rows import kwargs_row, scalar_row, tuple_row

from capture_service import fold
from capture_service.store.rows import LeadKey
from capture_service.store.syncs import SYNC_COLUMNS, SyncLogRow


class ImportTarget(msgspec.Struct, frozen=True, kw_only=True):
    """The conversation that a chat belongs to."""

    tenant_id: int
    lead_id: uuid.UUID
    is_group: bool
    instance_id: int
    instance_public_id: uuid.UUID


def find_import_target(
    conn: Connection[Any], *, tenant_id: int, lead_id: uuid.UUID, instance_id: int
) -> ImportTarget | None:
    with conn.cursor(row_factory=kwargs_row(ImportTarget)) as cursor:
        return cursor.execute(
            """
            SELECT l.tenant_id, l.id AS lead_id, l.kind = 'group' AS is_group, i.id AS instance_id,
              i.public_id AS instance_public_id
            FROM leads l
            JOIN whatsapp_configs i ON i.tenant_id = l.tenant_id AND i.id = %(instance_id)s
            WHERE l.tenant_id = %(tenant_id)s AND l.id = %(lead_id)s
            """,
            {"tenant_id": tenant_id, "lead_id": lead_id, "instance_id": instance_id},
        ).fetchone()


def instances_of_lead(conn: Connection[Any], *, tenant_id: int, lead_id: uuid.UUID) -> list[int]:
    """List the instances (internal ids) that a lead talks to."""
    with conn.cursor(row_factory=scalar_row) as cursor:
        return cursor.execute(
            """
            SELECT instance_id FROM conversations
            WHERE tenant_id = %(tenant_id)s AND lead_id = %(lead_id)s
            ORDER BY instance_id
            """,
            {"tenant_id": tenant_id, "lead_id": lead_id},
        ).fetchall()


class KnownMessage(msgspec.Struct, frozen=True, kw_only=True):
    """What a line of an exported chat is compared with."""

    id: uuid.UUID
    wamid: str
    sent_at: datetime
    sources: int
    direction: int
    type: str
    body: str | None
    content: str | None
    """Of a message whose body may not be its own words, or not all of them: a choice, a document."""
    content_rank: int
    mentions: str | None
    sender: str | None
    status: int
    is_sent: bool
    """A status has told when it was sent."""


def list_known(
    conn: Connection[Any],
    *,
    tenant_id: int,
    lead_id: uuid.UUID,
    instance_id: int,
    from_time: datetime,
    to_time: datetime,
) -> list[KnownMessage]:
    with conn.cursor(row_factory=kwargs_row(KnownMessage)) as cursor:
        return cursor.execute(
            """
            SELECT id, wamid, sent_at, sources, direction, type, body, content_rank, mentions, sender, status,
              CASE WHEN type IN ('interactive', 'document') THEN content END AS content,
              status_sent_at IS NOT NULL AS is_sent
            FROM whatsapp_messages
            WHERE tenant_id = %(tenant_id)s AND lead_id = %(lead_id)s AND instance_id = %(instance_id)s
              AND sent_at BETWEEN %(from_time)s AND %(to_time)s
            ORDER BY sent_at, id
            """,
            {
                "tenant_id": tenant_id,
                "lead_id": lead_id,
                "instance_id": instance_id,
                "from_time": from_time,
                "to_time": to_time,
            },
        ).fetchall()


class ImportRow(msgspec.Struct, frozen=True, kw_only=True):
    request: str
    media_names: list[str]
    text: bytes


def insert_import(
    conn: Connection[Any],
    *,
    tenant_id: int,
    id: uuid.UUID,
    lead_id: uuid.UUID,
    instance_id: int,
    requested_by: str,
    row: ImportRow,
) -> SyncLogRow:
    """Note that a chat is to be imported, and keep its text."""
    with conn.cursor(row_factory=kwargs_row(SyncLogRow)) as cursor:
        sync = cursor.execute(
            """
            INSERT INTO whatsapp_sync_logs (tenant_id, id, lead_id, instance_id, sync_type, requested_by)
            VALUES (%(tenant_id)s, %(id)s, %(lead_id)s, %(instance_id)s, 'chat_export', %(requested_by)s)
            RETURNING
            """
            + SYNC_COLUMNS,
            {
                "tenant_id": tenant_id,
                "id": id,
                "lead_id": lead_id,
                "instance_id": instance_id,
                "requested_by": requested_by,
            },
        ).fetchone()
    conn.execute(
        """
        INSERT INTO chat_imports (tenant_id, id, request, media_names, text)
        VALUES (%(tenant_id)s, %(id)s, %(request)s, %(media_names)s, %(text)s)
        """,
        {"tenant_id": tenant_id, "id": id, **msgspec.structs.asdict(row)},
    )
    assert sync
    return sync


def find_import(conn: Connection[Any], *, tenant_id: int, id: uuid.UUID) -> ImportRow | None:
    with conn.cursor(row_factory=kwargs_row(ImportRow), binary=True) as cursor:
        return cursor.execute(
            """
            SELECT request, media_names, text FROM chat_imports
            WHERE tenant_id = %(tenant_id)s AND id = %(id)s
            """,
            {"tenant_id": tenant_id, "id": id},
        ).fetchone()


def take_out_of_lead(conn: Connection[Any], *, tenant_id: int, ids: Sequence[uuid.UUID]) -> None:
    """Let these be in no history, where nothing but an exported chat brought them. The rows are kept."""
    conn.execute(
        """
        UPDATE whatsapp_messages SET lead_id = NULL
        WHERE tenant_id = %(tenant_id)s AND id = ANY(%(ids)s) AND sources & ~%(mention)s = %(chat_export)s
        """,
        {"tenant_id": tenant_id, "ids": list(ids), "chat_export": fold.CHAT_EXPORT, "mention": fold.MENTION},
    )


def reopen_imports(conn: Connection[Any], leads: Collection[LeadKey]) -> list[tuple[int, uuid.UUID]]:
    """Have the chats that were imported for these leads compared again; give (tenant, sync log) of each.

    One that is still being imported goes on with that first.
    """
    with conn.cursor(row_factory=tuple_row) as cursor:
        return cursor.execute(
            """
            UPDATE whatsapp_sync_logs s
            SET status = 'pending', percent = 0, completed_at = NULL,
              step = CASE WHEN s.status = 'completed' THEN 'compare' ELSE s.step END
            FROM unnest(%(tenants)b::int4[], %(leads)b::uuid[]) AS l (tenant_id, lead_id)
            WHERE s.tenant_id = l.tenant_id AND s.lead_id = l.lead_id
              AND s.sync_type = 'chat_export' AND s.status IN ('in_progress', 'completed')
            RETURNING s.tenant_id, s.id
            """,
            {"tenants": [key[0] for key in leads], "leads": [key[1] for key in leads]},
        ).fetchall()
