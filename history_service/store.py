"""Every SQL statement of the history service: reads, and the audit log. The caller owns the transaction."""

import uuid
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final, LiteralString, NamedTuple, TypeAlias

import msgspec
from psycopg import Connection
from psycopg.rows import args_row, scalar_row


class Access(msgspec.Struct, frozen=True):
    """What a caller may see: of one tenant these instances (public ids), or all of them."""

    tenant_id: int
    instances: list[uuid.UUID] | None = None


def find_tenant(conn: Connection[Any], name: str) -> int | None:
    """Give a tenant's id, which never changes; None for the tenant of what is not routed."""
    with conn.cursor(row_factory=scalar_row) as cursor:
        return cursor.execute(
            "SELECT id FROM tenants WHERE name = %(name)s AND id <> 0", {"name": name}
        ).fetchone()


class LeadRow(msgspec.Struct, frozen=True):
    id: uuid.UUID
    kind: str
    name: str | None
    wa_id: str | None
    user_id: str | None
    username: str | None
    profile: dict[str, Any] | None
    created_at: datetime
    last_message_at: datetime | None
    """Across all instances: where the lead stands in the list."""


class ConversationRow(msgspec.Struct, frozen=True):
    lead_id: uuid.UUID
    id: uuid.UUID
    message_count: int
    first_message_at: datetime | None
    last_message_at: datetime | None
    instance_id: int
    instance_public_id: uuid.UUID
    instance_name: str
    instance_number: str


_LEAD_COLUMNS: Final[LiteralString] = """
  l.id, l.kind,
  coalesce(nullif(l.saved_name, ''), nullif(l.profile_name, ''), l.profile ->> 'name') AS name,
  l.wa_id, l.user_id, l.username, l.profile, l.created_at, l.last_message_at
"""


_CONVERSATION_COLUMNS: Final[LiteralString] = """
  v.lead_id, v.id, v.message_count, v.first_message_at, v.last_message_at, v.instance_id,
  i.public_id AS instance_public_id, i.name AS instance_name, i.display_phone_number AS instance_number
"""

_FROM_CONVERSATIONS: Final[LiteralString] = """
    FROM conversations v
    JOIN whatsapp_configs i ON i.tenant_id = v.tenant_id AND i.id = v.instance_id
"""

_VISIBLE: Final[LiteralString] = """
    WHERE v.tenant_id = %(tenant_id)s AND v.lead_id = ANY(%(lead_ids)s)
      AND (%(instances)s::uuid[] IS NULL OR i.public_id = ANY(%(instances)s::uuid[]))
    ORDER BY v.last_message_at DESC NULLS LAST, v.instance_id
"""


def list_conversations(
    conn: Connection[Any], access: Access, lead_ids: Sequence[uuid.UUID]
) -> list[ConversationRow]:
    """Give these leads' exchanges with the instances that the caller may see, the latest first."""
    with conn.cursor(row_factory=args_row(ConversationRow)) as cursor:
        return cursor.execute(
            "SELECT" + _CONVERSATION_COLUMNS + _FROM_CONVERSATIONS + _VISIBLE,
            {"tenant_id": access.tenant_id, "lead_ids": list(lead_ids), "instances": access.instances},
        ).fetchall()


def find_lead(
    conn: Connection[Any], access: Access, lead_id: uuid.UUID
) -> tuple[LeadRow, list[ConversationRow]] | None:
    """Give a lead with those of its exchanges that the caller may see; None when there are none."""
    rows = conn.execute(
        "SELECT"
        + _LEAD_COLUMNS
        + ","
        + _CONVERSATION_COLUMNS
        + _FROM_CONVERSATIONS
        + "JOIN leads l ON l.tenant_id = v.tenant_id AND l.id = v.lead_id"
        + _VISIBLE,
        {"tenant_id": access.tenant_id, "lead_ids": [lead_id], "instances": access.instances},
    ).fetchall()
    if not rows:
        return None
    width = len(LeadRow.__struct_fields__)
    return LeadRow(*rows[0][:width]), [ConversationRow(*row[width:]) for row in rows]


def find_leads(conn: Connection[Any], *, tenant_id: int, ids: Sequence[uuid.UUID]) -> list[LeadRow]:
    """Give these leads, whoever may see them."""
    with conn.cursor(row_factory=args_row(LeadRow)) as cursor:
        return cursor.execute(
            "SELECT"
            + _LEAD_COLUMNS
            + "FROM leads l WHERE l.tenant_id = %(tenant_id)s AND l.id = ANY(%(ids)s)",
            {"tenant_id": tenant_id, "ids": list(ids)},
        ).fetchall()


