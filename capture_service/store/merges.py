"""Leads that were found to be one person, and what is needed to part them again."""

import uuid
from collections.abc import Collection
from datetime import datetime
from typing import Any, Final, LiteralString

import msgspec
from psycopg import Connection
from psycopg.rows import kwargs_row, scalar_row

from capture_service import ids
from capture_service.store.rows import IdentifierKey


class LeadMergeRow(msgspec.Struct, frozen=True, kw_only=True):
    id: uuid.UUID
    survivor_id: uuid.UUID
    merged_id: uuid.UUID
    identifiers: str
    message_ids: list[uuid.UUID]
    survivor_before: str
    merged_at: datetime
    undone_at: datetime | None


def were_parted(conn: Connection[Any], *, tenant_id: int, first: uuid.UUID, second: uuid.UUID) -> bool:
    """Tell whether somebody has undone a merge of these two: it is not for us to repeat it.

    Also of what has become part of either since: it would come together with what it was parted from.
    """
    row = conn.execute(
        """
        WITH one AS (
          SELECT %(first)s::uuid AS id
          UNION SELECT id FROM leads WHERE tenant_id = %(tenant_id)s AND merged_into = %(first)s
        ), other AS (
          SELECT %(second)s::uuid AS id
          UNION SELECT id FROM leads WHERE tenant_id = %(tenant_id)s AND merged_into = %(second)s
        )
        SELECT 1 FROM lead_merges m
        WHERE m.tenant_id = %(tenant_id)s AND m.undone_at IS NOT NULL
          AND (
            (m.survivor_id IN (SELECT id FROM one) AND m.merged_id IN (SELECT id FROM other))
            OR (m.survivor_id IN (SELECT id FROM other) AND m.merged_id IN (SELECT id FROM one))
          )
        LIMIT 1
        """,
        {"tenant_id": tenant_id, "first": first, "second": second},
    ).fetchone()
    return row is not None


class LeadRow(msgspec.Struct, frozen=True, kw_only=True):
    """How a lead is shown, and what has become of it."""

    id: uuid.UUID
    profile_name: str | None
    profile_name_at: datetime | None
    saved_name: str | None
    saved_name_at: datetime | None
    username: str | None
    username_at: datetime | None
    wa_id: str | None
    wa_id_at: datetime | None
    user_id: str | None
    user_id_at: datetime | None
    merged_into: uuid.UUID | None


def lock_leads(conn: Connection[Any], *, tenant_id: int, ids: Collection[uuid.UUID]) -> list[LeadRow]:
    with conn.cursor(row_factory=kwargs_row(LeadRow)) as cursor:
        return cursor.execute(
            """
            SELECT id, profile_name, profile_name_at, saved_name, saved_name_at, username, username_at,
              wa_id, wa_id_at, user_id, user_id_at, merged_into
            FROM leads
            WHERE tenant_id = %(tenant_id)s AND id = ANY(%(ids)s)
            ORDER BY id
            FOR UPDATE
            """,
            {"tenant_id": tenant_id, "ids": list(ids)},
        ).fetchall()


def lock_survivor(conn: Connection[Any], *, tenant_id: int, lead_id: uuid.UUID) -> uuid.UUID | None:
    """Give the lead that this one is by now, and keep it from becoming part of another; None without one."""
    while True:
        rows = lock_leads(conn, tenant_id=tenant_id, ids=[lead_id])
        if not rows:
            return None
        if rows[0].merged_into is None:
            return lead_id
        lead_id = rows[0].merged_into


_MESSAGES_OF_LEAD: Final[LiteralString] = """
            WHERE tenant_id = %(tenant_id)s
              AND (lead_id = %(from_lead)s OR act_lead_id = %(from_lead)s)
              AND (%(only)s::uuid[] IS NULL OR id = ANY(%(only)s))
"""


