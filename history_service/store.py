"""Every SQL statement of the history service: reads only. The caller owns the transaction."""

import uuid
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final, LiteralString

import msgspec
from psycopg import Connection
from psycopg.rows import args_row, kwargs_row, scalar_row


class Instance(msgspec.Struct, frozen=True):
    id: int
    public_id: uuid.UUID
    name: str
    display_phone_number: str


class Scope(msgspec.Struct, frozen=True):
    """What a caller may see: a tenant, and of it these instances."""

    tenant_id: int
    instances: dict[int, Instance]
    sees_all: bool

    @property
    def instance_ids(self) -> list[int]:
        return list(self.instances)


def find_scope(conn: Connection[Any], *, tenant: str, granted: Sequence[uuid.UUID] | None) -> Scope | None:
    """Give what a token opens; None when there is no such tenant. `granted` None is every instance."""
    rows = conn.execute(
        """
        SELECT t.id, c.id, c.public_id, c.name, c.display_phone_number
        FROM tenants t
        LEFT JOIN whatsapp_configs c ON c.tenant_id = t.id
          AND (%(granted)s::uuid[] IS NULL OR c.public_id = ANY(%(granted)s))
        WHERE t.name = %(tenant)s AND t.id <> 0
        """,
        {"tenant": tenant, "granted": list(granted) if granted is not None else None},
    ).fetchall()
    if not rows:
        return None
    instances = {row[1]: Instance(*row[1:]) for row in rows if row[1] is not None}
    return Scope(rows[0][0], instances, granted is None)


class LeadRow(msgspec.Struct, frozen=True, kw_only=True):
    id: uuid.UUID
    kind: str
    name: str | None
    wa_id: str | None
    user_id: str | None
    username: str | None
    profile: dict[str, Any] | None
    created_at: datetime
    message_count: int
    first_message_at: datetime | None
    last_message_at: datetime | None


class ConversationRow(msgspec.Struct, frozen=True):
    lead_id: uuid.UUID
    id: uuid.UUID
    instance_id: int
    message_count: int
    first_message_at: datetime | None
    last_message_at: datetime | None


_LEAD_COLUMNS: Final[LiteralString] = """
  l.id, l.kind, coalesce(l.saved_name, l.profile_name, l.profile ->> 'name') AS name, l.wa_id, l.user_id,
  l.username, l.profile, l.created_at, l.message_count, l.first_message_at, l.last_message_at
"""


def find_lead(conn: Connection[Any], scope: Scope, lead_id: uuid.UUID) -> LeadRow | None:
    with conn.cursor(row_factory=kwargs_row(LeadRow)) as cursor:
        return cursor.execute(
            "SELECT "
            + _LEAD_COLUMNS
            + "FROM leads l WHERE l.tenant_id = %(tenant_id)s AND l.id = %(lead_id)s",
            {"tenant_id": scope.tenant_id, "lead_id": lead_id},
        ).fetchone()


def list_conversations(
    conn: Connection[Any], scope: Scope, lead_ids: Sequence[uuid.UUID]
) -> list[ConversationRow]:
    """Give these leads' exchanges with the instances of the scope, the latest first."""
    with conn.cursor(row_factory=args_row(ConversationRow)) as cursor:
        return cursor.execute(
            """
            SELECT lead_id, id, instance_id, message_count, first_message_at, last_message_at
            FROM conversations
            WHERE tenant_id = %(tenant_id)s AND lead_id = ANY(%(lead_ids)s)
              AND instance_id = ANY(%(instances)s)
            ORDER BY last_message_at DESC NULLS LAST, instance_id
            """,
            {"tenant_id": scope.tenant_id, "lead_ids": list(lead_ids), "instances": scope.instance_ids},
        ).fetchall()


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
    pattern: str | None
    status_sent_at: datetime | None
    status_delivered_at: datetime | None
    status_read_at: datetime | None
    status_played_at: datetime | None
    status_failed_at: datetime | None


class MessageFilter(msgspec.Struct, frozen=True, kw_only=True):
    lead_id: uuid.UUID
    from_time: datetime | None = None
    to_time: datetime | None = None


def list_messages(
    conn: Connection[Any],
    scope: Scope,
    wanted: MessageFilter,
    *,
    is_descending: bool,
    after: tuple[datetime, uuid.UUID] | None,
    count_max: int,
) -> list[MessageRow]:
    """Give the next messages by (sent_at, id), whatever the depth at one price: an index range is read."""
    conditions: LiteralString = """
        WHERE m.tenant_id = %(tenant_id)s AND m.lead_id = %(lead_id)s
    """
    if not scope.sees_all:
        conditions += " AND m.instance_id = ANY(%(instances)s)"
    conditions += _between(wanted)
    if after:
        conditions += (
            " AND (m.sent_at, m.id) < (%(sent_at)s, %(id)s)"
            if is_descending
            else " AND (m.sent_at, m.id) > (%(sent_at)s, %(id)s)"
        )
    order: LiteralString = (
        "ORDER BY m.sent_at DESC, m.id DESC" if is_descending else "ORDER BY m.sent_at, m.id"
    )
    with conn.cursor(row_factory=args_row(MessageRow), binary=True) as cursor:
        return cursor.execute(
            """
            SELECT p.id, p.instance_id, p.batch_id, w.received_at, p.sent_at, p.direction, p.status, p.sources,
              p.is_sync_initial, p.wamid, p.type, p.body, p.content, p.context, p.sender, p.errors, p.billing,
              p.pattern, p.status_sent_at, p.status_delivered_at, p.status_read_at, p.status_played_at,
              p.status_failed_at
            FROM (
              SELECT m.*
              FROM whatsapp_messages m
            """
            + conditions
            + order
            + """
              LIMIT %(count_max)s
            ) AS p
            LEFT JOIN whatsapp_webhook_logs w ON w.tenant_id = p.tenant_id AND w.id = p.batch_id
            """
            + order.replace("m.", "p."),
            {
                "tenant_id": scope.tenant_id,
                "lead_id": wanted.lead_id,
                "instances": scope.instance_ids,
                "from_time": wanted.from_time,
                "to_time": wanted.to_time,
                "sent_at": after[0] if after else None,
                "id": after[1] if after else None,
                "count_max": count_max,
            },
        ).fetchall()