def find_survivor(conn: Connection[Any], *, tenant_id: int, lead_id: uuid.UUID) -> uuid.UUID | None:
    """Give the lead that this one became part of; None for all others."""
    with conn.cursor(row_factory=scalar_row) as cursor:
        return cursor.execute(
            "SELECT merged_into FROM leads WHERE tenant_id = %(tenant_id)s AND id = %(lead_id)s",
            {"tenant_id": tenant_id, "lead_id": lead_id},
        ).fetchone()


class MessageRow(msgspec.Struct, frozen=True):
    id: uuid.UUID
    lead_id: uuid.UUID
    instance_id: int
    batch_id: uuid.UUID
    batch_received_at: datetime | None
    sent_at: datetime
    direction: int
    status: int
    sources: int
    is_sync_initial: bool
    wamid: str
    type: str
    body: str | None
    content: str | None
    context: str | None
    sender: str | None
    errors: str | None
    billing: str | None
    mentions: str | None
    pattern: str | None
    status_sent_at: datetime | None
    status_delivered_at: datetime | None
    status_read_at: datetime | None
    status_played_at: datetime | None
    status_failed_at: datetime | None


# The ledger through a subquery and not a join: whatever the planner believes, it is looked up for the
# rows of the page alone.
_MESSAGE_COLUMNS: Final[LiteralString] = """
  m.id, m.lead_id, m.instance_id, m.batch_id,
  (
    SELECT w.received_at
    FROM whatsapp_webhook_logs w
    WHERE w.tenant_id = m.tenant_id AND w.id = m.batch_id
  ),
  m.sent_at, m.direction, m.status, m.sources, m.is_sync_initial, m.wamid, m.type, m.body,
  m.content, m.context, m.sender, m.errors, m.billing, m.mentions, m.pattern, m.status_sent_at,
  m.status_delivered_at, m.status_read_at, m.status_played_at, m.status_failed_at
"""


# History that says only that something was said, such as an unsupported message, opens no conversation;
# until something else does, it is not shown.
_IN_CONVERSATION: Final[LiteralString] = """
  AND EXISTS (
    SELECT FROM conversations v
    WHERE v.tenant_id = m.tenant_id AND v.lead_id = m.lead_id AND v.instance_id = m.instance_id
  )
"""


class MessageFilter(msgspec.Struct, frozen=True, kw_only=True):
    """What a message must be; None asks nothing."""

    tenant_id: int
    lead_id: uuid.UUID | None = None
    """None is every lead."""
    instance_ids: list[int] | None = None
    from_time: datetime | None = None
    to_time: datetime | None = None
    direction: int | None = None
    type: str | None = None
    """"" while only a status is known."""
    outbound_statuses: list[int] | None = None
    inbound_statuses: list[int] | None = None
    words: str | None = None
    """A tsquery."""
    words_as_typed: str | None = None
    """Another, which finds a part of it in less time."""

    @property
    def is_whole(self) -> bool:
        """Nothing is asked beyond the lead and what the caller may see."""
        asked = (self.from_time, self.to_time, self.direction, self.type, self.outbound_statuses, self.words)
        return all(part is None for part in asked)


replaced = msgspec.structs.replace

Place: TypeAlias = tuple[datetime, uuid.UUID]
"""Where a message stands: (sent_at, id)."""


def list_messages(
    conn: Connection[Any],
    wanted: MessageFilter,
    *,
    is_descending: bool,
    after: Place | None,
    count_max: int,
    until: Place | None = None,
) -> list[MessageRow]:
    """Give the next messages by (sent_at, id), none of them beyond `until`.

    Of one lead they are a range of its index, and of all a range of the index by time: any depth has one
    price. With words every message on the way is looked at: that is for words that are in very many.
    """
    moment = _ordering_moment(wanted)
    direction: LiteralString = " DESC" if is_descending else ""
    if wanted.words is not None:
        # It would gather everything first.
        conn.execute("SET LOCAL enable_bitmapscan = off")
    with conn.cursor(row_factory=args_row(MessageRow), binary=True) as cursor:
        rows = cursor.execute(
            "SELECT"
            + _MESSAGE_COLUMNS
            + "FROM whatsapp_messages m WHERE m.tenant_id = %(tenant_id)s"
            + _matching(wanted)
            + _keyset(moment, after, is_descending=is_descending)
            + _keyset_until(moment, until, is_descending=is_descending)
            + " ORDER BY "
            + moment
            + direction
            + ", m.id"
            + direction
            + " LIMIT %(count_max)s",
            {
                **_match_parameters(wanted),
                **_keyset_parameters(after, is_naive=wanted.lead_id is None),
                **_keyset_parameters(until, is_naive=wanted.lead_id is None, prefix="until"),
                "count_max": count_max,
            },
        ).fetchall()
    if wanted.words is not None:
        conn.execute("SET LOCAL enable_bitmapscan = on")
    return rows


