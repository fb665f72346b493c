"""What an instance sent word for word, and which of it looks automatic."""

import uuid
from collections.abc import Collection, Mapping, Sequence
from datetime import timedelta
from typing import Any, Final, LiteralString, NamedTuple

from psycopg import Connection
from psycopg.rows import args_row, scalar_row

from capture_service import fold
from capture_service.store.rows import LeadKey

# The condition of the indexes whatsapp_messages_sent_live*.
_SENT_LIVE: Final[LiteralString] = """
  m.direction = 2 AND m.type = 'text' AND m.content_rank >= 5
"""
_TEXT: Final[LiteralString] = """
  m.id, md5(m.body)::uuid, m.batch_id, m.pattern,
  EXISTS (
    SELECT FROM whatsapp_messages q
    WHERE q.tenant_id = m.tenant_id AND q.lead_id = m.lead_id AND q.instance_id = m.instance_id
      AND q.direction = 1 AND q.sources & %(live)s <> 0
      AND q.sent_at BETWEEN m.sent_at - %(quick)s AND m.sent_at
  )
"""


class Examined(NamedTuple):
    """An instance (internal id) whose texts are examined."""

    tenant_id: int
    instance_id: int


class Text(NamedTuple):
    """A text that an instance sent."""

    id: uuid.UUID
    digest: uuid.UUID
    batch_id: uuid.UUID
    pattern: str | None
    answers_quickly: bool


class Repetition(NamedTuple):
    digest: uuid.UUID
    people: int
    """To whom the text was sent, counted up to a number."""
    marked_for: int
    """As a text to at least so many people its messages are marked; 0 for as none."""


def note_to_examine(conn: Connection[Any], messages: Sequence[tuple[int, int, uuid.UUID]]) -> None:
    """Have these messages, by (tenant, instance, id), examined: texts, or what texts may answer."""
    conn.execute(
        """
        INSERT INTO messages_to_examine (tenant_id, instance_id, message_id)
        SELECT * FROM unnest(%(tenants)s::int4[], %(instances)s::int4[], %(ids)s::uuid[])
        ON CONFLICT DO NOTHING
        """,
        {
            "tenants": [key[0] for key in messages],
            "instances": [key[1] for key in messages],
            "ids": [key[2] for key in messages],
        },
    )


def note_texts_of_leads(conn: Connection[Any], leads: Collection[LeadKey]) -> None:
    """Have all texts examined that these people were sent."""
    conn.execute(
        """
        INSERT INTO messages_to_examine (tenant_id, instance_id, message_id)
        SELECT m.tenant_id, m.instance_id, m.id
        FROM unnest(%(tenants)s::int4[], %(leads)s::uuid[]) AS k (tenant_id, lead_id)
        CROSS JOIN LATERAL (
          SELECT * FROM whatsapp_messages w
          WHERE w.tenant_id = k.tenant_id AND w.lead_id = k.lead_id
          OFFSET 0
        ) AS m
        WHERE
        """
        + _SENT_LIVE
        + "ON CONFLICT DO NOTHING",
        {"tenants": [key[0] for key in leads], "leads": [key[1] for key in leads]},
    )


def list_unexamined(conn: Connection[Any], *, before: uuid.UUID) -> list[Examined]:
    """Give the instances with texts from before the batch `before` to examine, or with noted messages."""
    with conn.cursor(row_factory=args_row(Examined)) as cursor:
        return cursor.execute(
            """
            SELECT i.tenant_id, i.id
            FROM whatsapp_configs i
            WHERE EXISTS (
                SELECT FROM messages_to_examine n WHERE n.tenant_id = i.tenant_id AND n.instance_id = i.id
              )
              OR EXISTS (
                SELECT FROM whatsapp_messages m
                WHERE m.tenant_id = i.tenant_id AND m.instance_id = i.id AND
            """
            + _SENT_LIVE
            + """
                  AND m.batch_id > coalesce(i.examined_to, '00000000-0000-0000-0000-000000000000')
                  AND m.batch_id < %(before)s AND m.body <> ''
              )
            ORDER BY i.tenant_id, i.id
            """,
            {"before": before},
        ).fetchall()


