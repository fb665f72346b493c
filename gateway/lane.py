"""The coalescing lane: webhooks that wait at the same moment travel in one call.

A commit costs the same for one webhook as for fifty. While calls are under way, what arrives waits
and goes together with the next; when nothing is under way, a webhook goes at once, alone.

There is no thread of its own: the first to arrive carries its call itself, and hands the lane to one
of those who wait. So it works the same under threads and under gevent.
"""

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Final

from plumbing import errors

WEBHOOKS_PER_CALL_MAX: Final = 512
BYTES_PER_CALL_MAX: Final = 32 * 1024 * 1024
IN_FLIGHT_MAX: Final = 2
WAITING_MAX: Final = 2_000
# How long after a webhook's own deadline the call it travels in may still end.
_ANSWER_S: Final = 0.3


class Waiter:
    """One webhook and, in the end, what became of it."""

    __slots__ = ("_done", "body", "carries", "error", "is_settled", "received_at")

    def __init__(self, body: bytes, received_at: datetime) -> None:
        self.body = body
        self.received_at = received_at
        self.error: Exception | None = None
        self.is_settled = False
        self.carries = False
        self._done = threading.Event()
        """Set when there is something to do: it is settled, or has been handed the lane."""

    def settle(self, error: Exception | None) -> None:
        self.error = error
        self.is_settled = True
        self._done.set()

    def hand_the_lane(self) -> None:
        self.carries = True
        self._done.set()

    def wait(self, timeout_s: float) -> None:
        """Return when it is settled or has been handed the lane."""
        self._done.wait(timeout_s)

    def wait_settled(self, timeout_s: float) -> None:
        self._done.clear()
        if not self.is_settled:
            self._done.wait(timeout_s)


class Lane:
    """Safe to use from several threads or greenlets."""

    def __init__(
        self,
        send: Callable[[Sequence[Waiter]], None],
        *,
        in_flight_max: int = IN_FLIGHT_MAX,
        waiting_max: int = WAITING_MAX,
    ) -> None:
        """`send` makes the call and returns when all of it is kept; what it raises, every waiter gets."""
        self._send = send
        self._in_flight_max = in_flight_max
        self._waiting_max = waiting_max
        self._waiting: deque[Waiter] = deque()
        self._in_flight = 0
        self._lock = threading.Lock()

    def submit(self, body: bytes, received_at: datetime, *, timeout_s: float) -> None:
        """Return when the webhook is kept.

        Raises what the call raised, DeadlineExceeded when its turn did not come in time, Unavailable
        when too many wait already.
        """
        waiter = Waiter(body, received_at)
        deadline = time.monotonic() + timeout_s
        with self._lock:
            if len(self._waiting) >= self._waiting_max:
                raise errors.Unavailable("too many webhooks wait", retry_after_s=1)
            self._waiting.append(waiter)
            if self._in_flight < self._in_flight_max:
                self._in_flight += 1
                waiter.carries = True
        if not waiter.carries:
            waiter.wait(max(0.0, deadline - time.monotonic()))
            with self._lock:
                if not (waiter.carries or waiter.is_settled) and waiter in self._waiting:
                    self._waiting.remove(waiter)
                    raise errors.DeadlineExceeded("the webhook's turn did not come in time")
        if waiter.carries:
            self._carry()
        # Mostly settled by now; else it travels in somebody's call, whose own deadline ends it.
        waiter.wait_settled(max(0.0, deadline + _ANSWER_S - time.monotonic()))
        if not waiter.is_settled:
            raise errors.DeadlineExceeded("the webhook was not kept in time")
        if waiter.error:
            raise waiter.error

    def _carry(self) -> None:
        """Make one call with all that wait, then pass the lane on.

        The carrier's own webhook is among them, unless another carrier has just taken it along.
        """
        batch = self._take()
        failure: Exception | None = None
        try:
            if batch:
                self._send(batch)
        except Exception as error:
            failure = error
        finally:
            with self._lock:
                heir = self._waiting[0] if self._waiting else None
                if heir is None:
                    self._in_flight -= 1
                else:
                    heir.hand_the_lane()
        for waiter in batch:
            waiter.settle(failure)

    def _take(self) -> list[Waiter]:
        batch: list[Waiter] = []
        size = 0
        with self._lock:
            while self._waiting and len(batch) < WEBHOOKS_PER_CALL_MAX:
                size += len(self._waiting[0].body)
                if batch and size > BYTES_PER_CALL_MAX:
                    break
                batch.append(self._waiting.popleft())
        return batch
