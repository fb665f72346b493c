"""Limits are exact over any window, shared while Redis is there, and kept while it is not."""

import logging
import socket
import subprocess
import sys
import threading
import time
import tracemalloc
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import redis
from hypothesis import given, strategies as st

from plumbing import limits
from plumbing.limits import Limiter, Rate
from tests.plumbing.conftest import Restartable

ROOT = Path(__file__).parents[2]
RATE = Rate(5, 60)


class Clock:
    def __init__(self, now_s: float = 1_000_000.0) -> None:
        self.now_s = now_s

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


class Silent:
    """Something that listens where Redis should and never answers."""

    def __init__(self) -> None:
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.url = f"redis://127.0.0.1:{self._listening.getsockname()[1]}/0"
        self.taken: list[socket.socket] = []
        self._thread = threading.Thread(target=self._accept)
        self._thread.start()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listening.accept()
            except OSError:
                return
            self.taken.append(connection)

    def stop(self) -> None:
        self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        self._thread.join()
        for connection in self.taken:
            connection.close()


@pytest.fixture
def silent() -> Iterator[Silent]:
    made = Silent()
    yield made
    made.stop()


def allowed(limiter: Limiter, times: int, key: str = "ana", rate: Rate = RATE) -> int:
    return sum(limiter.hit(rate, "user", key).is_allowed for _ in range(times))


@pytest.mark.parametrize(
    ("text", "rate"),
    [
        ("100/minute", Rate(100, 60)),
        ("1000/hour", Rate(1000, 3600)),
        ("20 per 5 seconds", Rate(20, 5)),
        (" 1 / Day ", Rate(1, 86_400)),
        ("7/30second", Rate(7, 30)),
    ],
)
def test_a_rate_is_read(text: str, rate: Rate):
    assert Rate.parse(text) == rate


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("", "must be a rate such as"),
        ("many", "must be a rate such as"),
        ("100", "must be a rate such as"),
        ("-1/minute", "must be a rate such as"),
        ("1.5/minute", "must be a rate such as"),
        ("100/minute; 5/second", "must be a rate such as"),
        ("100perminute", "must be a rate such as"),
        ("9999999999/minute", "must be a rate such as"),
        ("100/fortnight", "per second, minute, hour or day"),
        ("100/s", "per second, minute, hour or day"),
        ("0/minute", "at least one"),
        ("100001/minute", "at most 100000"),
        ("1/0 minutes", "at least a second"),
        ("1/2 days", "at most a day"),
    ],
)
def test_what_is_no_rate_is_refused_by_saying_what_is_wrong(text: str, fault: str):
    with pytest.raises(ValueError, match=fault):
        Rate.parse(text)


# While Redis is there


def test_two_processes_share_one_limit(valkey: str):
    first, second = Limiter(valkey), Limiter(valkey)

    verdicts = [(first if n % 2 else second).hit(RATE, "user", "ana") for n in range(6)]

    assert [verdict.is_allowed for verdict in verdicts] == [True] * 5 + [False]
    assert [verdict.remaining for verdict in verdicts] == [4, 3, 2, 1, 0, 0]
    assert first.hit(RATE, "user", "bia").is_allowed
    assert first.hit(RATE, "address", "ana").is_allowed
    assert first.hit(Rate(6, 60), "user", "ana").is_allowed


def test_many_at_the_same_moment_are_counted_exactly(valkey: str):
    limiters = [Limiter(valkey) for _ in range(4)]
    rate = Rate(100, 60)

    with ThreadPoolExecutor(8) as pool:
        verdicts = list(pool.map(lambda n: limiters[n % 4].hit(rate, "user", "ana"), range(160)))

    assert sum(verdict.is_allowed for verdict in verdicts) == 100
    assert sorted(verdict.remaining for verdict in verdicts if verdict.is_allowed) == list(range(100))


@pytest.mark.parametrize("place", ["redis", "memory"])
def test_the_101st_within_any_minute_is_refused(place: str, valkey: str, clock: Clock):
    """The window moves: it is not that of the clock on the wall, where 200 would pass around its turn."""
    limiter = Limiter(valkey if place == "redis" else "", clock=clock, wall_clock=clock)
    rate = Rate.parse("100/minute")
    for _ in range(100):
        assert limiter.hit(rate, "user", "ana").is_allowed
        clock.now_s += 0.25

    # 25 s after the first, 0.25 s after the last.
    refused = limiter.hit(rate, "user", "ana")
    assert (refused.is_allowed, refused.remaining, refused.reset_s) == (False, 0, 35)
    clock.now_s += 34.9
    assert not limiter.hit(rate, "user", "ana").is_allowed
    clock.now_s += 0.15
    assert limiter.hit(rate, "user", "ana").is_allowed
    assert not limiter.hit(rate, "user", "ana").is_allowed


