"""Child processes: started so that they die with us, watched, and stopped as a group."""

import functools
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final


class StackError(Exception):
    """Something that the person who runs the stack has to know; the text says what to do."""


def _nothing() -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """One process as the supervisor sees it: how to start it, and how to tell that it serves."""

    name: str
    command: tuple[str, ...]
    environment: Mapping[str, str]
    """The whole environment: secrets travel here, never in `command`."""
    is_healthy: Callable[[], bool]
    """Asked again and again while it starts; quick, and False rather than an exception."""
    prepare: Callable[[], None] = _nothing
    """Done before every start, the restarts included."""
    port: int | None = None
    """The TCP port of 127.0.0.1 it listens on, when another one would do as well."""
    stop_signal: signal.Signals = signal.SIGTERM
    start_timeout_s: float = 60.0
    stop_timeout_s: float = 15.0


class Child:
    """A running program: leader of its own session, so that a Ctrl-C reaches only the supervisor."""

    def __init__(self, program: Program, log: Path) -> None:
        """Start `program` with its output appended to `log`.

        Call it from the main thread: the parent-death signal comes when the *thread* that forked ends.
        """
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("ab") as output:
            self._log_offset = output.tell()
            self._process = subprocess.Popen(
                (*die_with_parent(program.stop_signal), *program.command),
                env=dict(program.environment),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self.program = program
        self.log = log
        self.started_at_s = time.monotonic()

    @property
    def name(self) -> str:
        return self.program.name

    @property
    def pid(self) -> int:
        return self._process.pid

    def exit_code(self) -> int | None:
        """Give the exit code (minus the signal's number when killed), None while it runs.

        When it has ended, what is left of its group is killed first: workers of a master that was
        killed with SIGKILL would keep its port.
        """
        if self._process.returncode is None and _has_ended(self.pid):
            self._signal_group(signal.SIGKILL)
            self._process.wait()
        return self._process.returncode

    def how_it_ended(self) -> str:
        code = self.exit_code()
        if code is None:
            return "is running"
        if code >= 0:
            return f"ended with exit code {code}"
        return f"was killed by {signal.Signals(-code).name}"

    def last_lines(self, count: int = 20) -> list[str]:
        """Give the last lines this process wrote, oldest first."""
        with self.log.open("rb") as output:
            size = output.seek(0, os.SEEK_END)
            # The log may have been cut since: what is left is then all ours.
            start = self._log_offset if self._log_offset <= size else 0
            output.seek(max(start, size - 64 * 1024))
            return output.read().decode(errors="replace").splitlines()[-count:]

    def ask_to_stop(self) -> None:
        """Send the stop signal to the process itself: a master stops its own workers in its own order."""
        if self.exit_code() is None:
            self._process.send_signal(self.program.stop_signal)

    def kill(self) -> None:
        """Kill the whole group and wait for its leader."""
        if self.exit_code() is None:
            self._signal_group(signal.SIGKILL)
            self._process.wait()

    def stop(self, *, timeout_s: float | None = None) -> None:
        """Stop it: by its stop signal, and when that takes too long by SIGKILL."""
        self.ask_to_stop()
        deadline = time.monotonic() + (self.program.stop_timeout_s if timeout_s is None else timeout_s)
        while self.exit_code() is None and time.monotonic() < deadline:
            time.sleep(0.02)
        self.kill()

    def _signal_group(self, number: signal.Signals) -> None:
        try:
            os.killpg(self.pid, number)
        except (ProcessLookupError, PermissionError):
            return  # nothing of it is left (macOS answers EPERM for a group of zombies)


def wait_until_healthy(child: Child) -> None:
    """Return when the program serves; raise StackError with its last lines when it ends or takes too long."""
    deadline = time.monotonic() + child.program.start_timeout_s
    while not child.program.is_healthy():
        if child.exit_code() is not None:
            raise StackError(describe_death(child))
        if time.monotonic() > deadline:
            child.stop()
            raise StackError(
                f"{child.name} did not become healthy within {child.program.start_timeout_s:g} s\n"
                + quote_log(child)
            )
        time.sleep(0.02)


def describe_death(child: Child) -> str:
    return f"{child.name} {child.how_it_ended()} while starting\n{quote_log(child)}"


def quote_log(child: Child) -> str:
    lines = child.last_lines() or ["(it wrote nothing)"]
    return "\n".join([f"Last lines of {child.log}:", *(f"  {line}" for line in lines)])


def die_with_parent(number: signal.Signals) -> tuple[str, ...]:
    """Give the command prefix that makes the kernel send `number` to a child whose parent is gone.

    Empty where the system has no such thing: the guardian (guardian.py) does it then, a little later.
    """
    return ("setpriv", "--pdeathsig", number.name.removeprefix("SIG")) if _has_pdeathsig() else ()


@functools.cache
def _has_pdeathsig() -> bool:
    # busybox has a setpriv without this option.
    return sys.platform == "linux" and succeeds("setpriv", "--pdeathsig", "TERM", "true")


def succeeds(*command: str, timeout_s: float = 10.0) -> bool:
    """Tell whether a command exists here and ends with exit code 0."""
    if shutil.which(command[0]) is None:
        return False
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=timeout_s,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0


# Below the range from which Linux takes the ports of outgoing connections (32768 on), so that none
# of those sits on the port of a process that is being restarted.
_PORTS: Final = range(20_000, 32_000)


def free_port() -> int:
    """Give a TCP port of 127.0.0.1 that nobody listens on. Another process may still take it first."""
    for _ in range(200):
        port = random.SystemRandom().choice(_PORTS)
        if is_port_free("127.0.0.1", port):
            return port
    raise StackError("no free TCP port found on 127.0.0.1")


def is_port_free(host: str, port: int) -> bool:
    return why_not_free(host, port) is None


def why_not_free(host: str, port: int) -> OSError | None:
    """Give what stands in the way of listening there; None when nothing does."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            return error
    return None


def _has_ended(pid: int) -> bool:
    # WNOWAIT leaves it a zombie, so that its id still means its group when the group is killed.
    return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