def place_ahead(
    conn: Connection[Any], wanted: MessageFilter, *, is_descending: bool, after: Place | None, count: int
) -> Place | None:
    """Say where the message stands that is so many further on, whatever it says; None beyond the last."""
    moment = _ordering_moment(wanted)
    direction: LiteralString = " DESC" if is_descending else ""
    row = conn.execute(
        "SELECT m.sent_at, m.id FROM whatsapp_messages m WHERE m.tenant_id = %(tenant_id)s"
        + _matching(MessageFilter(tenant_id=wanted.tenant_id, lead_id=wanted.lead_id))
        + _keyset(moment, after, is_descending=is_descending)
        + " ORDER BY "
        + moment
        + direction
        + ", m.id"
        + direction
        + " OFFSET %(count)s LIMIT 1",
        {
            **_match_parameters(wanted),
            **_keyset_parameters(after, is_naive=wanted.lead_id is None),
            "count": count,
        },
    ).fetchone()
    return (row[0], row[1]) if row else None


class Matches(NamedTuple):
    places: list[Place]
    """Of the next messages, in their order."""
    found: int
    """Of all that match after the given place, at most the bound."""


def list_matches(
    conn: Connection[Any],
    wanted: MessageFilter,
    *,
    is_descending: bool,
    after: Place | None,
    count_max: int,
    bound: int | None = None,
) -> Matches:
    """Find messages by the index of words. Looks at no more than `bound` of them: of more, any."""
    order: LiteralString = "sent_at DESC, id DESC" if is_descending else "sent_at, id"
    rows = conn.execute(
        """
        WITH matched AS MATERIALIZED (
          SELECT m.sent_at, m.id FROM whatsapp_messages m
          WHERE m.tenant_id = %(tenant_id)s::int4 -- a GIN index takes its own type alone
        """
        + _matching(wanted)
        + _keyset("m.sent_at", after, is_descending=is_descending)
        + """
          LIMIT %(bound)s
        )
        SELECT sent_at, id, count(*) OVER () FROM matched ORDER BY
        """
        + order
        + " LIMIT %(count_max)s",
        {
            **_match_parameters(wanted),
            **_keyset_parameters(after),
            "count_max": count_max,
            "bound": bound,
        },
        binary=True,
    ).fetchall()
    return Matches([(sent_at, id) for sent_at, id, _ in rows], rows[0][2] if rows else 0)


def find_messages(
    conn: Connection[Any],
    *,
    tenant_id: int,
    ids: Sequence[uuid.UUID],
    instance_ids: Sequence[int] | None = None,
) -> list[MessageRow]:
    """Give those of these messages that are in a conversation of these instances, by (sent_at, id)."""
    with conn.cursor(row_factory=args_row(MessageRow), binary=True) as cursor:
        return cursor.execute(
            "SELECT"
            + _MESSAGE_COLUMNS
            + """
            FROM whatsapp_messages m
            WHERE m.tenant_id = %(tenant_id)s AND m.id = ANY(%(ids)s)
              AND (%(instance_ids)s::int4[] IS NULL OR m.instance_id = ANY(%(instance_ids)s))
            """
            + _IN_CONVERSATION
            + " ORDER BY m.sent_at, m.id",
            {
                "tenant_id": tenant_id,
                "ids": list(ids),
                "instance_ids": None if instance_ids is None else list(instance_ids),
            },
        ).fetchall()


def find_place(conn: Connection[Any], wanted: MessageFilter, id: uuid.UUID) -> Place | None:
    """Say where a message stands; None when it is not among those that are wanted."""
    row = conn.execute(
        """
        SELECT m.sent_at, m.id FROM whatsapp_messages m
        WHERE m.tenant_id = %(tenant_id)s AND m.id = %(id)s
        """
        + _matching(wanted),
        {**_match_parameters(wanted), "id": id},
    ).fetchone()
    return (row[0], row[1]) if row else None


