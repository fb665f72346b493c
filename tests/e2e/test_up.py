"""`recado up` as a new user meets it: the whole system, started, used, stopped, killed."""

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from recado.stack.processes import free_port
from tests.stack.marks import Marked, wait_until

pytestmark = pytest.mark.timeout(300)


class Stack:
    """One `recado up`, with everything it prints."""

    def __init__(self, data: Path, marked: Marked, *options: str) -> None:
        self.data = data
        self.port = free_port()
        self._marked = marked
        self._options = options
        self.output = data.with_name(data.name + ".out")

    def start(self) -> subprocess.Popen[bytes]:
        with self.output.open("wb") as output:
            return subprocess.Popen(
                command("up", "--data", str(self.data), "--port", str(self.port), *self._options),
                env=environment(self._marked),
                stdout=output,
                stderr=subprocess.STDOUT,
            )

    def start_and_wait(self) -> subprocess.Popen[bytes]:
        process = self.start()

        last = "Meta posts its webhooks to" if "--no-sandbox" in self._options else "?leadId="

        def is_ready() -> bool:
            assert process.poll() is None, self.said()
            return f"Recado runs at http://127.0.0.1:{self.port}\n" in self.said() and last in self.said()

        wait_until(is_ready, timeout_s=120)
        return process

    def said(self) -> str:
        return self.output.read_text()

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run another command of `recado` on this stack."""
        return subprocess.run(
            command(*arguments, "--data", str(self.data)),
            env=environment(self._marked),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def lead_id(self) -> str:
        (lead_id,) = re.findall(r'\?leadId=([0-9a-f-]{36})"$', self.said(), re.MULTILINE)
        return lead_id

    def follow_curl(self) -> dict[str, Any]:
        """Do what the printed curl line does."""
        (line,) = (line for line in self.said().splitlines() if line.startswith("curl "))
        _, flag, header, url = shlex.split(line)
        assert flag == "-H"
        return get(url, header)

    def get(self, path: str, *, tenant: str) -> dict[str, Any]:
        token = self.run("token", "issue", "--tenant", tenant, "--user", "ana", "--scope", "history:read")
        assert token.returncode == 0, token.stderr
        return get(
            f"http://127.0.0.1:{self.port}/api/v1/whatsapp{path}",
            f"Authorization: Bearer {token.stdout.strip()}",
        )

    def state(self) -> dict[str, Any]:
        return json.loads((self.data / "run" / "state.json").read_text())


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "recado", *arguments]


def environment(marked: Marked) -> dict[str, str]:
    # What a developer has set must not decide what is tested.
    return {name: value for name, value in marked.environment.items() if name not in _OURS} | {
        "PYTHONPATH": str(Path(__file__).parents[2])
    }


_OURS = frozenset(name for name in os.environ if name.startswith("RECADO_"))


def get(url: str, header: str) -> dict[str, Any]:
    name, _, value = header.partition(": ")
    request = urllib.request.Request(url, headers={name: value})  # noqa: S310 - an address of our own
    with urllib.request.urlopen(request, timeout=10) as response:  # noqa: S310
        return json.load(response)


@pytest.fixture
def marked() -> Iterator[Marked]:
    """A mark for the processes that a test starts; what still runs at its end is killed."""
    found = Marked()
    yield found
    found.kill_all()


@pytest.fixture
def stack_in(tmp_path: Path, marked: Marked) -> Callable[..., Stack]:
    def make(name: str, *options: str) -> Stack:
        return Stack(tmp_path / name, marked, *options)

    return make


def test_a_new_user_sees_a_history_and_nothing_stays_behind(
    stack_in: Callable[..., Stack], marked: Marked
) -> None:
    stack = stack_in("data")
    process = stack.start_and_wait()

    page = stack.follow_curl()
    second = stack.run("up", "--port", str(free_port()))
    failures = stack.run("replay", "--list", "--tenant", "sandbox")
    doctor = stack.run("doctor")
    process.send_signal(signal.SIGINT)

    assert process.wait(60) == 0
    assert not marked.running()
    assert page["messages"]
    assert page["metadata"]["totalMessages"] >= len(page["messages"])
    assert second.returncode == 1
    assert f"another `recado up` (process {process.pid}) runs on {stack.data}" in second.stderr
    assert failures.returncode == 0, failures.stderr
    assert "0 failed" in failures.stdout
    assert doctor.returncode == 0, doctor.stdout
    assert not (stack.data / "run" / "state.json").exists()


def test_kill_9_leaves_no_process_and_loses_no_data(stack_in: Callable[..., Stack], marked: Marked) -> None:
    stack = stack_in("data")
    process = stack.start_and_wait()
    before, before_lead = stack.follow_curl(), stack.lead_id()

    secrets = (stack.data / "secrets.env").read_text()

    process.kill()
    process.wait(10)
    marked.wait_until_none(timeout_s=15)
    again = stack.start_and_wait()

    page = stack.get(f"/conversations/sync?leadId={before_lead}&limit=1000", tenant="sandbox")
    assert {message["id"] for message in before["messages"]} <= {
        message["id"] for message in page["messages"]
    }
    assert (stack.data / "secrets.env").read_text() == secrets
    again.send_signal(signal.SIGTERM)
    assert again.wait(60) == 0
    assert not marked.running()


def test_two_stacks_run_side_by_side_and_one_without_a_sandbox_is_empty(
    stack_in: Callable[..., Stack], marked: Marked
) -> None:
    full, empty = stack_in("full"), stack_in("empty", "--no-sandbox")
    processes = [full.start_and_wait(), empty.start_and_wait()]

    added = empty.run(
        *("instance", "add", "--tenant", "acme", "--waba-id", "1", "--phone-number-id", "2"),
        *("--display-phone-number", "+55 11 4000-0000"),
    )
    replayed = empty.run("replay", "--state", "processed,failed,unrouted")
    leads = empty.get("/leads", tenant="acme")

    assert full.follow_curl()["messages"]
    assert leads["leads"] == []
    assert empty.get("/leads", tenant="sandbox")["leads"] == []
    assert re.fullmatch(r"[0-9a-f-]{36}\n", added.stdout), added.stderr
    assert replayed.stdout == "0 webhooks replayed, 0 messages imported, 0 failed\n", replayed.stderr
    for process in processes:
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 0
    assert not marked.running()


def test_every_process_that_is_killed_comes_back_and_the_system_with_it(
    stack_in: Callable[..., Stack], marked: Marked
) -> None:
    stack = stack_in("data")
    process = stack.start_and_wait()
    before = stack.state()["pids"]

    for pid in before.values():
        os.kill(pid, signal.SIGKILL)

    wait_until(lambda: not set(before.values()) & set(stack.state()["pids"].values()), timeout_s=60)

    def is_served() -> bool:
        try:
            return bool(stack.follow_curl()["messages"])
        except (urllib.error.URLError, ConnectionError):
            return False

    wait_until(is_served, timeout_s=60)
    process.send_signal(signal.SIGINT)
    assert process.wait(60) == 0
    assert not marked.running()


def test_a_service_that_cannot_start_stops_everything_and_shows_why(
    stack_in: Callable[..., Stack], marked: Marked, monkeypatch: pytest.MonkeyPatch
) -> None:
    stack = stack_in("data", "--no-sandbox")
    monkeypatch.setattr(f"{__name__}._OURS", frozenset())
    monkeypatch.setenv("RECADO_TOKEN_KEYS", "not a key")

    process = stack.start()

    assert process.wait(60) == 1
    assert "enrichment ended with exit code 1 while starting" in stack.said()
    assert "RECADO_TOKEN_KEYS" in stack.said()
    assert "not a key" not in stack.said()
    assert not marked.running()
