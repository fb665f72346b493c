"""The supervisor: starts a declared list of processes in order, watches them, stops them in reverse.

A process that dies while the stack starts stops it all; one that dies later is started again, a little
later every time.
"""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Final

from recado.stack import guardian
from recado.stack.processes import Child, Program, StackError, describe_death, is_port_free, quote_log

TICK_S: Final = 0.1
BACKOFF_FIRST_S: Final = 0.2
BACKOFF_MAX_S: Final = 30.0
# A process that has lived this long gets the short pause again when it dies.
BACKOFF_FORGOTTEN_AFTER_S: Final = 60.0
PORT_ATTEMPTS: Final = 5
LOG_BYTES_MAX: Final = 64 * 1024 * 1024
LOGS_LOOKED_AT_EVERY_S: Final = 30.0


class StopRequested(Exception):
    """Somebody asked the stack to stop while it was starting."""


@dataclass(frozen=True, slots=True)
class Declared:
    """A process of the stack."""

    name: str
    declare: Callable[[], Program]
    """Called when its turn has come, so that it may build on what those before it turned out to be."""
    choose_other_port: Callable[[], None] | None = None
    """Called when somebody else took its port first; the next `declare` then speaks of another."""


@dataclass(frozen=True, slots=True)
class Step:
    """Something to be done once between two processes, such as migrations."""

    name: str
    do: Callable[[], None]


@dataclass(slots=True)
class _Watched:
    child: Child
    restarts: int = 0
    restart_at_s: float | None = None
    """When to start it again; None while it runs."""


def _nothing(_pids: dict[str, int]) -> None: ...