def list_last_messages(
    conn: Connection[Any],
    *,
    tenant_id: int,
    lead_ids: Sequence[uuid.UUID],
    instance_ids: Sequence[int] | None,
) -> list[MessageRow]:
    """Give the newest message of each of these leads in a conversation of these instances."""
    with conn.cursor(row_factory=args_row(MessageRow), binary=True) as cursor:
        return cursor.execute(
            "SELECT n.* FROM unnest(%(lead_ids)s::uuid[]) AS l (id) CROSS JOIN LATERAL (SELECT"
            + _MESSAGE_COLUMNS
            + """
              FROM whatsapp_messages m
              WHERE m.tenant_id = %(tenant_id)s AND m.lead_id = l.id
                AND (%(instance_ids)s::int4[] IS NULL OR m.instance_id = ANY(%(instance_ids)s))
            """
            + _IN_CONVERSATION
            + """
              ORDER BY m.sent_at DESC, m.id DESC
              LIMIT 1
            ) AS n
            """,
            {
                "tenant_id": tenant_id,
                "lead_ids": list(lead_ids),
                "instance_ids": None if instance_ids is None else list(instance_ids),
            },
        ).fetchall()


def count_messages(conn: Connection[Any], wanted: MessageFilter) -> int:
    """Count what the filter matches; from the index alone where only times are asked for."""
    with conn.cursor(row_factory=scalar_row) as cursor:
        count = cursor.execute(
            "SELECT count(*) FROM whatsapp_messages m WHERE m.tenant_id = %(tenant_id)s" + _matching(wanted),
            _match_parameters(wanted),
        ).fetchone()
    return count or 0


def _matching(wanted: MessageFilter) -> LiteralString:
    conditions: LiteralString = (
        " AND m.lead_id IS NOT NULL" if wanted.lead_id is None else " AND m.lead_id = %(lead_id)s"
    )
    if wanted.instance_ids is not None:
        conditions += " AND m.instance_id = ANY(%(instance_ids)s)"
    if wanted.from_time:
        conditions += " AND m.sent_at >= %(from_time)s"
    if wanted.to_time:
        conditions += " AND m.sent_at <= %(to_time)s"
    if wanted.direction:
        conditions += " AND m.direction = %(direction)s"
    if wanted.type is not None:
        conditions += " AND m.type = %(type)s"
    if wanted.outbound_statuses is not None:
        conditions += """
          AND (
            m.direction = 2 AND m.status = ANY(%(outbound_statuses)s)
            OR m.direction = 1 AND m.status = ANY(%(inbound_statuses)s)
          )
        """
    if wanted.words is not None:
        conditions += """
          AND public.recado_words(public.recado_sought(m.shown, m.body, m.content)) @@ %(words)s::tsquery
        """
    return conditions


def _match_parameters(wanted: MessageFilter) -> dict[str, Any]:
    return msgspec.structs.asdict(wanted)


def _ordering_moment(wanted: MessageFilter) -> LiteralString:
    """Give the expression by which the messages of one lead, or of all, stand in an index."""
    return "m.sent_at" if wanted.lead_id else "(m.sent_at AT TIME ZONE 'UTC')"


def _keyset(moment: LiteralString, after: Place | None, *, is_descending: bool) -> LiteralString:
    if after is None:
        return ""
    than: LiteralString = "<" if is_descending else ">"
    return " AND (" + moment + ", m.id) " + than + " (%(after_time)s, %(after_id)s)"


def _keyset_until(moment: LiteralString, until: Place | None, *, is_descending: bool) -> LiteralString:
    if until is None:
        return ""
    than: LiteralString = ">=" if is_descending else "<="
    return " AND (" + moment + ", m.id) " + than + " (%(until_time)s, %(until_id)s)"


def _keyset_parameters(
    place: Place | None, *, is_naive: bool = False, prefix: str = "after"
) -> dict[str, Any]:
    if place is None:
        return {}
    moment, id = place
    return {f"{prefix}_time": moment.replace(tzinfo=None) if is_naive else moment, f"{prefix}_id": id}


class WordForms(NamedTuple):
    word: str
    lexemes: list[str]
    stems: list[str]