def hold_messages(
    conn: Connection[Any],
    *,
    tenant_id: int,
    from_lead: uuid.UUID,
    only: Collection[uuid.UUID] | None = None,
) -> None:
    """Lock what `move_messages` will move; before the leads, since that is the order of ingest."""
    conn.execute(
        "SELECT FROM whatsapp_messages" + _MESSAGES_OF_LEAD + "ORDER BY id FOR NO KEY UPDATE",
        {"tenant_id": tenant_id, "from_lead": from_lead, "only": None if only is None else list(only)},
    )


def move_messages(
    conn: Connection[Any],
    *,
    tenant_id: int,
    from_lead: uuid.UUID,
    to_lead: uuid.UUID,
    only: Collection[uuid.UUID] | None = None,
) -> list[uuid.UUID]:
    """Give a lead's messages, or `only` some of them, to another; give the ids of those that moved."""
    with conn.cursor(row_factory=scalar_row, binary=True) as cursor:
        return cursor.execute(
            """
            UPDATE whatsapp_messages SET
              lead_id = CASE WHEN lead_id = %(from_lead)s THEN %(to_lead)s ELSE lead_id END,
              act_lead_id = CASE WHEN act_lead_id = %(from_lead)s THEN %(to_lead)s ELSE act_lead_id END
            """
            + _MESSAGES_OF_LEAD
            + "RETURNING id",
            {
                "tenant_id": tenant_id,
                "from_lead": from_lead,
                "to_lead": to_lead,
                "only": None if only is None else list(only),
            },
        ).fetchall()


def move_identifiers(
    conn: Connection[Any],
    *,
    tenant_id: int,
    from_lead: uuid.UUID,
    to_lead: uuid.UUID,
    only: Collection[tuple[str, str]] | None = None,
) -> list[tuple[str, str]]:
    some: LiteralString = (
        ""
        if only is None
        else "AND (kind, value) IN (SELECT * FROM unnest(%(kinds)s::text[], %(values)s::text[]))"
    )
    return list(
        conn.execute(
            """
            UPDATE lead_identifiers SET lead_id = %(to_lead)s
            WHERE tenant_id = %(tenant_id)s AND lead_id = %(from_lead)s
            """
            + some
            + " RETURNING kind, value",
            {
                "tenant_id": tenant_id,
                "from_lead": from_lead,
                "to_lead": to_lead,
                "kinds": [kind for kind, _ in only or ()],
                "values": [value for _, value in only or ()],
            },
        )
    )


def move_rest(
    conn: Connection[Any], *, tenant_id: int, from_lead: uuid.UUID, to_lead: uuid.UUID, at: datetime
) -> None:
    """Give a lead's conversations and sync logs to another.

    Conversations with the same instance become one. Of two running recoveries the moved one has failed: a
    lead can have one alone.
    """
    both = {"tenant_id": tenant_id, "from_lead": from_lead, "to_lead": to_lead, "at": at}
    with conn.cursor(row_factory=scalar_row) as cursor:
        instances = cursor.execute(
            """
            DELETE FROM conversations
            WHERE tenant_id = %(tenant_id)s AND lead_id = %(from_lead)s
            RETURNING instance_id
            """,
            both,
        ).fetchall()
    open_missing_conversations(conn, tenant_id=tenant_id, lead_id=to_lead, instances=instances)
    conn.execute(
        """
        UPDATE whatsapp_sync_logs s
        SET lead_id = %(to_lead)s,
          status = CASE WHEN r.runs THEN 'failed' ELSE s.status END,
          error_message = CASE WHEN r.runs THEN 'the lead became part of another' ELSE s.error_message END,
          completed_at = CASE WHEN r.runs THEN %(at)s ELSE s.completed_at END
        FROM (
          SELECT l.id, l.sync_type = 'manual_recovery' AND l.status IN ('pending', 'in_progress') AS runs
          FROM whatsapp_sync_logs l
          WHERE l.tenant_id = %(tenant_id)s AND l.lead_id = %(from_lead)s
        ) AS r
        WHERE s.tenant_id = %(tenant_id)s AND s.id = r.id
        """,
        both,
    )


