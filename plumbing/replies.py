"""Answers that are kept for whoever asks the same again under the same key.

Source of the header and of what a server does with it: draft-ietf-httpapi-idempotency-key-header-07.
"""

from typing import Any, Final

import msgspec
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from plumbing import errors

_TIMEOUT_S: Final = 0.5
_KEPT_S: Final = 24 * 3600
# A request that has not ended by then never will: its process is gone.
_RUNNING_S: Final = 120


class Reply(msgspec.Struct, frozen=True):
    """An answer, as far as it is told again."""

    status: int
    media_type: str
    body: bytes
    location: str | None = None


class _Entry(msgspec.Struct, frozen=True):
    request: str
    """A digest of what was asked."""
    reply: Reply | None = None


_encode: Final = msgspec.json.Encoder().encode
_decode: Final = msgspec.json.Decoder(_Entry).decode


class Replies:
    """Safe to use from several threads. Without Redis nothing can be promised, so it raises Unavailable."""

    def __init__(self, redis_url: str) -> None:
        client: Any = redis.Redis  # whose options are not typed
        self._redis: redis.Redis | None = (
            client.from_url(
                redis_url,
                socket_timeout=_TIMEOUT_S,
                socket_connect_timeout=_TIMEOUT_S,
                retry=Retry(NoBackoff(), 0),
            )
            if redis_url
            else None
        )

    def begin(self, key: str, request: str) -> Reply | None:
        """Give the answer that this key has; None when the caller is the first and must `end` or `drop` it.

        Raises AlreadyExists while the first is being served, FailedPrecondition when something else was
        asked under this key, Unavailable without Redis.
        """
        entry = _encode(_Entry(request))
        try:
            connection = self._connection()
            if connection.set(_name(key), entry, nx=True, ex=_RUNNING_S):
                return None
            kept = connection.get(_name(key))
        except (redis.RedisError, OSError) as error:
            raise _unavailable() from error
        if not isinstance(kept, bytes):
            raise errors.Unavailable("the key has just been forgotten", retry_after_s=1)
        known = _decode(kept)
        if known.request != request:
            raise errors.FailedPrecondition("this Idempotency-Key came with another request")
        if known.reply is None:
            raise errors.AlreadyExists("a request with this Idempotency-Key is being served")
        return known.reply

    def end(self, key: str, request: str, reply: Reply) -> None:
        """Keep the answer. Not being able to is no reason not to give it: the work is done."""
        try:
            self._connection().set(_name(key), _encode(_Entry(request, reply)), ex=_KEPT_S)
        except (redis.RedisError, OSError, errors.Unavailable):
            return

    def drop(self, key: str) -> None:
        """Forget a key whose request did nothing: it may be tried again."""
        try:
            self._connection().delete(_name(key))
        except (redis.RedisError, OSError, errors.Unavailable):
            return

    def _connection(self) -> redis.Redis:
        if self._redis is None:
            raise _unavailable()
        return self._redis


def _name(key: str) -> str:
    return f"recado-reply:{key}"


def _unavailable() -> errors.Unavailable:
    return errors.Unavailable("no Redis to keep answers in: repeat without Idempotency-Key", retry_after_s=1)