def find_word_forms(conn: Connection[Any], words: Sequence[str]) -> list[WordForms]:
    """Say as what the index knows these words, and what stems Portuguese, English and Spanish give them."""
    with conn.cursor(row_factory=args_row(WordForms)) as cursor:
        return cursor.execute(
            """
            SELECT w.word,
              (
                SELECT coalesce(array_agg(u.lexeme ORDER BY u.positions[1], u.lexeme), '{}')
                FROM unnest(public.recado_words(w.word)) AS u (lexeme, positions, weights)
              ),
              (
                SELECT coalesce(array_agg(DISTINCT u.lexeme), '{}')
                FROM unnest(
                  ts_lexize('portuguese_stem', lower(w.word)) || ts_lexize('english_stem', lower(w.word))
                  || ts_lexize('spanish_stem', lower(w.word))
                ) AS s (stem)
                CROSS JOIN LATERAL unnest(public.recado_words(s.stem)) AS u (lexeme, positions, weights)
              )
            FROM unnest(%(words)s::text[]) AS w (word)
            """,
            {"words": list(words)},
        ).fetchall()


# The feed of changes


def current_snapshot(conn: Connection[Any]) -> str:
    """Give what this transaction sees, as PostgreSQL writes it."""
    with conn.cursor(row_factory=scalar_row) as cursor:
        snapshot = cursor.execute("SELECT pg_current_snapshot()::text").fetchone()
    assert isinstance(snapshot, str)
    return snapshot


_UNSEEN: Final[LiteralString] = """
    c.changed_in >= pg_snapshot_xmin(%(snapshot)s::pg_snapshot)
    AND NOT pg_visible_in_snapshot(c.changed_in, %(snapshot)s::pg_snapshot)
"""


class ChangeRow(NamedTuple):
    lead_id: uuid.UUID
    message_ids: list[uuid.UUID]
    is_of_lead: bool


def list_changes(
    conn: Connection[Any],
    *,
    tenant_id: int,
    lead_ids: Sequence[uuid.UUID] | None,
    snapshot: str,
    until: str | None = None,
    count_max: int,
) -> list[ChangeRow]:
    """Give what a snapshot did not show and is there now, or in a later one: of these leads, or of all."""
    only: LiteralString = "" if lead_ids is None else " AND c.lead_id = ANY(%(lead_ids)s)"
    if until is not None:
        only += " AND pg_visible_in_snapshot(c.changed_in, %(until)s::pg_snapshot)"
    with conn.cursor(row_factory=args_row(ChangeRow)) as cursor:
        return cursor.execute(
            """
            SELECT c.lead_id, c.message_ids, c.is_of_lead
            FROM changes c
            WHERE c.tenant_id = %(tenant_id)s AND
            """
            + _UNSEEN
            + only
            + " LIMIT %(count_max)s",
            {
                "tenant_id": tenant_id,
                "lead_ids": None if lead_ids is None else list(lead_ids),
                "snapshot": snapshot,
                "until": until,
                "count_max": count_max,
            },
        ).fetchall()


def list_touched_leads(conn: Connection[Any], *, snapshot: str) -> list[tuple[str, uuid.UUID]]:
    """Give (tenant, lead) of everything that was not visible in a snapshot and is now."""
    return conn.execute(
        """
        SELECT DISTINCT t.name, c.lead_id
        FROM changes c
        JOIN tenants t ON t.id = c.tenant_id
        WHERE
        """
        + _UNSEEN,
        {"snapshot": snapshot},
    ).fetchall()


# Coverage


class InstanceRow(msgspec.Struct, frozen=True):
    id: int
    webhook_activated_at: datetime | None
    created_at: datetime
    connection_state: str
    connection_reason: str | None
    connection_changed_at: datetime | None


def list_instances(conn: Connection[Any], *, tenant_id: int, ids: Sequence[int]) -> list[InstanceRow]:
    with conn.cursor(row_factory=args_row(InstanceRow)) as cursor:
        return cursor.execute(
            """
            SELECT id, webhook_activated_at, created_at, connection_state, connection_reason,
              connection_changed_at
            FROM whatsapp_configs
            WHERE tenant_id = %(tenant_id)s AND id = ANY(%(ids)s)
            """,
            {"tenant_id": tenant_id, "ids": list(ids)},
        ).fetchall()


