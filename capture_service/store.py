"""Every SQL statement of the capture service. The caller owns the transaction.

Rows travel as one JSON array per statement (`json_to_recordset`): whatever the size of a batch, it
takes the same handful of statements. Arrays come sorted by their key, so that concurrent batches
take their locks in the same order.
"""

import uuid
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final, Literal, LiteralString, NamedTuple, TypeAlias

import msgspec
from psycopg import Connection
from psycopg.rows import args_row, kwargs_row, scalar_row

from capture_service import events, fold, ledger
from protos import mentions

# Owner of webhooks that belong to nobody (yet).
NO_TENANT: Final = 0

LeadKey: TypeAlias = tuple[int, uuid.UUID]
IdentifierKey: TypeAlias = tuple[int, str, str]
RouteKey: TypeAlias = tuple[str, str]
_Said: TypeAlias = Literal["profile_name", "saved_name", "username", "wa_id", "user_id"]


# Routes, tenants, instances


class Route(NamedTuple):
    """Whose webhook this is. A WABA's route has no instance."""

    tenant_id: int
    instance: events.Instance | None


def find_routes(conn: Connection[Any], keys: Collection[RouteKey]) -> dict[RouteKey, Route]:
    rows = conn.execute(
        """
        SELECT r.kind, r.external_id, r.tenant_id,
          c.id, c.public_id, c.phone_number_id, c.display_phone_number, c.webhook_activated_at, c.waba_id
        FROM unnest(%(kinds)s::text[], %(ids)s::text[]) AS k (kind, external_id)
        JOIN webhook_routes r ON r.kind = k.kind AND r.external_id = k.external_id
        LEFT JOIN whatsapp_configs c ON c.tenant_id = r.tenant_id AND c.id = r.instance_id
        """,
        {"kinds": [kind for kind, _ in keys], "ids": [external_id for _, external_id in keys]},
    )
    return {
        (kind, external_id): Route(tenant_id, events.Instance(tenant_id, *instance) if instance[0] else None)
        for kind, external_id, tenant_id, *instance in rows
    }


def routes_of_tenant(conn: Connection[Any], *, tenant_id: int) -> list[RouteKey]:
    return list(
        conn.execute(
            "SELECT kind, external_id FROM webhook_routes WHERE tenant_id = %(tenant_id)s",
            {"tenant_id": tenant_id},
        )
    )


def insert_route(
    conn: Connection[Any], *, kind: str, external_id: str, tenant_id: int, instance_id: int | None
) -> int:
    """Route webhooks of this number or WABA to the tenant; give the tenant it leads to now."""
    row = conn.execute(
        """
        INSERT INTO webhook_routes (kind, external_id, tenant_id, instance_id)
        VALUES (%(kind)s, %(external_id)s, %(tenant_id)s, %(instance_id)s)
        ON CONFLICT (kind, external_id) DO UPDATE SET kind = EXCLUDED.kind
        RETURNING tenant_id
        """,
        {"kind": kind, "external_id": external_id, "tenant_id": tenant_id, "instance_id": instance_id},
    ).fetchone()
    assert row
    return row[0]


def find_tenant(conn: Connection[Any], name: str) -> int | None:
    row = conn.execute("SELECT id FROM tenants WHERE name = %(name)s", {"name": name}).fetchone()
    return row[0] if row else None


def tenant_names(conn: Connection[Any], ids: Collection[int]) -> dict[int, str]:
    rows = conn.execute("SELECT id, name FROM tenants WHERE id = ANY(%(ids)s)", {"ids": list(ids)})
    return dict(rows)


def insert_tenant(conn: Connection[Any], name: str) -> None:
    conn.execute("INSERT INTO tenants (name) VALUES (%(name)s) ON CONFLICT (name) DO NOTHING", {"name": name})


class InstanceRow(msgspec.Struct, frozen=True, kw_only=True):
    id: int
    public_id: uuid.UUID
    name: str
    waba_id: str
    phone_number_id: str
    display_phone_number: str
    webhook_activated_at: datetime | None
    last_sync_at: datetime | None
    sync_status: str
    sync_error: str | None
    connection_state: str
    connection_reason: str | None
    connection_changed_at: datetime | None


def insert_instance(
    conn: Connection[Any],
    *,
    tenant_id: int,
    public_id: uuid.UUID,
    name: str,
    waba_id: str,
    phone_number_id: str,
    display_phone_number: str,
) -> None:
    """Register a number; nothing happens when the tenant has it already."""
    conn.execute(
        """
        INSERT INTO whatsapp_configs (
          tenant_id, public_id, name, waba_id, phone_number_id, display_phone_number, webhook_activated_at
        )
        VALUES (
          %(tenant_id)s, %(public_id)s, %(name)s, %(waba_id)s, %(phone_number_id)s,
          %(display_phone_number)s, now()
        )
        ON CONFLICT (tenant_id, phone_number_id) DO NOTHING
        """,
        {
            "tenant_id": tenant_id,
            "public_id": public_id,
            "name": name,
            "waba_id": waba_id,
            "phone_number_id": phone_number_id,
            "display_phone_number": display_phone_number,
        },
    )


def list_instances(conn: Connection[Any], *, tenant_id: int) -> list[InstanceRow]:
    with conn.cursor(row_factory=kwargs_row(InstanceRow)) as cursor:
        return cursor.execute(
            """
            SELECT id, public_id, name, waba_id, phone_number_id, display_phone_number,
              webhook_activated_at, last_sync_at, sync_status, sync_error, connection_state,
              connection_reason, connection_changed_at
            FROM whatsapp_configs
            WHERE tenant_id = %(tenant_id)s
            ORDER BY id
            """,
            {"tenant_id": tenant_id},
        ).fetchall()


# The ledger


class LedgerRow(msgspec.Struct, frozen=True, kw_only=True):
    """One webhook, or one tenant's part of it, as it is kept."""

    tenant_id: int
    id: uuid.UUID
    received_at: datetime
    state: str
    dictionary_id: int
    body_bytes: int
    sha256: bytes
    body: bytes
    attempts: int = 1
    parser_version: int
    awaits: list[str] | None = None
    error: str | None = None


