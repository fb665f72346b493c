"""What the gateway needs to start, and how it says what is missing."""

import pytest

from gateway import settings
from plumbing.settings import SettingsError

ENVIRON = {
    "RECADO_META_APP_SECRET": "new, old ,",
    "RECADO_META_VERIFY_TOKEN": "of the callback",
    "RECADO_AUTH_SECRET": "long enough to sign tokens with, surely",
    "RECADO_CAPTURE_ADDRESS": "capture:50051",
    "RECADO_HISTORY_ADDRESS": "history:50053",
}


def test_the_environment_is_read():
    found = settings.load(ENVIRON)

    assert found.app_secrets == (b"new", b"old")
    assert (found.host, found.port, found.workers, found.metrics_port) == ("127.0.0.1", 8080, 2, 0)
    assert (found.capture_address, found.history_address) == ("capture:50051", "history:50053")


def test_every_fault_is_told_at_once():
    with pytest.raises(SettingsError) as caught:
        settings.load({"RECADO_PORT": "http", "RECADO_AUTH_SECRET": "short", "RECADO_CAPTURE_ADDRESS": "x"})

    text = str(caught.value)
    for name in (
        "RECADO_PORT",
        "RECADO_AUTH_SECRET",
        "RECADO_CAPTURE_ADDRESS",
        "RECADO_HISTORY_ADDRESS",
        "RECADO_META_APP_SECRET",
        "RECADO_META_VERIFY_TOKEN",
    ):
        assert name in text


@pytest.mark.parametrize("secrets", [",", " , ", " "])
def test_no_app_secret_is_no_way_to_start(secrets: str):
    # Without one nothing would verify; with an empty one, everything that anybody signs with "" would.
    with pytest.raises(SettingsError, match="RECADO_META_APP_SECRET"):
        settings.load({**ENVIRON, "RECADO_META_APP_SECRET": secrets})
