"""The embedded PostgreSQL: starts as anybody, keeps what was committed, opens to the right password alone."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from recado.stack import postgres, processes, store


@pytest.fixture
def server(tmp_path: Path) -> Iterator[postgres.Server]:
    with postgres.running(tmp_path / "postgres") as running:
        yield running


def launch(server: postgres.Server) -> processes.Child:
    program = server.program({**os.environ})
    program.prepare()
    child = processes.Child(program, server.data.with_name("postgres.log"))
    processes.wait_until_healthy(child)
    return child


def make(tmp_path: Path, *, is_durable: bool = True) -> postgres.Server:
    server = postgres.Server(
        data=tmp_path / "postgres", password="p'w\\ü@:/ %", port=5432, is_durable=is_durable
    )
    server.initialise()
    return server


def test_a_password_with_any_character_opens_it_and_another_does_not(tmp_path: Path) -> None:
    server = make(tmp_path, is_durable=False)
    child = launch(server)
    try:
        with psycopg.connect(server.url(database="postgres")) as connection:
            assert connection.info.user == "recado"
        with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
            psycopg.connect(server.url(database="postgres", password="wrong"))
    finally:
        child.stop()


def test_a_login_may_do_what_its_role_may_and_no_more(server: postgres.Server) -> None:
    with psycopg.connect(server.url()) as connection:
        connection.execute("CREATE ROLE reader NOLOGIN")
        connection.execute("CREATE TABLE open_to_reader (n int); GRANT SELECT ON open_to_reader TO reader")
        connection.execute("CREATE TABLE closed (n int)")

    store.ensure_login(server.url(), login="reader_login", password="first", role="reader")
    store.ensure_login(server.url(), login="reader_login", password="second", role="reader")

    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(server.url(user="reader_login", password="first"))
    with psycopg.connect(server.url(user="reader_login", password="second")) as connection:
        connection.execute("SET ROLE reader")
        connection.execute("SELECT * FROM open_to_reader")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute("SELECT * FROM closed")


def test_committed_rows_survive_sigkill_of_the_server_and_its_stale_lock_file(tmp_path: Path) -> None:
    server = make(tmp_path)
    child = launch(server)
    with psycopg.connect(server.url(database="postgres"), autocommit=True) as connection:
        connection.execute("CREATE TABLE kept (n int)")
        connection.execute("INSERT INTO kept VALUES (7)")

    os.kill(child.pid, signal.SIGKILL)
    child.kill()
    again = launch(server)

    try:
        with psycopg.connect(server.url(database="postgres")) as connection:
            assert connection.execute("SELECT n FROM kept").fetchall() == [(7,)]
            assert connection.execute("SHOW fsync").fetchone() == ("on",)
            assert connection.execute("SHOW synchronous_commit").fetchone() == ("on",)
    finally:
        again.stop()


def test_a_lock_file_that_names_a_living_stranger_does_not_stop_it(tmp_path: Path) -> None:
    server = make(tmp_path, is_durable=False)
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"]) as stranger:
        lines = [
            str(stranger.pid),
            str(server.data),
            "0",
            "5432",
            str(server.data),
            "",
            "    5     5",
            "ready",
        ]
        (server.data / "postmaster.pid").write_text("\n".join(lines) + "\n")

        child = launch(server)

        child.stop()
        assert stranger.poll() is None
        stranger.kill()


def test_a_server_still_running_in_the_folder_is_ended_first(tmp_path: Path) -> None:
    server = make(tmp_path, is_durable=False)
    leftover = launch(server)

    child = launch(server)

    assert leftover.exit_code() == 0
    child.stop()


def test_a_cluster_left_half_made_is_made_anew(tmp_path: Path) -> None:
    draft = tmp_path / "postgres.new"
    draft.mkdir()
    (draft / "PG_VERSION").write_text("18\n")

    server = make(tmp_path, is_durable=False)

    launch(server).stop()
    assert not draft.exists()
    assert not (tmp_path / "postgres.pw").exists()


def test_a_path_too_long_for_a_socket_is_served_over_loopback(tmp_path: Path) -> None:
    folder = tmp_path / ("x" * 100)

    with postgres.running(folder / "postgres") as server:
        assert not server.uses_socket
        with psycopg.connect(server.url()) as connection:
            assert connection.info.host == "127.0.0.1"


def test_a_folder_made_by_another_version_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "postgres").mkdir()
    (tmp_path / "postgres" / "PG_VERSION").write_text("14\n")

    with pytest.raises(processes.StackError, match="was made by PostgreSQL 14"):
        make(tmp_path)


def test_what_people_wrote_does_not_reach_the_log(server: postgres.Server) -> None:
    with psycopg.connect(server.url()) as connection:
        connection.execute("CREATE TABLE once (body text UNIQUE)")
        connection.execute("INSERT INTO once VALUES ('a secret text')")
        with pytest.raises(psycopg.errors.UniqueViolation):
            connection.execute("INSERT INTO once VALUES ('a secret text')")

    assert "a secret text" not in server.data.with_name("postgres.log").read_text()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has to become somebody else")
@pytest.mark.parametrize("number", range(3))
def test_root_runs_it_as_somebody_else_in_every_way_there_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    identity = postgres.IDENTITIES_FOR_ROOT[number]
    if not processes.succeeds(*identity.prefix, str(postgres.find().bin / "postgres"), "--version"):
        pytest.skip(f"{identity.prefix[0]} cannot do it here")
    monkeypatch.setattr(postgres, "find_identity", lambda: identity)
    for folder in (tmp_path, *tmp_path.parents):
        if number == 2 and not folder.stat().st_mode & 0o001:
            pytest.skip("a plain nobody cannot enter pytest's folder")

    with postgres.running(tmp_path / "postgres") as server, psycopg.connect(server.url()) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)
        pid = int((server.data / "postmaster.pid").read_text().splitlines()[0])

    assert not processes.succeeds("kill", "-0", str(pid))