def insert_ledger_rows(conn: Connection[Any], rows: Sequence[LedgerRow]) -> None:
    conn.execute(
        """
        INSERT INTO whatsapp_webhook_logs (
          tenant_id, id, received_at, state, attempts, parser_version, dictionary_id, body_bytes,
          sha256, body, awaits, error
        )
        SELECT r.tenant_id, r.id, r.received_at, r.state, r.attempts, r.parser_version, r.dictionary_id,
          r.body_bytes, r.sha256, r.body, string_to_array(r.awaits, E'\n'), r.error
        FROM unnest(
          %(tenant_id)b::int4[], %(id)b::uuid[], %(received_at)b::timestamptz[], %(state)b::text[],
          %(attempts)b::int2[], %(parser_version)b::int2[], %(dictionary_id)b::int2[], %(body_bytes)b::int4[],
          %(sha256)b::bytea[], %(body)b::bytea[], %(awaits)b::text[], %(error)b::text[]
        ) AS r (
          tenant_id, id, received_at, state, attempts, parser_version, dictionary_id, body_bytes,
          sha256, body, awaits, error
        )
        """,
        {
            "tenant_id": [row.tenant_id for row in rows],
            "id": [row.id for row in rows],
            "received_at": [row.received_at for row in rows],
            "state": [row.state for row in rows],
            "attempts": [row.attempts for row in rows],
            "parser_version": [row.parser_version for row in rows],
            "dictionary_id": [row.dictionary_id for row in rows],
            "body_bytes": [row.body_bytes for row in rows],
            "sha256": [row.sha256 for row in rows],
            "body": [row.body for row in rows],
            "awaits": ["\n".join(row.awaits) if row.awaits else None for row in rows],
            "error": [row.error for row in rows],
        },
    )


def update_ledger_row(conn: Connection[Any], row: LedgerRow) -> None:
    """Note the outcome of applying a kept webhook again."""
    conn.execute(
        """
        UPDATE whatsapp_webhook_logs
        SET state = %(state)s, attempts = attempts + 1, parser_version = %(parser_version)s,
          awaits = %(awaits)s, error = %(error)s
        WHERE tenant_id = %(tenant_id)s AND id = %(id)s
        """,
        {
            "tenant_id": row.tenant_id,
            "id": row.id,
            "state": row.state,
            "parser_version": row.parser_version,
            "awaits": row.awaits,
            "error": row.error,
        },
    )


def delete_ledger_row(conn: Connection[Any], *, tenant_id: int, id: uuid.UUID) -> None:
    """Remove a webhook that is kept again, as its parts, in the same transaction."""
    conn.execute(
        "DELETE FROM whatsapp_webhook_logs WHERE tenant_id = %(tenant_id)s AND id = %(id)s",
        {"tenant_id": tenant_id, "id": id},
    )


class KeptWebhook(msgspec.Struct, frozen=True, kw_only=True):
    """What applying a webhook again needs of its ledger row."""

    tenant_id: int
    id: uuid.UUID
    received_at: datetime
    dictionary_id: int
    body_bytes: int
    """Of the body as it came; `body` is compressed."""
    body: bytes

    def opened(self) -> bytes:
        """Give the webhook byte for byte."""
        return ledger.decompress(self.dictionary_id, self.body)


class LedgerFilter(msgspec.Struct, frozen=True, kw_only=True):
    """Which rows of the ledger; what is None does not restrict."""

    tenant_id: int | None = None
    states: list[str] | None = None
    from_time: datetime | None = None
    to_time: datetime | None = None
    awaits: list[str] | None = None
    """Unrouted rows that wait for one of these."""
    ids: list[uuid.UUID] | None = None
    parser_version_below: int | None = None
    mentions: str | None = None
    """Rows whose body holds this JSON string; for the caller to look for, the body is compressed."""


def _matching(rows: LedgerFilter) -> LiteralString:
    # Only the conditions that are asked for: "column = x OR x IS NULL" would cost the index.
    conditions: LiteralString = "true"
    if rows.tenant_id is not None:
        conditions += " AND tenant_id = %(tenant_id)s"
    if rows.states is not None:
        conditions += " AND state = ANY(%(states)s)"
    if rows.from_time is not None:
        conditions += " AND received_at >= %(from_time)s"
    if rows.to_time is not None:
        conditions += " AND received_at < %(to_time)s"
    if rows.awaits is not None:
        conditions += " AND awaits && %(awaits)s"
    if rows.ids is not None:
        conditions += " AND id = ANY(%(ids)s)"
    if rows.parser_version_below is not None:
        conditions += " AND parser_version < %(parser_version_below)s"
    return conditions


def count_ledger_rows(conn: Connection[Any], rows: LedgerFilter) -> int:
    with conn.cursor(row_factory=scalar_row) as cursor:
        found = cursor.execute(
            "SELECT count(*) FROM whatsapp_webhook_logs WHERE " + _matching(rows),
            msgspec.structs.asdict(rows),
        ).fetchone()
    return found or 0


def list_ledger_rows(
    conn: Connection[Any],
    rows: LedgerFilter,
    *,
    after: LeadKey | None,
    count_max: int,
    bytes_max: int,
    is_locking: bool,
) -> list[KeptWebhook]:
    """Give the next rows in the order of (tenant, id), which is that of their arrival.

    No more than hold `bytes_max` of bodies, but at least one, if there is any.
    """
    tenant_id, id = after or (-1, uuid.UUID(int=0))
    lock: LiteralString = "FOR UPDATE" if is_locking else ""
    with conn.cursor(row_factory=kwargs_row(KeptWebhook), binary=True) as cursor:
        return cursor.execute(
            """
            SELECT tenant_id, id, received_at, dictionary_id, body_bytes, body
            FROM whatsapp_webhook_logs
            WHERE (tenant_id, id) IN (
              SELECT tenant_id, id FROM (
                SELECT tenant_id, id,
                  sum(body_bytes) OVER (ORDER BY tenant_id, id) - body_bytes AS bytes_before
                FROM (
                  SELECT tenant_id, id, body_bytes
                  FROM whatsapp_webhook_logs
                  WHERE (tenant_id, id) > (%(after_tenant)s, %(after_id)s) AND
            """
            + _matching(rows)
            + """
                  ORDER BY tenant_id, id
                  LIMIT %(count_max)s
                ) AS next
              ) AS counted
              WHERE bytes_before < %(bytes_max)s
            )
            ORDER BY tenant_id, id
            """
            + lock,
            {
                **msgspec.structs.asdict(rows),
                "after_tenant": tenant_id,
                "after_id": id,
                "count_max": count_max,
                "bytes_max": bytes_max,
            },
        ).fetchall()


def list_forgotten(conn: Connection[Any], *, before: datetime, count_max: int) -> list[LeadKey]:
    """Give (tenant, id) of webhooks that wait to be applied and of which no job knows."""
    return conn.execute(
        """
        SELECT w.tenant_id, w.id
        FROM whatsapp_webhook_logs w
        WHERE w.state = 'pending' AND w.tenant_id <> 0 AND w.received_at < %(before)s
          AND NOT EXISTS (SELECT FROM outbox o WHERE o.tenant_id = w.tenant_id AND o.id = w.id)
        LIMIT %(count_max)s
        """,
        {"before": before, "count_max": count_max},
    ).fetchall()


class BatchRow(msgspec.Struct, frozen=True, kw_only=True):
    """A ledger row with what became of it."""

    tenant_id: int
    id: uuid.UUID
    received_at: datetime
    state: str
    attempts: int
    parser_version: int
    body_bytes: int
    dictionary_id: int
    body: bytes
    error: str | None

    def opened(self) -> bytes:
        """Give the webhook byte for byte."""
        return ledger.decompress(self.dictionary_id, self.body)


