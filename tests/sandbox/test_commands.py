"""Webhooks by hand: what is sent, and what is said when it is refused."""

import os
from pathlib import Path

import pytest
from click.testing import CliRunner

from recado.sandbox.commands import sandbox
from recado.stack import credentials
from recado.stack.folder import Folder
from tests.sandbox.gateway import Gateway


@pytest.fixture
def data(tmp_path: Path, gateway: Gateway) -> Path:
    """The folder of a stack of which only the gateway exists."""
    folder = Folder(tmp_path / "data")
    (folder.path / "run").mkdir(parents=True)
    credentials.load_or_make(folder.secrets)
    folder.write_state({"pid": os.getpid(), "base_url": gateway.url})
    return folder.path


def test_a_file_is_sent_byte_for_byte_and_the_status_printed(data: Path, gateway: Gateway, tmp_path: Path):
    path = tmp_path / "body.json"
    path.write_bytes(b'{"entry": [ ],\n "a": "\\u00e3"}')

    done = CliRunner().invoke(sandbox, ["send", "--data", str(data), "--file", str(path)])

    assert (done.exit_code, done.output) == (0, "200\n")
    assert gateway.received[0][1] == path.read_bytes()


def test_a_body_may_come_from_standard_input(data: Path, gateway: Gateway):
    done = CliRunner().invoke(sandbox, ["send", "--data", str(data), "--file", "-"], input=b"{}")

    assert done.exit_code == 0
    assert gateway.received[0][1] == b"{}"


def test_a_refusal_is_printed_and_fails(data: Path, gateway: Gateway):
    gateway.statuses = [503]

    done = CliRunner().invoke(sandbox, ["send", "--data", str(data), "--file", "-"], input=b"{}")

    assert (done.exit_code, done.output) == (1, "503\n")


def test_no_stack_is_said_in_one_line(tmp_path: Path):
    done = CliRunner().invoke(sandbox, ["send", "--data", str(tmp_path), "--file", "-"], input=b"{}")

    assert done.exit_code == 1
    assert "no stack runs" in done.output