def list_parted(conn: Connection[Any], *, tenant_id: int, survivor_id: uuid.UUID) -> list[uuid.UUID]:
    """List the leads that were parted from this one: what each has become by now."""
    with conn.cursor(row_factory=scalar_row) as cursor:
        return cursor.execute(
            """
            SELECT DISTINCT coalesce(l.merged_into, l.id)
            FROM lead_merges m
            JOIN leads l ON l.tenant_id = m.tenant_id AND l.id = m.merged_id
            WHERE m.tenant_id = %(tenant_id)s AND m.survivor_id = %(survivor_id)s
              AND m.undone_at IS NOT NULL
            """,
            {"tenant_id": tenant_id, "survivor_id": survivor_id},
        ).fetchall()


def list_partings(
    conn: Connection[Any], *, tenant_id: int, leads: Collection[uuid.UUID]
) -> set[tuple[uuid.UUID, uuid.UUID]]:
    """Give the pairs of `leads`, either way round, that somebody has parted.

    A lead is also what has become part of it, but for what is one of `leads` itself.
    """
    pairs = conn.execute(
        """
        WITH RECURSIVE part (whole_id, id) AS (
          SELECT id, id FROM unnest(%(leads)s::uuid[]) AS l (id)
          UNION
          SELECT p.whole_id, m.merged_id
          FROM part p JOIN lead_merges m ON m.survivor_id = p.id
          WHERE m.tenant_id = %(tenant_id)s AND m.undone_at IS NULL AND m.merged_id <> ALL(%(leads)s)
        )
        SELECT one.whole_id, other.whole_id
        FROM lead_merges m
        JOIN part one ON one.id = m.survivor_id
        JOIN part other ON other.id = m.merged_id
        WHERE m.tenant_id = %(tenant_id)s AND m.undone_at IS NOT NULL
        """,
        {"tenant_id": tenant_id, "leads": list(leads)},
    ).fetchall()
    return {pair for one, other in pairs for pair in ((one, other), (other, one))}


def identifiers_since_merge(
    conn: Connection[Any], *, tenant_id: int, survivor_id: uuid.UUID
) -> dict[IdentifierKey, uuid.UUID | None]:
    """Give what a lead got only after another, that was parted from it again, was part of it.

    That is what it was named with, and what other merges brought: the lead that each is of, None without one.
    """
    rows = conn.execute(
        """
        WITH parted AS (
          SELECT min(merged_at) AS merged_at FROM lead_merges
          WHERE tenant_id = %(tenant_id)s AND survivor_id = %(survivor_id)s AND undone_at IS NOT NULL
        )
        SELECT i.tenant_id, i.kind, i.value, brought.merged_id
        FROM parted
        JOIN lead_identifiers i ON i.tenant_id = %(tenant_id)s AND i.lead_id = %(survivor_id)s
        LEFT JOIN LATERAL (
          SELECT m.merged_id FROM lead_merges m
          WHERE m.tenant_id = %(tenant_id)s AND m.survivor_id = %(survivor_id)s
            AND m.undone_at IS NULL AND m.merged_at > parted.merged_at
            AND m.identifiers::jsonb @> jsonb_build_array(jsonb_build_array(i.kind, i.value))
          ORDER BY m.merged_at DESC
          LIMIT 1
        ) AS brought ON true
        WHERE i.created_at > parted.merged_at OR brought.merged_id IS NOT NULL
        """,
        {"tenant_id": tenant_id, "survivor_id": survivor_id},
    )
    return {(tenant, kind, value): lead for tenant, kind, value, lead in rows}


def leads_of_messages(
    conn: Connection[Any], *, tenant_id: int, leads: Collection[uuid.UUID]
) -> list[tuple[uuid.UUID, uuid.UUID]]:
    """Give (message, lead) of everything that these leads wrote, were written, or did to a message."""
    return conn.execute(
        """
        SELECT id, coalesce(lead_id, act_lead_id)
        FROM whatsapp_messages
        WHERE tenant_id = %(tenant_id)s AND (lead_id = ANY(%(leads)s) OR act_lead_id = ANY(%(leads)s))
        """,
        {"tenant_id": tenant_id, "leads": list(leads)},
    ).fetchall()


