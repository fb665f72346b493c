import base64
import hashlib
import hmac
import json
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

from plumbing import errors, jwks, tokens

SECRET = "of the tests, long enough to sign with, whichever algorithm somebody may try"
PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey
# Made once: of all that is done here, making RSA keys takes the longest.
RSA = rsa.generate_private_key(65537, 2048)
EC = ec.generate_private_key(ec.SECP256R1())
ED = ed25519.Ed25519PrivateKey.generate()
OTHER_EC = ec.generate_private_key(ec.SECP256R1())
KEYS: dict[str, PrivateKey] = {"RS256": RSA, "ES256": EC, "EdDSA": ED}


def jwk(private: PrivateKey, **more: Any) -> dict[str, Any]:
    """The public half, as a provider publishes it."""
    public = private.public_key()
    if isinstance(public, rsa.RSAPublicKey):
        found = RSAAlgorithm.to_jwk(public, as_dict=True)
    elif isinstance(public, ec.EllipticCurvePublicKey):
        found = ECAlgorithm.to_jwk(public, as_dict=True)
    else:
        found = OKPAlgorithm.to_jwk(public, as_dict=True)
    found.pop("key_ops", None)
    return found | more


def signed(
    algorithm: str, *, kid: str | None = "one", key: Any = None, headers: Any = None, **claims: Any
) -> str:
    now = int(time.time())
    payload = {"sub": "ana", "tenant": "padaria", "scope": "history:read", "iat": now, "exp": now + 600}
    kept = {name: value for name, value in (payload | claims).items() if value is not None}
    # Not jwt.encode, which refuses an issuer that is no text.
    return jwt.PyJWS().encode(
        json.dumps(kept).encode(),
        key or KEYS[algorithm],
        algorithm=algorithm,
        headers=({} if kid is None else {"kid": kid}) | (headers or {}),
    )


def pem(private: PrivateKey) -> bytes:
    return private.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )


class Clock:
    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


