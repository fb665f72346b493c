import hashlib
import hmac

import pytest
from hypothesis import given, strategies as st

from gateway import signature
from plumbing import errors

BODY = b'{"object":"whatsapp_business_account","entry":[]}'
SIGNED = "sha256=dec6a680679a968e7e0319355b23599cbfc54502c0784668e9618baa0c633756"


def test_the_known_vector_verifies() -> None:
    signature.verify([b"test_app_secret"], BODY, SIGNED)


def test_either_of_two_secrets_verifies_while_one_replaces_the_other() -> None:
    signature.verify([b"new", b"test_app_secret"], BODY, SIGNED)


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        "sha256=",
        SIGNED[:-1],
        SIGNED + "0",
        SIGNED.removeprefix("sha256="),
        SIGNED.replace("sha256", "sha1"),
        SIGNED.upper(),
        "sha256=" + "0" * 64,
        "sha256=é" + SIGNED[8:],
    ],
)
def test_anything_else_is_refused_with_one_message(header: str | None) -> None:
    with pytest.raises(errors.Unauthenticated, match=r"^the signature does not verify$"):
        signature.verify([b"test_app_secret"], BODY, header)


@given(st.binary(max_size=100), st.binary(min_size=1, max_size=40), st.binary(min_size=1, max_size=40))
def test_only_the_right_secret_verifies(body: bytes, secret: bytes, other: bytes) -> None:
    header = "sha256=" + hmac.new(secret, body, hashlib.sha256).hexdigest()

    signature.verify([secret], body, header)
    if hmac.new(other, body, hashlib.sha256).digest() != hmac.new(secret, body, hashlib.sha256).digest():
        with pytest.raises(errors.Unauthenticated):
            signature.verify([other], body, header)
