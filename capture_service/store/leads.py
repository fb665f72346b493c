"""Leads, what they are known by, and their conversations."""

import uuid
from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final, Literal, LiteralString, NamedTuple, TypeAlias

import msgspec
from psycopg import Connection
from psycopg.rows import kwargs_row, scalar_row

from capture_service import identity
from capture_service.store.rows import IdentifierKey, LeadKey, json_rows

_Said: TypeAlias = Literal["profile_name", "saved_name", "username", "wa_id", "user_id"]
_SAID: Final[tuple[_Said, ...]] = ("profile_name", "saved_name", "username", "wa_id", "user_id")


# When a number is said that anything WhatsApp says takes the place of.
_BEFORE_ALL: Final = datetime(1970, 1, 1, tzinfo=UTC)


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
    created_at: datetime | None = None
    """Of a new lead: when the webhook came that names it first."""

    def say(self, name: _Said, value: str | None, at: datetime | None) -> None:
        """Note what a person is called or known by, unless something later was said."""
        if value is None or at is None:
            return
        known, known_at = getattr(self, name), getattr(self, f"{name}_at")
        if known_at and (known_at, known) >= (at, value):
            return
        setattr(self, name, value)
        setattr(self, f"{name}_at", at)

    def hear(self, person: identity.Person) -> None:
        """Note what an item says of a person."""
        self.say("wa_id", person.number, _BEFORE_ALL)
        self.say("wa_id", person.wa_id, person.said_at)
        self.say("user_id", person.bsuid, person.said_at)
        self.say("username", person.username, person.said_at)
        self.say("profile_name", person.name, person.said_at)
        self.say("saved_name", person.saved_name, person.said_at)

    def adopt(self, other: object) -> None:
        """Note what was said of another, a LeadChange or a LeadRow, who is the same."""
        for name in _SAID:
            self.say(name, getattr(other, name), getattr(other, f"{name}_at"))


def _latest(name: LiteralString) -> LiteralString:
    return (
        f"{name} = CASE WHEN l.{name} IS NULL OR"
        f" (EXCLUDED.{name}_at, EXCLUDED.{name}) > (coalesce(l.{name}_at, '-infinity'), l.{name})"
        f" THEN coalesce(EXCLUDED.{name}, l.{name}) ELSE l.{name} END,"
        f" {name}_at = greatest(l.{name}_at, EXCLUDED.{name}_at),"
    )


_LEAD_COLUMNS: Final[LiteralString] = """
  tenant_id, id, kind, profile_name, profile_name_at, saved_name, saved_name_at, username, username_at,
  wa_id, wa_id_at, user_id, user_id_at, open_ticket_id, message_count, first_message_at, last_message_at,
  created_at
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
          message_count int8, first_message_at timestamptz, last_message_at timestamptz,
          created_at timestamptz
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
        RETURNING l.tenant_id, l.id, l.open_ticket_id, l.merged_into IS NOT NULL,
          l.profile IS NOT NULL AND NOT (l.wa_id IS NOT NULL AND l.profile @> '{"number": null}')
    """
)


class LeadState(NamedTuple):
    open_ticket_id: uuid.UUID | None
    is_merged: bool
    """It has become part of another lead since it was looked up."""
    is_asked_for: bool
    """Its profile has been asked for, by its number if it has one."""


def upsert_leads(conn: Connection[Any], changes: Sequence[LeadChange]) -> dict[LeadKey, LeadState]:
    """Create the leads that are new, add to the others, whatever the order in which batches come."""
    rows = conn.execute(_UPSERT_LEADS, {"rows": json_rows(changes)})
    return {(tenant_id, id): LeadState(*state) for tenant_id, id, *state in rows}


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


class ConversationState(NamedTuple):
    is_new: bool
    last_message_at_before: datetime | None
    """What the batch found: of any message, whoever committed it before this batch held the lead."""


