"""Our own load generator: one thread, many kept-alive connections, requests from a file.

Run as a process of its own (`python -m recado.bench.load`, its plan as JSON on standard input), so
that what it costs is known and not in anybody's way.

Two ways to send:
* closed: every connection sends its next request when the last is answered. Shows what a server can
  take; the latency it shows is that of its own queue.
* open: requests have times at which they are due, whatever the server does, and latency counts from
  that time. A server that stalls for a second is then seen by every request of that second; measured
  from the moment of sending it would be seen by one ("coordinated omission").
"""

import contextlib
import resource
import selectors
import socket
import sys
import time
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Final

import msgspec

from recado.bench import bodies
from recado.sandbox import wire

_RECEIVE_BYTES: Final = 65_536
# A connection that nobody used for longer may be on its way to being closed by the server.
_IDLE_S_MAX: Final = 1.0
_ANSWER_S_MAX: Final = 30.0
_SLEEP_S_MAX: Final = 0.05
_ATTEMPTS_MAX: Final = 2


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    host: str
    port: int
    requests: str
    """A file as `bodies.write` makes it."""
    skip: int = 0
    """How many of its requests to leave out at the start."""
    connections: int
    seconds: float | None
    """How long to send; None sends the whole file."""
    rate: float | None = None
    """Requests a second, arriving at random (Poisson); None is the closed way."""
    seed: int = 0
    wraps: bool = False
    """Whether to begin again at the end of the file."""


class Outcome(msgspec.Struct, kw_only=True):
    taken: int = 0
    """Requests taken from the file."""
    acknowledged: int = 0
    """Answered with 200."""
    statuses: dict[int, int] = {}
    unacknowledged: list[int] = []
    """Numbers (in the file, from 0) of those that were not."""
    seconds: float = 0.0
    """From the first request to the end of sending, the drain at the end left out."""
    acknowledged_in_time: int = 0
    """Those acknowledged before sending ended."""
    cpu_s: float = 0.0
    """What the generator itself used."""
    latencies_s: list[float] = []


class Arrivals:
    """Times at which requests are due, as many per second on average, as if by independent senders."""

    def __init__(self, rng: Random, rate: float) -> None:
        self._rng = rng
        self._rate = rate
        self.next_s = rng.expovariate(rate)

    def due(self, now_s: float) -> Iterator[float]:
        """Yield every time that has come by `now_s`, each once, however late the question comes."""
        while self.next_s <= now_s:
            yield self.next_s
            self.next_s += self._rng.expovariate(self._rate)


class _Connection:
    def __init__(self, address: tuple[str, int]) -> None:
        self.socket = socket.create_connection(address, timeout=5.0)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.received = b""
        self.job: Job | None = None
        self.idle_since = 0.0


class Job(msgspec.Struct):
    number: int
    request: bytes
    due_at: float
    attempts: int = 0

    def latency_s(self, *, at: float) -> float:
        """Say how long it has taken, the time it waited for a connection included."""
        return at - self.due_at


class _Source:
    """The requests of the plan, numbered."""

    def __init__(self, plan: Plan) -> None:
        self._path = Path(plan.requests)
        self._wraps = plan.wraps
        self._requests = bodies.read(self._path)
        self._number = 0
        for _ in range(plan.skip):
            self.take()

    def take(self) -> tuple[int, bytes] | None:
        request = next(self._requests, None)
        if request is None and self._wraps:
            self._requests = bodies.read(self._path)
            request = next(self._requests, None)
        if request is None:
            return None
        self._number += 1
        return self._number - 1, request


