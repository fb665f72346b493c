import contextlib

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from capture_service import payload


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (rb'{"a":"\u0000x"}', {"a": "\ufffdx"}),
        (rb'{"a":"\ud800x"}', {"a": "\ufffdx"}),
        (rb'{"a":"x\udc00"}', {"a": "x\ufffd"}),
        (rb'{"a":"\ud83d\ude00"}', {"a": "😀"}),
        (rb'{"a":"\\u0000"}', {"a": "\\u0000"}),
        (rb'{"a":"\ud800\ud83d\ude00"}', {"a": "\ufffd😀"}),
        (b'{"a":"\xff"}', {"a": "\ufffd"}),
        (b'\xef\xbb\xbf{"a":1}', {"a": 1}),
        (b'{"a":123456789012345678901234567890}', {"a": 123456789012345678901234567890}),
    ],
)
def test_what_cannot_be_stored_becomes_a_replacement_character(body: bytes, expected: object) -> None:
    assert payload.decode(body) == expected


@pytest.mark.parametrize(
    "body",
    [b"", b"nonsense", b"[]", b"null", b'"text"', b"{", b"[" * 5000, b'{"a":' * 5000 + b"1" + b"}" * 5000],
)
def test_what_is_no_object_is_malformed(body: bytes) -> None:
    with pytest.raises(payload.Malformed):
        payload.decode(body)


@given(st.binary(max_size=300))
def test_no_bytes_break_the_reader(body: bytes) -> None:
    with contextlib.suppress(payload.Malformed):
        payload.decode(body)


@given(st.text(max_size=50))
def test_text_without_nul_and_surrogates_survives(text: str) -> None:
    kept = text.replace("\0", "\ufffd")

    assert payload.decode(msgspec.json.encode({"a": text})) == {"a": kept}


@pytest.mark.parametrize("timestamp", ["x", "", None, True, [], "-1", "0", "99999999999999999", 1.5])
def test_what_is_no_time_is_malformed(timestamp: object) -> None:
    with pytest.raises(payload.Malformed, match="Unix time"):
        payload.moment(timestamp, "at")


def test_seconds_and_milliseconds_are_told_apart_by_magnitude() -> None:
    assert payload.moment("1790000000", "at") == payload.moment(1790000000123, "at")


def test_a_wrong_type_is_named_with_its_path() -> None:
    with pytest.raises(payload.Malformed) as caught:
        payload.convert({"id": "w", "text": {"body": 5}}, payload.Message, "messages[3]")

    assert caught.value.path == "messages[3].text.body"
