"""The coalescing lane: webhooks that wait at the same moment travel in one call.

A commit costs nearly the same for one webhook as for fifty. While calls are under way, what arrives
waits and goes together with the next; when nothing is under way, a webhook goes at once, alone.

There is no thread of its own: whoever finds the lane free makes the call, and hands the lane on to
one of those who came meanwhile. So it works the same under threads and under gevent.
"""

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Final, TypeAlias

from plumbing import errors

WEBHOOKS_PER_CALL_MAX: Final = 512
BYTES_PER_CALL_MAX: Final = 32 * 1024 * 1024
IN_FLIGHT_MAX: Final = 2
WAITING_MAX: Final = 2_000
# While one call is under way, another begins when so many wait for it, or one has waited so long. A
# second call for every single webhook kept a tenth fewer of them a second and answered them later; the
# patience is for those who would otherwise wait for a slow call.
CARGO_MIN: Final = 64
PATIENCE_S: Final = 0.02
# How long after its own deadline a webhook still waits for the call it travels in.
_GRACE_S: Final = 0.2


class Waiter:
    """One webhook and, in the end, what became of it."""

    __slots__ = ("_woken", "body", "cargo", "deadline", "error", "is_aboard", "is_settled", "received_at")

    def __init__(self, body: bytes, received_at: datetime, deadline: float) -> None:
        self.body = body
        self.received_at = received_at
        self.deadline = deadline
        self.is_aboard = False
        """It has left the queue; somebody's call takes it along."""
        self.cargo: list[Waiter] = []
        """What it is asked to carry, itself included; empty for all who are carried."""
        self.is_settled = False
        self.error: BaseException | None = None
        self._woken = threading.Event()

    def wake(self) -> None:
        self._woken.set()

    def settle(self, error: BaseException | None) -> None:
        self.error = error
        self.is_settled = True
        self._woken.set()

    def wait_until(self, moment: float) -> None:
        """Return when it is settled, when it is asked to carry, or at this moment."""
        self._woken.wait(max(0.0, moment - time.monotonic()))


Send: TypeAlias = Callable[[Sequence[Waiter], float], None]


class Lane:
    """Safe to use from several threads or greenlets."""

    def __init__(
        self, send: Send, *, in_flight_max: int = IN_FLIGHT_MAX, waiting_max: int = WAITING_MAX
    ) -> None:
        """`send` makes the call within so many seconds and returns when all of it is kept.

        What it raises, everybody in the call gets.
        """
        self._send = send
        self._in_flight_max = in_flight_max
        self._waiting_max = waiting_max
        # Somebody waits only while a call is under way, whose end takes along all that wait.
        self._waiting: deque[Waiter] = deque()
        self._in_flight = 0
        self._lock = threading.Lock()

    def submit(self, body: bytes, received_at: datetime, *, timeout_s: float) -> None:
        """Return when the webhook is kept.

        Raises Unavailable when too many wait already, when its turn or the answer did not come in
        time, and when the call failed with one of plumbing.errors: it may have been kept or not, and
        must be sent again. A bug that the call ran into passes through.
        """
        waiter = Waiter(body, received_at, time.monotonic() + timeout_s)
        with self._lock:
            if len(self._waiting) >= self._waiting_max:
                raise errors.Unavailable("too many webhooks wait", retry_after_s=1)
            self._waiting.append(waiter)
            is_next = len(self._waiting) == 1
            if self._in_flight == 0 or len(self._waiting) >= CARGO_MIN:
                self._depart()
        if is_next and not waiter.cargo:
            # Those behind it leave with it: one of them all has to be impatient.
            waiter.wait_until(min(waiter.deadline, time.monotonic() + PATIENCE_S))
            with self._lock:
                if not waiter.is_aboard:
                    self._depart()
        if not (waiter.cargo or waiter.is_settled):
            waiter.wait_until(waiter.deadline)
        if not (waiter.cargo or waiter.is_settled):
            with self._lock:
                if not waiter.is_aboard:
                    self._waiting.remove(waiter)
                    raise errors.Unavailable("the webhook's turn did not come in time", retry_after_s=1)
        if waiter.cargo:
            # Not to be skipped however late it is: the others aboard and the lane depend on it.
            self._carry(waiter)
        elif not waiter.is_settled:
            waiter.wait_until(waiter.deadline + _GRACE_S)
        if not waiter.is_settled:
            raise errors.Unavailable("the webhook may not have been kept: it took too long", retry_after_s=1)
        # An exception of its own for each: the one they share would gather the traceback of them all.
        if isinstance(waiter.error, errors.RecadoError):
            raise errors.Unavailable("the webhook may not have been kept", retry_after_s=1) from waiter.error
        if waiter.error:
            raise RuntimeError("the call of the lane failed") from waiter.error

    def _depart(self) -> None:
        """Begin a call with those who wait, where one more may be under way. The caller holds the lock."""
        if self._in_flight < self._in_flight_max:
            self._in_flight += 1
            self._board()

    def _board(self) -> None:
        """Have one of those who wait carry as many as fit. The caller holds the lock."""
        cargo = self._load()
        # The youngest has the most time left, and the call has as much as its carrier.
        carrier = cargo[-1]
        carrier.cargo = cargo
        carrier.wake()

    def _carry(self, carrier: Waiter) -> None:
        # Let go of: it contains its carrier, and such circles are the garbage collector's work.
        cargo, carrier.cargo = carrier.cargo, []
        failure: BaseException | None = errors.Unavailable("the call was cut off")
        try:
            self._send(cargo, max(0.0, carrier.deadline - time.monotonic()))
            failure = None
        except Exception as error:
            failure = error
        finally:
            # Before anybody is told, so that the next call is under way while answers are written.
            self._hand_on()
            for waiter in cargo:
                waiter.settle(failure)

    def _hand_on(self) -> None:
        with self._lock:
            if self._waiting:
                self._board()
            else:
                self._in_flight -= 1

    def _load(self) -> list[Waiter]:
        """Take as many from the queue as fit into one call. The caller holds the lock."""
        cargo: list[Waiter] = []
        size_bytes = 0
        while self._waiting and len(cargo) < WEBHOOKS_PER_CALL_MAX:
            size_bytes += len(self._waiting[0].body)
            if cargo and size_bytes > BYTES_PER_CALL_MAX:
                break
            waiter = self._waiting.popleft()
            waiter.is_aboard = True
            cargo.append(waiter)
        return cargo
