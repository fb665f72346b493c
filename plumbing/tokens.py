"""Access tokens: who calls, for which tenant, and what they may do.

JWT: our own, signed with a shared secret, and those of an identity provider, signed with its keys.
"""

import hashlib
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable
from typing import Any, Final

import jwt
import msgspec

from plumbing import errors, jwks, settings

# 9999-12-31T23:59:59Z: beyond it, a time in milliseconds was taken for one in seconds.
_LATEST_S: Final = 253_402_300_799
_ALGORITHM: Final = "HS256"
_SECRET_BYTES_MIN: Final = 32
_TOKEN_CHARS_MAX: Final = 8192
# OpenID Connect Core 1.0, 2: "sub" is at most 255 ASCII characters.
_NAME_BYTES_MAX: Final = 255
_CACHE_MAX: Final = 2_000
_SERVICE_SCOPE: Final = "service"


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
    scope: str | list[str]
    exp: float
    nbf: float | None = None
    iat: float | None = None
    instances: list[str] | None = None


def _check_name(name: str) -> None:
    """Raises ValueError for what the database could not keep, and for what names nobody."""
    if not 0 < len(name.encode()) <= _NAME_BYTES_MAX or "\0" in name:
        raise ValueError("no name")


def check_secret(secret: str) -> str:
    """Give the secret back. Raises ValueError when it is too short to sign with (RFC 7518, 3.2)."""
    if len(secret.encode()) < _SECRET_BYTES_MIN:
        raise ValueError(f"the secret that signs tokens must have at least {_SECRET_BYTES_MIN} bytes")
    return secret


def check_jwks_url(address: str) -> str:
    """Give the address of an identity provider's keys back, "" for none. Raises ValueError."""
    return jwks.check_url(address) if address else ""


def read_expected(env: settings.Environment, name: str) -> str:
    """Read what a token of the identity provider must say; "" takes whatever it says.

    Without RECADO_AUTH_JWKS_URL it is a fault: who sets it believes that something is checked.
    """
    expected = env.text(name, "")
    if expected and not env.text("RECADO_AUTH_JWKS_URL", ""):
        env.faults.append(f"{name} needs RECADO_AUTH_JWKS_URL: it says nothing of our own tokens")
    return expected


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


class _Known(msgspec.Struct, frozen=True):
    """A token that has verified, and with what it may verify again."""

    caller: Caller
    expires_at_s: float
    key: jwks.Key | None
    """Of the identity provider; None is our own secret."""


