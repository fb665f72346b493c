import json

from hypothesis import given, strategies as st

from capture_service import ledger
from tests import wire


@given(st.binary(max_size=2000))
def test_what_is_kept_comes_back_byte_for_byte(body: bytes) -> None:
    dictionary, compressed = ledger.compress(body)

    assert ledger.decompress(dictionary, compressed) == body


def test_a_usual_webhook_takes_little_room() -> None:
    body = wire.messages(wire.text("wamid.HBgNNTUxMTk4ODg4Nzc3NxUCABIYFDNBREY4NDQxMzQ3RTg1NzFDMTAA"))

    assert len(ledger.compress(body)[1]) < len(body) / 3


def test_a_divided_webhook_keeps_the_bytes_of_every_change() -> None:
    first = b'{ "value" : {"a":"\\/"} ,"field":"x"}'
    second = b'{"field":"y","value":{"n":1.50}}'
    third = b'{"value":{},"extra":[1, 2]}'
    body = (
        b'{"entry":[{"id":"1","time":5,"changes":[' + first + b"," + second + b"]},"
        b'{"changes":[' + third + b'],"id":"2"}],"object":"whatsapp_business_account"}'
    )

    parts = ledger.divide(body, lambda entry, change: "even" if (entry + change) % 2 == 0 else "odd")

    assert first in parts["even"]
    assert second not in parts["even"]
    assert second in parts["odd"]
    assert third in parts["odd"]
    assert json.loads(parts["even"])["object"] == "whatsapp_business_account"
    assert [entry["id"] for entry in json.loads(parts["odd"])["entry"]] == ["1", "2"]
