"""The same three people at every route: the owner, a colleague who only reads, a stranger."""

import re
from collections.abc import Callable
from typing import Any, NamedTuple

import pytest

from gateway.app import OPERATIONS
from tests import wire
from tests.gateway.conftest import API, System


class Route(NamedTuple):
    method: str
    path: str
    """{lead} and {sync} stand for what the owner has."""
    body: Any
    owner: int
    colleague: int
    stranger: int
    scopes: tuple[str, ...]
    """One of them is enough."""


ROUTES = [
    Route("GET", "/conversations/sync?leadId={lead}", None, 200, 200, 404, ("history:read",)),
    Route("POST", "/conversations/sync", {"leadId": "{lead}"}, 202, 403, 404, ("history:sync",)),
    Route("GET", "/conversations/sync/{sync}", None, 200, 200, 404, ("history:sync", "history:read")),
    Route("GET", "/conversations/stream?leadId={lead}", None, 200, 200, 404, ("history:read",)),
    Route("GET", "/messages/search?q=segredo", None, 200, 200, 200, ("history:read",)),
    Route("POST", "/exports", {"format": "csv"}, 202, 202, 404, ("history:read",)),
    Route("GET", "/exports/{export}", None, 200, 404, 404, ("history:read",)),
    Route("GET", "/exports/{export}/file", None, 422, 404, 404, ("history:read",)),
    Route("GET", "/leads", None, 200, 200, 200, ("history:read",)),
    Route("GET", "/leads/{lead}/export", None, 200, 200, 404, ("history:read",)),
    Route("GET", "/leads/{lead}/coverage", None, 200, 200, 404, ("history:read",)),
    Route("GET", "/leads/{lead}/syncs", None, 200, 200, 404, ("history:sync", "history:read")),
    Route("GET", "/leads/{lead}/tickets", None, 200, 200, 404, ("history:read",)),
    Route("POST", "/tickets/{ticket}/close", None, 200, 403, 404, ("leads:write",)),
    Route("POST", "/tickets/{ticket}/reopen", None, 200, 403, 404, ("leads:write",)),
    Route(
        "POST",
        "/leads/{lead}/import?businessParticipant=Padaria&timeZone=America/Sao_Paulo&dryRun=true",
        "21/09/2026 11:00 - Ana: oi\n21/09/2026 11:01 - Padaria: oi\n",
        200,
        403,
        404,
        ("leads:write",),
    ),
    Route("GET", "/audit", None, 200, 403, 200, ("audit:read",)),
    Route("GET", "/leads/{lead}", None, 200, 200, 404, ("history:read",)),
    Route("GET", "/instances", None, 200, 200, 200, ("instances:admin", "history:read")),
    Route(
        "POST",
        "/instances",
        {"wabaId": wire.WABA_ID, "phoneNumberId": wire.NUMBER_ID, "displayPhoneNumber": wire.BUSINESS},
        201,
        403,
        409,
        ("instances:admin",),
    ),
    Route("GET", "/instances/{instance}/events", None, 200, 200, 404, ("instances:admin", "history:read")),
    Route("GET", "/batches/{batch}", None, 200, 200, 404, ("instances:admin", "history:read")),
    Route("GET", "/leads/{lead}/merges", None, 200, 200, 404, ("leads:write", "history:read")),
    Route("DELETE", "/leads/{lead}/merges/{merge}", None, 200, 403, 404, ("leads:write",)),
    Route("GET", "/webhooks/failures", None, 200, 403, 200, ("instances:admin",)),
    Route("POST", "/webhooks/replay", {}, 200, 403, 200, ("instances:admin",)),
]
EVERY_SCOPE = {
    "history:read",
    "history:sync",
    "instances:admin",
    "leads:write",
    "leads:erase",
    "audit:read",
    "messages:send",
    "service",
}


class Ours(NamedTuple):
    lead: str
    sync: str
    instance: str
    batch: str
    merge: str
    ticket: str
    export: str


@pytest.fixture
def ours(system: System, owner: str) -> Ours:
    instance = system.register(owner)
    card = wire.contact(user_id="BR.1")
    system.post_webhook(
        wire.messages(wire.text("w0", "segredo", sender=None, from_user_id="BR.1"), contacts=[])
    )
    system.post_webhook(wire.messages(wire.text("w1", "segredo")))
    system.post_webhook(wire.messages(wire.text("w2", "segredo"), contacts=[card]))
    system.run_jobs()
    [lead] = system.leads(owner)
    sync = system.post("/conversations/sync", owner, {"leadId": lead["id"]}).json["syncId"]
    [merge] = system.get(f"/leads/{lead['id']}/merges", owner).json["merges"]
    batch = system.page(owner, lead["id"])["messages"][0]["batchId"]
    tickets = system.get(f"/leads/{lead['id']}/tickets", owner).json["tickets"]
    ticket = next(found for found in tickets if not found["closedAt"])
    export = system.post("/exports", owner, {}).json["exportId"]
    return Ours(lead["id"], sync, instance, batch, merge["id"], ticket["id"], export)


def ask(system: System, route: Route, ours: Ours, token: str | None) -> Any:
    headers = {"Authorization": f"Bearer {token}"} if token is not None else {}
    address = API + route.path.format(**ours._asdict())
    body: dict[str, Any] = {}
    if isinstance(route.body, str):
        body = {"data": route.body, "content_type": "text/plain"}
    elif route.body is not None:
        told = {
            name: text.format(**ours._asdict()) if isinstance(text, str) else text
            for name, text in route.body.items()
        }
        body = {"json": told}
    answer = system.client.open(address, method=route.method, headers=headers, **body)
    if answer.mimetype == "text/event-stream":
        # It has no end of its own.
        answer.response.close()
    return answer


