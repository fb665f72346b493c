"""How often somebody may ask: counted in Redis for all processes, in this process while Redis is away.

The window moves with the clock: of any minute no more than the limit is let through, whenever it began.
"""

import hashlib
import logging
import math
import re
import threading
import time
from array import array
from bisect import bisect_left
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, cast

import redis
from limits.storage import RedisStorage
from redis.backoff import NoBackoff
from redis.retry import Retry

log = logging.getLogger(__name__)

# A request waits no longer for Redis than this, to connect and for each answer; then memory counts.
_TIMEOUT_S: Final = 0.2
_AWAY_S: Final = 5.0
_CONNECTIONS_MAX: Final = 32
# What memory holds at most: who has not asked for the longest time is forgotten first.
_KEYS_MAX: Final = 20_000
_HITS_MAX: Final = 500_000
_RATE: Final = re.compile(
    r"\s*([0-9]{1,9})\s*(?:/|\s+per\s+)\s*([0-9]{1,6}\s*)?([a-z]+?)s?\s*", re.IGNORECASE
)
_UNITS_S: Final = {"second": 1, "minute": 60, "hour": 3600, "day": 86_400}
# Every request of a window is kept: a limit too high to be reached would only cost memory.
_LIMIT_MAX: Final = 100_000
_WINDOW_S_MAX: Final = 86_400


@dataclass(frozen=True, slots=True)
class Rate:
    """So many in so many seconds."""

    limit: int
    window_s: int

    @classmethod
    def parse(cls, text: str) -> "Rate":
        """Read "100/minute", "1000/hour" or "20 per 5 seconds". Raises ValueError saying what is wrong."""
        found = _RATE.fullmatch(text)
        if found is None:
            raise ValueError('must be a rate such as "100/minute" or "1000/hour"')
        limit, units, unit = int(found[1]), int(found[2] or 1), found[3].lower()
        if unit not in _UNITS_S:
            raise ValueError('must count per second, minute, hour or day, such as "100/minute"')
        if not 1 <= limit <= _LIMIT_MAX:
            raise ValueError(f"must allow at least one and at most {_LIMIT_MAX}")
        if not 1 <= units * _UNITS_S[unit] <= _WINDOW_S_MAX:
            raise ValueError("must look back at least a second and at most a day")
        return cls(limit, units * _UNITS_S[unit])


@dataclass(frozen=True, slots=True)
class Verdict:
    name: str
    is_allowed: bool
    rate: Rate
    remaining: int
    reset_s: int
    """Until the oldest of those counted is forgotten, and so one more let through."""

    def headers(self) -> dict[str, str]:
        """Give what a caller is told, by the names in common use and by those to come.

        X-RateLimit-Reset is in seconds from now, as in RateLimit; Retry-After is there when refused.

        Source of RateLimit and RateLimit-Policy: draft-ietf-httpapi-ratelimit-headers-10 (September 2025),
        sections 3 and 4; a name and parameters since -08. Its `t` is the time until more may be asked,
        which with a moving window comes before the window is over.
        """
        told = {
            "RateLimit-Policy": f'"{self.name}";q={self.rate.limit};w={self.rate.window_s}',
            "RateLimit": f'"{self.name}";r={self.remaining};t={self.reset_s}',
            "X-RateLimit-Limit": str(self.rate.limit),
            "X-RateLimit-Remaining": str(self.remaining),
            "X-RateLimit-Reset": str(self.reset_s),
        }
        if not self.is_allowed:
            told["Retry-After"] = str(self.reset_s)
        return told


@dataclass(frozen=True, slots=True)
class _Count:
    is_allowed: bool
    hits: int
    """In the window that ends now, this one included if it is allowed."""
    oldest_age_s: float