def find_batch(conn: Connection[Any], *, tenant_id: int, id: uuid.UUID) -> BatchRow | None:
    with conn.cursor(row_factory=kwargs_row(BatchRow), binary=True) as cursor:
        return cursor.execute(
            """
            SELECT tenant_id, id, received_at, state, attempts, parser_version, body_bytes, dictionary_id,
              body, error
            FROM whatsapp_webhook_logs
            WHERE tenant_id = %(tenant_id)s AND id = %(id)s
            """,
            {"tenant_id": tenant_id, "id": id},
        ).fetchone()


def batches_of_messages(
    conn: Connection[Any], *, tenant_id: int, ids: Sequence[uuid.UUID]
) -> dict[uuid.UUID, uuid.UUID]:
    """Say of each message that is kept which webhook brought it first."""
    return dict(
        conn.execute(
            """
            SELECT id, batch_id FROM whatsapp_messages
            WHERE tenant_id = %(tenant_id)s AND id = ANY(%(ids)s)
            """,
            {"tenant_id": tenant_id, "ids": list(ids)},
        )
    )


def batches_of_account_events(
    conn: Connection[Any], *, tenant_id: int, ids: Sequence[uuid.UUID]
) -> dict[uuid.UUID, uuid.UUID]:
    return dict(
        conn.execute(
            """
            SELECT id, batch_id FROM account_events
            WHERE tenant_id = %(tenant_id)s AND id = ANY(%(ids)s)
            """,
            {"tenant_id": tenant_id, "ids": list(ids)},
        )
    )


class FailureRow(msgspec.Struct, frozen=True, kw_only=True):
    id: uuid.UUID
    received_at: datetime
    attempts: int
    body_bytes: int
    error: str | None


def list_failures(
    conn: Connection[Any], *, tenant_id: int | None, before: uuid.UUID | None, count_max: int
) -> list[FailureRow]:
    """List webhooks with items not applied, newest first; also those too broken to have an owner.

    `tenant_id` None is every tenant.
    """
    with conn.cursor(row_factory=kwargs_row(FailureRow)) as cursor:
        return cursor.execute(
            """
            SELECT id, received_at, attempts, body_bytes, error
            FROM whatsapp_webhook_logs
            WHERE (tenant_id IN (%(tenant_id)s, %(nobody)s) OR %(tenant_id)s::int4 IS NULL)
              AND state = 'failed'
              AND (%(before)s::uuid IS NULL OR id < %(before)s)
            ORDER BY id DESC
            LIMIT %(count_max)s
            """,
            {"tenant_id": tenant_id, "nobody": NO_TENANT, "before": before, "count_max": count_max},
        ).fetchall()


def count_failures(conn: Connection[Any], *, tenant_id: int | None) -> int:
    with conn.cursor(row_factory=scalar_row) as cursor:
        found = cursor.execute(
            """
            SELECT count(*)
            FROM whatsapp_webhook_logs
            WHERE (tenant_id IN (%(tenant_id)s, %(nobody)s) OR %(tenant_id)s::int4 IS NULL)
              AND state = 'failed'
            """,
            {"tenant_id": tenant_id, "nobody": NO_TENANT},
        ).fetchone()
    return found or 0


def tenants_awaited(conn: Connection[Any]) -> list[str]:
    """Name the tenants for whose numbers unrouted webhooks are still kept."""
    with conn.cursor(row_factory=scalar_row) as cursor:
        return cursor.execute(
            """
            SELECT DISTINCT t.name
            FROM whatsapp_webhook_logs l
            CROSS JOIN LATERAL unnest(l.awaits) AS awaited
            JOIN webhook_routes r ON r.kind || ':' || r.external_id = awaited
            JOIN tenants t ON t.id = r.tenant_id
            WHERE l.tenant_id = %(nobody)s AND l.state = 'unrouted'
            """,
            {"nobody": NO_TENANT},
        ).fetchall()


# Leads


class KnownLead(NamedTuple):
    id: uuid.UUID
    is_met: bool
    """It has a conversation; a card of the address book has none."""


def find_leads(conn: Connection[Any], keys: Collection[IdentifierKey]) -> dict[IdentifierKey, KnownLead]:
    rows = conn.execute(
        """
        SELECT i.tenant_id, i.kind, i.value, i.lead_id,
          EXISTS (SELECT FROM conversations c WHERE c.tenant_id = i.tenant_id AND c.lead_id = i.lead_id)
        FROM unnest(%(tenants)b::int4[], %(kinds)b::text[], %(values)b::text[]) AS k (tenant_id, kind, value)
        JOIN lead_identifiers i ON i.tenant_id = k.tenant_id AND i.kind = k.kind AND i.value = k.value
        """,
        {
            "tenants": [key[0] for key in keys],
            "kinds": [key[1] for key in keys],
            "values": [key[2] for key in keys],
        },
    )
    return {(tenant_id, kind, value): KnownLead(id, is_met) for tenant_id, kind, value, id, is_met in rows}


def insert_identifiers(conn: Connection[Any], identifiers: Mapping[IdentifierKey, uuid.UUID]) -> int:
    """Give leads new identifiers; count those that nobody had."""
    keys = sorted(identifiers)
    return conn.execute(
        """
        INSERT INTO lead_identifiers (tenant_id, kind, value, lead_id)
        SELECT k.tenant_id, k.kind, k.value, k.lead_id
        FROM unnest(%(tenants)b::int4[], %(kinds)b::text[], %(values)b::text[], %(leads)b::uuid[])
          AS k (tenant_id, kind, value, lead_id)
        ON CONFLICT (tenant_id, kind, value) DO NOTHING
        """,
        {
            "tenants": [key[0] for key in keys],
            "kinds": [key[1] for key in keys],
            "values": [key[2] for key in keys],
            "leads": [identifiers[key] for key in keys],
        },
    ).rowcount


class LeadChange(msgspec.Struct, kw_only=True):
    """What a batch adds to a lead; for a new lead, all there is. Of each pair the latest said counts."""

    tenant_id: int
    id: uuid.UUID
    kind: str = "person"
    profile_name: str | None = None
    profile_name_at: datetime | None = None
    saved_name: str | None = None
    saved_name_at: datetime | None = None
    username: str | None = None
    username_at: datetime | None = None
    wa_id: str | None = None
    wa_id_at: datetime | None = None
    user_id: str | None = None
    user_id_at: datetime | None = None
    open_ticket_id: uuid.UUID | None = None
    """The ticket to open when none is open."""
    message_count: int = 0
    first_message_at: datetime | None = None
    last_message_at: datetime | None = None

    def say(self, name: _Said, value: str | None, at: datetime | None) -> None:
        """Note what a person is called or known by, unless something later was said."""
        if value is None or at is None:
            return
        known, known_at = getattr(self, name), getattr(self, f"{name}_at")
        if known_at and (known_at, known) >= (at, value):
            return
        setattr(self, name, value)
        setattr(self, f"{name}_at", at)


