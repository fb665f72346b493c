"""Processes marked by their environment, so that a test finds every one it caused."""

import contextlib
import os
import signal
import time
import uuid
from collections.abc import Callable
from pathlib import Path


class Marked:
    """Finds the processes that inherited a mark in their environment."""

    def __init__(self) -> None:
        self._mark = f"RECADO_TEST_MARK={uuid.uuid4()}"

    @property
    def environment(self) -> dict[str, str]:
        name, _, value = self._mark.partition("=")
        return {**os.environ, name: value}

    def running(self) -> dict[int, str]:
        """Give process id and command line of each; a dead one that nobody has buried does not count."""
        found: dict[int, str] = {}
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                with contextlib.suppress(OSError):
                    state = (entry / "stat").read_text().rpartition(")")[2].split()[0]
                    if state not in "ZX" and self._mark.encode() in (entry / "environ").read_bytes():
                        command = (entry / "cmdline").read_bytes().replace(b"\0", b" ")
                        found[int(entry.name)] = command.decode()
        return found

    def kill_all(self) -> None:
        for pid in self.running():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def wait_until_none(self, timeout_s: float) -> None:
        wait_until(lambda: not self.running(), timeout_s=timeout_s)


def wait_until(is_true: Callable[[], bool], *, timeout_s: float = 20.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not is_true():
        assert time.monotonic() < deadline, "it did not come true in time"
        time.sleep(0.05)
