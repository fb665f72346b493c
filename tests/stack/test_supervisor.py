"""The supervisor over small processes, as a process of its own: signals and deaths are its subject."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.stack.marks import Marked, wait_until

DRIVER = str(Path(__file__).with_name("driver.py"))


class Stack:
    def __init__(self, folder: Path, marked: Marked) -> None:
        self.folder = folder
        self.marked = marked
        self.output = folder.with_name(folder.name + ".out")

    def start(self, *processes: str) -> subprocess.Popen[bytes]:
        with self.output.open("ab") as output:
            return subprocess.Popen(
                [sys.executable, DRIVER, str(self.folder), *processes],
                env=self.marked.environment,
                stdout=output,
                stderr=subprocess.STDOUT,
            )

    def start_and_wait(self, *processes: str) -> subprocess.Popen[bytes]:
        supervisor = self.start(*processes)
        wait_until(lambda: "all ready" in self.said())
        return supervisor

    def said(self) -> str:
        return self.output.read_text()

    def events(self) -> list[str]:
        return [line.rpartition(" ")[0] for line in (self.folder / "events").read_text().splitlines()]

    def pid(self, name: str) -> int:
        pids = re.findall(rf"^start {name} (\d+)$", (self.folder / "events").read_text(), re.MULTILINE)
        return int(pids[-1])


@pytest.fixture
def stack(tmp_path: Path, marked: Marked) -> Stack:
    return Stack(tmp_path / "data", marked)


def test_processes_start_in_order_and_stop_in_reverse(stack: Stack, marked: Marked) -> None:
    supervisor = stack.start_and_wait("one", "two", "three")

    supervisor.send_signal(signal.SIGINT)

    assert supervisor.wait(20) == 0
    assert stack.events() == ["start one", "start two", "start three", "stop three", "stop two", "stop one"]
    assert not marked.running()


@pytest.fixture
def not_under_nohup() -> Iterator[None]:
    """Under nohup the hanging up is ignored by all, and by this test's processes."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


@pytest.mark.usefixtures("not_under_nohup")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_every_way_of_asking_stops_the_stack(stack: Stack, marked: Marked, number: signal.Signals) -> None:
    supervisor = stack.start_and_wait("one")

    supervisor.send_signal(number)

    assert supervisor.wait(20) == 0
    assert not marked.running()


def test_a_process_that_dies_while_starting_stops_the_stack_and_shows_its_last_lines(
    stack: Stack, marked: Marked
) -> None:
    supervisor = stack.start("one", "two:--says=the port is taken,--is-sick,--die-after-s=0.01", "three")

    assert supervisor.wait(20) == 1
    assert "two ended with exit code 3 while starting" in stack.said()
    assert "the port is taken" in stack.said()
    assert "stop one" in stack.events()
    assert "start three" not in stack.events()
    assert not marked.running()


def test_a_process_that_dies_while_a_later_one_starts_stops_the_stack(stack: Stack, marked: Marked) -> None:
    (stack.folder).mkdir()

    supervisor = stack.start("one:--die-after-s=0.5", "two", *(f"more{n}" for n in range(30)))

    assert supervisor.wait(30) == 1
    assert "one ended with exit code 3 while starting" in stack.said()
    assert not marked.running()


def test_only_the_last_twenty_lines_of_this_run_are_shown(stack: Stack) -> None:
    lines = "|".join(f"line {n}." for n in range(30))
    stack.start(f"one:--says=before|{lines},--is-sick,--die-after-s=0.01").wait(20)
    stack.output.unlink()

    stack.start(f"one:--says={lines},--is-sick,--die-after-s=0.01").wait(20)

    shown = re.findall(r"line \d+\.", stack.said())
    assert shown == [f"line {n}." for n in range(10, 30)]


def test_a_process_that_dies_later_is_started_again_later_every_time(stack: Stack) -> None:
    supervisor = stack.start_and_wait("one", "two:--die-after-s=1")

    wait_until(lambda: stack.events().count("start two") >= 3)

    supervisor.send_signal(signal.SIGTERM)
    supervisor.wait(20)
    pauses_s = [float(text) for text in re.findall(r"two: .* starting it again in ([\d.]+) s", stack.said())]
    assert pauses_s[:2] == [0.2, 0.4]
    assert stack.events().count("start one") == 1


def test_a_killed_process_takes_its_children_along_before_it_starts_again(
    stack: Stack, marked: Marked
) -> None:
    supervisor = stack.start_and_wait("one:--child")
    before = set(marked.running())

    os.kill(stack.pid("one"), signal.SIGKILL)
    wait_until(lambda: stack.events().count("start one") == 2)

    assert len(marked.running()) == len(before)
    assert "one: was killed by SIGKILL" in stack.said()
    supervisor.send_signal(signal.SIGTERM)
    supervisor.wait(20)
    assert not marked.running()


def test_nothing_survives_a_supervisor_killed_with_sigkill(stack: Stack, marked: Marked) -> None:
    supervisor = stack.start_and_wait("one", "two:--child", "three:--is-deaf,--child")

    supervisor.kill()
    supervisor.wait(20)

    marked.wait_until_none(timeout_s=15)


def test_a_supervisor_killed_while_starting_leaves_nothing(stack: Stack, marked: Marked) -> None:
    supervisor = stack.start("one:--child", *(f"more{n}" for n in range(30)))
    wait_until(lambda: len(marked.running()) > 5)

    supervisor.kill()
    supervisor.wait(20)

    marked.wait_until_none(timeout_s=15)


def test_a_killed_guardian_is_replaced_and_the_new_one_knows_everything(stack: Stack, marked: Marked) -> None:
    supervisor = stack.start_and_wait("one:--child")
    (guardian,) = (pid for pid, command in marked.running().items() if "guardian.py" in command)

    os.kill(guardian, signal.SIGKILL)
    wait_until(lambda: guardian not in marked.running())
    wait_until(lambda: any("guardian.py" in command for command in marked.running().values()))
    supervisor.kill()
    supervisor.wait(20)

    marked.wait_until_none(timeout_s=15)


def test_a_process_deaf_to_its_stop_signal_is_killed(stack: Stack, marked: Marked) -> None:
    supervisor = stack.start_and_wait("one:--is-deaf")

    supervisor.send_signal(signal.SIGTERM)

    assert supervisor.wait(20) == 0
    assert "one: did not stop in time and is killed" in stack.said()
    assert not marked.running()


def test_a_second_stack_on_the_same_folder_is_refused(stack: Stack) -> None:
    supervisor = stack.start_and_wait("one")

    second = stack.start("one")

    assert second.wait(20) == 1
    assert f"another `recado up` (process {supervisor.pid}) runs on {stack.folder}" in stack.said()
    supervisor.send_signal(signal.SIGTERM)
    supervisor.wait(20)


def test_a_stack_started_right_after_a_kill_waits_for_the_leftovers(stack: Stack, marked: Marked) -> None:
    supervisor = stack.start_and_wait("one:--is-deaf")
    left = stack.pid("one")
    supervisor.kill()
    supervisor.wait(20)
    stack.output.unlink()

    second = stack.start_and_wait("two")

    assert left not in marked.running()
    second.send_signal(signal.SIGTERM)
    assert second.wait(20) == 0
