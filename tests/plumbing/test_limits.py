"""Limits are exact over any window, shared while Redis is there, and kept while it is not."""

import socket
import threading
import time
from pathlib import Path

import pytest
import redis

from plumbing.limits import Limiter, Rate
from recado.stack import valkey as embedded_valkey

RATE = Rate(5, 60)


@pytest.mark.parametrize(
    ("text", "rate"),
    [("100/minute", Rate(100, 60)), ("1000/hour", Rate(1000, 3600)), ("20 per 5 seconds", Rate(20, 5))],
)
def test_a_rate_is_read(text: str, rate: Rate):
    assert Rate.parse(text) == rate


@pytest.mark.parametrize("text", ["", "many", "0/minute", "-1/minute", "100", "100/fortnight"])
def test_what_is_no_rate_is_refused_with_an_example(text: str):
    with pytest.raises(ValueError, match=r"must (be a rate such as|allow at least one)"):
        Rate.parse(text)


def test_two_processes_share_one_limit(valkey: str):
    first, second = Limiter(valkey), Limiter(valkey)

    verdicts = [(first if n % 2 else second).hit(RATE, "user", "ana") for n in range(6)]

    assert [verdict.is_allowed for verdict in verdicts] == [True] * 5 + [False]
    assert [verdict.remaining for verdict in verdicts] == [4, 3, 2, 1, 0, 0]
    assert first.hit(RATE, "user", "bia").is_allowed
    assert first.hit(RATE, "address", "ana").is_allowed


def test_the_window_moves_with_the_clock(valkey: str):
    limiter, rate = Limiter(valkey), Rate(3, 1)
    assert [limiter.hit(rate, "user", "ana").is_allowed for _ in range(4)] == [True, True, True, False]

    verdict = limiter.hit(rate, "user", "ana")
    time.sleep(1.1)

    assert verdict.reset_s == 1
    assert limiter.hit(rate, "user", "ana").is_allowed


def test_nobody_is_named_in_redis(valkey: str):
    Limiter(valkey).hit(RATE, "user", "maria@padaria.example")

    with redis.Redis.from_url(valkey) as client:
        keys = repr(client.keys("*"))
    assert keys
    assert "maria" not in keys


def test_without_redis_each_process_limits_and_with_it_again_they_share(tmp_path: Path):
    now = 0.0
    with embedded_valkey.running(tmp_path) as server:
        url = server.url
        limiter = Limiter(url, clock=lambda: now)
        assert limiter.hit(RATE, "user", "ana").remaining == 4

    verdicts = [limiter.hit(RATE, "user", "ana") for _ in range(6)]
    assert [verdict.is_allowed for verdict in verdicts] == [True] * 5 + [False]

    limiter_elsewhere = Limiter("", clock=lambda: now)
    assert limiter_elsewhere.hit(RATE, "user", "ana").is_allowed


def test_a_redis_that_never_answers_holds_up_one_request_in_a_while():
    now = 0.0
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        asked: list[socket.socket] = []
        threading.Thread(
            target=lambda: [asked.append(silent.accept()[0]) for _ in range(8)], daemon=True
        ).start()
        limiter = Limiter(f"redis://127.0.0.1:{silent.getsockname()[1]}/0", clock=lambda: now)

        for _ in range(100):
            limiter.hit(RATE, "user", "ana")
        at_first = len(asked)
        now = 6.0
        for _ in range(100):
            limiter.hit(RATE, "user", "ana")

    assert at_first >= 1
    assert len(asked) <= 2 * at_first


def test_a_caller_is_told_in_both_manners():
    verdict = Limiter("").hit(RATE, "user", "ana")

    assert verdict.headers() == {
        "RateLimit-Policy": '"user";q=5;w=60',
        "RateLimit": f'"user";r=4;t={verdict.reset_s}',
        "X-RateLimit-Limit": "5",
        "X-RateLimit-Remaining": "4",
        "X-RateLimit-Reset": str(verdict.reset_s),
    }
    assert 1 <= verdict.reset_s <= 61