class Limiter:
    """Safe to use from several threads. Never raises: what cannot be counted in Redis is counted here.

    Each process also remembers what it let through itself. So it stays within the limit over an outage
    of Redis, and somebody whom one process keeps refusing costs Redis nothing. The clocks of machines
    that share a Redis must agree, as kept by NTP.
    """

    def __init__(
        self,
        redis_url: str,
        *,
        secret: str = "",
        clock: Callable[[], float] = time.monotonic,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        """`redis_url` "" counts in this process alone.

        `secret`, the same in all processes, keeps a reader of Redis from finding out by trial who is
        counted there: of addresses there are few enough to try them all.
        """
        self._memory = _Memory(clock)
        self._shared = _Shared(redis_url, wall_clock) if redis_url else None
        self._digest_key = hashlib.blake2b(secret.encode(), digest_size=32).digest() if secret else b""
        self._clock = clock
        self._probing = threading.Lock()
        self._is_away = False
        self._away_until_s = 0.0

    def close(self) -> None:
        if self._shared is not None:
            self._shared.close()

    def hit(self, rate: Rate, name: str, key: str) -> Verdict:
        """Count one request of `key`, which is kept only as a digest. One that is refused does not count."""
        place = f"{name}:{rate.limit}/{rate.window_s}:{self._digest(key)}"
        count = self._memory.look(place, rate)
        if count.is_allowed:
            count = self._count_shared(place, rate) or self._memory.take(place, rate)
        remaining = max(0, rate.limit - count.hits)
        # A clock that was set may have moved the oldest out of the window, or into the future.
        reset_s = min(max(1, math.ceil(rate.window_s - count.oldest_age_s)), rate.window_s)
        return Verdict(name, count.is_allowed, rate, remaining, reset_s)

    def _digest(self, key: str) -> str:
        # A token may name its user by half a character.
        raw = key.encode("utf-8", "surrogatepass")
        return hashlib.blake2b(raw, digest_size=16, key=self._digest_key, person=b"recado limit").hexdigest()

    def _count_shared(self, place: str, rate: Rate) -> _Count | None:
        """Give what Redis counts; None when it is away or not to be asked yet."""
        if self._shared is None:
            return None
        if not self._is_away:
            return self._ask(self._shared, place, rate)
        # Whether Redis is back, one request finds out; the others do not wait for that.
        if not self._probing.acquire(blocking=False):
            return None
        try:
            if self._clock() < self._away_until_s:
                return None
            count = self._ask(self._shared, place, rate)
            if count is not None:
                self._is_away = False
                log.info("limits_shared_again")
            return count
        finally:
            self._probing.release()

    def _ask(self, shared: "_Shared", place: str, rate: Rate) -> _Count | None:
        try:
            count = shared.take(place, rate)
        # Whatever it is: the client trips in ways of its own over answers of what is no Redis, and that
        # nobody counts for all is no reason to turn anybody away.
        except Exception as error:
            self._away_until_s = self._clock() + _AWAY_S
            if not self._is_away:
                log.warning("limits_not_shared", extra={"reason": type(error).__name__})
            self._is_away = True
            return None
        if count.is_allowed:
            self._memory.take(place, rate)
        return count


class _Shared:
    """Counts in Redis, with the scripts of the library `limits`."""

    def __init__(self, redis_url: str, wall_clock: Callable[[], float]) -> None:
        self._wall_clock = wall_clock
        self._pool: redis.ConnectionPool = cast("Any", redis.BlockingConnectionPool).from_url(
            redis_url,
            max_connections=_CONNECTIONS_MAX,
            timeout=_TIMEOUT_S,
            socket_timeout=_TIMEOUT_S,
            socket_connect_timeout=_TIMEOUT_S,
            retry=Retry(NoBackoff(), 0),
        )
        self._storage = RedisStorage(redis_url, connection_pool=self._pool, key_prefix="recado-limit")

    def close(self) -> None:
        self._pool.disconnect()

    def take(self, place: str, rate: Rate) -> _Count:
        """Count one, and how many there are, in one step that nobody comes between, and one round trip.

        The library's own strategy makes two of it. Raises whatever the client raises.
        """
        key, now = self._storage.prefixed_key(place), self._wall_clock()
        with cast("Any", self._storage.get_connection()).pipeline(transaction=True) as steps:
            acquire, look = RedisStorage.SCRIPT_ACQUIRE_MOVING_WINDOW, RedisStorage.SCRIPT_MOVING_WINDOW
            steps.eval(acquire, 1, key, now, rate.limit, rate.window_s, 1)
            steps.eval(look, 1, key, now - rate.window_s, rate.limit)
            is_taken, window = steps.execute()
        oldest, hits = window or (now, 0)
        return _Count(bool(is_taken), int(hits), now - float(oldest))


class _Memory:
    """Counts in this process, a bounded number of keys and hits.

    Not the library's: that one keeps every key it ever saw, and goes through all of them in a thread of
    its own every few milliseconds.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._hits: OrderedDict[str, array[float]] = OrderedDict()
        """When, of each key, in order. The key that was let through last comes last."""
        self._total = 0

    def look(self, place: str, rate: Rate) -> _Count:
        """Tell what `take` would."""
        now = self._clock()
        with self._lock:
            times = self._recent(place, now - rate.window_s)
            hits = len(times) if times else 0
            return _Count(hits < rate.limit, hits, now - times[0] if times else 0.0)

    def take(self, place: str, rate: Rate) -> _Count:
        """Count one, unless there are as many as there may be."""
        now = self._clock()
        with self._lock:
            times = self._recent(place, now - rate.window_s)
            if times is None:
                times = self._hits[place] = array("d")
            if len(times) >= rate.limit:
                return _Count(False, len(times), now - times[0])
            times.append(now)
            self._total += 1
            self._hits.move_to_end(place)
            while len(self._hits) > _KEYS_MAX or self._total > _HITS_MAX:
                _, forgotten = self._hits.popitem(last=False)
                self._total -= len(forgotten)
            return _Count(True, len(times), now - times[0])

    def _recent(self, place: str, since: float) -> "array[float] | None":
        """Forget what is older, as the scripts of Redis do; give what remains, or None when nothing does."""
        times = self._hits.get(place)
        if times is None:
            return None
        old = bisect_left(times, since)
        if old:
            del times[:old]
            self._total -= old
        if not times:
            del self._hits[place]
            return None
        return times