def _latest(name: LiteralString) -> LiteralString:
    return (
        f"{name} = CASE WHEN l.{name} IS NULL OR"
        f" (EXCLUDED.{name}_at, EXCLUDED.{name}) > (coalesce(l.{name}_at, '-infinity'), l.{name})"
        f" THEN coalesce(EXCLUDED.{name}, l.{name}) ELSE l.{name} END,"
        f" {name}_at = greatest(l.{name}_at, EXCLUDED.{name}_at),"
    )


_LEAD_COLUMNS: Final[LiteralString] = """
  tenant_id, id, kind, profile_name, profile_name_at, saved_name, saved_name_at, username, username_at,
  wa_id, wa_id_at, user_id, user_id_at, open_ticket_id, message_count, first_message_at, last_message_at
"""
_UPSERT_LEADS: Final[LiteralString] = (
    "INSERT INTO leads AS l ("
    + _LEAD_COLUMNS
    + ") SELECT"
    + _LEAD_COLUMNS
    + """
        FROM json_to_recordset(%(rows)s::json) AS r (
          tenant_id int4, id uuid, kind text, profile_name text, profile_name_at timestamptz,
          saved_name text, saved_name_at timestamptz, username text, username_at timestamptz,
          wa_id text, wa_id_at timestamptz, user_id text, user_id_at timestamptz, open_ticket_id uuid,
          message_count int8, first_message_at timestamptz, last_message_at timestamptz
        )
        ORDER BY tenant_id, id
        ON CONFLICT (tenant_id, id) DO UPDATE SET
    """
    + _latest("profile_name")
    + _latest("saved_name")
    + _latest("username")
    + _latest("wa_id")
    + _latest("user_id")
    + """
          open_ticket_id = coalesce(l.open_ticket_id, EXCLUDED.open_ticket_id),
          message_count = l.message_count + EXCLUDED.message_count,
          first_message_at = least(l.first_message_at, EXCLUDED.first_message_at),
          last_message_at = greatest(l.last_message_at, EXCLUDED.last_message_at)
        RETURNING l.tenant_id, l.id, l.open_ticket_id, l.merged_into IS NOT NULL
    """
)


class LeadState(NamedTuple):
    open_ticket_id: uuid.UUID | None
    is_merged: bool
    """It has become part of another lead since it was looked up."""


def upsert_leads(conn: Connection[Any], changes: Sequence[LeadChange]) -> dict[LeadKey, LeadState]:
    """Create the leads that are new, add to the others, whatever the order in which batches come."""
    rows = conn.execute(_UPSERT_LEADS, {"rows": _json(changes)})
    return {(tenant_id, id): LeadState(ticket, is_merged) for tenant_id, id, ticket, is_merged in rows}


class ConversationChange(msgspec.Struct, kw_only=True):
    """What a batch adds to a lead's exchange with one instance."""

    tenant_id: int
    lead_id: uuid.UUID
    instance_id: int
    id: uuid.UUID
    """Of the conversation, should it be new."""
    is_opened: bool = False
    """Without it the change counts only where there is a conversation already."""
    message_count: int = 0
    first_message_at: datetime | None = None
    last_message_at: datetime | None = None


def upsert_conversations(
    conn: Connection[Any], changes: Sequence[ConversationChange]
) -> dict[tuple[int, uuid.UUID, int], bool]:
    """Open the conversations that are new, add to the others; say of each that there is whether it is new."""
    rows = conn.execute(
        """
        INSERT INTO conversations AS c (
          tenant_id, lead_id, instance_id, id, message_count, first_message_at, last_message_at
        )
        SELECT tenant_id, lead_id, instance_id, id, message_count, first_message_at, last_message_at
        FROM json_to_recordset(%(rows)s::json) AS r (
          tenant_id int4, lead_id uuid, instance_id int4, id uuid, is_opened bool,
          message_count int8, first_message_at timestamptz, last_message_at timestamptz
        )
        WHERE is_opened OR EXISTS (
          SELECT FROM conversations k
          WHERE k.tenant_id = r.tenant_id AND k.lead_id = r.lead_id AND k.instance_id = r.instance_id
        )
        ORDER BY tenant_id, lead_id, instance_id
        ON CONFLICT (tenant_id, lead_id, instance_id) DO UPDATE SET
          message_count = c.message_count + EXCLUDED.message_count,
          first_message_at = least(c.first_message_at, EXCLUDED.first_message_at),
          last_message_at = greatest(c.last_message_at, EXCLUDED.last_message_at)
        RETURNING c.tenant_id, c.lead_id, c.instance_id, c.xmax = 0
        """,
        {"rows": _json(changes)},
    )
    return {(tenant_id, lead_id, instance_id): is_new for tenant_id, lead_id, instance_id, is_new in rows}


def recount_lead(conn: Connection[Any], *, tenant_id: int, lead_id: uuid.UUID) -> None:
    """Set the counters and dates of a lead and its conversations to what its messages say.

    Batches add to these rows only after inserting their messages: once the rows are locked, every
    message is either committed and counted here, or its batch waits and adds it afterwards.
    """
    _lock_counters(conn, tenant_id=tenant_id, lead_id=lead_id)
    conn.execute(
        """
        UPDATE conversations c
        SET message_count = coalesce(m.message_count, 0),
          first_message_at = m.first_message_at,
          last_message_at = m.last_message_at
        FROM conversations k
        LEFT JOIN (
          SELECT instance_id, count(*) AS message_count,
            min(sent_at) AS first_message_at, max(sent_at) AS last_message_at
          FROM whatsapp_messages
          WHERE tenant_id = %(tenant_id)s AND lead_id = %(lead_id)s
          GROUP BY instance_id
        ) AS m ON m.instance_id = k.instance_id
        WHERE k.tenant_id = %(tenant_id)s AND k.lead_id = %(lead_id)s
          AND c.tenant_id = k.tenant_id AND c.lead_id = k.lead_id AND c.instance_id = k.instance_id
        """,
        {"tenant_id": tenant_id, "lead_id": lead_id},
    )
    _sum_conversations(conn, tenant_id=tenant_id, lead_id=lead_id)


def refresh_dates(conn: Connection[Any], *, tenant_id: int, lead_id: uuid.UUID) -> None:
    """Set a lead's first and last dates anew after one of its messages moved in time.

    Both ends are read from the index, whatever the number of messages.
    """
    _lock_counters(conn, tenant_id=tenant_id, lead_id=lead_id)
    conn.execute(
        """
        UPDATE conversations c
        SET first_message_at = (
            SELECT min(m.sent_at) FROM whatsapp_messages m
            WHERE m.tenant_id = c.tenant_id AND m.lead_id = c.lead_id AND m.instance_id = c.instance_id
          ),
          last_message_at = (
            SELECT max(m.sent_at) FROM whatsapp_messages m
            WHERE m.tenant_id = c.tenant_id AND m.lead_id = c.lead_id AND m.instance_id = c.instance_id
          )
        WHERE c.tenant_id = %(tenant_id)s AND c.lead_id = %(lead_id)s
        """,
        {"tenant_id": tenant_id, "lead_id": lead_id},
    )
    _sum_conversations(conn, tenant_id=tenant_id, lead_id=lead_id)


