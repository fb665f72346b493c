"""Public keys of an identity provider: its JWK Set, fetched when needed and followed when it changes.

RFC 7517 says what a set looks like, RFC 7518 section 6 and RFC 8037 what a key does. A key is used with
the one algorithm that its own type allows; what a token says of itself only has to agree.
"""

import json
import logging
import math
import os
import stat
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, cast
from urllib.parse import unquote, urljoin, urlsplit

import jwt
import requests
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from urllib3.exceptions import HTTPError

from plumbing import errors

log = logging.getLogger(__name__)

ALGORITHMS: Final = frozenset({"RS256", "ES256", "EdDSA"})
FRESH_S: Final = 600.0
"""How long a set counts as the provider's latest word."""
STALE_S: Final = 24 * 3600.0
"""How long a set serves at most while the provider is away."""
REFETCH_S: Final = 30.0
"""No token makes us ask the provider more often than this."""
RETRY_S: Final = 5.0
"""The same while there is no set to serve from: nobody gets in before there is one."""
_TIMEOUT_S: Final = 2.0
_WAIT_S: Final = 2 * _TIMEOUT_S
_SET_BYTES_MAX: Final = 1 << 20
_CHUNK_BYTES: Final = 1 << 16
_KEYS_MAX: Final = 100
_REDIRECTS_MAX: Final = 3
_RSA_BITS_MIN: Final = 2048
# More would only make verifying slow, at the wish of whoever wrote the set.
_RSA_BITS_MAX: Final = 8192
_RSA_EXPONENT_BITS_MAX: Final = 64
# The longest that a usable key has is a modulus: 1,366.
_MEMBER_CHARS_MAX: Final = 2048
_FILE: Final = "file"

PublicKey = RSAPublicKey | EllipticCurvePublicKey | Ed25519PublicKey


@dataclass(frozen=True, slots=True)
class _Kind:
    algorithm: str
    curve: str | None
    members: tuple[str, ...]


_KINDS: Final = {
    "RSA": _Kind("RS256", None, ("kty", "n", "e")),
    "EC": _Kind("ES256", "P-256", ("kty", "crv", "x", "y")),
    "OKP": _Kind("EdDSA", "Ed25519", ("kty", "crv", "x")),
}
# Of private keys (RFC 7518, 6.2.2 and 6.3.2; RFC 8037, 2) and of shared secrets (RFC 7518, 6.4).
_SECRET_MEMBERS: Final = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth", "k"})


@dataclass(frozen=True, slots=True)
class Key:
    identifier: str | None
    algorithm: str
    public: PublicKey


class _Unusable(Exception):
    """What came is no JWK Set, or nothing came. Says why in a word fit for a log."""


@dataclass(frozen=True, slots=True)
class _Set:
    keys: tuple[Key, ...]
    fetched_at_s: float

    def find(self, algorithm: str, identifier: str | None) -> Key | None:
        fitting = [
            key
            for key in self.keys
            if key.algorithm == algorithm and (identifier is None or key.identifier == identifier)
        ]
        # Two that fit would mean to guess.
        return fitting[0] if len(fitting) == 1 else None


def check_url(url: str) -> str:
    """Give back the address of a JWK Set. Raises ValueError when it is none that can be fetched.

    "https://...", "http://...", "file:///path", "file:path" or an absolute path.
    """
    try:
        parts = urlsplit(url)
        is_fit = bool(parts.hostname) if parts.scheme in {"http", "https"} else bool(_path_of(url))
    except ValueError:
        is_fit = False
    if not is_fit:
        raise ValueError("must be an http(s) address, or file: and a path")
    return url