def test_every_operation_has_a_row_here():
    def shape(method: str, path: str) -> tuple[str, str]:
        return method, re.sub(r"{\w+}", "{}", path.partition("?")[0])

    rows = {shape(route.method, route.path) for route in ROUTES}

    assert rows == {shape(operation.method, operation.path) for operation in OPERATIONS}


def test_every_address_is_an_operation_or_is_known_to_be_for_everybody(system: System):
    for_everybody = {
        "/",
        "/static/<name>",
        "/docs",
        "/api/v1/openapi.json",
        "/session",
        "/webhooks/whatsapp",
        "/livez",
        "/readyz",
    }

    addresses = {rule.rule for rule in system.client.application.url_map.iter_rules()}

    assert addresses - {operation.rule for operation in OPERATIONS} == for_everybody


def test_every_route_is_for_those_it_is_for_and_no_others(
    system: System,
    ours: Ours,
    owner: str,
    colleague: str,
    stranger: str,
    token_for: Callable[..., str],
):
    for route in ROUTES:
        for token, status in (
            (owner, route.owner),
            (colleague, route.colleague),
            (stranger, route.stranger),
            (token_for("padaria", scopes=EVERY_SCOPE - set(route.scopes)), 403),
            (token_for("padaria", scopes=[]), 403),
            (None, 401),
            ("", 401),
            ("not.a.token", 401),
            (owner[:-2], 401),
        ):
            answer = ask(system, route, ours, token)

            assert answer.status_code == status, (route, answer.text)
            if status >= 400:
                assert answer.mimetype == "application/problem+json"
                assert "segredo" not in answer.text
            if status == 401:
                assert answer.headers["WWW-Authenticate"] == 'Bearer realm="recado"'


def test_a_stranger_learns_nothing_from_what_it_may_ask(system: System, ours: Ours, stranger: str):
    for path, name in (("/leads", "leads"), ("/instances", "instances"), ("/webhooks/failures", "failures")):
        answer = system.get(path, stranger)

        assert answer.json[name] == []
        assert answer.json["pagination"] == {"cursor": None, "hasMore": False, "total": 0}
    assert system.post("/webhooks/replay", stranger, {}).json["webhooksReplayed"] == 0


def test_what_is_anothers_and_what_is_nobodys_look_alike(system: System, ours: Ours, stranger: str):
    nobody = "00000000-0000-4000-8000-000000000000"

    for lookup in (
        lambda lead: system.get(f"/leads/{lead}", stranger),
        lambda lead: system.get("/conversations/sync", stranger, leadId=lead),
        lambda lead: system.post("/conversations/sync", stranger, {"leadId": lead}),
    ):
        theirs, nobodys = lookup(ours.lead).json, lookup(nobody).json
        assert {**theirs, "requestId": ""} == {**nobodys, "requestId": ""}


def test_a_token_for_another_number_opens_nothing(system: System, ours: Ours, token_for: Callable[..., str]):
    for instances in ([], ["00000000-0000-4000-8000-000000000000"], ["no id"]):
        limited = token_for("padaria", instances=instances)

        assert system.get(f"/leads/{ours.lead}", limited).status_code == 404
        assert system.get("/conversations/sync", limited, leadId=ours.lead).status_code == 404
        assert system.get(f"/conversations/sync/{ours.sync}", limited).status_code == 404
        assert system.post("/conversations/sync", limited, {"leadId": ours.lead}).status_code == 404
        assert system.leads(limited) == []
        assert system.get("/instances", limited).json["instances"] == []


def test_answers_are_kept_by_no_cache_and_carry_the_callers_request_id(
    system: System, ours: Ours, owner: str
):
    answer = system.client.get(
        f"{API}/leads", headers={"Authorization": f"Bearer {owner}", "X-Request-Id": "mine-7"}
    )

    assert answer.headers["X-Request-Id"] == "mine-7"
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"


def test_a_body_larger_than_any_request_needs_is_413(system: System, owner: str):
    answer = system.post("/instances", owner, {"wabaId": "1" * 100_000})

    assert (answer.status_code, answer.json["code"]) == (413, "PAYLOAD_TOO_LARGE")


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("DELETE", "/webhooks/whatsapp", {"GET", "HEAD", "POST"}),
        ("PUT", f"{API}/instances", {"GET", "HEAD", "POST"}),
        ("OPTIONS", f"{API}/leads", {"GET", "HEAD"}),
    ],
)
def test_a_method_that_an_address_does_not_take_is_405_with_those_it_takes(
    system: System, method: str, path: str, allowed: set[str]
):
    answer = system.client.open(path, method=method)

    assert (answer.status_code, answer.json["code"]) == (405, "METHOD_NOT_ALLOWED")
    assert set(answer.headers["Allow"].split(", ")) == allowed


@pytest.mark.parametrize(
    "path",
    [
        "/index.html",
        "/static/../app.py",
        "/static/inbox.html",
        "/webhooks//whatsapp",
        f"{API}//leads",
        f"{API}/leads/",
        f"{API}/leads/7",
    ],
)
def test_what_is_not_an_address_is_404(system: System, owner: str, path: str):
    answer = system.client.get(path, headers={"Authorization": f"Bearer {owner}"})

    assert (answer.status_code, answer.json["code"]) == (404, "NOT_FOUND")
