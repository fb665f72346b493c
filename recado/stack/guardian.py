"""The guardian: outlives a supervisor that was killed, ends what it left running, then ends itself.

Run as a script of its own, with the standard library alone: it has to be small and to fail at nothing.
Its input is a pipe that only the supervisor holds open. A line "+ PID SIGNAL" tells of a process group
to end by that signal, "- PID" of one that is gone. The end of the input is the end of the supervisor.

The kernel's parent-death signal reaches direct children only, exists on Linux only, and nobody insists
when a child is slow to obey. The guardian does: SIGKILL for the whole group. It also inherits the lock
of the data folder, so that no other stack starts there before everything has ended.
"""

import contextlib
import os
import signal
import sys
import time
from collections.abc import Callable, Set

PATIENCE_S = 2.0
DATABASE_PATIENCE_S = 10.0


def main() -> None:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    groups: dict[int, int] = {}
    for line in sys.stdin:
        sign, *numbers = line.split()
        if sign == "+":
            groups[int(numbers[0])] = int(numbers[1])
        else:
            groups.pop(int(numbers[0]), None)
    end(groups)


def end(groups: dict[int, int]) -> None:
    """Ask every group's leader to stop, wait a little, then kill what is left."""
    for leader, number in groups.items():
        send(os.kill, leader, number)
    # The processes that own data stop by SIGINT and get the time to write it down.
    databases = {leader for leader, number in groups.items() if number == signal.SIGINT}
    wait_for(groups.keys() - databases, PATIENCE_S)
    for leader in groups.keys() - databases:
        send(os.killpg, leader, signal.SIGKILL)
    wait_for(databases, DATABASE_PATIENCE_S)
    for leader in databases:
        if is_running(leader):
            # PostgreSQL's children are not in its group: on SIGQUIT it ends them itself, at once.
            send(os.kill, leader, signal.SIGQUIT)
            wait_for({leader}, PATIENCE_S)
        send(os.killpg, leader, signal.SIGKILL)


def wait_for(pids: Set[int], timeout_s: float) -> None:
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline and any(is_running(pid) for pid in pids):
        time.sleep(0.05)


def send(how: Callable[[int, int], None], pid: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        how(pid, number)


def is_running(pid: int) -> bool:
    """Tell whether this process runs; one that has ended and that nobody has buried yet does not."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
            # The name, in parentheses, may hold anything; the state comes after it.
            return file.read().rpartition(")")[2].split()[0] not in {"Z", "X"}
    except FileNotFoundError:
        return not os.path.exists("/proc/self")  # without a /proc the signal's word counts
    except OSError:
        return True


if __name__ == "__main__":
    main()
