"""What an instance sent word for word, and which of it looks automatic."""

import uuid
from collections.abc import Mapping
from datetime import timedelta
from typing import Any, Final, LiteralString, NamedTuple

from psycopg import Connection
from psycopg.rows import args_row

# The condition of the indexes whatsapp_messages_sent_live*.
_SENT_LIVE: Final[LiteralString] = """
  m.direction = 2 AND m.type = 'text' AND m.content_rank >= 5
"""


class Unexamined(NamedTuple):
    """Texts that an instance sent since its texts were examined last, up to and with a batch."""

    tenant_id: int
    instance_id: int
    last_batch_id: uuid.UUID
    digests: list[uuid.UUID]
    texts: int


def list_unexamined(conn: Connection[Any], *, before: uuid.UUID, count_max: int) -> list[Unexamined]:
    """Give, of every instance, the next texts before the batch `before` that were not examined.

    They are `count_max`, and more where these end within a batch.
    """
    with conn.cursor(row_factory=args_row(Unexamined)) as cursor:
        return cursor.execute(
            """
            SELECT i.tenant_id, i.id, (array_agg(n.batch_id ORDER BY n.batch_id DESC))[1],
              array_agg(DISTINCT n.digest), count(*)
            FROM whatsapp_configs i
            CROSS JOIN LATERAL (
              SELECT m.batch_id, md5(m.body)::uuid AS digest
              FROM whatsapp_messages m
              WHERE m.tenant_id = i.tenant_id AND m.instance_id = i.id AND
            """
            + _SENT_LIVE
            + """
                AND m.batch_id > coalesce(i.examined_to, '00000000-0000-0000-0000-000000000000')
                AND m.batch_id < %(before)s AND m.body <> ''
              ORDER BY m.batch_id
              FETCH FIRST %(count_max)s ROWS WITH TIES
            ) AS n
            GROUP BY i.tenant_id, i.id
            """,
            {"before": before, "count_max": count_max},
        ).fetchall()


class SameText(NamedTuple):
    id: uuid.UUID
    digest: uuid.UUID
    lead_id: uuid.UUID | None
    answers_quickly: bool
    pattern: str | None


def list_same_texts(
    conn: Connection[Any], found: Unexamined, *, quick: timedelta, count_max: int
) -> list[SameText]:
    """Give the texts with one of these digests: those found, and of each at most `count_max` before them."""
    with conn.cursor(row_factory=args_row(SameText)) as cursor:
        return cursor.execute(
            """
            SELECT t.id, k.digest, t.lead_id,
              EXISTS (
                SELECT FROM whatsapp_messages q
                WHERE q.tenant_id = %(tenant_id)s AND q.lead_id = t.lead_id
                  AND q.instance_id = %(instance_id)s AND q.direction = 1
                  AND q.sent_at BETWEEN t.sent_at - %(quick)s AND t.sent_at
              ),
              t.pattern
            FROM unnest(%(digests)s::uuid[]) AS k (digest)
            CROSS JOIN LATERAL (
              SELECT m.id, m.lead_id, m.sent_at, m.pattern
              FROM whatsapp_messages m
              WHERE m.tenant_id = %(tenant_id)s AND m.instance_id = %(instance_id)s
                AND md5(m.body)::uuid = k.digest AND m.batch_id <= %(last_batch_id)s AND
            """
            + _SENT_LIVE
            + """
              ORDER BY m.batch_id DESC
              LIMIT %(count_max)s
            ) AS t
            """,
            {
                "tenant_id": found.tenant_id,
                "instance_id": found.instance_id,
                "digests": found.digests,
                "last_batch_id": found.last_batch_id,
                "quick": quick,
                "count_max": found.texts + count_max,
            },
        ).fetchall()


def mark_patterns(conn: Connection[Any], *, tenant_id: int, patterns: Mapping[uuid.UUID, str]) -> None:
    marked = sorted(patterns)
    conn.execute(
        """
        WITH marked AS (
          UPDATE whatsapp_messages m SET pattern = p.pattern
          FROM unnest(%(ids)s::uuid[], %(patterns)s::text[]) AS p (id, pattern)
          WHERE m.tenant_id = %(tenant_id)s AND m.id = p.id
          RETURNING m.tenant_id, m.lead_id, m.id
        )
        INSERT INTO changes AS c (tenant_id, lead_id, message_ids, is_of_lead)
        SELECT tenant_id, lead_id, array_agg(id), false FROM marked WHERE lead_id IS NOT NULL
        GROUP BY tenant_id, lead_id
        ON CONFLICT (tenant_id, lead_id, changed_in) DO UPDATE SET
          message_ids = c.message_ids || EXCLUDED.message_ids
        """,
        {"tenant_id": tenant_id, "ids": marked, "patterns": [patterns[id] for id in marked]},
    )


def note_examined(conn: Connection[Any], found: Unexamined) -> None:
    conn.execute(
        """
        UPDATE whatsapp_configs SET examined_to = %(last)s
        WHERE tenant_id = %(tenant_id)s AND id = %(instance_id)s
        """,
        {"tenant_id": found.tenant_id, "instance_id": found.instance_id, "last": found.last_batch_id},
    )
