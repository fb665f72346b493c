import base64

import pytest
from hypothesis import given, strategies as st

from plumbing import crypto

KEY_1 = base64.b64encode(b"1" * 32).decode()
KEY_2 = base64.b64encode(b"2" * 32).decode()


@given(st.binary(), st.binary())
def test_what_was_sealed_opens_for_the_same_purpose(plaintext: bytes, aad: bytes):
    ring = crypto.Keyring.parse(f"k1:{KEY_1}")

    assert ring.open(ring.seal(plaintext, aad=aad), aad=aad) == plaintext


@given(st.binary(), st.binary(), st.binary())
def test_it_opens_for_no_other_purpose(plaintext: bytes, aad: bytes, other: bytes):
    ring = crypto.Keyring.parse(f"k1:{KEY_1}")
    sealed = ring.seal(plaintext, aad=aad)

    if other != aad:
        with pytest.raises(crypto.CannotOpen):
            ring.open(sealed, aad=other)


@given(st.binary(), st.data())
def test_a_changed_byte_is_noticed(plaintext: bytes, data: st.DataObject):
    ring = crypto.Keyring.parse(f"k1:{KEY_1}")
    sealed = bytearray(ring.seal(plaintext, aad=b"purpose"))
    position = data.draw(st.integers(0, len(sealed) - 1))
    sealed[position] ^= data.draw(st.integers(1, 255))

    with pytest.raises(crypto.CannotOpen):
        ring.open(bytes(sealed), aad=b"purpose")


@given(st.binary())
def test_nonsense_does_not_open(sealed: bytes):
    with pytest.raises(crypto.CannotOpen):
        crypto.Keyring.parse(f"k1:{KEY_1}").open(sealed, aad=b"")


@given(st.binary(max_size=40))
def test_nonsense_under_a_known_key_does_not_open(rest: bytes):
    with pytest.raises(crypto.CannotOpen):
        crypto.Keyring.parse(f"k1:{KEY_1}").open(b"k1:" + rest, aad=b"")


def test_the_first_key_seals_and_every_key_opens():
    before = crypto.Keyring.parse(f"k1:{KEY_1}")
    after = crypto.Keyring.parse(f"k2:{KEY_2},k1:{KEY_1}")
    sealed = before.seal(b"token", aad=b"")

    assert after.open(sealed, aad=b"") == b"token"
    assert after.sealing_key_id == "k2"
    assert after.seal(b"token", aad=b"").startswith(b"k2:")
    with pytest.raises(crypto.CannotOpen):
        before.open(after.seal(b"token", aad=b""), aad=b"")


def test_the_same_text_is_never_sealed_the_same():
    ring = crypto.Keyring.parse(f"k1:{KEY_1}")

    assert ring.seal(b"token", aad=b"") != ring.seal(b"token", aad=b"")


def test_a_key_under_another_id_does_not_open():
    sealed = crypto.Keyring.parse(f"k1:{KEY_1}").seal(b"token", aad=b"")

    with pytest.raises(crypto.CannotOpen):
        crypto.Keyring.parse(f"k2:{KEY_1}").open(sealed.replace(b"k1:", b"k2:", 1), aad=b"")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "k1",
        "k1:",
        ":" + KEY_1,
        KEY_1,
        "k1:" + KEY_1[:-4],
        "k1:" + KEY_1[:-1] + "ã",
        "k1:" + KEY_1 + "!",
        f"k1:{KEY_1},",
        f"k1:{KEY_1},k1:{KEY_2}",
        f"k 1:{KEY_1}",
        "k" * 33 + ":" + KEY_1,
    ],
)
def test_a_ring_that_is_none_is_refused_without_quoting_it(text: str):
    with pytest.raises(ValueError, match=r"key \d ") as raised:
        crypto.Keyring.parse(text)

    assert "MTExMTEx" not in str(raised.value)
    assert raised.value.__cause__ is None
