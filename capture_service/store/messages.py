"""Messages: one row each, merged under its lock."""

from collections.abc import Sequence
from typing import Any, Final, LiteralString

import msgspec
from psycopg import Connection
from psycopg.rows import args_row

from capture_service import fold
from capture_service.store.rows import LeadKey, json_rows
from protos import mentions

_MESSAGE_COLUMNS: Final[LiteralString] = """
  tenant_id, instance_id, id, wamid, batch_id, sources, sent_at, type, body, content, context,
  content_rank, direction, lead_id, act_lead_id, sender, party_rank, status, errors, billing, mentions,
  pattern, is_sync_initial, status_sent_at, status_delivered_at, status_read_at, status_played_at,
  status_failed_at, content_version, party_version
"""
_NAMES: Final = [name.strip() for name in _MESSAGE_COLUMNS.split(",")]
_MESSAGE_RECORD: Final[LiteralString] = """
  json_to_recordset(%(rows)s::json) AS r (
    tenant_id int4, instance_id int4, id uuid, wamid text, batch_id uuid, sources int2,
    sent_at timestamptz, type text, body text, content text, context text,
    content_rank int2, direction int2, lead_id uuid, act_lead_id uuid, sender text, party_rank int2,
    status int2, errors text, billing text, mentions text, pattern text, is_sync_initial bool,
    status_sent_at timestamptz, status_delivered_at timestamptz, status_read_at timestamptz,
    status_played_at timestamptz, status_failed_at timestamptz, shown text,
    content_version int2, party_version int2
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
    with conn.cursor(row_factory=args_row(_message), binary=True) as cursor:
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


def _message(*values: Any) -> fold.Message:
    row = fold.Message(**dict(zip(_NAMES, values, strict=True)))
    if row.errors and row.errors.startswith("["):
        # Kept by an earlier version as one list: of whose report is not known.
        return msgspec.structs.replace(row, errors=f'{{"":{row.errors}}}')
    return row


def update_messages(conn: Connection[Any], messages: Sequence[fold.Message]) -> None:
    """Write back merged rows. What identifies a message never changes."""
    conn.execute(
        "INSERT INTO whatsapp_messages (shown, "
        + _MESSAGE_COLUMNS
        + ") SELECT shown, "
        + _MESSAGE_COLUMNS
        + " FROM "
        + _MESSAGE_RECORD
        # Not UPDATE ... FROM: while a young table has no statistics, that reads all of it.
        + """
        ON CONFLICT (tenant_id, id) DO UPDATE
        SET batch_id = EXCLUDED.batch_id,
          sources = EXCLUDED.sources, sent_at = EXCLUDED.sent_at, type = EXCLUDED.type,
          body = EXCLUDED.body, content = EXCLUDED.content, context = EXCLUDED.context,
          content_rank = EXCLUDED.content_rank, direction = EXCLUDED.direction,
          lead_id = EXCLUDED.lead_id, act_lead_id = EXCLUDED.act_lead_id, sender = EXCLUDED.sender,
          party_rank = EXCLUDED.party_rank, status = EXCLUDED.status, errors = EXCLUDED.errors,
          billing = EXCLUDED.billing, mentions = EXCLUDED.mentions, pattern = EXCLUDED.pattern,
          is_sync_initial = EXCLUDED.is_sync_initial, status_sent_at = EXCLUDED.status_sent_at,
          status_delivered_at = EXCLUDED.status_delivered_at, status_read_at = EXCLUDED.status_read_at,
          status_played_at = EXCLUDED.status_played_at, status_failed_at = EXCLUDED.status_failed_at,
          shown = EXCLUDED.shown, content_version = EXCLUDED.content_version,
          party_version = EXCLUDED.party_version
        """,
        {"rows": _message_rows(messages)},
    )


def _message_rows(messages: Sequence[fold.Message]) -> str:
    return json_rows(
        [
            {**msgspec.structs.asdict(message), "shown": mentions.shown(mentions.read(message.mentions))}
            if message.mentions
            else message
            for message in messages
        ]
    )
