"""Meta's delivery: signed, and repeated until it is acknowledged."""

import pytest

from recado.sandbox import sender, settings, wire
from tests.sandbox.gateway import Gateway

SECRET = "test_app_secret"


class Waits:
    """A clock that does not wait: notes the pauses, stops after so many."""

    def __init__(self, stop_after: int = 100) -> None:
        self.pauses: list[float] = []
        self.stop_after = stop_after

    def __call__(self, pause_s: float) -> bool:
        self.pauses.append(pause_s)
        return len(self.pauses) >= self.stop_after


def test_a_body_travels_byte_for_byte_with_its_signature(gateway: Gateway):
    body = rb'{"entry":[],"note":"p\u00e3o a\/b"}'

    with sender.Sender(gateway.url, SECRET) as meta:
        status = meta.post(body)

    assert status == 200
    assert gateway.received == [("/webhooks/whatsapp", body, wire.signature(SECRET.encode(), body))]


def test_a_refused_webhook_is_sent_again_with_growing_pauses_until_it_is_taken(gateway: Gateway):
    gateway.statuses = [503, 500, 401, 202]
    waits = Waits()

    with sender.Sender(gateway.url, SECRET, wait=waits) as meta:
        attempts = meta.deliver(b"{}")

    assert attempts == 5
    assert waits.pauses == [0.1, 0.2, 0.4, 0.8]


def test_a_gateway_that_is_away_is_tried_until_the_sandbox_is_stopped():
    waits = Waits(stop_after=12)

    with sender.Sender("http://127.0.0.1:9", SECRET, wait=waits) as meta, pytest.raises(sender.Stopped):
        meta.deliver(b"{}")

    assert max(waits.pauses) == 5.0


def test_settings_name_everything_that_is_missing_and_no_secret():
    with pytest.raises(Exception, match="RECADO_META_APP_SECRET") as caught:
        settings.load({"RECADO_AUTH_SECRET": "short"})

    faults = str(caught.value)
    for name in ("RECADO_LISTEN", "RECADO_BASE_URL", "RECADO_CAPTURE_ADDRESS", "RECADO_AUTH_SECRET:"):
        assert name in faults
    assert "short" not in faults.replace("too short", "")


def test_the_first_of_two_app_secrets_signs():
    told = settings.load(
        {
            "RECADO_META_APP_SECRET": "new, old",
            "RECADO_AUTH_SECRET": "x" * 40,
            "RECADO_LISTEN": "127.0.0.1:0",
            "RECADO_BASE_URL": "http://127.0.0.1:8700/",
            "RECADO_CAPTURE_ADDRESS": "127.0.0.1:1",
            "RECADO_ENRICHMENT_ADDRESS": "127.0.0.1:2",
        }
    )

    assert told.app_secret == "new"
    assert told.gateway_url == "http://127.0.0.1:8700"
    assert told.seed == 7