def count_messages(conn: Connection[Any], scope: Scope, wanted: MessageFilter) -> int:
    """Count what the filter matches, from the index."""
    conditions: LiteralString = """
        WHERE m.tenant_id = %(tenant_id)s AND m.lead_id = %(lead_id)s
    """
    if not scope.sees_all:
        conditions += " AND m.instance_id = ANY(%(instances)s)"
    with conn.cursor(row_factory=scalar_row) as cursor:
        found = cursor.execute(
            "SELECT count(*) FROM whatsapp_messages m" + conditions + _between(wanted),
            {
                "tenant_id": scope.tenant_id,
                "lead_id": wanted.lead_id,
                "instances": scope.instance_ids,
                "from_time": wanted.from_time,
                "to_time": wanted.to_time,
            },
        ).fetchone()
    return found or 0


def _between(wanted: MessageFilter) -> LiteralString:
    conditions: LiteralString = ""
    if wanted.from_time:
        conditions += " AND m.sent_at >= %(from_time)s"
    if wanted.to_time:
        conditions += " AND m.sent_at <= %(to_time)s"
    return conditions


class LeadSearch(msgspec.Struct, frozen=True, kw_only=True):
    """What a caller typed; empty finds everybody."""

    text: str
    numbers: list[str]
    """The digits of it, in every form a number may be written."""


def list_leads(
    conn: Connection[Any],
    scope: Scope,
    search: LeadSearch,
    *,
    after: tuple[datetime | None, uuid.UUID] | None,
    count_max: int,
) -> list[LeadRow]:
    """Give the next leads by last message, newest first; those without one come last."""
    conditions = _visible(scope, search)
    if after and after[0]:
        conditions += """
            AND (
              (l.last_message_at, l.id) < (%(last_message_at)s, %(id)s) OR l.last_message_at IS NULL
            )
        """
    elif after:
        conditions += " AND l.last_message_at IS NULL AND l.id < %(id)s"
    with conn.cursor(row_factory=kwargs_row(LeadRow)) as cursor:
        return cursor.execute(
            "SELECT "
            + _LEAD_COLUMNS
            + "FROM leads l "
            + conditions
            + """
            ORDER BY l.last_message_at DESC NULLS LAST, l.id DESC
            LIMIT %(count_max)s
            """,
            {
                **_search_parameters(scope, search),
                "last_message_at": after[0] if after else None,
                "id": after[1] if after else None,
                "count_max": count_max,
            },
        ).fetchall()


def count_leads(conn: Connection[Any], scope: Scope, search: LeadSearch) -> int:
    with conn.cursor(row_factory=scalar_row) as cursor:
        found = cursor.execute(
            "SELECT count(*) FROM leads l " + _visible(scope, search), _search_parameters(scope, search)
        ).fetchone()
    return found or 0


def _visible(scope: Scope, search: LeadSearch) -> LiteralString:
    conditions: LiteralString = """
        WHERE l.tenant_id = %(tenant_id)s
          AND EXISTS (
            SELECT FROM conversations c
            WHERE c.tenant_id = l.tenant_id AND c.lead_id = l.id AND c.instance_id = ANY(%(instances)s)
          )
    """
    if search.text:
        conditions += """
          AND (
            position(lower(%(text)s) IN lower(coalesce(l.saved_name, ''))) > 0
            OR position(lower(%(text)s) IN lower(coalesce(l.profile_name, ''))) > 0
            OR position(lower(%(text)s) IN lower(coalesce(l.username, ''))) > 0
            OR EXISTS (
              SELECT FROM lead_identifiers i
              WHERE i.tenant_id = l.tenant_id AND i.lead_id = l.id
                AND i.kind IN ('wa_id', 'phone_alias')
                AND EXISTS (
                  SELECT FROM unnest(%(numbers)s::text[]) AS n (digits) WHERE position(n.digits IN i.value) > 0
                )
            )
            OR EXISTS (
              SELECT FROM lead_identifiers i
              WHERE i.tenant_id = l.tenant_id AND i.lead_id = l.id AND i.value = %(text)s
            )
          )
        """
    return conditions


def _search_parameters(scope: Scope, search: LeadSearch) -> dict[str, Any]:
    return {
        "tenant_id": scope.tenant_id,
        "instances": scope.instance_ids,
        "text": search.text,
        "numbers": search.numbers,
    }
