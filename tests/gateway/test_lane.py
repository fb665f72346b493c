"""The lane: who waits together travels together, and everybody gets an answer in time."""

import threading
import time
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings, strategies as st

from gateway import lane
from gateway.lane import Lane, Waiter
from plumbing import errors

NOW = datetime(2026, 11, 23, tzinfo=UTC)


class Capture:
    """Keeps what it is sent, call by call; while it is held, calls stay under way."""

    def __init__(self) -> None:
        self.calls: list[list[bytes]] = []
        self.timeouts_s: list[float] = []
        self.failure: Exception | None = None
        self._goes_on = threading.Event()
        self._goes_on.set()
        self._lock = threading.Lock()
        self.under_way = self.under_way_max = 0

    def hold(self) -> None:
        self._goes_on.clear()

    def go_on(self) -> None:
        self._goes_on.set()

    def __call__(self, waiters: Sequence[Waiter], timeout_s: float) -> None:
        with self._lock:
            self.calls.append([waiter.body for waiter in waiters])
            self.timeouts_s.append(timeout_s)
            self.under_way += 1
            self.under_way_max = max(self.under_way_max, self.under_way)
        is_answered = self._goes_on.wait(timeout_s)
        with self._lock:
            self.under_way -= 1
        if not is_answered:
            raise errors.DeadlineExceeded("too slow")
        if self.failure:
            raise self.failure

    @property
    def kept(self) -> list[bytes]:
        return [body for call in self.calls for body in call]


def until(condition: object, *, within_s: float = 5) -> None:
    assert callable(condition)
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.002)


class Crowd:
    """Submits webhooks, each from a thread of its own."""

    def __init__(self, road: Lane, pool: ThreadPoolExecutor, *, timeout_s: float = 5) -> None:
        self.road = road
        self.pool = pool
        self.timeout_s = timeout_s

    def send(self, body: bytes) -> "Future[None]":
        return self.pool.submit(self.road.submit, body, NOW, timeout_s=self.timeout_s)

    def send_all_waiting(self, bodies: Sequence[bytes], *, already: int = 0) -> "list[Future[None]]":
        """Submit in this order, each after the one before has joined the queue."""
        futures: list[Future[None]] = []
        for count, body in enumerate(bodies, already + 1):
            futures.append(self.send(body))
            until(lambda count=count: len(self.road._waiting) == count)
        return futures


@pytest.fixture
def capture() -> Capture:
    return Capture()


@pytest.fixture
def pool():
    with ThreadPoolExecutor(64) as found:
        yield found


def is_idle(road: Lane) -> bool:
    return not road._waiting and road._in_flight == 0


def test_an_idle_lane_sends_at_once_and_alone(capture: Capture):
    road = Lane(capture)

    for body in (b"1", b"2", b"3"):
        road.submit(body, NOW, timeout_s=1)

    assert capture.calls == [[b"1"], [b"2"], [b"3"]]
    assert is_idle(road)


def test_what_arrives_while_all_calls_are_under_way_travels_together(
    capture: Capture, pool: ThreadPoolExecutor
):
    road = Lane(capture, in_flight_max=2)
    crowd = Crowd(road, pool)
    capture.hold()
    first = [crowd.send(b"a"), crowd.send(b"b")]
    until(lambda: capture.under_way == 2)
    late = crowd.send_all_waiting([b"c", b"d", b"e"])

    capture.go_on()

    for future in first + late:
        future.result(5)
    assert sorted(capture.calls[:2]) == [[b"a"], [b"b"]]
    assert capture.calls[2:] == [[b"c", b"d", b"e"]]
    assert capture.under_way_max == 2
    assert is_idle(road)