@dataclass(slots=True, kw_only=True)
class Supervisor:
    log_of: Callable[[str], Path]
    tell: Callable[[str, str], None]
    """Told (name, what happened), for people."""
    when_changed: Callable[[dict[str, int]], None] = _nothing
    """Given the process ids by name once everything runs, and again whenever one was started anew."""
    inherited: Sequence[int] = ()
    """File descriptors that the guardian keeps open until everything has ended."""
    _watched: dict[str, _Watched] = field(default_factory=dict[str, _Watched])
    # A plain number: a handler that sets a threading.Event can meet its own thread inside the event's lock.
    _signals: int = 0
    _guardian: subprocess.Popen[bytes] | None = None

    def run(self, plan: Sequence[Declared | Step], when_ready: Callable[[], None]) -> None:
        """Start everything, call `when_ready`, and return when a signal has stopped everything.

        Call it from the main thread. Raises StackError when something fails to start; everything is
        stopped by then, whatever the outcome.
        """
        before = {
            number: signal.signal(number, self._on_signal)
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
            # nohup: the end of the terminal is not to be the end of the stack.
            if (number, signal.getsignal(number)) != (signal.SIGHUP, signal.SIG_IGN)
        }
        try:
            self._start_guardian()
            for item in plan:
                self._start(item)
            self.when_changed(self._pids())
            when_ready()
            self._watch()
        except StopRequested:
            pass
        finally:
            self.stop_all()
            for number, handler in before.items():
                signal.signal(number, handler)

    def _pids(self) -> dict[str, int]:
        return {name: watched.child.pid for name, watched in self._watched.items()}

    def check(self) -> None:
        """Raise StackError when a process has died, StopRequested when a signal came; while starting."""
        if self._signals:
            raise StopRequested
        for watched in self._watched.values():
            if watched.child.exit_code() is not None:
                raise StackError(describe_death(watched.child))

    def stop_all(self) -> None:
        """Stop what runs, the last started first; a second signal meanwhile kills the rest at once."""
        signals_before = self._signals
        for name, watched in reversed(self._watched.items()):
            child = watched.child
            if child.exit_code() is None:
                child.ask_to_stop()
                deadline = time.monotonic() + child.program.stop_timeout_s
                while child.exit_code() is None and time.monotonic() < deadline:
                    if self._signals > signals_before + 1:
                        break
                    time.sleep(0.02)
                if child.exit_code() is None:
                    self.tell(name, "did not stop in time and is killed")
                child.kill()
            self._tell_guardian(f"- {child.pid}")
        self._watched.clear()
        if self._guardian is not None:
            assert self._guardian.stdin is not None
            self._guardian.stdin.close()
            self._guardian.wait()
            self._guardian = None

    def _start(self, item: Declared | Step) -> None:
        started_s = time.monotonic()
        if isinstance(item, Step):
            self.check()
            item.do()
        else:
            self._start_process(item)
        self.tell(item.name, f"ready in {time.monotonic() - started_s:.1f} s")

    def _start_process(self, declared: Declared) -> None:
        for attempt in range(1, PORT_ATTEMPTS + 1):
            program = declared.declare()
            program.prepare()
            child = self._launch(program)
            self._watched[declared.name] = _Watched(child)
            try:
                self._wait_until_healthy(child)
            except StackError:
                is_port_lost = (
                    declared.choose_other_port is not None
                    and child.exit_code() is not None
                    and program.port is not None
                    and not is_port_free("127.0.0.1", program.port)
                )
                if not is_port_lost or attempt == PORT_ATTEMPTS:
                    raise
                assert declared.choose_other_port is not None
                declared.choose_other_port()
            else:
                return

    def _wait_until_healthy(self, child: Child) -> None:
        deadline = time.monotonic() + child.program.start_timeout_s
        # Asked after its end too: an answer then comes from somebody else, who has its port.
        while not child.program.is_healthy():
            self.check()
            if time.monotonic() > deadline:
                raise StackError(
                    f"{child.name} did not become healthy within {child.program.start_timeout_s:g} s\n"
                    + quote_log(child)
                )
            time.sleep(0.03)
        self.check()

    def _launch(self, program: Program) -> Child:
        child = Child(program, self.log_of(program.name))
        self._tell_guardian(f"+ {child.pid} {int(program.stop_signal)}")
        return child

    def _watch(self) -> None:
        logs_seen_s = time.monotonic()
        while not self._signals:
            time.sleep(TICK_S)
            now_s = time.monotonic()
            for name, watched in self._watched.items():
                if watched.restart_at_s is not None:
                    if now_s >= watched.restart_at_s:
                        self._restart(name, watched)
                elif watched.child.exit_code() is not None:
                    self._plan_restart(name, watched)
            if now_s - logs_seen_s > LOGS_LOOKED_AT_EVERY_S:
                logs_seen_s = now_s
                for name, watched in self._watched.items():
                    self._keep_small(name, watched.child.log)
            if self._guardian is not None and self._guardian.poll() is not None:
                self._start_guardian()

    def _keep_small(self, name: str, log: Path) -> None:
        try:
            _cut(log)
        except OSError as error:  # deleted, or no room for what is moved: no reason to stop anything
            self.tell(name, f"its log was not cut: {error.strerror}")

    def _plan_restart(self, name: str, watched: _Watched) -> None:
        self._tell_guardian(f"- {watched.child.pid}")
        lived_s = time.monotonic() - watched.child.started_at_s
        watched.restarts = 1 if lived_s > BACKOFF_FORGOTTEN_AFTER_S else watched.restarts + 1
        pause_s = min(BACKOFF_FIRST_S * 2 ** (watched.restarts - 1), BACKOFF_MAX_S)
        watched.restart_at_s = time.monotonic() + pause_s
        self.tell(name, f"{watched.child.how_it_ended()}; starting it again in {pause_s:g} s")

    def _restart(self, name: str, watched: _Watched) -> None:
        program = watched.child.program
        try:
            program.prepare()
            watched.child = self._launch(program)
        except (OSError, StackError) as error:
            # The disk is full, or a leftover does not go away: as good a reason to wait as a death.
            watched.restarts += 1
            watched.restart_at_s = time.monotonic() + BACKOFF_MAX_S
            self.tell(name, f"could not be started ({error}); trying again in {BACKOFF_MAX_S:g} s")
        else:
            watched.restart_at_s = None
            self.when_changed(self._pids())

    def _on_signal(self, _number: int, _frame: FrameType | None) -> None:
        self._signals += 1

    def _start_guardian(self) -> None:
        self._guardian = subprocess.Popen(
            (sys.executable, "-I", "-S", guardian.__file__),
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            pass_fds=tuple(self.inherited),
        )
        for watched in self._watched.values():
            if watched.child.exit_code() is None:
                self._tell_guardian(f"+ {watched.child.pid} {int(watched.child.program.stop_signal)}")

    def _tell_guardian(self, line: str) -> None:
        if self._guardian is None or self._guardian.stdin is None:
            return
        try:
            self._guardian.stdin.write(line.encode() + b"\n")
            self._guardian.stdin.flush()
        except BrokenPipeError:
            return  # it was killed; the watch starts another and tells that one everything


def _cut(log: Path) -> None:
    """Keep a log below its limit: what is in it moves to NAME.log.1, and it starts anew.

    Emptied in place: the process holds it open, and appends.
    """
    if log.stat().st_size > LOG_BYTES_MAX:
        shutil.copyfile(log, log.with_name(log.name + ".1"))
        os.truncate(log, 0)
