"""`recado migrate` makes a login for each service whose URL it is told."""

from pathlib import Path

import psycopg
import pytest
from psycopg import conninfo

from plumbing.settings import SettingsError
from recado import logins
from recado.stack import postgres


def url_of(server: postgres.Server, database: str, login: str) -> str:
    return server.url(user=login, password="p@ss/w:rd", database=database)


def test_a_login_may_what_its_service_may_and_nothing_else(
    postgres_server: postgres.Server, database: str, database_name: str
):
    url = url_of(postgres_server, database_name, "deploy capture")

    made = logins.ensure(database, {"RECADO_CAPTURE_DATABASE_URL": url})

    assert made == ["deploy capture"]
    with psycopg.connect(url, options="-c role=recado_capture") as conn:
        assert conn.execute("SELECT count(*) FROM leads").fetchone() == (0,)
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            conn.execute("SELECT * FROM enrichment.credentials")
    with psycopg.connect(url) as conn, pytest.raises(psycopg.errors.InsufficientPrivilege):
        conn.execute("SET ROLE recado_enrichment")


def test_repeating_it_changes_the_password_to_the_urls(
    postgres_server: postgres.Server, database: str, database_name: str, tmp_path: Path
):
    url = url_of(postgres_server, database_name, "deploy_history")
    logins.ensure(database, {"RECADO_HISTORY_DATABASE_URL": conninfo_with(url, "another")})
    file = tmp_path / "url"
    file.write_text(url + "\n")

    logins.ensure(database, {"RECADO_HISTORY_DATABASE_URL_FILE": str(file)})

    psycopg.connect(url).close()


def conninfo_with(url: str, password: str) -> str:
    user = conninfo.conninfo_to_dict(url)["user"]
    return f"postgresql://{user}:{password}@elsewhere/recado"


def test_nothing_is_made_where_nothing_is_said(database: str):
    assert logins.ensure(database, {"RECADO_DATABASE_URL": database}) == []


@pytest.mark.parametrize(
    "url", ["postgresql://host/db", "postgresql://user@host/db", "host=x user=y", "//[::1"]
)
def test_a_url_without_a_login_is_a_fault_that_does_not_show_it(url: str):
    with pytest.raises(SettingsError) as caught:
        logins.ensure("postgresql://nobody", {"RECADO_CAPTURE_DATABASE_URL": url})

    assert "RECADO_CAPTURE_DATABASE_URL must be" in str(caught.value)
    assert url not in str(caught.value)
