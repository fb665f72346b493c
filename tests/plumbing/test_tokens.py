import base64
import hashlib
import json
import time
import tracemalloc
from typing import Any

import jwt
import pytest
from hypothesis import given, strategies as st

from plumbing import errors, settings, tokens

SECRET = "of the tests, long enough to sign with, whichever algorithm somebody may try"
words = st.text(st.characters(categories=["L", "N"]), min_size=1)
CLAIMS: dict[str, Any] = {"sub": "ana", "tenant": "padaria", "scope": "history:read", "exp": 2_000_000_000}


@given(words, words, st.frozensets(words), st.none() | st.frozensets(words))
def test_a_token_says_what_was_put_in(
    subject: str, tenant: str, scopes: frozenset[str], instances: frozenset[str] | None
):
    token = tokens.issue(SECRET, subject=subject, tenant=tenant, scopes=scopes, instances=instances, ttl_s=60)

    assert tokens.Verifier(SECRET).verify(token) == tokens.Caller(subject, tenant, scopes, instances)


@given(
    st.text() | st.binary(max_size=60).map(lambda raw: base64.urlsafe_b64encode(raw).decode() + ".e30.e30")
)
def test_nonsense_is_refused(token: str):
    with pytest.raises(errors.Unauthenticated):
        tokens.Verifier(SECRET).verify(token)