class Provider:
    """An identity provider: what it answers may be changed while it runs."""

    def __init__(self) -> None:
        self.keys: list[Any] = []
        self.body: bytes | None = None
        self.status = 200
        self.location = ""
        self.delay_s = 0.0
        self.drip_s = 0.0
        self.asked: list[str] = []
        provider = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                provider.asked.append(self.path)
                time.sleep(provider.delay_s)
                if provider.location and not self.path.endswith("/moved"):
                    self.send_response(302)
                    self.send_header("Location", provider.location)
                    self.send_header("Content-Length", "0")
                    self.end_headers()
                    return
                body = provider.body
                if body is None:
                    body = json.dumps({"keys": provider.keys}).encode()
                self.send_response(provider.status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                try:
                    if not provider.drip_s:
                        self.wfile.write(body)
                        return
                    for byte in body:
                        self.wfile.write(bytes([byte]))
                        time.sleep(provider.drip_s)
                except OSError:
                    # The other side has heard enough.
                    pass

            def log_message(self, format: str, *args: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}/jwks.json"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})
        self._thread.start()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@pytest.fixture
def provider() -> Iterator[Provider]:
    made = Provider()
    yield made
    made.stop()


@pytest.fixture
def clock() -> Clock:
    return Clock()


def verifier_of(url: str, clock: Callable[[], float] = time.monotonic, **more: Any) -> tokens.Verifier:
    return tokens.Verifier(SECRET, jwks_url=url, steady_clock=clock, **more)


def refused(verifier: tokens.Verifier, token: str) -> bool:
    with pytest.raises(errors.Unauthenticated) as raised:
        verifier.verify(token)
    return raised.value.detail == "the token does not verify"


@pytest.mark.parametrize("algorithm", sorted(KEYS))
@pytest.mark.parametrize("more", [{}, {"use": "sig"}, {"key_ops": ["verify"]}])
def test_a_provider_speaks_for_its_users(provider: Provider, algorithm: str, more: dict[str, Any]):
    provider.keys = [jwk(KEYS[algorithm], kid="one", alg=algorithm, **more), jwk(OTHER_EC, kid="two")]

    caller = verifier_of(provider.url).verify(signed(algorithm, instances=["i1"]))

    assert caller == tokens.Caller("ana", "padaria", frozenset({"history:read"}), frozenset({"i1"}))


def test_our_own_tokens_need_no_provider(provider: Provider):
    own = tokens.issue(SECRET, subject="ana", tenant="padaria", scopes=["service"], ttl_s=60)

    assert verifier_of(provider.url).verify(own).scopes == {"service"}
    assert provider.asked == []


@pytest.mark.parametrize("algorithm", sorted(KEYS))
def test_without_a_provider_only_our_own_tokens_verify(algorithm: str):
    assert refused(tokens.Verifier(SECRET), signed(algorithm))


@pytest.mark.parametrize("scope", ["history:read leads:write", ["history:read", "leads:write"]])
def test_scopes_come_as_words_or_as_a_list(provider: Provider, scope: Any):
    provider.keys = [jwk(EC, kid="one")]

    assert verifier_of(provider.url).verify(signed("ES256", scope=scope)).scopes == {
        "history:read",
        "leads:write",
    }


def test_a_provider_cannot_speak_for_our_services(provider: Provider):
    provider.keys = [jwk(EC, kid="one")]
    verifier = verifier_of(provider.url)

    assert verifier.verify(signed("ES256", scope="service history:read")).scopes == {"history:read"}
    assert refused(verifier, signed("ES256", tenant=""))


@pytest.mark.parametrize(
    "claims",
    [
        {"sub": None},
        {"tenant": None},
        {"scope": None},
        {"exp": None},
        {"sub": 7},
        {"scope": [7]},
        {"scope": {"history:read": True}},
        {"exp": "tomorrow"},
        {"exp": True},
        {"exp": float("nan")},
        {"exp": float("inf")},
        {"exp": 10**400},
        {"nbf": float("nan")},
        {"iat": float("nan")},
        {"instances": "all"},
    ],
)
def test_claims_that_say_nothing_are_refused(provider: Provider, claims: dict[str, Any]):
    provider.keys = [jwk(EC, kid="one")]

    assert refused(verifier_of(provider.url), signed("ES256", **claims))


@pytest.mark.parametrize(
    ("claim", "offset_s", "is_good"),
    [
        ("exp", -29, True),
        ("exp", -31, False),
        ("nbf", 29, True),
        ("nbf", 31, False),
        ("iat", 29, True),
        ("iat", 31, False),
        ("exp", 0.5, True),
    ],
)
def test_the_clock_of_the_provider_may_be_half_a_minute_off(
    provider: Provider, claim: str, offset_s: float, is_good: bool
):
    provider.keys = [jwk(EC, kid="one")]
    now_s = time.time()
    verifier = verifier_of(provider.url)
    verifier._clock = lambda: now_s
    times: dict[str, Any] = {claim: now_s + offset_s}
    token = signed("ES256", **times)

    if is_good:
        assert verifier.verify(token).subject == "ana"
        assert verifier.verify(token).subject == "ana"
    else:
        assert refused(verifier, token)


def test_a_remembered_token_of_a_provider_expires(provider: Provider):
    provider.keys = [jwk(EC, kid="one")]
    now_s = [time.time()]
    verifier = verifier_of(provider.url)
    verifier._clock = lambda: now_s[0]
    token = signed("ES256", exp=int(now_s[0]) + 10)
    assert verifier.verify(token).subject == "ana"

    now_s[0] += 41

    assert refused(verifier, token)


# Whom a token is from, and whom it is for

ISSUER = "https://id.example/"
AUDIENCE = "recado"


def strict_verifier(url: str, **more: Any) -> tokens.Verifier:
    return verifier_of(url, issuer=ISSUER, audience=AUDIENCE, **more)


@pytest.mark.parametrize("audience", [AUDIENCE, [AUDIENCE], ["payroll", AUDIENCE]])
@pytest.mark.parametrize("algorithm", sorted(KEYS))
def test_a_token_from_the_issuer_for_us_verifies(provider: Provider, algorithm: str, audience: Any):
    provider.keys = [jwk(KEYS[algorithm], kid="one")]
    verifier = strict_verifier(provider.url)
    token = signed(algorithm, iss=ISSUER, aud=audience)

    assert verifier.verify(token).subject == "ana"
    assert verifier.verify(token).subject == "ana"


@pytest.mark.parametrize(
    "issuer",
    [
        None,
        "",
        "https://id.example",
        "https://id.example/other",
        "HTTPS://id.example/",
        " https://id.example/",
        "/",
        [ISSUER],
        {ISSUER: True},
        7,
    ],
)
def test_a_token_of_another_issuer_is_refused(provider: Provider, issuer: Any):
    provider.keys = [jwk(EC, kid="one")]
    token = signed("ES256", iss=issuer, aud=AUDIENCE)

    assert refused(strict_verifier(provider.url), token)
    assert refused(verifier_of(provider.url, issuer=ISSUER), token)
    assert verifier_of(provider.url, audience=AUDIENCE).verify(token).subject == "ana"


@pytest.mark.parametrize(
    "audience",
    [
        None,
        "",
        "payroll",
        "recado2",
        "rec",
        "Recado",
        "recado payroll",
        [],
        ["payroll"],
        ["rec", "ado"],
        [[AUDIENCE]],
        [AUDIENCE, 7],
        {AUDIENCE: True},
        7,
    ],
)
def test_a_token_for_another_application_is_refused(provider: Provider, audience: Any):
    provider.keys = [jwk(EC, kid="one")]
    token = signed("ES256", iss=ISSUER, aud=audience)

    assert refused(strict_verifier(provider.url), token)
    assert refused(verifier_of(provider.url, audience=AUDIENCE), token)
    assert verifier_of(provider.url, issuer=ISSUER).verify(token).subject == "ana"


@pytest.mark.parametrize("claims", [{}, {"iss": ISSUER, "aud": "payroll"}, {"iss": "x", "aud": ["y", "z"]}])
def test_where_none_is_expected_any_issuer_and_audience_do(provider: Provider, claims: dict[str, Any]):
    provider.keys = [jwk(EC, kid="one")]

    assert verifier_of(provider.url).verify(signed("ES256", **claims)).subject == "ana"


def test_our_own_tokens_need_neither_issuer_nor_audience(provider: Provider):
    verifier = strict_verifier(provider.url)
    own = tokens.issue(SECRET, subject="ana", tenant="padaria", scopes=["service"], ttl_s=60)
    elsewhere = signed("HS256", key=SECRET, iss="https://other.example/", aud="payroll")

    assert verifier.verify(own).scopes == {"service"}
    assert verifier.verify(tokens.OwnToken(SECRET, subject="gateway")()).subject == "gateway"
    assert verifier.verify(elsewhere).subject == "ana"
    assert provider.asked == []


def test_the_right_issuer_and_audience_do_not_stand_for_a_signature(provider: Provider):
    provider.keys = [jwk(EC, kid="one")]

    assert refused(strict_verifier(provider.url), signed("ES256", key=OTHER_EC, iss=ISSUER, aud=AUDIENCE))


# Algorithms confused


def hmac_signed(key: bytes, algorithm: str = "HS256") -> str:
    """What an attacker makes by hand: libraries refuse to sign with a public key."""

    def part(raw: bytes) -> bytes:
        return base64.urlsafe_b64encode(raw).rstrip(b"=")

    now = int(time.time())
    claims = {"sub": "ana", "tenant": "padaria", "scope": "history:read", "exp": now + 600}
    header = {"alg": algorithm, "kid": "one"}
    text = part(json.dumps(header).encode()) + b"." + part(json.dumps(claims).encode())
    return (text + b"." + part(hmac.new(key, text, hashlib.sha256).digest())).decode()


@pytest.mark.parametrize("private", [RSA, EC, ED], ids=["RSA", "EC", "OKP"])
@pytest.mark.parametrize("algorithm", ["HS256", "RS256", "ES256", "EdDSA", "none", "HS512"])
def test_a_public_key_is_never_taken_for_a_shared_secret(
    provider: Provider, private: PrivateKey, algorithm: str
):
    published = jwk(private, kid="one")
    provider.keys = [published]
    der = private.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    verifier = verifier_of(provider.url)

    for key in (pem(private), pem(private).strip(), der, json.dumps(published).encode(), b""):
        assert refused(verifier, hmac_signed(key, algorithm))


@pytest.mark.parametrize(
    "algorithm", ["none", "NONE", "", None, 7, ["RS256"], "PS256", "ES384", "RS512", "rs256"]
)
def test_other_algorithms_are_refused_without_asking(provider: Provider, algorithm: Any):
    provider.keys = [jwk(RSA, kid="one")]
    token = signed("RS256")
    header = base64.urlsafe_b64encode(json.dumps({"alg": algorithm, "kid": "one"}).encode()).rstrip(b"=")
    verifier = verifier_of(provider.url)

    assert refused(verifier, header.decode() + "." + token.split(".", 1)[1])
    assert refused(verifier, header.decode() + "." + token.split(".")[1] + ".")
    assert provider.asked == []


def test_a_shared_secret_that_was_published_is_none(provider: Provider):
    secret = b"0123456789abcdef0123456789abcdef"
    provider.keys = [
        {"kty": "oct", "kid": "one", "k": base64.urlsafe_b64encode(secret).rstrip(b"=").decode()}
    ]

    assert refused(verifier_of(provider.url), hmac_signed(secret))
    assert jwks.Keys(provider.url).find("RS256", "one") is None


@pytest.mark.parametrize("algorithm", sorted(KEYS))
def test_the_key_decides_on_the_algorithm(provider: Provider, algorithm: str):
    others = [key for name, key in KEYS.items() if name != algorithm]
    verifier = verifier_of(provider.url)
    provider.keys = [jwk(key, kid="one") for key in others]

    assert refused(verifier, signed(algorithm))


def test_a_signature_by_another_key_of_the_same_kind_is_refused(provider: Provider):
    provider.keys = [jwk(EC, kid="one"), jwk(OTHER_EC, kid="two")]
    verifier = verifier_of(provider.url)

    assert refused(verifier, signed("ES256", key=OTHER_EC))
    assert refused(verifier, signed("ES256", kid="two"))
    assert verifier.verify(signed("ES256", key=OTHER_EC, kid="two")).subject == "ana"


def test_a_changed_claim_is_refused(provider: Provider):
    provider.keys = [jwk(EC, kid="one")]
    verifier = verifier_of(provider.url)
    head, _, signature = signed("ES256").split(".")
    _, body, _ = signed("ES256", tenant="outra").split(".")
    assert verifier.verify(signed("ES256")).tenant == "padaria"

    assert refused(verifier, f"{head}.{body}.{signature}")
    assert refused(verifier, f"{head}.{body}.")


def test_a_token_does_not_say_where_its_key_is(provider: Provider, tmp_path: Path):
    elsewhere = tmp_path / "keys.json"
    elsewhere.write_text(json.dumps({"keys": [jwk(OTHER_EC, kid="one")]}))
    provider.keys = [jwk(EC, kid="one")]
    verifier = verifier_of(provider.url)

    for header in (
        {"jku": elsewhere.as_uri()},
        {"jwk": jwk(OTHER_EC)},
        {"x5u": elsewhere.as_uri()},
        {"crit": ["exp"], "exp": 1},
    ):
        assert refused(verifier, signed("ES256", key=OTHER_EC, headers=header))


# Which keys are used


def test_a_token_without_kid_needs_exactly_one_key(provider: Provider, clock: Clock):
    provider.keys = [jwk(EC, kid="one"), jwk(RSA, kid="two")]
    verifier = verifier_of(provider.url, clock)
    assert verifier.verify(signed("ES256", kid=None)).subject == "ana"

    provider.keys.append(jwk(OTHER_EC, kid="three"))
    clock.now_s += jwks.FRESH_S

    assert refused(verifier, signed("ES256", kid=None, sub="bia"))
    assert verifier.verify(signed("ES256", sub="bia")).subject == "bia"


def test_a_key_without_kid_serves_tokens_without(provider: Provider):
    provider.keys = [jwk(EC)]
    verifier = verifier_of(provider.url)

    assert verifier.verify(signed("ES256", kid=None)).subject == "ana"
    assert refused(verifier, signed("ES256", kid="one"))


def test_two_keys_of_one_name_are_not_guessed_between(provider: Provider):
    provider.keys = [jwk(EC, kid="one"), jwk(OTHER_EC, kid="one"), jwk(RSA, kid="one")]
    verifier = verifier_of(provider.url)

    assert refused(verifier, signed("ES256"))
    # RFC 7517, 4.5: of two types they may have the same name.
    assert verifier.verify(signed("RS256")).subject == "ana"


def private_jwk(private: ec.EllipticCurvePrivateKey) -> dict[str, Any]:
    return ECAlgorithm.to_jwk(private, as_dict=True)


@pytest.mark.parametrize(
    ("algorithm", "key"),
    [
        ("RS256", jwk(RSA, kid="one", use="enc")),
        ("RS256", jwk(RSA, kid="one", use=["sig"])),
        ("RS256", jwk(RSA, kid="one", key_ops=["encrypt"])),
        ("RS256", jwk(RSA, kid="one", key_ops="verify")),
        ("RS256", jwk(RSA, kid="one", alg="PS256")),
        ("RS256", jwk(RSA, kid="one", alg="HS256")),
        ("RS256", jwk(RSA, kid="one", alg=None)),
        ("RS256", jwk(RSA, kid="one", d="AQAB")),
        ("RS256", jwk(RSA, kid="one", k="AQAB")),
        ("RS256", jwk(RSA, kid="one", n="")),
        ("RS256", jwk(RSA, kid="one", n=7)),
        ("RS256", jwk(RSA, kid="one", n="é")),
        ("RS256", jwk(RSA, kid="one", n="A" * 3000)),
        ("RS256", jwk(RSA, kid="one", e="AQ")),
        ("RS256", jwk(RSA, kid="one", e="_" * 20)),
        ("RS256", jwk(RSA, kid="one", kty="EC")),
        ("RS256", jwk(RSA, kid="one", kty=["RSA"])),
        ("RS256", jwk(RSA, kid=1)),
        ("RS256", {"kty": "RSA", "kid": "one"}),
        ("ES256", private_jwk(EC) | {"kid": "one"}),
        ("ES256", jwk(EC, kid="one", crv="P-384")),
        ("ES256", jwk(EC, kid="one", x=jwk(OTHER_EC)["x"])),
        ("ES256", jwk(EC, kid="one", x="AAAA")),
        ("EdDSA", jwk(ED, kid="one", crv="Ed448")),
        ("EdDSA", jwk(ED, kid="one", x="AAAA")),
        ("ES256", "one"),
        ("ES256", None),
        ("ES256", []),
    ],
)
def test_keys_that_are_not_fit_are_left_out(provider: Provider, algorithm: str, key: Any):
    provider.keys = [key, jwk(OTHER_EC, kid="two")]
    verifier = verifier_of(provider.url)

    assert refused(verifier, signed(algorithm))
    assert verifier.verify(signed("ES256", key=OTHER_EC, kid="two")).subject == "ana"


def test_a_short_rsa_key_is_left_out(provider: Provider):
    short = rsa.generate_private_key(65537, 1024)  # noqa: S505 - what is to be refused
    provider.keys = [jwk(short, kid="one")]
    with pytest.warns(jwt.InsecureKeyLengthWarning):
        token = signed("RS256", key=short)

    assert refused(verifier_of(provider.url), token)


def test_the_log_tells_why_and_nothing_of_the_key(provider: Provider, caplog: pytest.LogCaptureFixture):
    provider.keys = [private_jwk(EC) | {"kid": "one"}]

    jwks.Keys(provider.url).find("ES256", "one")

    # Threads that other tests have left behind have a log, too.
    ours = [entry for entry in caplog.records if entry.name == jwks.__name__]
    assert [(entry.message, entry.__dict__["reason"]) for entry in ours] == [
        ("jwks_key_refused", "secret material")
    ]


# Rotation


def test_new_keys_are_followed_and_asked_for_at_most_every_half_minute(provider: Provider, clock: Clock):
    provider.keys = [jwk(EC, kid="one")]
    verifier = verifier_of(provider.url, clock)
    assert verifier.verify(signed("ES256")).subject == "ana"
    provider.keys = [jwk(EC, kid="one"), jwk(OTHER_EC, kid="two")]
    token = signed("ES256", key=OTHER_EC, kid="two")

    clock.now_s += jwks.REFETCH_S - 1
    assert refused(verifier, token)
    clock.now_s += 1
    assert verifier.verify(token).subject == "ana"
    for number in range(50):
        assert refused(verifier, signed("ES256", kid=f"nobody's {number}"))

    assert len(provider.asked) == 2


def test_known_keys_are_asked_for_every_ten_minutes(provider: Provider, clock: Clock):
    provider.keys = [jwk(EC, kid="one")]
    verifier = verifier_of(provider.url, clock)
    for number in range(3):
        assert verifier.verify(signed("ES256", sub=str(number))).subject == str(number)
        clock.now_s += jwks.FRESH_S - 1
        assert verifier.verify(signed("ES256", sub=str(number))).subject == str(number)
        clock.now_s += 1

    assert len(provider.asked) == 3


def test_a_withdrawn_key_ends_its_tokens_also_those_remembered(provider: Provider, clock: Clock):
    provider.keys = [jwk(EC, kid="one")]
    verifier = verifier_of(provider.url, clock)
    token = signed("ES256")
    assert verifier.verify(token).subject == "ana"

    for keys in ([jwk(OTHER_EC, kid="one")], [jwk(EC, kid="one")], [jwk(OTHER_EC, kid="two")], []):
        provider.keys = keys
        clock.now_s += jwks.FRESH_S
        if keys == [jwk(EC, kid="one")]:
            assert verifier.verify(token).subject == "ana"
        else:
            assert refused(verifier, token)


# Outages


def stopped() -> str:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{listening.getsockname()[1]}/jwks.json"


def test_without_any_keys_nobody_is_called_a_stranger(clock: Clock):
    verifier = verifier_of(stopped(), clock)

    for algorithm in KEYS:
        with pytest.raises(errors.Unavailable) as raised:
            verifier.verify(signed(algorithm))
        assert raised.value.retry_after_s == jwks.RETRY_S
    assert verifier.verify(
        tokens.issue(SECRET, subject="ana", tenant="padaria", scopes=[], ttl_s=60)
    ).subject == ("ana")


@pytest.mark.parametrize(
    "fault",
    [
        {"status": 500},
        {"status": 404},
        {"status": 204},
        {"body": b""},
        {"body": b"<html>"},
        {"body": b"[]"},
        {"body": b'{"keys": {}}'},
        {"body": b"\xff"},
        {"body": b"[" * 100_000},
        {"body": b'{"keys": [' + b"1," * 200 + b"1]}"},
        {"body": b'{"keys": []' + b" " * (1 << 20) + b"}"},
        {"location": "file:///etc/passwd"},
        {"location": "https://127.0.0.1/moved"},
        {"location": "/again"},
        {"location": "http://[/moved"},
    ],
    ids=lambda fault: next(f"{name} {str(value)[:20]}" for name, value in fault.items()),
)
def test_a_provider_that_answers_nonsense_is_away_and_its_keys_serve_on(
    provider: Provider, clock: Clock, fault: dict[str, Any]
):
    provider.keys = [jwk(EC, kid="one")]
    with_keys, without = verifier_of(provider.url, clock), verifier_of(provider.url, clock)
    token = signed("ES256")
    assert with_keys.verify(token).subject == "ana"
    for name, value in fault.items():
        setattr(provider, name, value)

    clock.now_s += jwks.FRESH_S

    assert with_keys.verify(token).subject == "ana"
    assert with_keys.verify(signed("ES256", sub="bia")).subject == "bia"
    with pytest.raises(errors.Unavailable):
        with_keys.verify(signed("ES256", key=OTHER_EC, kid="two"))
    assert refused(with_keys, signed("ES256", key=OTHER_EC))
    with pytest.raises(errors.Unavailable):
        without.verify(token)


def test_the_last_keys_serve_for_a_day(provider: Provider, clock: Clock):
    provider.keys = [jwk(EC, kid="one")]
    verifier = verifier_of(provider.url, clock)
    verifier.verify(signed("ES256"))
    provider.status = 503

    clock.now_s += jwks.STALE_S - 1
    assert verifier.verify(signed("ES256")).subject == "ana"
    clock.now_s += 1
    with pytest.raises(errors.Unavailable):
        verifier.verify(signed("ES256"))

    provider.status = 200
    clock.now_s += jwks.RETRY_S
    assert verifier.verify(signed("ES256")).subject == "ana"


def test_a_provider_that_is_away_is_asked_now_and_then(provider: Provider, clock: Clock):
    provider.keys = [jwk(EC, kid="one")]
    provider.status = 503
    verifier = verifier_of(provider.url, clock)
    for _ in range(10):
        with pytest.raises(errors.Unavailable):
            verifier.verify(signed("ES256"))
    assert len(provider.asked) == 1

    clock.now_s += jwks.RETRY_S
    provider.status = 200
    assert verifier.verify(signed("ES256")).subject == "ana"

    provider.status = 503
    clock.now_s += jwks.FRESH_S
    for _ in range(10):
        assert verifier.verify(signed("ES256")).subject == "ana"
    assert len(provider.asked) == 3


@pytest.mark.parametrize("slowness", ["delay_s", "drip_s"])
def test_a_slow_provider_is_not_waited_for(provider: Provider, slowness: str):
    provider.body = json.dumps({"keys": [jwk(EC, kid="one")]}).encode()
    setattr(provider, slowness, {"delay_s": 5, "drip_s": 0.1}[slowness])
    started = time.monotonic()

    with pytest.raises(errors.Unavailable):
        verifier_of(provider.url).verify(signed("ES256"))

    assert time.monotonic() - started < 15


def test_a_redirect_is_followed_while_the_scheme_stays(provider: Provider):
    provider.keys = [jwk(EC, kid="one")]
    provider.location = "/moved"

    assert verifier_of(provider.url).verify(signed("ES256")).subject == "ana"
    assert provider.asked == ["/jwks.json", "/moved"]


# Threads


def test_many_threads_make_one_question(provider: Provider):
    provider.keys = [jwk(EC, kid="one")]
    provider.delay_s = 0.3
    verifier = verifier_of(provider.url)
    many = [signed("ES256", sub=str(number)) for number in range(16)]

    with ThreadPoolExecutor(16) as pool:
        callers = list(pool.map(verifier.verify, many))

    assert [caller.subject for caller in callers] == [str(number) for number in range(16)]
    assert len(provider.asked) == 1


def test_who_has_a_key_does_not_wait_for_the_next_set(provider: Provider, clock: Clock):
    provider.keys = [jwk(EC, kid="one")]
    verifier = verifier_of(provider.url, clock)
    token = signed("ES256")
    verifier.verify(token)
    provider.delay_s = 1.0
    clock.now_s += jwks.FRESH_S

    with ThreadPoolExecutor(8) as pool:
        started = time.monotonic()
        waiting = pool.submit(verifier.verify, token)
        while len(provider.asked) < 2:
            time.sleep(0.01)
        others = [pool.submit(verifier.verify, token) for _ in range(7)]
        assert all(other.result().subject == "ana" for other in others)
        assert time.monotonic() - started < 8
        assert waiting.result().subject == "ana"
    assert len(provider.asked) == 2


# Files and addresses


@pytest.mark.parametrize("form", ["file://{}", "file:{}", "{}", "file://localhost{}"])
def test_a_file_is_read_again_when_it_changes(tmp_path: Path, clock: Clock, form: str):
    path = tmp_path / "keys.json"
    path.write_text(json.dumps({"keys": [jwk(EC, kid="one")]}))
    verifier = verifier_of(form.format(path), clock)
    assert verifier.verify(signed("ES256")).subject == "ana"

    path.write_text(json.dumps({"keys": [jwk(OTHER_EC, kid="two")]}))
    clock.now_s += jwks.REFETCH_S

    assert verifier.verify(signed("ES256", key=OTHER_EC, kid="two")).subject == "ana"
    assert refused(verifier, signed("ES256"))


def test_a_file_that_is_none_is_away(tmp_path: Path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "long").write_bytes(b" " * ((1 << 20) + 1))

    for path in (tmp_path, tmp_path / "missing", tmp_path / "pipe", tmp_path / "long", Path("/dev/zero")):
        with pytest.raises(errors.Unavailable):
            verifier_of(f"file:{path}").verify(signed("ES256"))


@pytest.mark.parametrize(
    "url",
    ["keys.json", "ftp://host/keys", "http://", "https:///keys", "file://host/keys", "http://[", "file:"],
)
def test_an_address_that_cannot_be_fetched_is_refused_at_the_start(url: str):
    with pytest.raises(ValueError, match="must be an http"):
        tokens.Verifier(SECRET, jwks_url=url)