def hold_examination(conn: Connection[Any], instance: Examined) -> uuid.UUID | None:
    """Keep others from examining an instance until the transaction ends; give what it is examined to."""
    conn.execute("SELECT pg_advisory_xact_lock(%(tenant_id)s, %(instance_id)s)", instance._asdict())
    with conn.cursor(row_factory=scalar_row) as cursor:
        return cursor.execute(
            """
            SELECT examined_to FROM whatsapp_configs
            WHERE tenant_id = %(tenant_id)s AND id = %(instance_id)s
            """,
            instance._asdict(),
        ).fetchone()


def _texts(conn: Connection[Any], found: LiteralString, parameters: Mapping[str, Any]) -> list[Text]:
    """Give the texts `m` of a FROM clause and what follows it; `parameters` has `quick`."""
    with conn.cursor(row_factory=args_row(Text)) as cursor:
        return cursor.execute("SELECT " + _TEXT + found, {**parameters, "live": fold.LIVE}).fetchall()


def list_next_texts(
    conn: Connection[Any],
    instance: Examined,
    *,
    after: uuid.UUID | None,
    before: uuid.UUID,
    quick: timedelta,
    count_max: int,
) -> list[Text]:
    """Give the next texts between two batches: `count_max`, and more where these end within a batch."""
    return _texts(
        conn,
        """
            FROM whatsapp_messages m
            WHERE m.tenant_id = %(tenant_id)s AND m.instance_id = %(instance_id)s AND
            """
        + _SENT_LIVE
        + """
              AND m.batch_id > %(after)s AND m.batch_id < %(before)s AND m.body <> ''
            ORDER BY m.batch_id
            FETCH FIRST %(count_max)s ROWS WITH TIES
            """,
        {
            **instance._asdict(),
            "after": after or uuid.UUID(int=0),
            "before": before,
            "quick": quick,
            "count_max": count_max,
        },
    )


def take_noted(conn: Connection[Any], instance: Examined, *, count_max: int) -> list[uuid.UUID]:
    """Give up to so many messages that were noted, and forget that they were."""
    with conn.cursor(row_factory=scalar_row) as cursor:
        return cursor.execute(
            """
            DELETE FROM messages_to_examine n
            USING (
              SELECT message_id, noted_in FROM messages_to_examine
              WHERE tenant_id = %(tenant_id)s AND instance_id = %(instance_id)s
              ORDER BY message_id, noted_in
              LIMIT %(count_max)s
            ) AS taken
            WHERE n.tenant_id = %(tenant_id)s AND n.instance_id = %(instance_id)s
              AND n.message_id = taken.message_id AND n.noted_in = taken.noted_in
            RETURNING n.message_id
            """,
            {**instance._asdict(), "count_max": count_max},
        ).fetchall()


def list_noted_texts(
    conn: Connection[Any],
    instance: Examined,
    *,
    messages: Sequence[uuid.UUID],
    before: uuid.UUID,
    quick: timedelta,
) -> list[Text]:
    """Give which of these messages are texts, and the texts that came soon after one that somebody wrote."""
    return _texts(
        conn,
        """
            FROM unnest(%(messages)s::uuid[]) AS k (id)
            -- One by one: while a young table has no statistics, a join may read all of it.
            CROSS JOIN LATERAL (
              SELECT * FROM whatsapp_messages WHERE tenant_id = %(tenant_id)s AND id = k.id LIMIT 1
            ) AS noted
            CROSS JOIN LATERAL (
              SELECT noted.id
              UNION
              SELECT a.id
              FROM whatsapp_messages a
              WHERE noted.direction = 1 AND a.tenant_id = noted.tenant_id AND a.lead_id = noted.lead_id
                AND a.sent_at BETWEEN noted.sent_at AND noted.sent_at + %(quick)s
            ) AS near
            CROSS JOIN LATERAL (
              SELECT * FROM whatsapp_messages WHERE tenant_id = noted.tenant_id AND id = near.id LIMIT 1
            ) AS m
            WHERE m.instance_id = %(instance_id)s AND
            """
        + _SENT_LIVE
        + "AND m.batch_id < %(before)s AND m.body <> ''",
        {
            **instance._asdict(),
            "messages": list(messages),
            "before": before,
            "quick": quick,
        },
    )