def open_missing_conversations(
    conn: Connection[Any], *, tenant_id: int, lead_id: uuid.UUID, instances: Collection[int]
) -> None:
    """Open a lead's conversations with these instances (internal ids)."""
    conn.execute(
        """
        INSERT INTO conversations (tenant_id, lead_id, instance_id, id)
        SELECT %(tenant_id)s, %(lead_id)s, c.instance_id, c.id
        FROM unnest(%(instances)s::int4[], %(ids)s::uuid[]) AS c (instance_id, id)
        ON CONFLICT (tenant_id, lead_id, instance_id) DO NOTHING
        """,
        {
            "tenant_id": tenant_id,
            "lead_id": lead_id,
            "instances": list(instances),
            "ids": [ids.conversation_id(lead_id, instance) for instance in instances],
        },
    )


def instances_of_messages(conn: Connection[Any], *, tenant_id: int, lead_id: uuid.UUID) -> list[int]:
    """List the instances (internal ids) with which a lead has messages."""
    with conn.cursor(row_factory=scalar_row) as cursor:
        return cursor.execute(
            """
            SELECT DISTINCT instance_id FROM whatsapp_messages
            WHERE tenant_id = %(tenant_id)s AND lead_id = %(lead_id)s
            """,
            {"tenant_id": tenant_id, "lead_id": lead_id},
        ).fetchall()


def delete_empty_conversations(conn: Connection[Any], *, tenant_id: int, lead_id: uuid.UUID) -> None:
    conn.execute(
        """
        DELETE FROM conversations
        WHERE tenant_id = %(tenant_id)s AND lead_id = %(lead_id)s AND message_count = 0
        """,
        {"tenant_id": tenant_id, "lead_id": lead_id},
    )


def set_merged_into(
    conn: Connection[Any], *, tenant_id: int, lead_id: uuid.UUID, survivor_id: uuid.UUID | None
) -> None:
    """Mark a lead, and those merged into it before, as part of another; None makes it its own again."""
    conn.execute(
        """
        UPDATE leads
        SET merged_into = %(survivor_id)s, open_ticket_id = NULL,
          message_count = 0, first_message_at = NULL, last_message_at = NULL
        WHERE tenant_id = %(tenant_id)s AND id = %(lead_id)s
        """,
        {"tenant_id": tenant_id, "lead_id": lead_id, "survivor_id": survivor_id},
    )
    if survivor_id:
        conn.execute(
            """
            UPDATE leads SET merged_into = %(survivor_id)s
            WHERE tenant_id = %(tenant_id)s AND merged_into = %(lead_id)s
            """,
            {"tenant_id": tenant_id, "lead_id": lead_id, "survivor_id": survivor_id},
        )


def give_back_merged(
    conn: Connection[Any], *, tenant_id: int, lead_id: uuid.UUID, survivor_id: uuid.UUID
) -> None:
    """Let the leads that were merged into this one, or into one of those, be part of it again."""
    conn.execute(
        """
        WITH RECURSIVE below AS (
          SELECT merged_id FROM lead_merges
          WHERE tenant_id = %(tenant_id)s AND survivor_id = %(lead_id)s AND undone_at IS NULL
          UNION
          SELECT m.merged_id FROM lead_merges m JOIN below b ON m.survivor_id = b.merged_id
          WHERE m.tenant_id = %(tenant_id)s AND m.undone_at IS NULL
        )
        UPDATE leads SET merged_into = %(lead_id)s
        WHERE tenant_id = %(tenant_id)s AND merged_into = %(survivor_id)s
          AND id IN (SELECT merged_id FROM below)
        """,
        {"tenant_id": tenant_id, "lead_id": lead_id, "survivor_id": survivor_id},
    )


