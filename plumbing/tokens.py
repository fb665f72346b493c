"""Access tokens: who calls, for which tenant, and what they may do. JWT, HS256."""

import threading
import time
from collections.abc import Callable, Iterable
from typing import Any, Final

import jwt
import msgspec

from plumbing import errors

_ALGORITHM: Final = "HS256"
_SECRET_BYTES_MIN: Final = 32
_TOKEN_CHARS_MAX: Final = 8192
_CACHE_MAX: Final = 2_000


class Caller(msgspec.Struct, frozen=True):
    """Whom a verified token speaks for."""

    subject: str
    tenant: str
    scopes: frozenset[str]
    instances: frozenset[str] | None = None
    """Public ids of the instances it is limited to; None is all of the tenant."""

    def require(self, scope: str) -> None:
        """Raise PermissionDenied unless the token carries this scope."""
        if scope not in self.scopes:
            raise errors.PermissionDenied(f"the token lacks the scope {scope}")


class _Claims(msgspec.Struct):
    sub: str
    tenant: str
    scope: str
    exp: int
    instances: list[str] | None = None


def check_secret(secret: str) -> str:
    """Give the secret back. Raises ValueError when it is too short to sign with (RFC 7518, 3.2)."""
    if len(secret.encode()) < _SECRET_BYTES_MIN:
        raise ValueError(f"the secret that signs tokens must have at least {_SECRET_BYTES_MIN} bytes")
    return secret


def issue(
    secret: str,
    *,
    subject: str,
    tenant: str,
    scopes: Iterable[str],
    instances: Iterable[str] | None = None,
    ttl_s: float,
) -> str:
    """Make a token that is good for `ttl_s` seconds."""
    now = int(time.time())
    claims: dict[str, Any] = {
        "sub": subject,
        "tenant": tenant,
        "scope": " ".join(sorted(scopes)),
        "iat": now,
        "exp": now + max(1, round(ttl_s)),
    }
    if instances is not None:
        claims["instances"] = sorted(instances)
    return jwt.encode(claims, check_secret(secret), algorithm=_ALGORITHM)


class Verifier:
    """Verifies tokens; remembers those it has verified until they expire."""

    def __init__(self, secret: str, *, clock: Callable[[], float] = time.time) -> None:
        self._secret = check_secret(secret)
        self._clock = clock
        self._known: dict[str, tuple[Caller, int]] = {}
        self._lock = threading.Lock()

    def verify(self, token: str) -> Caller:
        """Raises Unauthenticated, with one message for every fault."""
        with self._lock:
            known = self._known.get(token)
        if known:
            return self._in_time(*known)
        if len(token) > _TOKEN_CHARS_MAX:
            raise errors.Unauthenticated("the token does not verify")
        try:
            decoded = jwt.decode(
                token,
                self._secret,
                algorithms=[_ALGORITHM],
                # exp is looked at below, by our clock; iat is not: a clock a second behind the issuer's is no
                # reason to refuse.
                options={
                    "require": ["sub", "tenant", "scope", "exp"],
                    "verify_aud": False,
                    "verify_exp": False,
                    "verify_iat": False,
                },
            )
            claims = msgspec.convert(decoded, _Claims)
        # The header is parsed before the signature is looked at: strangers may send any nonsense.
        except (jwt.PyJWTError, ValueError, RecursionError):
            raise errors.Unauthenticated("the token does not verify") from None
        caller = Caller(
            claims.sub,
            claims.tenant,
            frozenset(claims.scope.split()),
            None if claims.instances is None else frozenset(claims.instances),
        )
        self._in_time(caller, claims.exp)
        with self._lock:
            if len(self._known) >= _CACHE_MAX:
                self._known.clear()
            self._known[token] = (caller, claims.exp)
        return caller

    def _in_time(self, caller: Caller, expires_at_s: int) -> Caller:
        if expires_at_s <= self._clock():
            raise errors.Unauthenticated("the token does not verify")
        return caller


class OwnToken:
    """The token with which a service calls another, renewed before it expires. Scope: service."""

    _TTL_S: Final = 3600

    def __init__(self, secret: str, *, subject: str, clock: Callable[[], float] = time.time) -> None:
        self._secret = check_secret(secret)
        self._subject = subject
        self._clock = clock
        self._token = ""
        self._renew_at = 0.0

    def __call__(self) -> str:
        if self._clock() >= self._renew_at:
            self._token = issue(
                self._secret, subject=self._subject, tenant="", scopes=["service"], ttl_s=self._TTL_S
            )
            self._renew_at = self._clock() + self._TTL_S / 2
        return self._token
