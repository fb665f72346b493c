"""Every service's role can do what it must and nothing else, on a real migrated database."""

from typing import Any, LiteralString

import psycopg
import pytest
from psycopg import Connection

ROLES = ("recado_capture", "recado_history", "recado_enrichment")
_TABLES: LiteralString = """
  SELECT n.nspname AS schema, c.relname AS name, c.oid
  FROM pg_catalog.pg_class c
  JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
  WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND n.nspname NOT IN ('pg_catalog', 'information_schema')
"""


def tables_on_which(conn: Connection[Any], role: str, privileges: str) -> set[str]:
    """Name the tables on which the role has one of the privileges, on the whole or on a column."""
    rows = conn.execute(
        "SELECT schema || '.' || name FROM ("
        + _TABLES
        + """
        ) AS t
        WHERE has_table_privilege(%(role)s, oid, %(privileges)s)
        """,
        {"role": role, "privileges": privileges},
    )
    return {name for (name,) in rows}


def refuses(conn: Connection[Any], role: str, statement: LiteralString) -> bool:
    with conn.transaction(force_rollback=True):
        conn.execute("SELECT set_config('role', %(role)s, true)", {"role": role})
        try:
            with conn.transaction():
                conn.execute(statement)
        except psycopg.errors.InsufficientPrivilege:
            return True
    return False


@pytest.mark.parametrize("role", ROLES)
def test_a_role_is_nothing_but_its_grants(migrated: Connection[Any], role: str):
    row = migrated.execute(
        """
        SELECT rolsuper, rolcanlogin, rolcreatedb, rolcreaterole, rolbypassrls, rolreplication,
          EXISTS (SELECT FROM pg_catalog.pg_auth_members m WHERE m.member = r.oid),
          EXISTS (SELECT FROM pg_catalog.pg_class c WHERE c.relowner = r.oid)
        FROM pg_catalog.pg_roles r
        WHERE rolname = %(role)s
        """,
        {"role": role},
    ).fetchone()

    assert row == (False,) * 8


@pytest.mark.parametrize("role", ROLES)
def test_no_role_can_create_anything(migrated: Connection[Any], role: str):
    rows = migrated.execute(
        """
        SELECT nspname FROM pg_catalog.pg_namespace
        WHERE nspname !~ '^pg_' AND has_schema_privilege(%(role)s, oid, 'CREATE')
        """,
        {"role": role},
    ).fetchall()

    assert rows == []
    assert refuses(migrated, role, "CREATE TABLE public.planted (id int)")
    assert refuses(migrated, role, "CREATE SCHEMA planted")
    assert refuses(migrated, role, "ALTER TABLE public.tenants ADD COLUMN planted int")
    assert refuses(migrated, role, "DROP TABLE public.tenants")


@pytest.mark.parametrize("role", ROLES)
def test_no_role_can_empty_a_table_or_hang_a_trigger_on_it(migrated: Connection[Any], role: str):
    assert tables_on_which(migrated, role, "TRUNCATE, TRIGGER, REFERENCES") == set()


@pytest.mark.parametrize("role", ROLES)
def test_no_role_can_touch_the_record_of_migrations(migrated: Connection[Any], role: str):
    written = tables_on_which(migrated, role, "INSERT, UPDATE, DELETE")

    assert "public.recado_migrations" not in written


def test_strangers_are_granted_nothing(migrated: Connection[Any]):
    rows = migrated.execute(
        "SELECT name FROM ("
        + _TABLES
        + """
        ) AS t
        JOIN pg_catalog.pg_class c USING (oid)
        CROSS JOIN LATERAL aclexplode(c.relacl) AS grants
        WHERE grants.grantee = 0 AND name <> 'recado_migrations'
        """
    ).fetchall()

    assert rows == []


def test_history_writes_nothing_but_who_read_what(migrated: Connection[Any]):
    assert tables_on_which(migrated, "recado_history", "INSERT") == {"public.audit_log"}
    assert tables_on_which(migrated, "recado_history", "UPDATE, DELETE") == set()
    assert refuses(migrated, "recado_history", "UPDATE whatsapp_messages SET body = 'forged'")
    assert refuses(migrated, "recado_history", "DELETE FROM leads")
    assert refuses(migrated, "recado_history", "INSERT INTO tenants (name) VALUES ('planted')")


def test_nobody_changes_what_was_recorded_of_reads_and_changes(migrated: Connection[Any]):
    for role in ("recado_capture", "recado_history"):
        assert "public.audit_log" not in tables_on_which(migrated, role, "UPDATE, DELETE")


def test_history_knows_when_a_batch_came_and_not_what_was_in_it(migrated: Connection[Any]):
    assert not refuses(
        migrated, "recado_history", "SELECT tenant_id, id, received_at FROM whatsapp_webhook_logs"
    )
    assert refuses(migrated, "recado_history", "SELECT body FROM whatsapp_webhook_logs")
    assert refuses(migrated, "recado_history", "SELECT * FROM whatsapp_webhook_logs")


def test_history_does_not_see_jobs_and_routes(migrated: Connection[Any]):
    assert refuses(migrated, "recado_history", "SELECT * FROM outbox")
    assert refuses(migrated, "recado_history", "SELECT * FROM webhook_routes")


def test_capture_deletes_no_lead_and_no_message(migrated: Connection[Any]):
    deletes = tables_on_which(migrated, "recado_capture", "DELETE")

    assert deletes == {
        f"public.{name}"
        for name in (
            "webhook_routes",
            "lead_identifiers",
            "conversations",
            "whatsapp_webhook_logs",
            "outbox",
            "changes",
            "messages_to_examine",
            "repeated_texts",
        )
    }
    assert refuses(migrated, "recado_capture", "DELETE FROM whatsapp_messages")
    assert not refuses(migrated, "recado_capture", "UPDATE whatsapp_messages SET body = body")


@pytest.mark.parametrize("role", ["recado_capture", "recado_history"])
def test_only_enrichment_sees_the_credentials(migrated: Connection[Any], role: str):
    seen = tables_on_which(migrated, role, "SELECT, INSERT, UPDATE, DELETE")

    assert [name for name in seen if name.startswith("enrichment.")] == []
    assert refuses(migrated, role, "SELECT * FROM enrichment.credentials")


def test_enrichment_sees_nothing_of_the_conversations(migrated: Connection[Any]):
    seen = tables_on_which(migrated, "recado_enrichment", "SELECT, INSERT, UPDATE, DELETE")

    assert {name for name in seen if not name.startswith("enrichment.")} <= {"public.recado_migrations"}
    assert refuses(migrated, "recado_enrichment", "SELECT * FROM whatsapp_messages")
