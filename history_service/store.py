"""Every SQL statement of the history service: reads only. The caller owns the transaction."""

import uuid
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final, LiteralString

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


def find_survivor(conn: Connection[Any], *, tenant_id: int, lead_id: uuid.UUID) -> uuid.UUID | None:
    """Give the lead that this one became part of; None for all others."""
    with conn.cursor(row_factory=scalar_row) as cursor:
        return cursor.execute(
            "SELECT merged_into FROM leads WHERE tenant_id = %(tenant_id)s AND id = %(lead_id)s",
            {"tenant_id": tenant_id, "lead_id": lead_id},
        ).fetchone()


class MessageRow(msgspec.Struct, frozen=True):
    id: uuid.UUID
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


class MessageFilter(msgspec.Struct, frozen=True, kw_only=True):
    tenant_id: int
    lead_id: uuid.UUID
    from_time: datetime | None = None
    to_time: datetime | None = None


def list_messages(
    conn: Connection[Any],
    wanted: MessageFilter,
    *,
    instance_ids: Sequence[int] | None,
    is_descending: bool,
    after: tuple[datetime, uuid.UUID] | None,
    count_max: int,
) -> list[MessageRow]:
    """Give the next messages by (sent_at, id): a range of the index, so any depth has one price.

    `instance_ids` None is all of the tenant's.
    """
    keyset: LiteralString = ""
    if after:
        keyset = (
            " AND (m.sent_at, m.id) < (%(sent_at)s, %(id)s)"
            if is_descending
            else " AND (m.sent_at, m.id) > (%(sent_at)s, %(id)s)"
        )
    order: LiteralString = "m.sent_at DESC, m.id DESC" if is_descending else "m.sent_at, m.id"
    with conn.cursor(row_factory=args_row(MessageRow), binary=True) as cursor:
        return cursor.execute(
            # The ledger through a subquery and not a join: whatever the planner believes, it is
            # looked up for the rows of the page alone.
            """
            SELECT m.id, m.instance_id, m.batch_id,
              (
                SELECT w.received_at
                FROM whatsapp_webhook_logs w
                WHERE w.tenant_id = m.tenant_id AND w.id = m.batch_id
              ),
              m.sent_at, m.direction, m.status, m.sources, m.is_sync_initial, m.wamid, m.type, m.body,
              m.content, m.context, m.sender, m.errors, m.billing, m.mentions, m.pattern, m.status_sent_at,
              m.status_delivered_at, m.status_read_at, m.status_played_at, m.status_failed_at
            FROM whatsapp_messages m
            WHERE m.tenant_id = %(tenant_id)s AND m.lead_id = %(lead_id)s
            """
            + _matching(wanted, instance_ids)
            + keyset
            + " ORDER BY "
            + order
            + " LIMIT %(count_max)s",
            {
                **_match_parameters(wanted, instance_ids),
                "sent_at": after[0] if after else None,
                "id": after[1] if after else None,
                "count_max": count_max,
            },
        ).fetchall()


def count_messages(
    conn: Connection[Any], wanted: MessageFilter, *, instance_ids: Sequence[int] | None
) -> int:
    """Count what the filter matches; from the index alone where no instance is left out."""
    with conn.cursor(row_factory=scalar_row) as cursor:
        count = cursor.execute(
            """
            SELECT count(*)
            FROM whatsapp_messages m
            WHERE m.tenant_id = %(tenant_id)s AND m.lead_id = %(lead_id)s
            """
            + _matching(wanted, instance_ids),
            _match_parameters(wanted, instance_ids),
        ).fetchone()
    return count or 0


def _matching(wanted: MessageFilter, instance_ids: Sequence[int] | None) -> LiteralString:
    conditions: LiteralString = ""
    if instance_ids is not None:
        conditions += " AND m.instance_id = ANY(%(instance_ids)s)"
    if wanted.from_time:
        conditions += " AND m.sent_at >= %(from_time)s"
    if wanted.to_time:
        conditions += " AND m.sent_at <= %(to_time)s"
    return conditions


def _match_parameters(wanted: MessageFilter, instance_ids: Sequence[int] | None) -> dict[str, Any]:
    return {
        "tenant_id": wanted.tenant_id,
        "lead_id": wanted.lead_id,
        "instance_ids": None if instance_ids is None else list(instance_ids),
        "from_time": wanted.from_time,
        "to_time": wanted.to_time,
    }


class LeadSearch(msgspec.Struct, frozen=True, kw_only=True):
    """What a caller typed, as `history_service.search` reads it; no text finds everybody."""

    text: str
    numbers: list[str]
    accented: str
    plain: str


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
    if search.text:
        # The columns have COLLATE "C", whose lower() knows nothing but ASCII; see history_service.search.
        conditions += """
          AND (
            position(
              %(text)s IN translate(
                lower(
                  normalize(concat_ws(E'\\n', l.saved_name, l.profile_name, l.username), NFKC)
                  COLLATE "default"
                ),
                %(accented)s, %(plain)s
              )
            ) > 0
            OR EXISTS (
              SELECT FROM lead_identifiers d
              WHERE d.tenant_id = %(tenant_id)s AND d.lead_id = l.id AND d.kind IN ('wa_id', 'phone_alias')
                AND EXISTS (
                  SELECT FROM unnest(%(numbers)s::text[]) AS n (digits)
                  WHERE position(n.digits IN d.value) > 0
                )
            )
          )
        """
    return conditions


def _visible_parameters(access: Access, search: LeadSearch) -> dict[str, Any]:
    return {
        "tenant_id": access.tenant_id,
        "instances": access.instances,
        "text": search.text,
        "numbers": search.numbers,
        "accented": search.accented,
        "plain": search.plain,
    }