def find_instance(conn: Connection[Any], access: Access, public_id: uuid.UUID) -> int | None:
    """Give the key of an instance that the caller may see."""
    with conn.cursor(row_factory=scalar_row) as cursor:
        return cursor.execute(
            """
            SELECT id FROM whatsapp_configs
            WHERE tenant_id = %(tenant_id)s AND public_id = %(public_id)s
              AND (%(instances)s::uuid[] IS NULL OR public_id = ANY(%(instances)s::uuid[]))
            """,
            {"tenant_id": access.tenant_id, "public_id": public_id, "instances": access.instances},
        ).fetchone()


def visible_instances(conn: Connection[Any], access: Access) -> list[int] | None:
    """Give the keys of the instances that the caller may see; None for all of the tenant's."""
    if access.instances is None:
        return None
    with conn.cursor(row_factory=scalar_row) as cursor:
        return cursor.execute(
            """
            SELECT id FROM whatsapp_configs
            WHERE tenant_id = %(tenant_id)s AND public_id = ANY(%(instances)s)
            """,
            {"tenant_id": access.tenant_id, "instances": access.instances},
        ).fetchall()


class RecoveryRow(msgspec.Struct, frozen=True):
    """A history that arrived, or a chat that was imported."""

    sync_type: str
    status: str
    instance_id: int
    started_at: datetime
    error_message: str | None
    detail: str | None


def list_recoveries(
    conn: Connection[Any], *, tenant_id: int, lead_id: uuid.UUID, instance_ids: Sequence[int]
) -> list[RecoveryRow]:
    """Give what brought older messages of a lead, the newest first."""
    with conn.cursor(row_factory=args_row(RecoveryRow)) as cursor:
        return cursor.execute(
            """
            SELECT sync_type, status, instance_id, coalesce(started_at, created_at), error_message, detail
            FROM whatsapp_sync_logs
            WHERE tenant_id = %(tenant_id)s AND instance_id = ANY(%(instance_ids)s)
              AND (
                sync_type = 'history_import'
                OR sync_type = 'chat_export' AND lead_id = %(lead_id)s AND status = 'completed'
              )
            ORDER BY id DESC
            """,
            {"tenant_id": tenant_id, "lead_id": lead_id, "instance_ids": list(instance_ids)},
        ).fetchall()


# The audit log


class AuditRow(msgspec.Struct, frozen=True):
    tenant_id: int
    id: uuid.UUID
    happened_at: datetime
    subject: str
    action: str
    lead_id: uuid.UUID | None
    count: int
    request_id: str


_AUDIT_COLUMNS: Final[LiteralString] = """
  tenant_id, id, happened_at, subject, action, lead_id, count, request_id
"""


def insert_audit_rows(conn: Connection[Any], rows: Sequence[AuditRow]) -> None:
    """Note who read what. A row that is there already is left as it is."""
    conn.execute(
        "INSERT INTO audit_log ("
        + _AUDIT_COLUMNS
        + ") SELECT "
        + _AUDIT_COLUMNS
        + """
        FROM json_to_recordset(%(rows)s::json) AS r (
          tenant_id int4, id uuid, happened_at timestamptz, subject text, action text, lead_id uuid,
          count int4, request_id text
        )
        """,
        {"rows": msgspec.json.encode(rows).decode()},
    )


def list_audit_rows(
    conn: Connection[Any],
    *,
    tenant_id: int,
    lead_id: uuid.UUID | None,
    subject: str | None,
    before: uuid.UUID | None,
    count_max: int,
) -> list[AuditRow]:
    """Give the next rows, newest first."""
    conditions: LiteralString = "tenant_id = %(tenant_id)s"
    if lead_id:
        conditions += " AND lead_id = %(lead_id)s"
    if subject:
        conditions += " AND subject = %(subject)s"
    if before:
        conditions += " AND id < %(before)s"
    with conn.cursor(row_factory=args_row(AuditRow)) as cursor:
        return cursor.execute(
            "SELECT "
            + _AUDIT_COLUMNS
            + "FROM audit_log WHERE "
            + conditions
            + " ORDER BY id DESC LIMIT %(count_max)s",
            {
                "tenant_id": tenant_id,
                "lead_id": lead_id,
                "subject": subject,
                "before": before,
                "count_max": count_max,
            },
        ).fetchall()


# Leads


class LeadSearch(msgspec.Struct, frozen=True, kw_only=True):
    """What a caller typed; no words find everybody."""

    words: list[str]
    """Each is part of one of the names; at most `NAME_WORDS_MAX`."""
    numbers: list[str]
    """Its digits in every form they may be stored."""