@pytest.mark.parametrize("place", ["redis", "memory"])
@given(pauses_s=st.lists(st.sampled_from([0.0, 0.1, 1.0, 3.3, 5.0, 9.9, 10.0, 10.1]), max_size=40))
def test_no_window_ever_holds_more(place: str, valkey_server: object, pauses_s: list[float]):
    # Each example is somebody else: Redis forgets nobody between them.
    clock, rate, key = Clock(), Rate(3, 10), str(time.perf_counter_ns())
    url: str = valkey_server.url if place == "redis" else ""  # type: ignore[attr-defined]
    limiter = Limiter(url, clock=clock, wall_clock=clock)
    let_through: list[float] = []
    for pause_s in pauses_s:
        clock.now_s += pause_s
        recent = [at for at in let_through if clock.now_s - at <= 10]

        verdict = limiter.hit(rate, "user", key)

        assert verdict.is_allowed == (len(recent) < 3)
        assert 1 <= verdict.reset_s <= 10
        if verdict.is_allowed:
            let_through.append(clock.now_s)
        else:
            assert verdict.remaining == 0
    limiter.close()


@pytest.mark.parametrize("place", ["redis", "memory"])
def test_who_waits_as_long_as_told_is_let_in(place: str, valkey: str, clock: Clock):
    limiter = Limiter(valkey if place == "redis" else "", clock=clock, wall_clock=clock)
    for _ in range(5):
        limiter.hit(RATE, "user", "ana")
        clock.now_s += 1.37

    for _ in range(20):
        refused = limiter.hit(RATE, "user", "ana")
        if not refused.is_allowed:
            # On a machine's clock nothing happens at the very same moment.
            clock.now_s += refused.reset_s + 0.000_01
            assert limiter.hit(RATE, "user", "ana").is_allowed


def test_the_keys_leave_redis_after_their_window(valkey: str):
    Limiter(valkey).hit(RATE, "user", "ana")

    with redis.Redis.from_url(valkey) as client:
        keys = list(client.scan_iter())
        assert len(keys) == 1
        assert 0 < int(client.ttl(keys[0])) <= 60


def test_nobody_is_named_in_redis(valkey: str):
    plain, salted = Limiter(valkey), Limiter(valkey, secret="of the tests")
    for limiter in (plain, salted):
        limiter.hit(RATE, "user", "maria@padaria.example")

    with redis.Redis.from_url(valkey) as client:
        keys = list(client.scan_iter())
    assert "maria" not in repr(keys)
    # Without the secret nobody can tell by trial who is meant.
    assert len(keys) == 2


@pytest.mark.parametrize("key", ["", "\ud800", "a\0b", "ã" * 10_000, "*"])
@pytest.mark.parametrize("place", ["redis", "memory"])
def test_whatever_the_key(place: str, valkey: str, key: str):
    limiter = Limiter(valkey if place == "redis" else "")

    assert allowed(limiter, 6, key) == 5


def test_who_is_refused_by_the_own_count_costs_redis_nothing(valkey: str):
    limiter = Limiter(valkey)
    allowed(limiter, 5)

    with redis.Redis.from_url(valkey) as client:
        before = client.info("commandstats")["cmdstat_eval"]["calls"]
        assert allowed(limiter, 50) == 0
        assert client.info("commandstats")["cmdstat_eval"]["calls"] == before


# While it is away


def test_an_outage_of_redis_gives_nobody_more(
    restartable_valkey: tuple[Restartable, str], clock: Clock, caplog: pytest.LogCaptureFixture
):
    caplog.set_level(logging.INFO, "plumbing.limits")
    server, url = restartable_valkey
    first, second = (Limiter(url, clock=clock) for _ in range(2))
    assert allowed(first, 2) == 2
    server.kill()

    # What each let through itself it still knows.
    assert allowed(first, 6) == 3
    assert allowed(second, 6) == 5
    assert allowed(second, 6, "bia") == 5

    server.start()
    # Not asked yet.
    assert allowed(first, 1, "caio") == 1
    clock.now_s += 5
    assert allowed(first, 6, "davi") == 5
    assert allowed(second, 6, "davi") == 0
    # Counted in memory before, and the minute is not over.
    assert allowed(second, 6, "bia") == 0
    assert [entry.message for entry in caplog.records].count("limits_not_shared") == 2
    assert [entry.message for entry in caplog.records].count("limits_shared_again") == 2


def test_a_redis_that_was_restarted_meanwhile_is_not_taken_for_away(
    restartable_valkey: tuple[Restartable, str],
):
    server, url = restartable_valkey
    first, second = Limiter(url), Limiter(url)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda n: first.hit(RATE, "user", str(n)), range(64)))

    server.stop()
    server.start()

    assert allowed(first, 3) == 3
    assert allowed(second, 3) == 2


def test_a_redis_that_never_answers_holds_up_one_request_in_five_seconds(silent: Silent, clock: Clock):
    limiter = Limiter(silent.url, clock=clock)

    def slowest() -> float:
        taken_s: list[float] = []
        for n in range(50):
            started = time.monotonic()
            limiter.hit(RATE, "user", str(n))
            taken_s.append(time.monotonic() - started)
        return max(taken_s)

    assert slowest() < 5  # it does not wait for the socket to time out by itself
    assert len(silent.taken) == 1
    clock.now_s += 5
    assert slowest() < 5  # it does not wait for the socket to time out by itself
    assert len(silent.taken) == 2