def test_nobody_waits_long_for_a_slow_call_that_is_not_its_own(capture: Capture, pool: ThreadPoolExecutor):
    road = Lane(capture, in_flight_max=2)
    crowd = Crowd(road, pool)
    capture.hold()
    slow = crowd.send(b"slow")
    until(lambda: capture.under_way == 1)

    quick = crowd.send(b"quick")
    until(lambda: capture.under_way == 2)

    capture.go_on()
    slow.result(5)
    quick.result(5)
    assert capture.calls == [[b"slow"], [b"quick"]]
    until(lambda: is_idle(road))


def test_a_second_call_begins_at_once_when_enough_wait_for_it(
    capture: Capture, pool: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("gateway.lane.PATIENCE_S", 60.0)
    monkeypatch.setattr("gateway.lane.CARGO_MIN", 3)
    road = Lane(capture, in_flight_max=2)
    crowd = Crowd(road, pool)
    capture.hold()
    crowd.send(b"first")
    until(lambda: capture.under_way == 1)
    crowd.send_all_waiting([b"a", b"b"])

    crowd.send(b"c")
    until(lambda: capture.under_way == 2)

    assert capture.calls[1] == [b"a", b"b", b"c"]
    capture.go_on()
    until(lambda: is_idle(road))


def test_a_call_takes_no_more_than_it_may(
    capture: Capture, pool: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(lane, "WEBHOOKS_PER_CALL_MAX", 3)
    monkeypatch.setattr(lane, "BYTES_PER_CALL_MAX", 10)
    road = Lane(capture, in_flight_max=1)
    crowd = Crowd(road, pool)
    capture.hold()
    first = crowd.send(b"0")
    until(lambda: capture.under_way == 1)
    late = crowd.send_all_waiting([b"1", b"2", b"3", b"4", b"seven77", b"x" * 50, b"5"])

    capture.go_on()

    for future in [first, *late]:
        future.result(5)
    assert capture.calls == [[b"0"], [b"1", b"2", b"3"], [b"4", b"seven77"], [b"x" * 50], [b"5"]]


def test_a_failed_call_fails_all_who_were_in_it_and_no_other(capture: Capture, pool: ThreadPoolExecutor):
    road = Lane(capture, in_flight_max=1)
    crowd = Crowd(road, pool)
    capture.hold()
    first = crowd.send(b"a")
    until(lambda: capture.under_way == 1)
    late = crowd.send_all_waiting([b"b", b"c"])

    capture.failure = errors.Internal("broken")
    capture.go_on()

    for future in [first, *late]:
        with pytest.raises(errors.Unavailable):
            future.result(5)
    capture.failure = None
    road.submit(b"d", NOW, timeout_s=1)
    assert is_idle(road)


def test_a_bug_in_the_call_is_not_taken_for_an_outage(capture: Capture):
    road = Lane(capture)
    capture.failure = ZeroDivisionError()

    with pytest.raises(RuntimeError):
        road.submit(b"a", NOW, timeout_s=1)

    assert is_idle(road)


def test_a_silent_capture_costs_nobody_more_than_the_time_allowed(capture: Capture, pool: ThreadPoolExecutor):
    road = Lane(capture, in_flight_max=2)
    crowd = Crowd(road, pool, timeout_s=0.3)
    capture.hold()
    started = time.monotonic()

    futures = [crowd.send(f"{number}".encode()) for number in range(20)]

    for future in futures:
        with pytest.raises(errors.Unavailable):
            future.result(5)
    assert time.monotonic() - started < 1.5
    capture.go_on()
    until(lambda: is_idle(road))
    road.submit(b"after", NOW, timeout_s=1)
    assert capture.kept[-1] == b"after"


def test_a_call_has_the_time_of_the_youngest_aboard(capture: Capture, pool: ThreadPoolExecutor):
    road = Lane(capture, in_flight_max=1)
    capture.hold()
    first = Crowd(road, pool, timeout_s=9).send(b"a")
    until(lambda: capture.under_way == 1)
    late = Crowd(road, pool, timeout_s=2).send_all_waiting([b"old"])
    late += Crowd(road, pool, timeout_s=7).send_all_waiting([b"young"], already=1)

    capture.go_on()

    for future in [first, *late]:
        future.result(5)
    assert capture.calls[1] == [b"old", b"young"]
    assert 6 < capture.timeouts_s[1] <= 7


def test_who_gave_up_before_its_turn_is_left_behind(capture: Capture, pool: ThreadPoolExecutor):
    road = Lane(capture, in_flight_max=1)
    capture.hold()
    first = Crowd(road, pool).send(b"a")
    until(lambda: capture.under_way == 1)
    impatient = Crowd(road, pool, timeout_s=0.05).send(b"impatient")

    with pytest.raises(errors.Unavailable):
        impatient.result(5)
    capture.go_on()

    first.result(5)
    assert capture.kept == [b"a"]
    assert is_idle(road)


def test_a_full_queue_asks_to_come_again(capture: Capture, pool: ThreadPoolExecutor):
    road = Lane(capture, in_flight_max=1, waiting_max=2)
    crowd = Crowd(road, pool)
    capture.hold()
    first = crowd.send(b"a")
    until(lambda: capture.under_way == 1)
    waiting = crowd.send_all_waiting([b"b", b"c"])

    with pytest.raises(errors.Unavailable, match="too many"):
        road.submit(b"d", NOW, timeout_s=1)

    capture.go_on()
    for future in [first, *waiting]:
        future.result(5)
    assert b"d" not in capture.kept


def test_the_lane_survives_calls_that_end_before_the_next_carrier_has_begun(
    capture: Capture, monkeypatch: pytest.MonkeyPatch, pool: ThreadPoolExecutor
):
    # Once, two calls that ended together handed the lane to the same waiter, and one of the two calls
    # that may be under way was lost for ever.
    road = Lane(capture, in_flight_max=2)
    crowd = Crowd(road, pool)
    capture.hold()
    first = [crowd.send(b"a"), crowd.send(b"b")]
    until(lambda: capture.under_way == 2)
    is_slow = threading.Event()
    wake = Waiter.wake
    monkeypatch.setattr(Waiter, "wake", lambda waiter: (is_slow.wait(5), wake(waiter))[1])
    late = crowd.send_all_waiting([b"c", b"d"])

    capture.go_on()
    until(lambda: capture.under_way == 0 and not road._waiting)
    is_slow.set()

    for future in first + late:
        future.result(5)
    assert sorted(capture.kept) == [b"a", b"b", b"c", b"d"]
    assert is_idle(road)


@settings(max_examples=25)
@given(
    plan=st.lists(
        st.tuples(st.integers(0, 3), st.sampled_from(["keep", "keep", "keep", "refuse"])),
        min_size=1,
        max_size=40,
    ),
    in_flight_max=st.integers(1, 3),
)
def test_everybody_gets_the_verdict_of_the_call_it_was_in(plan: list[tuple[int, str]], in_flight_max: int):
    kept: set[bytes] = set()
    seen: list[bytes] = []
    lock = threading.Lock()

    def send(waiters: Sequence[Waiter], timeout_s: float) -> None:
        time.sleep(0.001)
        bodies = [waiter.body for waiter in waiters]
        with lock:
            seen.extend(bodies)
        if any(body.endswith(b"refuse") for body in bodies):
            raise errors.Unavailable("no")
        with lock:
            kept.update(bodies)

    road = Lane(send, in_flight_max=in_flight_max)

    def submit(number: int, pause_ms: int, fate: str) -> tuple[bytes, bool]:
        body = f"{number} {fate}".encode()
        time.sleep(pause_ms / 1000)
        try:
            road.submit(body, NOW, timeout_s=5)
        except errors.Unavailable:
            return body, False
        return body, True

    with ThreadPoolExecutor(40) as pool:
        futures = [pool.submit(submit, number, *step) for number, step in enumerate(plan)]
        verdicts = dict(future.result(10) for future in futures)

    assert {body for body, is_kept in verdicts.items() if is_kept} == kept
    assert sorted(seen) == sorted(verdicts)
    assert is_idle(road)