def list_repetitions(
    conn: Connection[Any], instance: Examined, *, digests: Collection[uuid.UUID], people_max: int
) -> list[Repetition]:
    """Say to how many people, of whom at most `people_max` are counted, these texts were sent."""
    with conn.cursor(row_factory=args_row(Repetition)) as cursor:
        return cursor.execute(
            """
            SELECT k.digest, people.counted, coalesce(r.people_min, 0)
            FROM unnest(%(digests)s::uuid[]) AS k (digest)
            LEFT JOIN repeated_texts r ON r.tenant_id = %(tenant_id)s AND r.instance_id = %(instance_id)s
              AND r.digest = k.digest
            CROSS JOIN LATERAL (
              -- From one person to the next in the index, as a text may have been sent to few very often.
              WITH RECURSIVE person (lead_id, number) AS (
                VALUES ('00000000-0000-0000-0000-000000000000'::uuid, 0)
                UNION ALL
                SELECT next.lead_id, person.number + 1
                FROM person
                CROSS JOIN LATERAL (
                  SELECT m.lead_id
                  FROM whatsapp_messages m
                  WHERE m.tenant_id = %(tenant_id)s AND m.instance_id = %(instance_id)s
                    AND md5(m.body)::uuid = k.digest AND m.lead_id > person.lead_id AND
            """
            + _SENT_LIVE
            + """
                  ORDER BY m.lead_id
                  LIMIT 1
                ) AS next
                WHERE person.number < %(people_max)s
              )
              SELECT max(number) AS counted FROM person
            ) AS people
            """,
            {**instance._asdict(), "digests": list(digests), "people_max": people_max},
        ).fetchall()


def list_same_texts(
    conn: Connection[Any],
    instance: Examined,
    *,
    digests: Collection[uuid.UUID],
    quick: timedelta,
    count_max: int,
) -> list[Text]:
    """Give the texts with one of these digests, of each at most the last `count_max`."""
    return _texts(
        conn,
        """
            FROM unnest(%(digests)s::uuid[]) AS k (digest)
            CROSS JOIN LATERAL (
              SELECT m.tenant_id, m.instance_id, m.id, m.batch_id, m.lead_id, m.sent_at, m.body, m.pattern
              FROM whatsapp_messages m
              WHERE m.tenant_id = %(tenant_id)s AND m.instance_id = %(instance_id)s
                AND md5(m.body)::uuid = k.digest AND
            """
        + _SENT_LIVE
        + """
              ORDER BY m.batch_id DESC
              LIMIT %(count_max)s
            ) AS m
            """,
        {
            **instance._asdict(),
            "digests": list(digests),
            "quick": quick,
            "count_max": count_max,
        },
    )


def mark_patterns(conn: Connection[Any], *, tenant_id: int, patterns: Mapping[uuid.UUID, str | None]) -> None:
    """Mark these messages, None for not at all, and tell those who watch."""
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


def note_repetitions(
    conn: Connection[Any], instance: Examined, *, people_min: Mapping[uuid.UUID, int]
) -> None:
    """Note of texts, by digest, as texts to at least how many people they are marked now; 0 for as none."""
    told = {
        **instance._asdict(),
        "digests": list(people_min),
        "people_min": list(people_min.values()),
    }
    conn.execute(
        """
        DELETE FROM repeated_texts r
        USING unnest(%(digests)s::uuid[], %(people_min)s::int2[]) AS n (digest, people_min)
        WHERE r.tenant_id = %(tenant_id)s AND r.instance_id = %(instance_id)s
          AND r.digest = n.digest AND n.people_min = 0
        """,
        told,
    )
    conn.execute(
        """
        INSERT INTO repeated_texts (tenant_id, instance_id, digest, people_min)
        SELECT %(tenant_id)s, %(instance_id)s, n.digest, n.people_min
        FROM unnest(%(digests)s::uuid[], %(people_min)s::int2[]) AS n (digest, people_min)
        WHERE n.people_min > 0
        ON CONFLICT (tenant_id, instance_id, digest) DO UPDATE SET people_min = EXCLUDED.people_min
        """,
        told,
    )


def note_examined(conn: Connection[Any], instance: Examined, *, to: uuid.UUID) -> None:
    conn.execute(
        """
        UPDATE whatsapp_configs SET examined_to = %(to)s
        WHERE tenant_id = %(tenant_id)s AND id = %(instance_id)s
        """,
        {**instance._asdict(), "to": to},
    )