def _lock_counters(conn: Connection[Any], *, tenant_id: int, lead_id: uuid.UUID) -> None:
    """Lock in the order in which batches do: the lead, then its conversations."""
    conn.execute(
        "SELECT FROM leads WHERE tenant_id = %(tenant_id)s AND id = %(lead_id)s FOR NO KEY UPDATE",
        {"tenant_id": tenant_id, "lead_id": lead_id},
    )
    conn.execute(
        """
        SELECT FROM conversations
        WHERE tenant_id = %(tenant_id)s AND lead_id = %(lead_id)s
        ORDER BY instance_id
        FOR NO KEY UPDATE
        """,
        {"tenant_id": tenant_id, "lead_id": lead_id},
    )


def _sum_conversations(conn: Connection[Any], *, tenant_id: int, lead_id: uuid.UUID) -> None:
    conn.execute(
        """
        UPDATE leads l
        SET message_count = m.message_count,
          first_message_at = m.first_message_at,
          last_message_at = m.last_message_at
        FROM (
          SELECT coalesce(sum(message_count), 0) AS message_count,
            min(first_message_at) AS first_message_at, max(last_message_at) AS last_message_at
          FROM conversations
          WHERE tenant_id = %(tenant_id)s AND lead_id = %(lead_id)s
        ) AS m
        WHERE l.tenant_id = %(tenant_id)s AND l.id = %(lead_id)s
        """,
        {"tenant_id": tenant_id, "lead_id": lead_id},
    )


def insert_tickets(
    conn: Connection[Any], tickets: Iterable[tuple[LeadKey, uuid.UUID]], *, opened_at: datetime
) -> None:
    rows = sorted(tickets)
    conn.execute(
        """
        INSERT INTO tickets (tenant_id, id, lead_id, opened_at)
        SELECT t.tenant_id, t.id, t.lead_id, %(opened_at)s
        FROM unnest(%(tenants)b::int4[], %(ids)b::uuid[], %(leads)b::uuid[]) AS t (tenant_id, id, lead_id)
        """,
        {
            "tenants": [tenant_id for (tenant_id, _), _ in rows],
            "ids": [id for _, id in rows],
            "leads": [lead_id for (_, lead_id), _ in rows],
            "opened_at": opened_at,
        },
    )


class TicketRow(NamedTuple):
    id: uuid.UUID
    lead_id: uuid.UUID
    opened_at: datetime
    closed_at: datetime | None


def list_tickets(
    conn: Connection[Any], *, tenant_id: int, lead_id: uuid.UUID, before: uuid.UUID | None, count_max: int
) -> list[TicketRow]:
    """Give a lead's tickets, newest first, those before `before`."""
    with conn.cursor(row_factory=args_row(TicketRow)) as cursor:
        return cursor.execute(
            """
            SELECT id, lead_id, opened_at, closed_at
            FROM tickets
            WHERE tenant_id = %(tenant_id)s AND lead_id = %(lead_id)s
              AND (%(before)s::uuid IS NULL OR id < %(before)s)
            ORDER BY id DESC
            LIMIT %(count_max)s
            """,
            {"tenant_id": tenant_id, "lead_id": lead_id, "before": before, "count_max": count_max},
        ).fetchall()


def count_tickets(conn: Connection[Any], *, tenant_id: int, lead_id: uuid.UUID) -> int:
    with conn.cursor(row_factory=scalar_row) as cursor:
        count = cursor.execute(
            "SELECT count(*) FROM tickets WHERE tenant_id = %(tenant_id)s AND lead_id = %(lead_id)s",
            {"tenant_id": tenant_id, "lead_id": lead_id},
        ).fetchone()
    return count or 0


def find_ticket(conn: Connection[Any], *, tenant_id: int, id: uuid.UUID) -> TicketRow | None:
    with conn.cursor(row_factory=args_row(TicketRow)) as cursor:
        return cursor.execute(
            """
            SELECT id, lead_id, opened_at, closed_at FROM tickets
            WHERE tenant_id = %(tenant_id)s AND id = %(id)s
            """,
            {"tenant_id": tenant_id, "id": id},
        ).fetchone()


def set_ticket_closed(
    conn: Connection[Any], *, tenant_id: int, id: uuid.UUID, lead_id: uuid.UUID, at: datetime | None
) -> None:
    """Close a ticket, or open it again with None, and let its lead know which one is open."""
    conn.execute(
        """
        UPDATE tickets SET closed_at = %(at)s WHERE tenant_id = %(tenant_id)s AND id = %(id)s
        """,
        {"tenant_id": tenant_id, "id": id, "at": at},
    )
    conn.execute(
        """
        UPDATE leads SET open_ticket_id = %(open_ticket_id)s
        WHERE tenant_id = %(tenant_id)s AND id = %(lead_id)s
        """,
        {"tenant_id": tenant_id, "lead_id": lead_id, "open_ticket_id": None if at else id},
    )


class LeadProfileRow(msgspec.Struct, frozen=True, kw_only=True):
    id: uuid.UUID
    name: str | None
    wa_id: str | None
    user_id: str | None
    username: str | None
    last_message_at: datetime | None
    instance_public_id: uuid.UUID | None
    phone_number_id: str | None


def find_lead_profile(conn: Connection[Any], *, tenant_id: int, lead_id: uuid.UUID) -> LeadProfileRow | None:
    with conn.cursor(row_factory=kwargs_row(LeadProfileRow)) as cursor:
        return cursor.execute(
            """
            SELECT l.id, coalesce(l.saved_name, l.profile_name) AS name, l.wa_id, l.user_id, l.username,
              l.last_message_at, i.public_id AS instance_public_id, i.phone_number_id
            FROM leads l
            LEFT JOIN LATERAL (
              SELECT c.instance_id
              FROM conversations c
              WHERE c.tenant_id = l.tenant_id AND c.lead_id = l.id
              ORDER BY c.last_message_at DESC NULLS LAST
              LIMIT 1
            ) AS last ON true
            LEFT JOIN whatsapp_configs i ON i.tenant_id = l.tenant_id AND i.id = last.instance_id
            WHERE l.tenant_id = %(tenant_id)s AND l.id = %(lead_id)s
            """,
            {"tenant_id": tenant_id, "lead_id": lead_id},
        ).fetchone()


def update_lead_profile(conn: Connection[Any], *, tenant_id: int, lead_id: uuid.UUID, profile: str) -> bool:
    """Keep what enrichment found (a JSON object); False when there is no such lead."""
    return (
        conn.execute(
            """
            UPDATE leads SET profile = %(profile)s::jsonb
            WHERE tenant_id = %(tenant_id)s AND id = %(lead_id)s
            """,
            {"tenant_id": tenant_id, "lead_id": lead_id, "profile": profile},
        ).rowcount
        == 1
    )