class Verifier:
    """Verifies tokens; remembers those it has verified until they expire or their key is withdrawn.

    Tokens signed HS256 are this installation's own. Those signed RS256, ES256 or EdDSA are an identity
    provider's, when the address of its JWK Set is given (jwks.check_url). Which key is used depends on
    the algorithm before anything else: never is a public key taken for a shared secret (RFC 8725, 2.1).
    A provider speaks for the users of tenants: the scope of our own services is not its to give. Its keys
    may serve other applications too, whose tokens only `issuer` and `audience` tell from ours.
    """

    def __init__(
        self,
        secret: str,
        *,
        jwks_url: str = "",
        issuer: str = "",
        audience: str = "",
        clock_skew_s: float = 30,
        clock: Callable[[], float] = time.time,
        steady_clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Our own tokens are concerned by the secret and the clock alone.

        `issuer` is what `iss` of a provider's token must be, to the letter, and `audience` what must be in
        its `aud`; "" does not look (RFC 8725, 3.8 and 3.9). `clock_skew_s` is how far the provider's clock
        may be from ours.
        """
        self._secret = check_secret(secret)
        self._keys = jwks.Keys(jwks_url, clock=steady_clock) if jwks_url else None
        self._issuer = issuer
        self._audience = audience
        self._clock_skew_s = clock_skew_s
        self._clock = clock
        # By digest: tokens are long, and nobody should find one in a dump of memory.
        self._known: OrderedDict[bytes, _Known] = OrderedDict()
        self._lock = threading.Lock()

    def verify(self, token: str) -> Caller:
        """Raises Unauthenticated, with one message for every fault.

        Raises Unavailable when only the identity provider could tell and it cannot be asked.
        """
        if len(token) > _TOKEN_CHARS_MAX:
            raise _refusal()
        digest = hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()
        with self._lock:
            known = self._known.get(digest)
            if known:
                self._known.move_to_end(digest)
        if not (known and self._is_still_good(known)):
            known = self._examine(token)
            with self._lock:
                self._known[digest] = known
                if len(self._known) > _CACHE_MAX:
                    self._known.popitem(last=False)
        return known.caller

    def _is_still_good(self, known: _Known) -> bool:
        """Tell whether the key is still the provider's. Raises Unauthenticated once the token has expired."""
        if known.expires_at_s <= self._clock():
            raise _refusal()
        if known.key is None or self._keys is None:
            return True
        return self._keys.find(known.key.algorithm, known.key.identifier) == known.key

    def _examine(self, token: str) -> _Known:
        # The header is parsed before the signature is looked at: strangers may send any nonsense.
        try:
            header = jwt.get_unverified_header(token)
            key = self._key_for(header.get("alg"), header.get("kid"))
            claims = self._claims(token, key)
            _check_name(claims.sub)
            if claims.tenant:  # our own services have none
                _check_name(claims.tenant)
        except (jwt.PyJWTError, ValueError, RecursionError):
            raise _refusal() from None
        scopes = frozenset(claims.scope.split() if isinstance(claims.scope, str) else claims.scope)
        if key:
            if not claims.tenant:
                raise _refusal()
            scopes -= {_SERVICE_SCOPE}
        instances = None if claims.instances is None else frozenset(claims.instances)
        caller = Caller(claims.sub, claims.tenant, scopes, instances)
        return _Known(caller, self._expiry(claims, is_own=key is None), key)

    def _expiry(self, claims: _Claims, *, is_own: bool) -> float:
        """Give the time from which the token is refused. Raises Unauthenticated when it is so now."""
        now = self._clock()
        skew_s = 0.0 if is_own else self._clock_skew_s
        # A time that is no number (NaN, which Python reads in JSON) is neither before nor after now.
        is_good = now < claims.exp + skew_s <= _LATEST_S
        if claims.nbf is not None:
            is_good = is_good and claims.nbf <= now + skew_s
        # iat of our own is not looked at: a service whose clock is ahead is no reason to refuse.
        if claims.iat is not None and not is_own:
            is_good = is_good and claims.iat <= now + skew_s
        if not is_good:
            raise _refusal()
        return claims.exp + skew_s

    def _key_for(self, algorithm: object, identifier: object) -> jwks.Key | None:
        """Give the provider's key to verify with; None is our own secret. Raises Unauthenticated."""
        if algorithm == _ALGORITHM:
            return None
        if (
            self._keys is not None
            and isinstance(algorithm, str)
            and algorithm in jwks.ALGORITHMS
            and isinstance(identifier, str | None)
        ):
            key = self._keys.find(algorithm, identifier)
            if key is not None:
                return key
        raise _refusal()

    def _claims(self, token: str, key: jwks.Key | None) -> _Claims:
        issuer = self._issuer if key else ""
        audience = self._audience if key else ""
        decoded = jwt.decode(
            token,
            key.public if key else self._secret,
            algorithms=[key.algorithm if key else _ALGORITHM],
            issuer=issuer or None,
            audience=audience or None,
            # The times are looked at by our clock.
            options={
                "require": ["sub", "tenant", "scope", "exp"],
                # Left on, it refuses a token that has an audience where none is expected.
                "verify_aud": bool(audience),
                "verify_exp": False,
                "verify_nbf": False,
                "verify_iat": False,
            },
        )
        return msgspec.convert(decoded, _Claims)


def _refusal() -> errors.Unauthenticated:
    return errors.Unauthenticated("the token does not verify")


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
                self._secret, subject=self._subject, tenant="", scopes=[_SERVICE_SCOPE], ttl_s=self._TTL_S
            )
            self._renew_at = self._clock() + self._TTL_S / 2
        return self._token
