import base64
import stat
from pathlib import Path

import pytest

from plumbing import settings
from recado.stack import credentials


def test_secrets_are_made_once_and_only_we_can_read_them(tmp_path: Path) -> None:
    path = tmp_path / "secrets.env"

    made = credentials.load_or_make(path)

    assert credentials.load_or_make(path) == made == credentials.load(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert len(set(made.values())) == len(made)
    assert len(made["RECADO_AUTH_SECRET"]) >= 32
    key_id, _, key = made["RECADO_TOKEN_KEYS"].partition(":")
    assert (key_id, len(base64.b64decode(key))) == ("k1", 32)


def test_a_secret_that_a_newer_release_needs_is_added_to_the_others(tmp_path: Path) -> None:
    path = tmp_path / "secrets.env"
    path.write_text("RECADO_AUTH_SECRET=" + "kept" * 10 + "\n")

    found = credentials.load_or_make(path)

    assert found["RECADO_AUTH_SECRET"] == "kept" * 10
    assert found["RECADO_VALKEY_PASSWORD"]


@pytest.mark.parametrize("form", ["value", "file"])
def test_the_environment_wins_over_the_kept_secret(tmp_path: Path, form: str) -> None:
    secret = tmp_path / "auth"
    secret.write_text("of the operator\n")
    environ = {
        "value": {"RECADO_AUTH_SECRET": "of the operator"},
        "file": {"RECADO_AUTH_SECRET_FILE": str(secret)},
    }[form]

    chosen = credentials.choose(environ, {"RECADO_AUTH_SECRET": "kept"}, ["RECADO_AUTH_SECRET"])

    with settings.read(chosen) as env:
        assert env.secret("RECADO_AUTH_SECRET") == "of the operator"


def test_a_process_inherits_no_secret_that_it_was_not_given() -> None:
    environ = {
        "PATH": "/bin",
        "RECADO_TOKEN_KEYS_FILE": "/run/keys",
        "RECADO_DATABASE_URL": "x",
        "RECADO_LOG_LEVEL": "INFO",
    }

    assert credentials.without(environ) == {"PATH": "/bin", "RECADO_LOG_LEVEL": "INFO"}