def is_lead_visible(
    conn: Connection[Any], *, tenant_id: int, lead_id: uuid.UUID, instances: Sequence[uuid.UUID] | None
) -> bool:
    """Tell whether the lead is the tenant's and talked to one of these instances (None: any)."""
    return bool(visible_leads(conn, tenant_id=tenant_id, lead_ids=[lead_id], instances=instances))


def visible_leads(
    conn: Connection[Any],
    *,
    tenant_id: int,
    lead_ids: Sequence[uuid.UUID],
    instances: Sequence[uuid.UUID] | None,
) -> set[uuid.UUID]:
    """Give those of the leads that are the tenant's and talked to one of these instances (None: any)."""
    with conn.cursor(row_factory=scalar_row) as cursor:
        found = cursor.execute(
            """
            SELECT l.id
            FROM leads l
            WHERE l.tenant_id = %(tenant_id)s AND l.id = ANY(%(lead_ids)s)
              AND (
                %(instances)s::uuid[] IS NULL
                OR EXISTS (
                  SELECT FROM conversations c
                  JOIN whatsapp_configs i ON i.tenant_id = c.tenant_id AND i.id = c.instance_id
                  WHERE c.tenant_id = l.tenant_id AND c.lead_id = l.id AND i.public_id = ANY(%(instances)s)
                )
              )
            """,
            {
                "tenant_id": tenant_id,
                "lead_ids": list(lead_ids),
                "instances": list(instances) if instances is not None else None,
            },
        ).fetchall()
    return set(found)


def identifiers_of_lead(
    conn: Connection[Any], *, tenant_id: int, lead_id: uuid.UUID
) -> list[tuple[str, str]]:
    return list(
        conn.execute(
            """
            SELECT kind, value FROM lead_identifiers
            WHERE tenant_id = %(tenant_id)s AND lead_id = %(lead_id)s
            """,
            {"tenant_id": tenant_id, "lead_id": lead_id},
        )
    )


# Messages


_MESSAGE_COLUMNS: Final[LiteralString] = """
  tenant_id, instance_id, id, wamid, batch_id, sources, sent_at, type, body, content, context,
  content_rank, direction, lead_id, act_lead_id, sender, party_rank, status, errors, billing, mentions,
  pattern, is_sync_initial, status_sent_at, status_delivered_at, status_read_at, status_played_at,
  status_failed_at
"""
_MESSAGE_RECORD: Final[LiteralString] = """
  json_to_recordset(%(rows)s::json) AS r (
    tenant_id int4, instance_id int4, id uuid, wamid text, batch_id uuid, sources int2,
    sent_at timestamptz, type text, body text, content text, context text,
    content_rank int2, direction int2, lead_id uuid, act_lead_id uuid, sender text, party_rank int2,
    status int2, errors text, billing text, mentions text, pattern text, is_sync_initial bool,
    status_sent_at timestamptz, status_delivered_at timestamptz, status_read_at timestamptz,
    status_played_at timestamptz, status_failed_at timestamptz, shown text
  )
"""


def insert_messages(conn: Connection[Any], messages: Sequence[fold.Message]) -> set[LeadKey]:
    """Insert those that are new and give their (tenant, id); what exists is left as it is."""
    rows = conn.execute(
        "INSERT INTO whatsapp_messages (shown, "
        + _MESSAGE_COLUMNS
        + ") SELECT shown, "
        + _MESSAGE_COLUMNS
        + " FROM "
        + _MESSAGE_RECORD
        + """
        ORDER BY tenant_id, id
        ON CONFLICT (tenant_id, id) DO NOTHING
        RETURNING tenant_id, id
        """,
        {"rows": _message_rows(messages)},
        binary=True,
    )
    return set(rows)


def lock_messages(conn: Connection[Any], keys: Sequence[LeadKey]) -> list[fold.Message]:
    """Give these messages as they are and keep others from changing them until the transaction ends."""
    columns = [name.strip() for name in _MESSAGE_COLUMNS.split(",")]
    with conn.cursor(
        row_factory=args_row(lambda *values: fold.Message(**dict(zip(columns, values, strict=True)))),
        binary=True,
    ) as cursor:
        return cursor.execute(
            "SELECT "
            + _MESSAGE_COLUMNS
            + """
            FROM whatsapp_messages
            WHERE (tenant_id, id) IN (SELECT * FROM unnest(%(tenants)b::int4[], %(ids)b::uuid[]))
            ORDER BY tenant_id, id
            FOR NO KEY UPDATE
            """,
            {"tenants": [key[0] for key in keys], "ids": [key[1] for key in keys]},
        ).fetchall()


def update_messages(conn: Connection[Any], messages: Sequence[fold.Message]) -> None:
    """Write back merged rows. What identifies a message and where it first came from never change."""
    conn.execute(
        """
        UPDATE whatsapp_messages m
        SET sources = r.sources, sent_at = r.sent_at, type = r.type, body = r.body, content = r.content,
          context = r.context, content_rank = r.content_rank, direction = r.direction, lead_id = r.lead_id,
          act_lead_id = r.act_lead_id,
          sender = r.sender, party_rank = r.party_rank, status = r.status, errors = r.errors,
          billing = r.billing, mentions = r.mentions, pattern = r.pattern,
          is_sync_initial = r.is_sync_initial,
          status_sent_at = r.status_sent_at, status_delivered_at = r.status_delivered_at,
          status_read_at = r.status_read_at, status_played_at = r.status_played_at,
          status_failed_at = r.status_failed_at, shown = r.shown
        FROM
        """
        + _MESSAGE_RECORD
        + "WHERE m.tenant_id = r.tenant_id AND m.id = r.id",
        {"rows": _message_rows(messages)},
    )


def _message_rows(messages: Sequence[fold.Message]) -> str:
    return _json(
        [
            {**msgspec.structs.asdict(message), "shown": mentions.shown(mentions.read(message.mentions))}
            if message.mentions
            else message
            for message in messages
        ]
    )


# The feed of changes


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
        {"rows": _json(touches)},
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


# Account events


class AccountEventRow(msgspec.Struct, frozen=True, kw_only=True):
    """A fact about the account."""

    tenant_id: int
    id: uuid.UUID
    instance_id: int | None
    account_id: str
    field: str
    event: str
    happened_at: datetime
    batch_id: uuid.UUID
    told: str
    number: str | None = None
    """The digits of the number it is about, where the value says so; only to insert."""


def insert_account_events(
    conn: Connection[Any], rows: Sequence[AccountEventRow]
) -> dict[LeadKey, int | None]:
    """Keep those that are new; give of each, by (tenant, id), the instance that it is about alone."""
    found = conn.execute(
        """
        INSERT INTO account_events (
          tenant_id, id, instance_id, account_id, field, event, happened_at, batch_id, told
        )
        SELECT r.tenant_id, r.id, coalesce(r.instance_id, c.id), r.account_id, r.field, r.event,
          r.happened_at, r.batch_id, r.told
        FROM json_to_recordset(%(rows)s::json) AS r (
          tenant_id int4, id uuid, instance_id int4, account_id text, field text, event text,
          happened_at timestamptz, batch_id uuid, told text, number text
        )
        LEFT JOIN whatsapp_configs c ON c.tenant_id = r.tenant_id AND c.waba_id = r.account_id
          AND regexp_replace(c.display_phone_number, '[^0-9]', '', 'g') = r.number
        ORDER BY r.tenant_id, r.id
        ON CONFLICT (tenant_id, id) DO NOTHING
        RETURNING tenant_id, id, instance_id
        """,
        {"rows": _json(rows)},
    )
    return {(tenant_id, id): instance_id for tenant_id, id, instance_id in found}


