"""Whose a webhook is: tenants, their instances, and the routes to them."""

import uuid
from collections.abc import Collection
from datetime import datetime
from typing import Any, Final, LiteralString, NamedTuple

import msgspec
from psycopg import Connection
from psycopg.rows import kwargs_row

from capture_service import events
from capture_service.store.rows import RouteKey


class Route(NamedTuple):
    """Whose webhook this is. A WABA's route has no instance."""

    tenant_id: int
    instance: events.Instance | None


def find_routes(conn: Connection[Any], keys: Collection[RouteKey]) -> dict[RouteKey, Route]:
    rows = conn.execute(
        """
        SELECT r.kind, r.external_id, r.tenant_id,
          c.id, c.public_id, c.phone_number_id, c.display_phone_number, c.waba_id
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


def delete_idle_account_routes(conn: Connection[Any], *, tenant_id: int) -> None:
    """Give up the WABAs of which the tenant has no number: another tenant may have them."""
    conn.execute(
        """
        DELETE FROM webhook_routes r
        WHERE r.tenant_id = %(tenant_id)s AND r.kind = 'waba'
          AND NOT EXISTS (
            SELECT FROM whatsapp_configs c WHERE c.tenant_id = r.tenant_id AND c.waba_id = r.external_id
          )
        """,
        {"tenant_id": tenant_id},
    )


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


def upsert_instance(
    conn: Connection[Any],
    *,
    tenant_id: int,
    public_id: uuid.UUID,
    name: str,
    waba_id: str,
    phone_number_id: str,
    display_phone_number: str,
) -> None:
    """Register a number, or describe anew the one that the tenant has; an empty name leaves the old one."""
    conn.execute(
        """
        INSERT INTO whatsapp_configs AS c (
          tenant_id, public_id, name, waba_id, phone_number_id, display_phone_number, webhook_activated_at
        )
        VALUES (
          %(tenant_id)s, %(public_id)s, %(name)s, %(waba_id)s, %(phone_number_id)s,
          %(display_phone_number)s, now()
        )
        ON CONFLICT (tenant_id, phone_number_id) DO UPDATE SET
          name = coalesce(nullif(EXCLUDED.name, ''), c.name),
          waba_id = EXCLUDED.waba_id,
          display_phone_number = EXCLUDED.display_phone_number
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


def hold_instance(conn: Connection[Any], *, tenant_id: int, id: int) -> None:
    """Let one transaction at a time decide what only one per instance may be."""
    conn.execute(
        """
        SELECT FROM whatsapp_configs WHERE tenant_id = %(tenant_id)s AND id = %(id)s FOR NO KEY UPDATE
        """,
        {"tenant_id": tenant_id, "id": id},
    )


_INSTANCE: Final[LiteralString] = """
  SELECT id, public_id, name, waba_id, phone_number_id, display_phone_number,
    webhook_activated_at, last_sync_at, sync_status, sync_error, connection_state,
    connection_reason, connection_changed_at
  FROM whatsapp_configs
"""


def list_instances(conn: Connection[Any], *, tenant_id: int) -> list[InstanceRow]:
    with conn.cursor(row_factory=kwargs_row(InstanceRow)) as cursor:
        return cursor.execute(
            _INSTANCE + "WHERE tenant_id = %(tenant_id)s ORDER BY id", {"tenant_id": tenant_id}
        ).fetchall()


def lock_instances(conn: Connection[Any], *, tenant_id: int, account_id: str) -> list[InstanceRow]:
    """Give the instances of an account, and let nobody else change them meanwhile."""
    with conn.cursor(row_factory=kwargs_row(InstanceRow)) as cursor:
        return cursor.execute(
            _INSTANCE
            + """
            WHERE tenant_id = %(tenant_id)s AND waba_id = %(account_id)s
            ORDER BY id
            FOR NO KEY UPDATE
            """,
            {"tenant_id": tenant_id, "account_id": account_id},
        ).fetchall()
