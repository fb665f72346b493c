"""Meta's side of the gateway."""

import pytest

from gateway.webhook import BODY_BYTES_MAX
from tests import wire
from tests.gateway.conftest import OLD_APP_SECRET, VERIFY_TOKEN, System


def _subscribe(system: System, **query: str) -> tuple[int, str]:
    answer = system.client.get(
        "/webhooks/whatsapp", query_string={f"hub.{name}": text for name, text in query.items()}
    )
    return answer.status_code, answer.text


def test_the_callback_check_is_answered_with_its_challenge(system: System) -> None:
    assert _subscribe(system, mode="subscribe", challenge="1158201444", verify_token=VERIFY_TOKEN) == (
        200,
        "1158201444",
    )


@pytest.mark.parametrize(
    "query",
    [
        {},
        {"mode": "subscribe", "challenge": "1", "verify_token": "guess"},
        {"mode": "subscribe", "challenge": "1"},
        {"mode": "unsubscribe", "challenge": "1", "verify_token": VERIFY_TOKEN},
        {"mode": "subscribe", "verify_token": VERIFY_TOKEN},
    ],
)
def test_any_other_callback_check_is_403(system: System, query: dict[str, str]) -> None:
    assert _subscribe(system, **query)[0] == 403


def test_a_signed_webhook_is_history_when_it_is_acknowledged(system: System, owner: str) -> None:
    system.register(owner)

    answer = system.post_webhook(wire.messages(wire.text("w1", "Bom dia")))

    assert answer.status_code == 200
    [lead] = system.leads(owner)
    assert [message["body"] for message in system.page(owner, lead["id"])["messages"]] == ["Bom dia"]


def test_the_secret_before_the_last_still_signs(system: System) -> None:
    assert system.post_webhook(b"{}", secret=OLD_APP_SECRET).status_code == 200


@pytest.mark.parametrize("header", [None, "", "sha256=00", "sha1=00", "sha256=" + "0" * 64])
def test_an_unsigned_webhook_is_401_and_nothing_is_kept(
    system: System, owner: str, header: str | None
) -> None:
    system.register(owner)
    headers = {"X-Hub-Signature-256": header} if header is not None else {}

    answer = system.client.post("/webhooks/whatsapp", data=wire.messages(wire.text("w1")), headers=headers)

    assert (answer.status_code, answer.json["detail"]) == (401, "the signature does not verify")
    assert system.leads(owner) == []
    assert system.get("/webhooks/failures", owner).json["pagination"]["total"] == 0


def test_a_body_over_the_limit_is_413_and_one_at_the_limit_is_kept(system: System) -> None:
    assert system.post_webhook(b"x" * (BODY_BYTES_MAX + 1)).status_code == 413
    assert system.post_webhook(b"x" * BODY_BYTES_MAX).status_code == 200


@pytest.mark.parametrize(
    "body",
    [b"", b"garbage", b"[]", b'{"entry":7}', b"\xff\xfe", b"[" * 3000, b'{"entry":[{"changes":null}]}'],
)
def test_signed_garbage_is_acknowledged_kept_and_listed(system: System, owner: str, body: bytes) -> None:
    assert system.post_webhook(body).status_code == 200

    [failure] = system.get("/webhooks/failures", owner).json["failures"]
    assert failure["bodyBytes"] == len(body)
    assert failure["faults"][0]["reason"]


def test_with_capture_away_the_sender_is_asked_to_come_again(system: System) -> None:
    system.capture.stop()

    answer = system.post_webhook(wire.messages(wire.text("w1")))

    assert answer.status_code == 503
    assert int(answer.headers["Retry-After"]) >= 1
