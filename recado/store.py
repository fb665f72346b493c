"""What the commands ask PostgreSQL directly, as the owner of the database."""

import psycopg
from psycopg.rows import scalar_row

_CONNECT_TIMEOUT_S = 5


def count_unrouted(url: str) -> int:
    """Count the webhooks kept for numbers that nobody has registered."""
    with (
        psycopg.connect(url, connect_timeout=_CONNECT_TIMEOUT_S) as connection,
        connection.cursor(row_factory=scalar_row) as cursor,
    ):
        found = cursor.execute(
            "SELECT count(*) FROM whatsapp_webhook_logs WHERE state = 'unrouted'"
        ).fetchone()
    return found or 0


def server_version(url: str) -> str:
    with psycopg.connect(url, connect_timeout=_CONNECT_TIMEOUT_S) as connection:
        return str(connection.info.parameter_status("server_version"))


def applied_versions(url: str) -> dict[str, int]:
    """Give the newest migration of each package; nothing when the schema was never made."""
    with psycopg.connect(url, connect_timeout=_CONNECT_TIMEOUT_S) as connection:
        try:
            rows = connection.execute(
                "SELECT package, max(version) FROM recado_migrations GROUP BY package"
            ).fetchall()
        except psycopg.errors.UndefinedTable:
            return {}
    return dict(rows)