def adopt_profile(conn: Connection[Any], *, tenant_id: int, from_lead: uuid.UUID, to_lead: uuid.UUID) -> None:
    """Give a lead what enrichment found of another who is the same person, where it has nothing itself."""
    conn.execute(
        """
        UPDATE leads l SET profile = m.profile
        FROM leads m
        WHERE l.tenant_id = %(tenant_id)s AND l.id = %(to_lead)s
          AND m.tenant_id = l.tenant_id AND m.id = %(from_lead)s
          AND m.profile IS NOT NULL AND coalesce(l.profile, '{}') = '{}'
        """,
        {"tenant_id": tenant_id, "from_lead": from_lead, "to_lead": to_lead},
    )


def show_lead_as(conn: Connection[Any], *, tenant_id: int, lead: LeadRow) -> None:
    """Set how a lead is shown, whatever was there."""
    conn.execute(
        """
        UPDATE leads
        SET profile_name = %(profile_name)s, profile_name_at = %(profile_name_at)s,
          saved_name = %(saved_name)s, saved_name_at = %(saved_name_at)s,
          username = %(username)s, username_at = %(username_at)s,
          wa_id = %(wa_id)s, wa_id_at = %(wa_id_at)s,
          user_id = %(user_id)s, user_id_at = %(user_id_at)s
        WHERE tenant_id = %(tenant_id)s AND id = %(id)s
        """,
        {"tenant_id": tenant_id, **msgspec.structs.asdict(lead)},
    )


def insert_lead_merge(conn: Connection[Any], *, tenant_id: int, merge: LeadMergeRow) -> None:
    conn.execute(
        """
        INSERT INTO lead_merges (
          tenant_id, id, survivor_id, merged_id, identifiers, message_ids, survivor_before, merged_at
        )
        VALUES (
          %(tenant_id)s, %(id)s, %(survivor_id)s, %(merged_id)s, %(identifiers)s, %(message_ids)s,
          %(survivor_before)s, %(merged_at)s
        )
        """,
        {"tenant_id": tenant_id, **msgspec.structs.asdict(merge)},
    )


def list_lead_merges(conn: Connection[Any], *, tenant_id: int, survivor_id: uuid.UUID) -> list[LeadMergeRow]:
    with conn.cursor(row_factory=kwargs_row(LeadMergeRow)) as cursor:
        return cursor.execute(
            """
            SELECT id, survivor_id, merged_id, identifiers, message_ids, survivor_before, merged_at, undone_at
            FROM lead_merges
            WHERE tenant_id = %(tenant_id)s AND survivor_id = %(survivor_id)s
            ORDER BY merged_at DESC, id
            """,
            {"tenant_id": tenant_id, "survivor_id": survivor_id},
        ).fetchall()


def hand_over_merge(
    conn: Connection[Any], *, tenant_id: int, merge: LeadMergeRow, heir_id: uuid.UUID, heir_before: str
) -> None:
    """Let what one merge brought be part of another lead than the one it was merged into."""
    conn.execute(
        """
        UPDATE lead_merges SET survivor_id = %(heir_id)s, survivor_before = %(heir_before)s
        WHERE tenant_id = %(tenant_id)s AND id = %(id)s
        """,
        {"tenant_id": tenant_id, "id": merge.id, "heir_id": heir_id, "heir_before": heir_before},
    )
    set_merged_into(conn, tenant_id=tenant_id, lead_id=merge.merged_id, survivor_id=heir_id)
    give_back_merged(conn, tenant_id=tenant_id, lead_id=heir_id, survivor_id=merge.survivor_id)


def mark_merge_undone(conn: Connection[Any], *, tenant_id: int, id: uuid.UUID, at: datetime) -> None:
    conn.execute(
        "UPDATE lead_merges SET undone_at = %(at)s WHERE tenant_id = %(tenant_id)s AND id = %(id)s",
        {"tenant_id": tenant_id, "id": id, "at": at},
    )
