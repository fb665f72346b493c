"""tenant_id runs through everything: read from the catalogue of a migrated database, and from the code.

It is what lets the same SQL run on one PostgreSQL and on Citus distributed by tenant_id.
"""

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from psycopg import Connection

from tests.house.tree import sources

# They answer "whose is this" before a tenant is known, or are about the database itself.
REFERENCE_TABLES = {"public.tenants", "public.webhook_routes", "public.recado_migrations"}

# Functions of a store that span tenants on purpose, each with its reason.
SPANNING = {
    "count_ledger_rows": "an operator may replay the ledger of every tenant",
    "list_forgotten": "the sweeper looks after every tenant",
    "delete_old_changes": "the feed forgets by age alone",
    "count_unrouted": "an operator asks how much waits for its number",
}


def domain_tables(conn: Connection[Any]) -> set[str]:
    rows = conn.execute(
        """
        SELECT n.nspname || '.' || c.relname
        FROM pg_catalog.pg_class c
        JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
        WHERE c.relkind IN ('r', 'p') AND n.nspname NOT IN ('pg_catalog', 'information_schema')
        """
    )
    return {name for (name,) in rows} - REFERENCE_TABLES


def test_every_table_belongs_to_a_tenant(migrated: Connection[Any]):
    rows = migrated.execute(
        """
        SELECT n.nspname || '.' || c.relname
        FROM pg_catalog.pg_attribute a
        JOIN pg_catalog.pg_class c ON c.oid = a.attrelid
        JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
        WHERE a.attname = 'tenant_id' AND a.attnotnull AND NOT a.attisdropped
          -- The enrichment service knows a tenant by the name in its token, and no number.
          AND a.atttypid = CASE n.nspname WHEN 'enrichment' THEN 'text' ELSE 'int4' END::regtype
          AND c.relkind IN ('r', 'p')
        """
    )

    with_tenant = {name for (name,) in rows}

    tables = domain_tables(migrated)
    assert "public.whatsapp_messages" in tables
    assert tables - with_tenant == set()


def test_every_key_and_unique_index_begins_with_the_tenant(migrated: Connection[Any]):
    rows = migrated.execute(
        """
        SELECT n.nspname || '.' || t.relname, i.relname, x.indisprimary,
          pg_get_indexdef(x.indexrelid, 1, true)
        FROM pg_catalog.pg_index x
        JOIN pg_catalog.pg_class i ON i.oid = x.indexrelid
        JOIN pg_catalog.pg_class t ON t.oid = x.indrelid
        JOIN pg_catalog.pg_namespace n ON n.oid = t.relnamespace
        WHERE x.indisunique
        """
    ).fetchall()
    tables = domain_tables(migrated)

    without = [index for table, index, _, first in rows if table in tables and first != "tenant_id"]

    assert without == []
    assert tables - {table for table, _, is_primary, _ in rows if is_primary} == set(), "no primary key"


def test_every_foreign_key_ties_the_tenants_together(migrated: Connection[Any]):
    rows = migrated.execute(
        """
        SELECT f.conname, f.conrelid::regclass::text,
          ARRAY(SELECT attname::text FROM unnest(f.conkey) k JOIN pg_attribute a
            ON a.attrelid = f.conrelid AND a.attnum = k),
          ARRAY(SELECT attname::text FROM unnest(f.confkey) k JOIN pg_attribute a
            ON a.attrelid = f.confrelid AND a.attnum = k)
        FROM pg_catalog.pg_constraint f
        WHERE f.contype = 'f'
        """
    ).fetchall()

    assert rows
    assert [
        (table, name)
        for name, table, ours, theirs in rows
        if ("tenant_id", "tenant_id") not in zip(ours, theirs, strict=True)
    ] == []


def test_constraints_are_named_as_the_truth_they_state(migrated: Connection[Any]):
    rows = migrated.execute(
        """
        SELECT conname FROM pg_catalog.pg_constraint c
        JOIN pg_catalog.pg_namespace n ON n.oid = c.connamespace
        WHERE n.nspname NOT IN ('pg_catalog', 'information_schema') AND contype IN ('p', 'u', 'f', 'c')
          AND conrelid <> 'public.recado_migrations'::regclass
        """
    )

    given_by_postgres = re.compile(r"_(?:pkey|key\d*|fkey\d*|check\d*)$")

    assert [name for (name,) in rows if given_by_postgres.search(name)] == []


def test_every_statement_on_a_domain_table_names_the_tenant(migrated: Connection[Any]):
    tables = {name.split(".", 1)[1] for name in domain_tables(migrated)}
    mention = re.compile(
        rf"\b(?:FROM|JOIN|INTO|UPDATE(?! SET))\s+(?:\w+\.)?({'|'.join(sorted(tables))})\b", re.IGNORECASE
    )

    unbound = [
        f"{path}: {name}"
        for path, name, sql in sql_by_function()
        if mention.search(sql) and "tenant_id" not in sql and name not in SPANNING
    ]

    assert unbound == []


def test_no_queue_is_read_across_tenants():
    # Citus refuses FOR UPDATE SKIP LOCKED that spans shards.
    spanning = [
        f"{path}: {name}"
        for path, name, sql in sql_by_function()
        if "SKIP LOCKED" in sql.upper() and not re.search(r"tenant_id\s*=\s*(?:%\(|\w+\.tenant_id)", sql)
    ]

    assert spanning == []


def sql_by_function() -> Iterator[tuple[Path, str, str]]:
    """Give (path, function, its string literals joined) for every function of the product."""
    for path, text in sources():
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef):
                literals = [
                    part.value
                    for statement in node.body
                    for part in ast.walk(statement)
                    if isinstance(part, ast.Constant)
                    and isinstance(part.value, str)
                    and not (isinstance(statement, ast.Expr) and statement.value is part)
                ]
                yield path, node.name, "\n".join(literals)