class Generator:
    """Carries out one plan."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._address = (plan.host, plan.port)
        self._source = _Source(plan)
        self._selector = selectors.DefaultSelector()
        self._idle: list[_Connection] = []
        self._busy: set[_Connection] = set()
        self._waiting: deque[Job] = deque()
        self._outcome = Outcome()
        self._ends_at = 0.0

    def run(self) -> Outcome:
        plan, outcome = self._plan, self._outcome
        for _ in range(plan.connections):
            self._open()
        cpu = resource.getrusage(resource.RUSAGE_SELF)
        started = time.monotonic()
        self._ends_at = started + plan.seconds if plan.seconds is not None else float("inf")
        if plan.rate is None:
            self._send_closed()
        else:
            self._send_open(plan.rate, started)
        ended = time.monotonic()
        outcome.seconds = ended - started
        outcome.acknowledged_in_time = outcome.acknowledged
        self._drain(ended + _ANSWER_S_MAX)
        used = resource.getrusage(resource.RUSAGE_SELF)
        outcome.cpu_s = used.ru_utime + used.ru_stime - cpu.ru_utime - cpu.ru_stime
        for connection in (*self._idle, *self._busy):
            connection.socket.close()
        self._selector.close()
        return outcome

    # The two ways

    def _send_closed(self) -> None:
        is_exhausted = False
        while True:
            now = time.monotonic()
            if now >= self._ends_at:
                return
            while self._waiting and self._idle:
                self._send(self._waiting.popleft(), now)
            while self._idle and not is_exhausted:
                taken = self._source.take()
                if taken is None:
                    is_exhausted = True
                    break
                self._outcome.taken += 1
                self._send(Job(taken[0], taken[1], now), now)
            if is_exhausted and not self._busy and not self._waiting:
                return
            self._receive(_SLEEP_S_MAX)

    def _send_open(self, rate: float, started: float) -> None:
        arrivals = Arrivals(wire.seeded("arrivals", self._plan.seed, rate), rate)
        while True:
            now = time.monotonic()
            for due_s in arrivals.due(min(now, self._ends_at) - started):
                taken = self._source.take()
                if taken is None:
                    return
                self._outcome.taken += 1
                self._waiting.append(Job(taken[0], taken[1], started + due_s))
            while self._waiting and self._idle:
                self._send(self._waiting.popleft(), now)
            if now >= self._ends_at:
                return
            self._receive(max(0.0, min(_SLEEP_S_MAX, started + arrivals.next_s - time.monotonic())))

    def _drain(self, gives_up_at: float) -> None:
        """Wait for what is under way and, of an open plan, send what was due and found no connection."""
        while (self._busy or self._waiting) and time.monotonic() < gives_up_at:
            while self._waiting and self._idle:
                self._send(self._waiting.popleft(), time.monotonic())
            self._receive(_SLEEP_S_MAX)
        left = (*(connection.job for connection in self._busy), *self._waiting)
        self._outcome.unacknowledged += [job.number for job in left if job is not None]

    # Connections

    def _open(self) -> None:
        connection = _Connection(self._address)
        self._selector.register(connection.socket, selectors.EVENT_READ, connection)
        connection.idle_since = time.monotonic()
        self._idle.append(connection)

    def _close(self, connection: _Connection) -> None:
        self._selector.unregister(connection.socket)
        connection.socket.close()
        self._busy.discard(connection)
        if connection in self._idle:
            self._idle.remove(connection)

    def _send(self, job: Job, now: float) -> None:
        # The connection used last: the others may rest.
        connection = self._idle[-1]
        if now - connection.idle_since > _IDLE_S_MAX:
            self._close(connection)
            self._open()
            connection = self._idle[-1]
        self._idle.pop()
        connection.job = job
        job.attempts += 1
        self._busy.add(connection)
        with contextlib.suppress(OSError):
            # A broken connection shows when its answer is read.
            connection.socket.sendall(job.request)

    def _receive(self, timeout_s: float) -> None:
        for key, _ in self._selector.select(timeout_s):
            connection: _Connection = key.data
            try:
                data = connection.socket.recv(_RECEIVE_BYTES)
            except OSError:
                data = b""
            if data:
                connection.received += data
                status = status_of(connection.received)
                if status is not None and connection.job is not None:
                    self._answered(connection, connection.job, status)
            else:
                self._lost(connection)

    def _answered(self, connection: _Connection, job: Job, status: int) -> None:
        now = time.monotonic()
        outcome = self._outcome
        outcome.latencies_s.append(job.latency_s(at=now))
        outcome.statuses[status] = outcome.statuses.get(status, 0) + 1
        if status == 200:
            outcome.acknowledged += 1
        else:
            outcome.unacknowledged.append(job.number)
        closes = b"connection: close" in connection.received.lower()
        connection.received = b""
        connection.job = None
        self._busy.discard(connection)
        connection.idle_since = now
        self._idle.append(connection)
        if closes:
            self._close(connection)
            self._open()

    def _lost(self, connection: _Connection) -> None:
        """Open another connection for one the server closed; what it carried is sent once more."""
        job = connection.job
        self._close(connection)
        with contextlib.suppress(OSError):
            self._open()
        if job is not None:
            if job.attempts < _ATTEMPTS_MAX:
                self._waiting.appendleft(job)
            else:
                self._outcome.unacknowledged.append(job.number)


def status_of(received: bytes) -> int | None:
    """Give the status of a response that is there in full; None while it is not."""
    end = received.find(b"\r\n\r\n")
    if end < 0:
        return None
    head = received[:end].lower()
    start = head.find(b"content-length:")
    length = int(head[start + 15 :].split(b"\r\n", 1)[0]) if start >= 0 else 0
    return int(received[9:12]) if len(received) >= end + 4 + length else None


def accepts(host: str, port: int) -> bool:
    """Say whether anything listens there."""
    try:
        socket.create_connection((host, port), timeout=1.0).close()
    except OSError:
        return False
    return True


def main() -> None:
    plan = msgspec.json.decode(sys.stdin.buffer.read(), type=Plan)
    sys.stdout.buffer.write(msgspec.json.encode(Generator(plan).run()))


if __name__ == "__main__":
    main()