class Keys:
    """The keys at one address. Safe to use from several threads, of which one at a time fetches.

    A set is fetched with the first token, again after ten minutes, and when a token names a key that it
    does not hold (the provider may have changed keys), at most once in 30 seconds. While the provider is
    away the last set serves on, for a day at most.
    """

    def __init__(self, url: str, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._url = check_url(url)
        self._clock = clock
        self._fetching = threading.Lock()
        # Replaced whole and never changed, so that readers need no lock.
        self._set: _Set | None = None
        self._asked_at_s = -math.inf
        self._is_away = False

    def find(self, algorithm: str, identifier: str | None) -> Key | None:
        """Give the key to verify with; None when the provider has none such.

        Without an identifier there must be exactly one key of the algorithm. Raises Unavailable when the
        provider cannot be asked and what it last said does not settle the question. Takes a few seconds
        at most, and nearly always no time.
        """
        key = self._known(algorithm, identifier)
        if key is not None and self._is_fresh():
            return key
        # Who has a key to go on with does not wait for another's fetch.
        if self._fetching.acquire(timeout=0 if key is not None else _WAIT_S):
            try:
                if self._may_ask(is_for_unknown=self._known(algorithm, identifier) is None):
                    self._ask()
            finally:
                self._fetching.release()
        elif key is None:
            raise errors.Unavailable("the keys of the identity provider are being fetched", retry_after_s=1)
        key = self._known(algorithm, identifier)
        if key is None and (self._is_away or self._serving() is None):
            wait_s = self._asked_at_s + self._pause_s() - self._clock()
            raise errors.Unavailable(
                "the keys of the identity provider cannot be had", retry_after_s=max(1.0, math.ceil(wait_s))
            )
        return key

    def _serving(self) -> _Set | None:
        latest = self._set
        return latest if latest is not None and self._clock() - latest.fetched_at_s < STALE_S else None

    def _known(self, algorithm: str, identifier: str | None) -> Key | None:
        serving = self._serving()
        return serving.find(algorithm, identifier) if serving is not None else None

    def _is_fresh(self) -> bool:
        return self._set is not None and self._clock() - self._set.fetched_at_s < FRESH_S

    def _pause_s(self) -> float:
        return REFETCH_S if self._serving() is not None else RETRY_S

    def _may_ask(self, *, is_for_unknown: bool) -> bool:
        # Looked at again by whoever has waited: the fetch that was waited for counts.
        is_due = is_for_unknown or not self._is_fresh()
        return is_due and self._clock() - self._asked_at_s >= self._pause_s()

    def _ask(self) -> None:
        try:
            keys = _parse(_read(self._url))
        except _Unusable as error:
            self._is_away = True
            log.warning("jwks_unusable", extra={"reason": str(error)})
        else:
            self._set = _Set(keys, self._clock())
            if self._is_away:
                log.info("jwks_back")
            self._is_away = False
        finally:
            self._asked_at_s = self._clock()


def _read(url: str) -> bytes:
    """Fetch at most as much as a set may have. Raises _Unusable."""
    path = _path_of(url)
    return _read_file(path) if path else _read_http(url)


def _path_of(url: str) -> str:
    """Give the path of a file's address; nothing when the address is no file's."""
    if url.startswith("/"):
        return url
    parts = urlsplit(url)
    # The host of file://host/path would be a machine that we do not reach.
    return unquote(parts.path) if parts.scheme == _FILE and parts.netloc in {"", "localhost"} else ""


def _read_file(path: str) -> bytes:
    try:
        # Not to wait for the other end of a pipe.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with open(descriptor, "rb") as file:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise _Unusable("not a file")
            body = file.read(_SET_BYTES_MAX + 1)
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        raise _Unusable(type(error).__name__) from error
    return _bounded(body)


def _read_http(url: str) -> bytes:
    deadline_s = time.monotonic() + _TIMEOUT_S
    scheme = urlsplit(url).scheme
    try:
        with requests.Session() as session:
            # A company's proxy and certificates count on the way out; on the way to a neighbour they
            # would only be in the way.
            session.trust_env = scheme == "https"
            for _ in range(_REDIRECTS_MAX + 1):
                with session.get(
                    url,
                    # Unpacked, a small answer may become any size.
                    headers={
                        "Accept": "application/jwk-set+json, application/json",
                        "Accept-Encoding": "identity",
                    },
                    timeout=max(0.05, deadline_s - time.monotonic()),
                    allow_redirects=False,
                    stream=True,
                ) as response:
                    if response.is_redirect:
                        url = urljoin(url, response.headers["Location"])
                        if urlsplit(url).scheme != scheme:
                            raise _Unusable("redirected to another scheme")
                        continue
                    if response.status_code != 200:
                        raise _Unusable(f"status {response.status_code}")
                    return _read_body(response, deadline_s)
    except (requests.RequestException, HTTPError, OSError, ValueError) as error:
        raise _Unusable(type(error).__name__) from error
    raise _Unusable("redirected too often")


def _read_body(response: requests.Response, deadline_s: float) -> bytes:
    body = b""
    while chunk := response.raw.read1(_CHUNK_BYTES, decode_content=False):
        body = _bounded(body + chunk)
        if time.monotonic() > deadline_s:
            raise _Unusable("too slow")
    return body


def _bounded(body: bytes) -> bytes:
    if len(body) > _SET_BYTES_MAX:
        raise _Unusable("too long")
    return body


def _parse(body: bytes) -> tuple[Key, ...]:
    """Give the keys of a set that can be used: the others are the provider's own business (RFC 7517, 5).

    Raises _Unusable when it is no set. One without keys is the provider's word too: nobody may come in.
    """
    try:
        document: Any = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise _Unusable("not JSON") from error
    found: Any = cast("dict[str, Any]", document).get("keys") if isinstance(document, dict) else None
    if not isinstance(found, list):
        raise _Unusable("not a JWK Set")
    members = cast("list[Any]", found)
    if len(members) > _KEYS_MAX:
        raise _Unusable("too many keys")
    keys: list[Key] = []
    for member in members:
        try:
            keys.append(_parse_key(member))
        except ValueError as error:
            log.warning("jwks_key_refused", extra={"reason": str(error)})
    return tuple(keys)


def _parse_key(found: Any) -> Key:
    """Raises ValueError, which says why the key cannot be used and nothing of what is in it."""
    if not isinstance(found, dict):
        raise ValueError("not an object")
    member = cast("dict[str, Any]", found)
    # A key whose secret half has been published proves nothing any more.
    if not _SECRET_MEMBERS.isdisjoint(member):
        raise ValueError("secret material")
    kind = _KINDS.get(member["kty"]) if isinstance(member.get("kty"), str) else None
    if kind is None or (kind.curve is not None and member.get("crv") != kind.curve):
        raise ValueError("a type that is not used here")
    if member.get("alg", kind.algorithm) != kind.algorithm:
        raise ValueError("an algorithm that is not used here")
    if member.get("use", "sig") != "sig" or "verify" not in _operations(member):
        raise ValueError("not for signatures")
    identifier = member.get("kid")
    if not isinstance(identifier, str | None):
        raise ValueError("a kid that is no text")
    parts = [member.get(name) for name in kind.members]
    if not all(isinstance(part, str) and len(part) <= _MEMBER_CHARS_MAX for part in parts):
        raise ValueError("incomplete or too long")
    try:
        made = jwt.PyJWK({name: member[name] for name in kind.members}, kind.algorithm).key
    except (jwt.PyJWTError, ValueError, TypeError, UnsupportedAlgorithm):
        raise ValueError("no such key can be") from None
    if isinstance(made, RSAPublicKey):
        if not _RSA_BITS_MIN <= made.key_size <= _RSA_BITS_MAX:
            raise ValueError("an RSA key too short or too long")
        if made.public_numbers().e.bit_length() > _RSA_EXPONENT_BITS_MAX:
            raise ValueError("an RSA exponent too long")
    elif not isinstance(made, EllipticCurvePublicKey | Ed25519PublicKey):
        raise ValueError("a type that is not used here")
    return Key(identifier, kind.algorithm, made)


def _operations(member: dict[str, Any]) -> list[Any]:
    found = member.get("key_ops", ["verify"])
    return cast("list[Any]", found) if isinstance(found, list) else []