def test_one_request_at_a_time_finds_out_whether_redis_is_back(silent: Silent, clock: Clock):
    limiter = Limiter(silent.url, clock=clock)
    limiter.hit(RATE, "user", "ana")
    before = len(silent.taken)
    clock.now_s += 5

    with ThreadPoolExecutor(16) as pool:
        verdicts = list(pool.map(lambda n: limiter.hit(RATE, "user", f"{n}"), range(64)))

    assert all(verdict.is_allowed for verdict in verdicts)
    assert len(silent.taken) - before == 1


@pytest.mark.parametrize(
    "answer", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"\xff" * 64, b"+OK\r\n" * 64, b"*1\r\n", b""]
)
def test_something_else_where_redis_should_be(answer: bytes):
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            while True:
                try:
                    connection, _ = listening.accept()
                except OSError:
                    return
                with connection:
                    connection.recv(64)
                    connection.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            limiter = Limiter(f"redis://127.0.0.1:{listening.getsockname()[1]}/0")
            assert allowed(limiter, 6) == 5
            limiter.close()
        finally:
            listening.shutdown(socket.SHUT_RDWR)
            thread.join()


def test_a_redis_that_refuses_us_is_away(valkey: str):
    wrong_password = valkey.replace("redis://:", "redis://:not")

    assert allowed(Limiter(wrong_password), 6) == 5


# Memory


def test_memory_is_bounded_however_many_ask(clock: Clock):
    limiter, rate = Limiter("", clock=clock), Rate(1000, 3600)
    tracemalloc.start()
    try:
        for number in range(30_000):
            limiter.hit(rate, "address", str(number))
        many_keys_bytes, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert many_keys_bytes < 16_000_000
    assert len(limiter._memory._hits) == limits._KEYS_MAX


def test_memory_is_bounded_however_much_they_ask(monkeypatch: pytest.MonkeyPatch, clock: Clock):
    monkeypatch.setattr(limits, "_HITS_MAX", 1_000)
    limiter, rate = Limiter("", clock=clock), Rate(300, 3600)

    for key in "abcdefgh":
        assert allowed(limiter, 400, key, rate) == 300

    memory = limiter._memory
    assert memory._total == sum(map(len, memory._hits.values())) <= 1_000
    # Who came last is still known.
    assert allowed(limiter, 1, "h", rate) == 0


def test_what_has_expired_is_forgotten(clock: Clock):
    limiter = Limiter("", clock=clock)
    allowed(limiter, 5)

    clock.now_s += 61

    assert limiter.hit(RATE, "user", "ana").remaining == 4
    assert limiter._memory._total == 1


def test_greenlets_do_not_hold_each_other_up(valkey: str, silent: Silent):
    """As in the gateway's workers: everything patched, one thread."""
    program = """
import sys
from gevent import monkey; monkey.patch_all()
import gevent, time
from plumbing.limits import Limiter, Rate
shared, silent = Limiter(sys.argv[1]), Limiter(sys.argv[2])
jobs = [gevent.spawn(shared.hit, Rate(100, 60), "user", "ana") for _ in range(150)]
gevent.joinall(jobs)
assert sum(job.value.is_allowed for job in jobs) == 100
started = time.monotonic()
ticks = []
def tick():
    while True:
        ticks.append(time.monotonic()); gevent.sleep(0.01)
ticking = gevent.spawn(tick)
jobs = [gevent.spawn(silent.hit, Rate(100, 60), "user", "ana") for _ in range(150)]
gevent.joinall(jobs)
assert sum(job.value.is_allowed for job in jobs) == 100
assert time.monotonic() - started < 10
assert len(ticks) > 5
"""
    done = subprocess.run(
        [sys.executable, "-c", program, valkey, silent.url],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert done.returncode == 0, done.stderr


# What a caller is told


def test_a_caller_is_told_in_both_manners(clock: Clock):
    limiter = Limiter("", clock=clock)
    verdict = limiter.hit(RATE, "user", "ana")

    assert verdict.headers() == {
        "RateLimit-Policy": '"user";q=5;w=60',
        "RateLimit": '"user";r=4;t=60',
        "X-RateLimit-Limit": "5",
        "X-RateLimit-Remaining": "4",
        "X-RateLimit-Reset": "60",
    }


def test_who_is_refused_is_told_when_to_come_again(clock: Clock):
    limiter = Limiter("", clock=clock)
    allowed(limiter, 5)
    clock.now_s += 20.5

    assert limiter.hit(RATE, "user", "ana").headers() == {
        "RateLimit-Policy": '"user";q=5;w=60',
        "RateLimit": '"user";r=0;t=40',
        "X-RateLimit-Limit": "5",
        "X-RateLimit-Remaining": "0",
        "X-RateLimit-Reset": "40",
        "Retry-After": "40",
    }
