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

PATIENCE_S = 10.0


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
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(leader, number)
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline and any(is_running(leader) for leader in groups):
        time.sleep(0.05)
    for leader in groups:
        # PostgreSQL's children are not in its group; on SIGQUIT it ends them itself, at once.
        if groups[leader] == signal.SIGINT and is_running(leader):
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(leader, signal.SIGQUIT)
            time.sleep(2.0)
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(leader, signal.SIGKILL)


def is_running(group: int) -> bool:
    """Tell whether a process of this group runs; one that nobody has buried yet does not count."""
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    try:
        entries = [entry for entry in os.listdir("/proc") if entry.isdigit()]
    except OSError:
        return True
    for entry in entries:
        try:
            with open(f"/proc/{entry}/stat", encoding="utf-8", errors="replace") as file:
                # The name, in parentheses, may hold anything; after it: state, parent, group.
                state, _, its_group = file.read().rpartition(")")[2].split()[:3]
        except OSError:
            continue
        if int(its_group) == group and state not in "ZX":
            return True
    return False


if __name__ == "__main__":
    main()
