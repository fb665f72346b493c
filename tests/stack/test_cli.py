"""The command as a person meets it: what it prints, on which stream, with which exit code."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest

from plumbing import tokens
from recado.stack import credentials, postgres

SECRET = "a secret of the tests, long enough to sign"

INSTANCES = ["0b5f7d8e-1f0a-8f3e-9c55-0d6c2c1d7a11", "6a0d1f9c-98b2-8d41-a1c7-3a1f27be0c52"]


def recado(
    *arguments: str, cwd: Path, environ: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("RECADO_")}
    return subprocess.run(
        [sys.executable, "-m", "recado", *arguments],
        cwd=cwd,
        env={**clean, "PYTHONPATH": str(Path(__file__).parents[2]), **(environ or {})},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_a_token_is_printed_alone_and_says_what_was_asked(tmp_path: Path) -> None:
    done = recado(
        *("token", "issue", "--tenant", "acme", "--user", "ana", "--scope", "history:read history:sync"),
        *("--instances", ", ".join(INSTANCES), "--ttl", "30m"),
        cwd=tmp_path,
        environ={"RECADO_AUTH_SECRET": SECRET},
    )

    assert (done.returncode, done.stderr) == (0, "")
    assert tokens.Verifier(SECRET).verify(done.stdout.strip()) == tokens.Caller(
        subject="ana",
        tenant="acme",
        scopes=frozenset({"history:read", "history:sync"}),
        instances=frozenset(INSTANCES),
    )


def test_a_token_is_signed_with_the_secret_of_a_stopped_stack(tmp_path: Path) -> None:
    (tmp_path / ".recado").mkdir()
    secret = credentials.load_or_make(tmp_path / ".recado" / "secrets.env")["RECADO_AUTH_SECRET"]

    done = recado(
        "token", "issue", "--tenant", "acme", "--user", "ana", "--scope", "history:read", cwd=tmp_path
    )

    assert tokens.Verifier(secret).verify(done.stdout.strip()).tenant == "acme"


TOKEN = ("token", "issue", "--tenant", "acme", "--user", "ana")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ((*TOKEN, "--scope", "history:read"), "RECADO_AUTH_SECRET"),
        ((*TOKEN, "--scope", "history:write"), "history:write"),
        ((*TOKEN, "--scope", "history:read", "--ttl", "soon"), "30m, 12h or 7d"),
        ((*TOKEN, "--scope", "history:read", "--instances", "padaria"), "recado instance add"),
        (("migrate",), "RECADO_DATABASE_URL"),
        (("replay",), "recado up"),
        (("replay", "--state", "lost"), "'lost' is none of failed, unrouted, processed, ignored, all"),
        (("import-chat", "nowhere.txt", "--tenant", "a"), "nowhere.txt"),
        (("import-chat", __file__, "--tenant", "a", "--lead", "b"), "--business"),
        (("replay", "--state", ""), "--state: must not be empty"),
        (("replay", "--state", " ,\t"), "--state: must not be empty"),
        (("replay", "--state", "all,lost"), "'lost' is none of"),
        (("replay", "--tenant", ""), "--tenant: must not be empty"),
        (("replay", "--number", ""), "--number: must not be empty"),
        (("replay", "--from", "yesterday"), "2026-11-23"),
        (("replay", "--from", "2026-11-23", "--to", "2026-11-22"), "must be after --from"),
        (("serve", "everything"), "gateway"),
        (("serve", "capture"), "RECADO_DATABASE_URL"),
        (
            (
                *("instance", "add", "--tenant", "a", "--waba-id", "1", "--phone-number-id", "2"),
                *("--display-phone-number", "+55"),
            ),
            "RECADO_",
        ),
        (("export",), "No such command"),
    ],
)
def test_every_failure_is_one_line_on_standard_error(
    tmp_path: Path, arguments: tuple[str, ...], says: str
) -> None:
    done = recado(*arguments, cwd=tmp_path)

    assert done.returncode != 0
    assert done.stdout == ""
    assert len(done.stderr.splitlines()) == 1
    assert done.stderr.startswith("Error: ")
    assert says in done.stderr


def test_a_secret_too_short_to_sign_with_is_refused(tmp_path: Path) -> None:
    done = recado(*TOKEN, "--scope", "history:read", cwd=tmp_path, environ={"RECADO_AUTH_SECRET": "short"})

    assert done.returncode == 1
    assert "at least 32 bytes" in done.stderr
    assert "short\n" not in done.stderr


def test_a_taken_port_is_said_plainly_and_nothing_is_started(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]

        done = recado("up", "--port", str(port), cwd=tmp_path)

    assert done.returncode == 1
    assert done.stdout == ""
    assert f"port {port} of 127.0.0.1 is taken" in done.stderr
    assert "--port" in done.stderr


def test_migrate_says_what_it_applied_and_then_that_there_is_nothing_left(
    tmp_path: Path, postgres_server: postgres.Server
) -> None:
    with psycopg.connect(postgres_server.url(database="postgres"), autocommit=True) as connection:
        connection.execute("CREATE DATABASE migrated_by_command")
    environ = {"RECADO_DATABASE_URL": postgres_server.url(database="migrated_by_command")}

    first = recado("migrate", cwd=tmp_path, environ=environ)
    second = recado("migrate", cwd=tmp_path, environ=environ)

    assert first.returncode == second.returncode == 0
    assert "applied capture_service" in first.stdout
    assert second.stdout == "nothing to apply: the schema is up to date\n"


def test_the_doctor_names_what_is_wrong_and_fails(tmp_path: Path, postgres_server: postgres.Server) -> None:
    done = recado(
        "doctor",
        cwd=tmp_path,
        environ={
            "RECADO_DATABASE_URL": postgres_server.url(database="postgres"),
            "RECADO_AUTH_SECRET": SECRET,
            "RECADO_CAPTURE_ADDRESS": "127.0.0.1:1",
        },
    )

    assert done.returncode == 1
    assert "127.0.0.1:1 does not serve" in done.stdout
    assert "recado migrate" in done.stdout
    assert "RECADO_REDIS_URL" in done.stdout
    assert "answers, version 18" in done.stdout


def test_help_lists_only_commands_that_are_there(tmp_path: Path) -> None:
    done = recado("--help", cwd=tmp_path)

    assert done.returncode == 0
    for command in (
        "up",
        "serve",
        "migrate",
        "token",
        "instance",
        "replay",
        "import-chat",
        "doctor",
        "sandbox",
    ):
        assert f"\n  {command} " in done.stdout