def unsigned(header: object, claims: object) -> str:
    parts = [base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=") for part in (header, claims)]
    return b".".join([*parts, b""]).decode()


@pytest.mark.parametrize(
    "token",
    [
        unsigned({"alg": "none"}, CLAIMS),
        unsigned({"alg": "HS256"}, CLAIMS),
        jwt.encode(CLAIMS, SECRET, algorithm="HS384"),
        jwt.encode(
            CLAIMS, "another secret, as long as the one that is used in all the others ...", algorithm="HS256"
        ),
        jwt.encode(CLAIMS | {"exp": 1_000_000_000}, SECRET),
        jwt.encode(CLAIMS | {"exp": "soon"}, SECRET),
        jwt.encode(CLAIMS | {"exp": float("nan")}, SECRET),
        jwt.encode(CLAIMS | {"exp": float("inf")}, SECRET),
        # In milliseconds.
        jwt.encode(CLAIMS | {"exp": 2_000_000_000_000}, SECRET),
        jwt.encode(CLAIMS | {"scope": 7}, SECRET),
        "\ud800",
        jwt.encode(CLAIMS | {"nbf": 1_999_999_999}, SECRET),
        jwt.encode(CLAIMS | {"instances": "all"}, SECRET),
        jwt.encode(CLAIMS | {"tenant": 7}, SECRET),
        *(
            jwt.encode({key: value for key, value in CLAIMS.items() if key != left_out}, SECRET)
            for left_out in CLAIMS
        ),
        jwt.encode(CLAIMS | {"sub": "x" * 9000}, SECRET),
        *(
            jwt.encode(CLAIMS | {claim: name}, SECRET)
            for claim in ("sub", "tenant")
            for name in ("a\0b", "\ud800", "x" * 256)
        ),
        jwt.encode(CLAIMS | {"sub": ""}, SECRET),
        base64.urlsafe_b64encode(b"[" * 6000).decode().rstrip("=") + ".e30.e30",
        "",
    ],
)
def test_what_does_not_verify_is_refused_with_one_message(token: str):
    with pytest.raises(errors.Unauthenticated) as raised:
        tokens.Verifier(SECRET).verify(token)

    assert raised.value.detail == "the token does not verify"


def test_the_clock_of_the_issuer_may_be_ahead():
    token = jwt.encode(CLAIMS | {"iat": 1_999_999_999}, SECRET)

    assert tokens.Verifier(SECRET).verify(token).subject == "ana"


def test_a_remembered_token_expires():
    now_s = [1_999_999_999.0]
    verifier = tokens.Verifier(SECRET, clock=lambda: now_s[0])
    token = jwt.encode(CLAIMS, SECRET)
    assert verifier.verify(token).subject == "ana"

    now_s[0] += 1

    with pytest.raises(errors.Unauthenticated, match="the token does not verify"):
        verifier.verify(token)


def test_ten_thousand_tokens_of_one_user_take_bounded_memory():
    verifier = tokens.Verifier(SECRET)
    many = [jwt.encode(CLAIMS | {"jti": str(number), "pad": "x" * 500}, SECRET) for number in range(10_000)]
    favourite = many[0]
    tracemalloc.start()
    try:
        for number, token in enumerate(many):
            assert verifier.verify(token).subject == "ana"
            if number % 1_000 == 0:
                assert verifier.verify(favourite).subject == "ana"
        taken_bytes, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert len(verifier._known) == 2_000
    assert taken_bytes < 4_000_000
    # The last used stay, and the tokens themselves are not kept.
    assert hashlib.sha256(favourite.encode()).digest() in verifier._known
    assert hashlib.sha256(many[1].encode()).digest() not in verifier._known


def test_scopes_may_come_as_a_list():
    token = jwt.encode(CLAIMS | {"scope": ["history:read", "leads:write"]}, SECRET)

    assert tokens.Verifier(SECRET).verify(token).scopes == {"history:read", "leads:write"}


@pytest.mark.parametrize("secret", ["", "x" * 31])
def test_a_short_secret_is_refused_at_the_start(secret: str):
    with pytest.raises(ValueError, match="32 bytes"):
        tokens.Verifier(secret)
    with pytest.raises(ValueError, match="32 bytes"):
        tokens.issue(secret, subject="ana", tenant="padaria", scopes=[], ttl_s=60)


def test_a_scope_is_there_or_required():
    caller = tokens.Caller("ana", "padaria", frozenset({"history:read"}))

    caller.require("history:read")
    with pytest.raises(errors.PermissionDenied, match="leads:write"):
        caller.require("leads:write")


def test_a_services_own_token_is_reused_and_renewed():
    now_s = [time.time()]
    own = tokens.OwnToken(SECRET, subject="gateway", clock=lambda: now_s[0])
    first = own()
    caller = tokens.Verifier(SECRET).verify(first)
    assert (caller.subject, caller.tenant, caller.scopes) == ("gateway", "", {"service"})
    assert own() is first

    now_s[0] += 1_800

    assert own() is not first


def read_expected(environ: dict[str, str]) -> tuple[str, str]:
    with settings.read(environ) as env:
        env.parsed("RECADO_AUTH_JWKS_URL", "", tokens.check_jwks_url)
        return (
            tokens.read_expected(env, "RECADO_AUTH_ISSUER"),
            tokens.read_expected(env, "RECADO_AUTH_AUDIENCE"),
        )


@pytest.mark.parametrize("url", ["", "https://id.example/keys"])
def test_issuer_and_audience_may_be_left_out(url: str):
    assert read_expected({"RECADO_AUTH_JWKS_URL": url, "RECADO_AUTH_ISSUER": ""}) == ("", "")


def test_issuer_and_audience_are_taken_to_the_letter():
    environ = {
        "RECADO_AUTH_JWKS_URL": "/keys.json",
        "RECADO_AUTH_ISSUER": "https://id.example/",
        "RECADO_AUTH_AUDIENCE": "recado, payroll",
    }

    assert read_expected(environ) == ("https://id.example/", "recado, payroll")


@pytest.mark.parametrize("url", [{}, {"RECADO_AUTH_JWKS_URL": ""}])
def test_what_nothing_would_be_checked_for_is_a_fault(url: dict[str, str]):
    with pytest.raises(settings.SettingsError) as raised:
        read_expected({"RECADO_AUTH_ISSUER": "hush", "RECADO_AUTH_AUDIENCE": "hush", **url})

    assert raised.value.faults == [
        "RECADO_AUTH_ISSUER needs RECADO_AUTH_JWKS_URL: it says nothing of our own tokens",
        "RECADO_AUTH_AUDIENCE needs RECADO_AUTH_JWKS_URL: it says nothing of our own tokens",
    ]


def test_an_address_of_keys_that_does_not_do_is_the_one_fault():
    with pytest.raises(settings.SettingsError) as raised:
        read_expected({"RECADO_AUTH_JWKS_URL": "ftp://id.example", "RECADO_AUTH_ISSUER": "x"})

    assert raised.value.faults == ["RECADO_AUTH_JWKS_URL: must be an http(s) address, or file: and a path"]


def test_the_three_people(owner: str, colleague: str, stranger: str, auth_secret: str):
    verifier = tokens.Verifier(auth_secret)

    assert verifier.verify(owner).tenant == verifier.verify(colleague).tenant == "padaria"
    assert verifier.verify(colleague).scopes == {"history:read"}
    assert verifier.verify(stranger).tenant == "outra"