def upsert_conversations(
    conn: Connection[Any], changes: Sequence[ConversationChange]
) -> dict[tuple[int, uuid.UUID, int], ConversationState]:
    """Open the conversations that are new, add to the others; tell of those that there are.

    Hold their leads first: what a statement finds is as of its beginning.
    """
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
        RETURNING c.tenant_id, c.lead_id, c.instance_id, c.xmax = 0, (
          SELECT k.last_message_at FROM conversations k
          WHERE k.tenant_id = c.tenant_id AND k.lead_id = c.lead_id AND k.instance_id = c.instance_id
        )
        """,
        {"rows": json_rows(changes)},
    )
    return {
        (tenant_id, lead_id, instance_id): ConversationState(*state)
        for tenant_id, lead_id, instance_id, *state in rows
    }


def forget_unsaid(conn: Connection[Any], *, tenant_id: int, ids: Collection[uuid.UUID]) -> None:
    """Take from these leads what they were shown by for the time being and nothing has said since."""
    conn.execute(
        """
        UPDATE leads
        SET profile_name = CASE WHEN profile_name_at IS NOT NULL THEN profile_name END,
          saved_name = CASE WHEN saved_name_at IS NOT NULL THEN saved_name END,
          username = CASE WHEN username_at IS NOT NULL THEN username END,
          wa_id = CASE WHEN wa_id_at IS NOT NULL THEN wa_id END,
          user_id = CASE WHEN user_id_at IS NOT NULL THEN user_id END
        WHERE tenant_id = %(tenant_id)s AND id = ANY(%(ids)s)
        """,
        {"tenant_id": tenant_id, "ids": list(ids)},
    )


def hold_leads(conn: Connection[Any], keys: Collection[LeadKey]) -> None:
    """Lock these leads in the order in which `upsert_leads` does."""
    conn.execute(
        """
        SELECT FROM leads
        WHERE (tenant_id, id) IN (SELECT * FROM unnest(%(tenants)b::int4[], %(ids)b::uuid[]))
        ORDER BY tenant_id, id
        FOR NO KEY UPDATE
        """,
        {"tenants": [key[0] for key in keys], "ids": [key[1] for key in keys]},
    )


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
    """Give what is known of a lead, or of the one that it became part of."""
    with conn.cursor(row_factory=kwargs_row(LeadProfileRow)) as cursor:
        return cursor.execute(
            """
            SELECT l.id, coalesce(nullif(l.saved_name, ''), nullif(l.profile_name, '')) AS name,
              l.wa_id, l.user_id, l.username,
              l.last_message_at, i.public_id AS instance_public_id, i.phone_number_id
            FROM leads l
            LEFT JOIN whatsapp_configs i ON i.tenant_id = l.tenant_id AND i.id = coalesce(
              (
                SELECT c.instance_id
                FROM conversations c
                WHERE c.tenant_id = l.tenant_id AND c.lead_id = l.id
                ORDER BY c.last_message_at DESC NULLS LAST
                LIMIT 1
              ),
              -- Whoever has done no more than to react to what is not known yet.
              (
                SELECT m.instance_id
                FROM whatsapp_messages m
                WHERE m.tenant_id = l.tenant_id AND m.act_lead_id = l.id
                ORDER BY m.sent_at DESC
                LIMIT 1
              )
            )
            WHERE l.tenant_id = %(tenant_id)s AND l.id = (
              SELECT coalesce(merged_into, id) FROM leads
              WHERE tenant_id = %(tenant_id)s AND id = %(lead_id)s
            )
            """,
            {"tenant_id": tenant_id, "lead_id": lead_id},
        ).fetchone()


def update_lead_profile(conn: Connection[Any], *, tenant_id: int, lead_id: uuid.UUID, profile: str) -> None:
    """Keep what enrichment found (a JSON object)."""
    conn.execute(
        """
        UPDATE leads SET profile = %(profile)s::jsonb
        WHERE tenant_id = %(tenant_id)s AND id = %(lead_id)s
        """,
        {"tenant_id": tenant_id, "lead_id": lead_id, "profile": profile},
    )


def list_asked_for(conn: Connection[Any], *, tenant_id: int, ids: Collection[uuid.UUID]) -> list[uuid.UUID]:
    """List those of these leads whose profile has been asked for."""
    with conn.cursor(row_factory=scalar_row) as cursor:
        return cursor.execute(
            """
            SELECT id FROM leads
            WHERE tenant_id = %(tenant_id)s AND id = ANY(%(ids)s) AND profile IS NOT NULL
            ORDER BY id
            """,
            {"tenant_id": tenant_id, "ids": list(ids)},
        ).fetchall()


def find_survivor(conn: Connection[Any], *, tenant_id: int, lead_id: uuid.UUID) -> uuid.UUID | None:
    """Give the lead that this one is by now; None without one."""
    with conn.cursor(row_factory=scalar_row) as cursor:
        return cursor.execute(
            """
            SELECT coalesce(merged_into, id) FROM leads
            WHERE tenant_id = %(tenant_id)s AND id = %(lead_id)s
            """,
            {"tenant_id": tenant_id, "lead_id": lead_id},
        ).fetchone()


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


def identifiers_of_leads(
    conn: Connection[Any], keys: Collection[LeadKey]
) -> dict[LeadKey, list[tuple[str, str]]]:
    """Give what each of these leads is known by, as (kind, value)."""
    found: dict[LeadKey, list[tuple[str, str]]] = {}
    for tenant_id, lead_id, kind, value in conn.execute(
        """
        SELECT i.tenant_id, i.lead_id, i.kind, i.value
        FROM unnest(%(tenants)b::int4[], %(leads)b::uuid[]) AS k (tenant_id, lead_id)
        JOIN lead_identifiers i ON i.tenant_id = k.tenant_id AND i.lead_id = k.lead_id
        """,
        {"tenants": [key[0] for key in keys], "leads": [key[1] for key in keys]},
    ):
        found.setdefault((tenant_id, lead_id), []).append((kind, value))
    return found
