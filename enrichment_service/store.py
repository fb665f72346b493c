"""Every SQL statement of the enrichment service. The caller owns the transaction."""

import uuid
from datetime import datetime
from typing import Any

from psycopg import Connection
from psycopg.rows import scalar_row


def upsert_credential(
    conn: Connection[Any],
    *,
    tenant: str,
    instance_id: uuid.UUID,
    sealed_token: bytes,
    key_id: str,
    stored_at: datetime,
) -> None:
    """Keep a sealed token in place of the one before."""
    conn.execute(
        """
        INSERT INTO enrichment.credentials (tenant_id, instance_id, sealed_token, key_id, stored_at)
        VALUES (%(tenant)s, %(instance_id)s, %(sealed_token)s, %(key_id)s, %(stored_at)s)
        ON CONFLICT (tenant_id, instance_id) DO UPDATE
        SET sealed_token = EXCLUDED.sealed_token, key_id = EXCLUDED.key_id, stored_at = EXCLUDED.stored_at
        """,
        {
            "tenant": tenant,
            "instance_id": instance_id,
            "sealed_token": sealed_token,
            "key_id": key_id,
            "stored_at": stored_at,
        },
    )


def find_credential(conn: Connection[Any], *, tenant: str, instance_id: uuid.UUID) -> bytes | None:
    with conn.cursor(row_factory=scalar_row) as cursor:
        return cursor.execute(
            """
            SELECT sealed_token FROM enrichment.credentials
            WHERE tenant_id = %(tenant)s AND instance_id = %(instance_id)s
            """,
            {"tenant": tenant, "instance_id": instance_id},
        ).fetchone()


def find_refusal(
    conn: Connection[Any], *, tenant: str, instance_id: uuid.UUID, endpoint: str, now: datetime
) -> str | None:
    """Give the outcome that was remembered and still counts."""
    with conn.cursor(row_factory=scalar_row) as cursor:
        return cursor.execute(
            """
            SELECT outcome FROM enrichment.refusals
            WHERE tenant_id = %(tenant)s AND instance_id = %(instance_id)s AND endpoint = %(endpoint)s
              AND until_at > %(now)s
            """,
            {"tenant": tenant, "instance_id": instance_id, "endpoint": endpoint, "now": now},
        ).fetchone()


def delete_refusals(conn: Connection[Any], *, tenant: str, instance_id: uuid.UUID) -> None:
    """Forget what was refused: a new access token may be granted it."""
    conn.execute(
        "DELETE FROM enrichment.refusals WHERE tenant_id = %(tenant)s AND instance_id = %(instance_id)s",
        {"tenant": tenant, "instance_id": instance_id},
    )


def upsert_refusal(
    conn: Connection[Any],
    *,
    tenant: str,
    instance_id: uuid.UUID,
    endpoint: str,
    outcome: str,
    error_code: int | None,
    until_at: datetime,
) -> None:
    conn.execute(
        """
        INSERT INTO enrichment.refusals (tenant_id, instance_id, endpoint, outcome, error_code, until_at)
        VALUES (%(tenant)s, %(instance_id)s, %(endpoint)s, %(outcome)s, %(error_code)s, %(until_at)s)
        ON CONFLICT (tenant_id, instance_id, endpoint) DO UPDATE
        SET outcome = EXCLUDED.outcome, error_code = EXCLUDED.error_code, until_at = EXCLUDED.until_at
        """,
        {
            "tenant": tenant,
            "instance_id": instance_id,
            "endpoint": endpoint,
            "outcome": outcome,
            "error_code": error_code,
            "until_at": until_at,
        },
    )
