"""Pages of other addresses: they ask with a token, or not at all."""

from collections.abc import Callable

import pytest

from gateway import settings
from plumbing.settings import SettingsError
from tests.gateway.conftest import API, System
from tests.gateway.test_settings import ENVIRON

CRM = "https://crm.example"


def asks(system: System, origins: str, origin: str = CRM) -> str | None:
    gateway = system.another(cors_origins=frozenset(origins.split()))
    return gateway.get(f"{API}/leads", headers={"Origin": origin}).headers.get("Access-Control-Allow-Origin")


def test_every_page_may_ask_unless_some_are_named(system: System):
    assert asks(system, "*") == "*"
    assert asks(system, CRM) == CRM
    assert asks(system, f"https://desk.example {CRM}") == CRM
    assert asks(system, "https://desk.example") is None
    assert asks(system, "") is None
    assert asks(system, CRM, "https://crm.example.evil.example") is None


def test_what_is_allowed_depends_on_who_asks_and_says_so(system: System):
    answer = system.another(cors_origins=frozenset({CRM})).get(f"{API}/leads", headers={"Origin": "null"})

    assert "Origin" in answer.headers["Vary"]


def test_a_browser_that_asks_beforehand_is_told(system: System):
    asked = {
        "Origin": CRM,
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "authorization,x-recado-request",
    }

    answer = system.client.options(f"{API}/conversations/sync", headers=asked)

    assert answer.status_code == 204
    assert "POST" in answer.headers["Access-Control-Allow-Methods"]
    assert {"Authorization", "X-Recado-Request"} <= set(
        answer.headers["Access-Control-Allow-Headers"].split(", ")
    )
    # Without such a question the method is none that the address knows.
    assert system.client.options(f"{API}/conversations/sync").status_code == 405


def test_refusals_can_be_read_too(system: System, owner: str):
    refused = system.client.get(f"{API}/leads?limit=0", headers={"Authorization": f"Bearer {owner}"})
    unknown = system.client.get(f"{API}/nothing")

    for answer in (refused, unknown):
        assert answer.status_code in {400, 404}
        assert answer.headers["Access-Control-Allow-Origin"] == "*"
        assert "Retry-After" in answer.headers["Access-Control-Expose-Headers"]


@pytest.mark.parametrize("path", ["/session", "/", "/docs", "/webhooks/whatsapp", "/livez"])
def test_what_the_cookie_or_nobody_signs_is_for_no_other_page(system: System, path: str):
    answer = system.client.get(path, headers={"Origin": CRM})

    assert "Access-Control-Allow-Origin" not in answer.headers


def test_no_page_of_another_address_gets_what_the_cookie_opens(system: System, token_for: Callable[..., str]):
    system.client.set_cookie("recado_session", token_for("padaria"))
    for headers in ({"Origin": CRM}, {"Origin": CRM, "Access-Control-Request-Method": "GET"}):
        for method in ("GET", "OPTIONS"):
            answer = system.client.open(f"{API}/leads", method=method, headers=headers)
            assert "Access-Control-Allow-Credentials" not in answer.headers


@pytest.mark.parametrize("text", ["https://crm.example/", "crm.example", "https://*.example", "https://A.b"])
def test_an_origin_that_is_none_is_named(text: str):
    with pytest.raises(SettingsError, match="RECADO_CORS_ORIGINS"):
        settings.load(ENVIRON | {"RECADO_CORS_ORIGINS": text})


@pytest.mark.parametrize(
    ("text", "origins"),
    [("", {"*"}), ("none", set()), (f"{CRM}, http://localhost:5173", {CRM, "http://localhost:5173"})],
)
def test_origins_are_read(text: str, origins: set[str]):
    assert settings.load(ENVIRON | {"RECADO_CORS_ORIGINS": text}).cors_origins == origins
