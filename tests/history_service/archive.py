"""Writes what the capture service would have written, a row at a time."""

import itertools
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
from psycopg import sql

from protos import ids

START = datetime(2026, 11, 1, 12, tzinfo=UTC)


class Archive:
    """A business's data. Counters are kept as the capture service keeps them."""

    def __init__(self, dsn: str, *, tenant: str = "padaria") -> None:
        self.conn = psycopg.connect(dsn, autocommit=True)
        self._serial = itertools.count(1)
        self._instance_ids: dict[uuid.UUID, int] = {}
        self.tenant_id = 1000 + len(tenant)
        self._insert("tenants", {"id": self.tenant_id, "name": tenant})

    def _insert(self, table: str, values: dict[str, Any]) -> None:
        self.conn.execute(
            sql.SQL("INSERT INTO {} ({}) VALUES ({})").format(
                sql.Identifier(table),
                sql.SQL(", ").join(map(sql.Identifier, values)),
                sql.SQL(", ").join(map(sql.Placeholder, values)),
            ),
            values,
        )

    def instance(self, *, name: str = "Padaria Central", number: str = "+55 11 4000-0001") -> uuid.UUID:
        public_id = uuid.uuid4()
        self._instance_ids[public_id] = next(self._serial)
        self._insert(
            "whatsapp_configs",
            {
                "tenant_id": self.tenant_id,
                "id": self._instance_ids[public_id],
                "public_id": public_id,
                "name": name,
                "waba_id": "waba",
                "phone_number_id": str(next(self._serial)),
                "display_phone_number": number,
            },
        )
        return public_id

    def lead(self, **values: Any) -> uuid.UUID:
        lead_id = uuid.uuid4()
        self._insert(
            "leads",
            {
                "tenant_id": self.tenant_id,
                "id": lead_id,
                "profile_name": "Ana Souza",
                "wa_id": "5511987654321",
                **values,
            },
        )
        return lead_id

    def identifier(self, lead_id: uuid.UUID, kind: str, value: str) -> None:
        self._insert(
            "lead_identifiers",
            {"tenant_id": self.tenant_id, "kind": kind, "value": value, "lead_id": lead_id},
        )

    def batch(self, *, received_at: datetime = START) -> uuid.UUID:
        batch_id = uuid.uuid4()
        self._insert(
            "whatsapp_webhook_logs",
            {
                "tenant_id": self.tenant_id,
                "id": batch_id,
                "received_at": received_at,
                "state": "processed",
                "parser_version": 1,
                "dictionary_id": 0,
                "body_bytes": 0,
                "sha256": b"",
                "body": b"",
            },
        )
        return batch_id

    def conversation(self, lead_id: uuid.UUID, instance: uuid.UUID) -> None:
        self.conn.execute(
            """
            INSERT INTO conversations (tenant_id, lead_id, instance_id, id)
            VALUES (%s, %s, %s, %s)
            ON CONFLICT DO NOTHING
            """,
            (self.tenant_id, lead_id, self._instance_ids[instance], uuid.uuid4()),
        )

    def message(
        self,
        lead_id: uuid.UUID,
        instance: uuid.UUID,
        *,
        sent_at: datetime | None = None,
        wamid: str | None = None,
        **values: Any,
    ) -> str:
        """Write a message a minute after the one before; give its id."""
        number = next(self._serial)
        wamid = wamid or f"wamid.{number}"
        sent_at = sent_at or START + timedelta(minutes=number)
        message_id = ids.message_id(instance, wamid)
        self.conversation(lead_id, instance)
        self._insert(
            "whatsapp_messages",
            {
                "tenant_id": self.tenant_id,
                "instance_id": self._instance_ids[instance],
                "id": message_id,
                "lead_id": lead_id,
                "batch_id": uuid.uuid4(),
                "sent_at": sent_at,
                "direction": 1,
                "status": 4,
                "sources": 16,
                "content_rank": 0,
                "party_rank": 0,
                "wamid": wamid,
                "type": "text",
                "body": f"mensagem {number}",
                **values,
            },
        )
        counters = sql.SQL(
            """
            message_count = message_count + 1, first_message_at = least(first_message_at, %(sent_at)s),
            last_message_at = greatest(last_message_at, %(sent_at)s)
            """
        )
        parameters = {
            "tenant_id": self.tenant_id,
            "lead_id": lead_id,
            "instance_id": self._instance_ids[instance],
            "sent_at": sent_at,
        }
        self.conn.execute(
            sql.SQL(
                "UPDATE conversations SET {} WHERE tenant_id = %(tenant_id)s AND lead_id = %(lead_id)s"
                " AND instance_id = %(instance_id)s"
            ).format(counters),
            parameters,
        )
        self.conn.execute(
            sql.SQL("UPDATE leads SET {} WHERE tenant_id = %(tenant_id)s AND id = %(lead_id)s").format(
                counters
            ),
            parameters,
        )
        return str(message_id)
