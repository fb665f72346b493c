"""The pieces of Meta's wire, against published facts."""

import base64
import json

from recado.sandbox import people, wire


def test_the_signature_is_that_of_the_published_example():
    body = b'{"object":"whatsapp_business_account","entry":[]}'

    signed = wire.signature(b"test_app_secret", body)

    assert signed == "sha256=dec6a680679a968e7e0319355b23599cbfc54502c0784668e9618baa0c633756"


def test_a_wamid_has_the_anatomy_of_published_ones():
    made = wire.wamid("16503879439", "3AADF8441347E8571C10", is_from_business=False)

    assert made == "wamid.HBgLMTY1MDM4Nzk0MzkVAgASGBQzQUFERjg0NDEzNDdFODU3MUMxMAA="


def test_a_wamid_of_the_business_says_so_in_one_byte():
    made = wire.wamid("16503879439", "3AADF8441347E8571C10", is_from_business=True)

    assert base64.b64decode(made.removeprefix("wamid."))[17] == 0x11


def test_slashes_and_everything_beyond_ascii_are_escaped():
    body = wire.encode({"text": "pão 🥐 a/b"})

    assert body == rb'{"text":"p\u00e3o \ud83e\udd50 a\/b"}'
    assert json.loads(body) == {"text": "pão 🥐 a/b"}


def test_somebody_who_hides_the_number_is_known_by_user_id_alone():
    hidden = people.Person("Bia", None, "BR.1", "bia", "pt")

    contact = wire.contact(hidden)
    message = wire.inbound(hidden, wamid="wamid.x", timestamp_s=1, kind="text", content={})
    echo = wire.echo(people.SHOP, hidden, wamid="wamid.x", timestamp_s=1, kind="text", content={})
    status = wire.status(hidden, wamid="wamid.x", timestamp_s=1, state="sent", details={})

    assert contact == {"profile": {"name": "Bia", "username": "bia"}, "user_id": "BR.1"}
    assert "from" not in message
    assert "to" not in echo
    assert "recipient_id" not in status
    assert {message["from_user_id"], echo["to_user_id"], status["recipient_user_id"]} == {"BR.1"}
