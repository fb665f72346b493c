import pytest

from enrichment_service import settings
from plumbing.settings import SettingsError
from tests.enrichment_service.conftest import KEYS

NEEDED = {
    "RECADO_DATABASE_URL": "postgresql://x",
    "RECADO_AUTH_SECRET": "s" * 32,
    "RECADO_TOKEN_KEYS": KEYS,
}


def test_the_rest_has_defaults():
    found = settings.load(NEEDED)

    assert found.graph_url == "https://graph.facebook.com"
    assert found.graph_version == "v25.0"
    assert found.listen == "127.0.0.1:50052"


def test_every_fault_is_reported_at_once_and_no_secret_with_it():
    with pytest.raises(SettingsError) as caught:
        settings.load(
            {
                "RECADO_TOKEN_KEYS": "k1:hush",
                "RECADO_GRAPH_URL": "http://graph.example",
                "RECADO_GRAPH_VERSION": "25",
            }
        )

    message = str(caught.value)
    for name in (
        "RECADO_DATABASE_URL",
        "RECADO_AUTH_SECRET",
        "RECADO_TOKEN_KEYS",
        "RECADO_GRAPH_URL",
        "RECADO_GRAPH_VERSION",
    ):
        assert message.count(name + " ") + message.count(name + ":") >= 1
    assert "hush" not in message


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1.evil.example",
        "http://localhost@evil.example",
        "ftp://127.0.0.1",
        "https://",
        "https://x.example?y",
        "https://[::1",
        "graph.facebook.com",
    ],
)
def test_access_tokens_do_not_travel_in_the_open(url: str):
    with pytest.raises(SettingsError, match="RECADO_GRAPH_URL"):
        settings.load({**NEEDED, "RECADO_GRAPH_URL": url})


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:9000/", "http://[::1]:9000", "https://proxy.example/graph"]
)
def test_another_graph_api_may_be_named(url: str):
    assert settings.load({**NEEDED, "RECADO_GRAPH_URL": url}).graph_url == url.rstrip("/")
