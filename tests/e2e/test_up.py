"""`recado up` as a new user meets it: the whole system, started, used, stopped, killed."""

import os
import re
import signal
import urllib.error
from collections.abc import Callable

import pytest

from recado.stack.processes import free_port
from tests.e2e import stack as e2e_stack
from tests.e2e.stack import Stack
from tests.stack.marks import Marked, wait_until

pytestmark = pytest.mark.timeout(300)


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
    monkeypatch.setattr(e2e_stack, "_OURS", frozenset())
    monkeypatch.setenv("RECADO_TOKEN_KEYS", "not a key")

    process = stack.start()

    assert process.wait(60) == 1
    assert "enrichment ended with exit code 1 while starting" in stack.said()
    assert "RECADO_TOKEN_KEYS" in stack.said()
    assert "not a key" not in stack.said()
    assert not marked.running()
