"""How often somebody may ask: counted in Redis for all processes, in this process while Redis is away.

The window moves with the clock: of any minute no more than the limit is let through, whenever it began.
"""

import hashlib
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import redis
from limits import RateLimitItem, parse
from limits.storage import MemoryStorage, RedisStorage
from limits.strategies import MovingWindowRateLimiter

# A request waits no longer for Redis than this, twice; then memory counts for a while.
_TIMEOUT_S: Final = 0.2
_AWAY_S: Final = 5.0


@dataclass(frozen=True, slots=True)
class Rate:
    """So many in so many seconds."""

    limit: int
    window_s: int

    @classmethod
    def parse(cls, text: str) -> "Rate":
        """Read "100/minute", "1000/hour" or "20 per 5 seconds". Raises ValueError saying what is wrong."""
        try:
            found = parse(text)
        except ValueError:
            raise ValueError('must be a rate such as "100/minute" or "1000/hour"') from None
        if found.amount < 1:
            raise ValueError("must allow at least one")
        return cls(found.amount, found.get_expiry())

    def item(self) -> RateLimitItem:
        return parse(f"{self.limit} per {self.window_s} second")


@dataclass(frozen=True, slots=True)
class Verdict:
    name: str
    is_allowed: bool
    rate: Rate
    remaining: int
    reset_s: int
    """Until the oldest of those counted is forgotten."""

    def headers(self) -> dict[str, str]:
        """Give what a caller is told, by the names in common use and by those to come.

        Source of the latter: draft-ietf-httpapi-ratelimit-headers-10, "RateLimit" and "RateLimit-Policy".
        """
        return {
            "RateLimit-Policy": f'"{self.name}";q={self.rate.limit};w={self.rate.window_s}',
            "RateLimit": f'"{self.name}";r={self.remaining};t={self.reset_s}',
            "X-RateLimit-Limit": str(self.rate.limit),
            "X-RateLimit-Remaining": str(self.remaining),
            "X-RateLimit-Reset": str(self.reset_s),
        }


class Limiter:
    """Safe to use from several threads. Never raises: what cannot be counted in Redis is counted here."""

    def __init__(self, redis_url: str, *, clock: Callable[[], float] = time.monotonic) -> None:
        """`redis_url` "" counts in this process alone."""
        self._clock = clock
        self._memory = MovingWindowRateLimiter(MemoryStorage())
        self._shared = (
            MovingWindowRateLimiter(
                RedisStorage(
                    redis_url,
                    key_prefix="recado-limit",
                    socket_timeout=_TIMEOUT_S,
                    socket_connect_timeout=_TIMEOUT_S,
                    retry_on_timeout=False,
                )
            )
            if redis_url
            else None
        )
        self._away_until = 0.0
        self._lock = threading.Lock()

    def hit(self, rate: Rate, name: str, key: str) -> Verdict:
        """Count one request of `key`, which is kept only as a digest."""
        digest = hashlib.blake2b(key.encode(), digest_size=16, person=b"recado limit").hexdigest()
        if self._shared is not None and self._may_ask_redis():
            try:
                return self._count(self._shared, rate, name, digest)
            except (redis.RedisError, OSError):
                with self._lock:
                    self._away_until = self._clock() + _AWAY_S
        return self._count(self._memory, rate, name, digest)

    def _may_ask_redis(self) -> bool:
        with self._lock:
            now = self._clock()
            if now < self._away_until:
                return False
            if self._away_until:
                # One request tries; until it is known whether Redis is back, the others do not wait for it.
                self._away_until = now + _AWAY_S
            return True

    def _count(self, limiter: MovingWindowRateLimiter, rate: Rate, name: str, digest: str) -> Verdict:
        item = rate.item()
        is_allowed = limiter.hit(item, name, digest)
        stats = limiter.get_window_stats(item, name, digest)
        if limiter is self._shared and self._away_until:
            with self._lock:
                self._away_until = 0.0
        return Verdict(
            name,
            is_allowed,
            rate,
            max(0, stats.remaining) if is_allowed else 0,
            max(1, round(stats.reset_time - time.time() + 0.5)),
        )
