import contextlib
import json
from datetime import timedelta

import msgspec
import pytest
from hypothesis import given, strategies as st

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
    [b"", b"nonsense", b"[]", b"null", b'"text"', b"{", b"[" * 5000],
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
    at = payload.moment("1790000000", "at")

    assert payload.moment(1790000000123, "at") == at + timedelta(milliseconds=123)


def test_a_wrong_type_is_named_with_its_path() -> None:
    with pytest.raises(payload.Malformed) as caught:
        payload.convert({"id": "w", "text": {"body": 5}}, payload.Message, "messages[3]")

    assert caught.value.path == "messages[3].text.body"


def test_an_identifier_that_is_a_number_is_read_as_text() -> None:
    message = payload.convert({"id": "w", "from": 5511988887777, "text": {"body": "oi"}}, payload.Message, "")
    thread = payload.convert({"id": 5511988887777, "messages": []}, payload.Thread, "")

    assert (message.from_, message.id, thread.id) == ("5511988887777", "w", "5511988887777")
    for wrong in (True, 1.5, ["5511988887777"], 10**200):
        with pytest.raises(payload.Malformed) as caught:
            payload.convert({"id": "w", "from": wrong}, payload.Message, "messages[0]")
        assert caught.value.path == "messages[0].from"


def test_what_is_nested_too_deeply_is_cut_out_and_the_rest_stays() -> None:
    deep = b'{"a":[' * 5_000 + b'"]"' + b"]}" * 5_000
    body = b'{"before":"[{\\"","deep":%s,"after":[1,{"b":"]}"}]}' % deep

    decoded = payload.decode(body)

    assert (decoded["before"], decoded["after"]) == ('[{"', [1, {"b": "]}"}])
    assert decoded["deep"]


@given(
    st.recursive(
        st.none() | st.text() | st.integers(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    )
)
def test_what_is_not_nested_too_deeply_is_not_touched(value: object) -> None:
    body = json.dumps({"value": value}).encode()

    assert payload.pruned(body) == body


def test_a_string_that_does_not_end_is_gone_over_once() -> None:
    # Of a body of 3 MiB every quote would otherwise be tried to the end: hours.
    body = b'{"deep":' + b"[" * 300 + b'"' + b'\\"' * 1_000_000

    with pytest.raises(payload.Malformed):
        payload.decode(body)