def list_account_events(
    conn: Connection[Any],
    *,
    tenant_id: int,
    instance: InstanceRow,
    before: tuple[datetime, uuid.UUID] | None,
    count_max: int,
) -> list[AccountEventRow]:
    """List what concerns an instance, by itself or with all numbers of its WABA, newest first."""
    with conn.cursor(row_factory=kwargs_row(AccountEventRow)) as cursor:
        return cursor.execute(
            """
            SELECT tenant_id, id, instance_id, account_id, field, event, happened_at, batch_id, told
            FROM account_events
            WHERE tenant_id = %(tenant_id)s AND account_id = %(account_id)s
              AND (instance_id IS NULL OR instance_id = %(instance_id)s)
              AND (%(at)s::timestamptz IS NULL OR (happened_at, id) < (%(at)s, %(id)s))
            ORDER BY happened_at DESC, id DESC
            LIMIT %(count_max)s
            """,
            {
                "tenant_id": tenant_id,
                "account_id": instance.waba_id,
                "instance_id": instance.id,
                "at": before[0] if before else None,
                "id": before[1] if before else None,
                "count_max": count_max,
            },
        ).fetchall()


def count_account_events(conn: Connection[Any], *, tenant_id: int, instance: InstanceRow) -> int:
    with conn.cursor(row_factory=scalar_row) as cursor:
        found = cursor.execute(
            """
            SELECT count(*)
            FROM account_events
            WHERE tenant_id = %(tenant_id)s AND account_id = %(account_id)s
              AND (instance_id IS NULL OR instance_id = %(instance_id)s)
            """,
            {"tenant_id": tenant_id, "account_id": instance.waba_id, "instance_id": instance.id},
        ).fetchone()
    return found or 0


def change_connection(
    conn: Connection[Any],
    *,
    tenant_id: int,
    account_id: str,
    instance_id: int | None,
    state: str,
    reason: str | None,
    at: datetime,
) -> None:
    """Note that an instance, or all of a WABA, was connected or lost; the latest change counts."""
    conn.execute(
        """
        UPDATE whatsapp_configs
        SET connection_state = %(state)s, connection_reason = %(reason)s, connection_changed_at = %(at)s
        WHERE tenant_id = %(tenant_id)s AND waba_id = %(account_id)s
          AND (%(instance_id)s::int4 IS NULL OR id = %(instance_id)s)
          AND (
            connection_changed_at IS NULL
            OR (connection_changed_at, connection_state) < (%(at)s, %(state)s)
          )
        """,
        {
            "tenant_id": tenant_id,
            "account_id": account_id,
            "instance_id": instance_id,
            "state": state,
            "reason": reason,
            "at": at,
        },
    )


