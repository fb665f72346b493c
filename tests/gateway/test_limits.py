"""How often somebody may ask: the limits of the API, over two gateways and one Redis."""

from collections.abc import Callable
from typing import Any

import pytest

from plumbing.limits import Rate
from tests import wire
from tests.gateway.conftest import API, System


@pytest.fixture
def lead(system: System, owner: str) -> str:
    system.register(owner)
    system.post_webhook(wire.messages(wire.text("w1", "oi")))
    return system.leads(owner)[0]["id"]


def read(client: Any, token: str, lead: str) -> Any:
    return client.get(f"{API}/conversations/sync?leadId={lead}", headers={"Authorization": f"Bearer {token}"})


def test_the_101st_page_in_a_minute_is_refused_wherever_it_is_asked_for(
    system: System, owner: str, lead: str, valkey: str, token_for: Callable[..., str]
):
    how = {"redis_url": valkey, "limit_user": Rate.parse("100/minute")}
    gateways = [system.another(**how), system.another(**how)]

    for n in range(100):
        answer = read(gateways[n % 2], owner, lead)
        assert answer.status_code == 200
        assert answer.headers["X-RateLimit-Remaining"] == str(99 - n)
    refused = read(gateways[0], owner, lead)

    assert (refused.status_code, refused.json["code"]) == (429, "RESOURCE_EXHAUSTED")
    assert 1 <= int(refused.headers["Retry-After"]) <= 61
    assert refused.headers["RateLimit-Policy"] == '"user";q=100;w=60'
    assert refused.headers["RateLimit"].startswith('"user";r=0;t=')
    assert refused.headers["X-RateLimit-Limit"] == "100"
    # Other tokens of the same person are the same user; other people are others.
    again = token_for("padaria", subject="olivia", scopes=["history:read"])
    assert read(gateways[1], again, lead).status_code == 429
    assert read(gateways[1], token_for("padaria", subject="caio"), lead).status_code == 200
    begun = gateways[0].post(
        f"{API}/conversations/sync", json={"leadId": lead}, headers={"Authorization": f"Bearer {owner}"}
    )
    assert begun.status_code == 429
    # Only what costs most is limited.
    assert gateways[0].get(f"{API}/leads", headers={"Authorization": f"Bearer {owner}"}).status_code == 200


def test_many_tokens_of_one_user_are_one_user(system: System, lead: str, token_for: Callable[..., str]):
    gateway = system.another(limit_user=Rate(50, 60))

    answers = [
        read(
            gateway, token_for("padaria", subject="olivia", scopes=["history:read", f"x{n}"]), lead
        ).status_code
        for n in range(200)
    ]

    assert answers == [200] * 50 + [429] * 150


def test_who_comes_without_a_valid_token_is_limited_by_address(system: System, owner: str, lead: str):
    gateway = system.another(limit_ip=Rate(3, 3600))

    answers = [read(gateway, "not.a.token", lead) for _ in range(5)]

    assert [answer.status_code for answer in answers] == [401] * 3 + [429] * 2
    assert answers[4].headers["RateLimit-Policy"] == '"address";q=3;w=3600'
    assert read(gateway, owner, lead).status_code == 200
    assert gateway.post("/session", json={"token": "not.a.token"}).status_code == 429


def test_the_address_limit_can_be_for_all(system: System, owner: str, lead: str):
    gateway = system.another(limit_ip=Rate(3, 3600), is_limit_ip_for_all=True)

    assert [read(gateway, owner, lead).status_code for _ in range(4)] == [200] * 3 + [429]


def test_only_a_trusted_proxy_says_who_asks(system: System, lead: str):
    def ask(gateway: Any, address: str) -> int:
        headers = {"X-Forwarded-For": address}
        return gateway.get(f"{API}/leads", headers=headers).status_code

    behind, open_to_all = (system.another(limit_ip=Rate(1, 3600), trusted_proxies=count) for count in (1, 0))

    assert [ask(behind, address) for address in ("1.1.1.1", "2.2.2.2", "1.1.1.1")] == [401, 401, 429]
    assert [ask(behind, address) for address in ("2001:db8::1", "2001:db8::2")] == [401, 429]
    # As a socket of both kinds writes them, and as some proxies do, with the port.
    assert [ask(behind, address) for address in ("::ffff:3.3.3.3", "::ffff:4.4.4.4")] == [401, 401]
    assert [ask(behind, address) for address in ("5.5.5.5:1", "5.5.5.5:2", "[2001:db9::1]:7")] == [
        401,
        429,
        401,
    ]
    assert [ask(open_to_all, address) for address in ("1.1.1.1", "2.2.2.2")] == [401, 429]


def test_webhooks_are_not_limited(system: System, owner: str, lead: str):
    gateway = system.another(limit_ip=Rate(1, 3600), is_limit_ip_for_all=True)

    assert {gateway.post("/webhooks/whatsapp", data=b"{}").status_code for _ in range(5)} == {401}