_HOLDING: Final[tuple[LiteralString, ...]] = (
    " AND n.names LIKE public.recado_holding(%(word0)s)",
    " AND n.names LIKE public.recado_holding(%(word1)s)",
    " AND n.names LIKE public.recado_holding(%(word2)s)",
    " AND n.names LIKE public.recado_holding(%(word3)s)",
)
NAME_WORDS_MAX: Final = len(_HOLDING)

# One branch for the leads with a last message and one for those without: the condition of either is a
# range of the index leads_by_last_message, which one condition for both would not be.
_LEADS_AFTER: Final[LiteralString] = """
    AND (l.last_message_at, l.id) < (%(last_message_at)s, %(id)s)
"""
_LEADS_WITHOUT_AFTER: Final[LiteralString] = " AND l.last_message_at IS NULL AND l.id < %(id)s"
_LEADS_WITHOUT: Final[LiteralString] = " AND l.last_message_at IS NULL"
_LEADS_ORDER: Final[LiteralString] = """
    ORDER BY l.last_message_at DESC NULLS LAST, l.id DESC
    LIMIT %(count_max)s
"""


def list_leads(
    conn: Connection[Any],
    access: Access,
    search: LeadSearch,
    *,
    after: tuple[datetime | None, uuid.UUID] | None,
    count_max: int,
) -> list[LeadRow]:
    """Give the next leads by last message, newest first; those without one come last."""
    select: LiteralString = (
        "SELECT" + _LEAD_COLUMNS + "FROM leads l WHERE l.tenant_id = %(tenant_id)s" + _visible(access, search)
    )
    if after is None:
        statement: LiteralString = select + _LEADS_ORDER
    elif after[0] is None:
        statement = select + _LEADS_WITHOUT_AFTER + _LEADS_ORDER
    else:
        statement = (
            "("
            + select
            + _LEADS_AFTER
            + _LEADS_ORDER
            + ") UNION ALL ("
            + select
            + _LEADS_WITHOUT
            + _LEADS_ORDER
            + ") LIMIT %(count_max)s"
        )
    with conn.cursor(row_factory=args_row(LeadRow)) as cursor:
        return cursor.execute(
            statement,
            {
                **_visible_parameters(access, search),
                "last_message_at": after[0] if after else None,
                "id": after[1] if after else None,
                "count_max": count_max,
            },
        ).fetchall()


def count_leads(conn: Connection[Any], access: Access, search: LeadSearch) -> int:
    with conn.cursor(row_factory=scalar_row) as cursor:
        count = cursor.execute(
            "SELECT count(*) FROM leads l WHERE l.tenant_id = %(tenant_id)s" + _visible(access, search),
            _visible_parameters(access, search),
        ).fetchone()
    return count or 0


def _visible(access: Access, search: LeadSearch) -> LiteralString:
    conditions: LiteralString = """
          AND EXISTS (
            SELECT FROM conversations v
            WHERE v.tenant_id = %(tenant_id)s AND v.lead_id = l.id
    """
    if access.instances is not None:
        conditions += """
              AND v.instance_id IN (
                SELECT i.id FROM whatsapp_configs i
                WHERE i.tenant_id = %(tenant_id)s AND i.public_id = ANY(%(instances)s)
              )
        """
    conditions += ")"
    if search.words:
        # Materialized: who is found is found by the indexes of names and numbers, not lead by lead.
        conditions += """
          AND l.id IN (
            WITH found AS MATERIALIZED (
              SELECT n.lead_id FROM lead_names n WHERE n.tenant_id = %(tenant_id)s::int4
        """
        for holding in _HOLDING[: len(search.words)]:
            conditions += holding
        conditions += """
              UNION
              SELECT d.lead_id FROM lead_identifiers d
              WHERE d.tenant_id = %(tenant_id)s::int4 AND d.kind IN ('wa_id', 'phone_alias')
                AND d.value LIKE ANY(%(numbers)s)
            )
            SELECT lead_id FROM found
          )
        """
    return conditions


def _visible_parameters(access: Access, search: LeadSearch) -> dict[str, Any]:
    return {
        "tenant_id": access.tenant_id,
        "instances": access.instances,
        **{f"word{place}": word for place, word in enumerate(search.words)},
        "numbers": [f"%{digits}%" for digits in search.numbers],
    }