# Merges of leads


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
    """Tell whether somebody has undone a merge of these two: it is not for us to repeat it."""
    row = conn.execute(
        """
        SELECT 1 FROM lead_merges
        WHERE tenant_id = %(tenant_id)s AND undone_at IS NOT NULL
          AND survivor_id = ANY(%(both)s) AND merged_id = ANY(%(both)s)
        LIMIT 1
        """,
        {"tenant_id": tenant_id, "both": [first, second]},
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
    open_ticket_id: uuid.UUID | None
    merged_into: uuid.UUID | None


def lock_leads(conn: Connection[Any], *, tenant_id: int, ids: Collection[uuid.UUID]) -> list[LeadRow]:
    with conn.cursor(row_factory=kwargs_row(LeadRow)) as cursor:
        return cursor.execute(
            """
            SELECT id, profile_name, profile_name_at, saved_name, saved_name_at, username, username_at,
              wa_id, wa_id_at, user_id, user_id_at, open_ticket_id, merged_into
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


def move_messages(
    conn: Connection[Any],
    *,
    tenant_id: int,
    from_lead: uuid.UUID,
    to_lead: uuid.UUID,
    only: Collection[uuid.UUID] | None = None,
) -> list[uuid.UUID]:
    """Give a lead's messages, or `only` some of them, to another; give the ids of those that moved."""
    some: LiteralString = "" if only is None else "AND id = ANY(%(only)s)"
    with conn.cursor(row_factory=scalar_row, binary=True) as cursor:
        return cursor.execute(
            """
            UPDATE whatsapp_messages SET
              lead_id = CASE WHEN lead_id = %(from_lead)s THEN %(to_lead)s ELSE lead_id END,
              act_lead_id = CASE WHEN act_lead_id = %(from_lead)s THEN %(to_lead)s ELSE act_lead_id END
            WHERE tenant_id = %(tenant_id)s
              AND (lead_id = %(from_lead)s OR act_lead_id = %(from_lead)s)
            """
            + some
            + " RETURNING id",
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
    """Give a lead's conversations, tickets and sync logs to another.

    Conversations with the same instance become one. Of two open tickets the moved one is closed, of
    two running recoveries the moved one has failed: either lead can have one alone.
    """
    both = {"tenant_id": tenant_id, "from_lead": from_lead, "to_lead": to_lead, "at": at}
    conn.execute(
        """
        INSERT INTO conversations (tenant_id, lead_id, instance_id, id, created_at)
        SELECT tenant_id, %(to_lead)s, instance_id, id, created_at
        FROM conversations
        WHERE tenant_id = %(tenant_id)s AND lead_id = %(from_lead)s
        ON CONFLICT (tenant_id, lead_id, instance_id) DO NOTHING
        """,
        both,
    )
    conn.execute(
        "DELETE FROM conversations WHERE tenant_id = %(tenant_id)s AND lead_id = %(from_lead)s", both
    )
    conn.execute(
        """
        UPDATE tickets t
        SET lead_id = %(to_lead)s,
          closed_at = CASE
            WHEN t.closed_at IS NULL AND EXISTS (
              SELECT FROM tickets o
              WHERE o.tenant_id = t.tenant_id AND o.lead_id = %(to_lead)s AND o.closed_at IS NULL
            ) THEN %(at)s ELSE t.closed_at END
        WHERE t.tenant_id = %(tenant_id)s AND t.lead_id = %(from_lead)s
        """,
        both,
    )
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


def open_missing_conversations(
    conn: Connection[Any], *, tenant_id: int, lead_id: uuid.UUID, ids: Mapping[int, uuid.UUID]
) -> None:
    """Open a lead's conversations with these instances (id of the instance -> of the conversation)."""
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
            "instances": list(ids),
            "ids": list(ids.values()),
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


def find_open_ticket(conn: Connection[Any], *, tenant_id: int, lead_id: uuid.UUID) -> uuid.UUID | None:
    with conn.cursor(row_factory=scalar_row) as cursor:
        return cursor.execute(
            """
            SELECT id FROM tickets
            WHERE tenant_id = %(tenant_id)s AND lead_id = %(lead_id)s AND closed_at IS NULL
            """,
            {"tenant_id": tenant_id, "lead_id": lead_id},
        ).fetchone()


def show_lead_as(conn: Connection[Any], *, tenant_id: int, lead: LeadRow) -> None:
    """Set how a lead is shown and which ticket is open, whatever was there."""
    conn.execute(
        """
        UPDATE leads
        SET profile_name = %(profile_name)s, profile_name_at = %(profile_name_at)s,
          saved_name = %(saved_name)s, saved_name_at = %(saved_name_at)s,
          username = %(username)s, username_at = %(username_at)s,
          wa_id = %(wa_id)s, wa_id_at = %(wa_id_at)s,
          user_id = %(user_id)s, user_id_at = %(user_id_at)s,
          open_ticket_id = %(open_ticket_id)s
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


def mark_merge_undone(conn: Connection[Any], *, tenant_id: int, id: uuid.UUID, at: datetime) -> None:
    conn.execute(
        "UPDATE lead_merges SET undone_at = %(at)s WHERE tenant_id = %(tenant_id)s AND id = %(id)s",
        {"tenant_id": tenant_id, "id": id, "at": at},
    )


# Patterns

# The condition of the indexes whatsapp_messages_sent_live*.
_SENT_LIVE: Final[LiteralString] = """
  m.direction = 2 AND m.type = 'text' AND m.content_rank >= 5
"""


class Unexamined(NamedTuple):
    """Texts that an instance sent since its texts were examined last."""

    tenant_id: int
    instance_id: int
    last_batch_id: uuid.UUID
    digests: list[uuid.UUID]


def list_unexamined(conn: Connection[Any], *, before: uuid.UUID, count_max: int) -> list[Unexamined]:
    """Give, of every instance, the next texts up to the batch `before` that were not examined."""
    with conn.cursor(row_factory=args_row(Unexamined)) as cursor:
        return cursor.execute(
            """
            SELECT i.tenant_id, i.id, (array_agg(n.batch_id ORDER BY n.batch_id DESC))[1],
              array_agg(DISTINCT n.digest)
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
              LIMIT %(count_max)s
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
    """Give the latest texts that an instance sent with one of these digests, at most `count_max` of each."""
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
                AND md5(m.body)::uuid = k.digest AND
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
                "quick": quick,
                "count_max": count_max,
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


# Sync logs


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
    detail: str | None


_SYNC_COLUMNS: Final[LiteralString] = """
  tenant_id, id, lead_id, sync_type, status, step, percent, messages_imported, error_message,
  created_at, started_at, completed_at, instance_id, detail
"""


class NewSync(NamedTuple):
    tenant_id: int
    id: uuid.UUID
    lead_id: uuid.UUID
    messages_imported: int


def insert_initial_syncs(conn: Connection[Any], syncs: Sequence[NewSync]) -> None:
    conn.execute(
        """
        INSERT INTO whatsapp_sync_logs (tenant_id, id, lead_id, messages_imported, sync_type, started_at)
        SELECT s.tenant_id, s.id, s.lead_id, s.messages_imported, 'initial_contact', now()
        FROM unnest(%(tenants)b::int4[], %(ids)b::uuid[], %(leads)b::uuid[], %(counts)b::int8[])
          AS s (tenant_id, id, lead_id, messages_imported)
        """,
        {
            "tenants": [sync.tenant_id for sync in syncs],
            "ids": [sync.id for sync in syncs],
            "leads": [sync.lead_id for sync in syncs],
            "counts": [sync.messages_imported for sync in syncs],
        },
    )


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
            + _SYNC_COLUMNS,
            {"tenant_id": tenant_id, "id": id, "lead_id": lead_id, "requested_by": requested_by},
        ).fetchone()


def find_running_recovery(conn: Connection[Any], *, tenant_id: int, lead_id: uuid.UUID) -> SyncLogRow | None:
    with conn.cursor(row_factory=kwargs_row(SyncLogRow)) as cursor:
        return cursor.execute(
            "SELECT"
            + _SYNC_COLUMNS
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
            + _SYNC_COLUMNS
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
            + _SYNC_COLUMNS
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


def find_history(
    conn: Connection[Any], *, tenant_id: int, instance_id: int, came_at: datetime, idle: timedelta
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
            ORDER BY started_at - %(idle)s <= %(came_at)s DESC, id DESC
            LIMIT 1
            FOR UPDATE
            """,
            {"tenant_id": tenant_id, "instance_id": instance_id, "came_at": came_at, "idle": idle},
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
    first_at: datetime,
    last_at: datetime,
) -> None:
    conn.execute(
        """
        UPDATE whatsapp_sync_logs
        SET status = %(status)s, percent = %(percent)s, error_message = %(error)s, detail = %(detail)s,
          step = CASE WHEN %(status)s = 'in_progress' THEN 'receiving' ELSE '' END,
          messages_imported = messages_imported + %(messages)s,
          started_at = least(started_at, %(first_at)s), updated_at = greatest(updated_at, %(last_at)s),
          completed_at = CASE
            WHEN %(status)s = 'in_progress' THEN NULL
            ELSE greatest(completed_at, %(last_at)s) END
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
            "first_at": first_at,
            "last_at": last_at,
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
        + _SYNC_COLUMNS
        + """
        FROM whatsapp_sync_logs
        WHERE tenant_id = %(tenant_id)s AND instance_id IS NOT NULL AND sync_type = 'history_import'
        ORDER BY instance_id, id DESC
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
) -> None:
    """Write how far a sync has come; its start and end are noted by its status."""
    conn.execute(
        """
        UPDATE whatsapp_sync_logs
        SET status = %(status)s, step = %(step)s, percent = %(percent)s,
          error_message = %(error_message)s, detail = coalesce(%(detail)s, detail),
          started_at = coalesce(started_at, now()),
          completed_at = CASE WHEN %(status)s IN ('completed', 'failed') THEN now() END
        WHERE tenant_id = %(tenant_id)s AND id = %(id)s
        """,
        {
            "tenant_id": tenant_id,
            "id": id,
            "status": status,
            "step": step,
            "percent": percent,
            "error_message": error_message,
            "detail": detail,
        },
    )


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


# Chat exports


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
    direction: int
    type: str
    body: str | None
    mentions: str | None


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
            SELECT id, wamid, sent_at, direction, type, body, mentions
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
            + _SYNC_COLUMNS,
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


# The outbox


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
        {"rows": _json([row._asdict() for row in rows])},
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
    """Let nobody hand it over before `by` has passed: its job is at work, or Redis is away."""
    conn.execute(
        """
        UPDATE outbox SET due_at = now() + %(by)s
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


def _json(rows: object) -> str:
    return msgspec.json.encode(rows).decode()
