"""Messages as the REST API shows them."""

import json
from typing import Any

import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from gateway import render
from protos import history_pb2 as pb


def shown(**fields: Any) -> dict[str, Any]:
    found = pb.Message(id="1", direction=pb.INBOUND, sent_at=Timestamp(seconds=1), **fields)
    return json.loads(render.encode(render.message(found)))


@pytest.mark.parametrize(
    ("stamp", "text"),
    [
        (Timestamp(seconds=1_795_356_185), "2026-11-22T14:03:05Z"),
        (Timestamp(seconds=1_795_356_185, nanos=250_000_000), "2026-11-22T14:03:05.250Z"),
        (Timestamp(seconds=1_795_356_185, nanos=123_456_000), "2026-11-22T14:03:05.123456Z"),
        (Timestamp(seconds=0), "1970-01-01T00:00:00Z"),
        (Timestamp(seconds=-1), "1969-12-31T23:59:59Z"),
    ],
)
def test_times_are_rfc_3339_in_utc_with_a_fraction_where_there_is_one(stamp: Timestamp, text: str):
    assert render.moment(pb.Message(sent_at=stamp), "sent_at") == text


def test_a_time_that_is_not_known_is_null():
    assert render.moment(pb.Message(), "sent_at") is None


def test_what_is_not_known_is_null_and_optional_parts_are_absent():
    message = shown()

    assert (message["body"], message["mediaUrl"], message["pattern"]) == (None, None, None)
    assert message["from"] == {"name": None, "number": None, "userId": None}
    assert {"context", "content", "errors", "billing"}.isdisjoint(message)


def test_documents_are_passed_on_as_they_are():
    message = shown(
        content_json='{"image":{"id":"7","width":9007199254740993}}',
        errors_json='[{"code":131026}]',
        billing_json='{"pricing":{"billable":true}}',
    )

    assert message["content"] == {"image": {"id": "7", "width": 9007199254740993}}
    assert message["errors"] == [{"code": 131026}]
    assert message["billing"] == {"pricing": {"billable": True}}


def test_a_context_has_our_links_and_the_rest_of_metas():
    message = shown(
        context_json='{"forwarded":true,"from":"5511","id":"w1","messageId":"theirs"}',
        reply_to_wamid="w1",
        reply_to_id="ours",
    )

    assert message["context"] == {"messageId": "ours", "wamid": "w1", "forwarded": True, "from": "5511"}


def test_numbers_begin_with_a_plus():
    assert shown(sender=pb.Party(name="Ana", number="5511987654321"))["from"]["number"] == "+5511987654321"
    assert render.number("+5511987654321") == "+5511987654321"
    assert render.number("") is None
