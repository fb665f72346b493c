"""The API is what its OpenAPI document says: asked at random, read by it alone, compared with gRPC."""

import importlib
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
import schemathesis
from google.protobuf.json_format import MessageToDict
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi import checks

from plumbing.rpc import client
from protos import history_pb2, history_pb2_grpc
from tests import wire
from tests.gateway.conftest import System

CHECKS = (
    not_a_server_error,
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_headers_conformance,
    checks.response_schema_conformance,
)
# It has no end of its own: test_reading reads it.
ENDLESS = "stream_conversation"


@pytest.fixture
def lead(system: System, owner: str) -> str:
    system.register(owner)
    texts = [wire.text(f"w{n:02}", f"pedido {n}", at=wire.NOON + n) for n in range(30)]
    image = {
        "from": wire.ANA,
        "id": "i1",
        "timestamp": str(wire.NOON + 40),
        "type": "image",
        "image": {"id": "7", "mime_type": "image/jpeg", "caption": "o bolo"},
    }
    reply = {**wire.text("r1", "sim", at=wire.NOON + 50), "context": {"id": "w03"}}
    reaction = {
        "from": wire.ANA,
        "id": "e1",
        "timestamp": str(wire.NOON + 60),
        "type": "reaction",
        "reaction": {"message_id": "w05", "emoji": "👍"},
    }
    system.post_webhook(wire.messages(*texts, image, reply, reaction))
    failed = wire.status("out", "failed", errors=[{"code": 131026, "title": "Undeliverable"}])
    system.post_webhook(wire.statuses(failed))
    return system.leads(owner)[0]["id"]


def document(system: System) -> dict[str, Any]:
    return system.client.get("/api/v1/openapi.json").json


def names(system: System) -> set[str]:
    return {
        found["operationId"] for methods in document(system)["paths"].values() for found in methods.values()
    }


@pytest.mark.timeout(300)
def test_whatever_is_asked_is_answered_as_documented(system: System, owner: str, lead: str, valkey: str):
    application = system.another(redis_url=valkey).application
    schema = schemathesis.openapi.from_wsgi("/api/v1/openapi.json", application)
    answered: dict[str, set[int]] = {}

    def try_out(operation: Any, statuses: set[int]) -> None:
        @settings(
            max_examples=25,
            deadline=None,
            database=None,
            derandomize=True,
            phases=[Phase.explicit, Phase.generate],
            suppress_health_check=[*HealthCheck],  # pyright: ignore[reportArgumentType]
        )
        @given(case=operation.as_strategy())
        def ask(case: Any) -> None:
            # Half of the questions are about somebody who is there, and not about a page of nothing.
            for asked in (case.path_parameters, case.query):
                for key in ("lead_id", "leadId"):
                    if asked and key in asked and len(str(asked)) % 2:
                        asked[key] = lead
                        for other in ("cursor", "around", "instanceId"):
                            asked.pop(other, None)
            case.headers = {**(case.headers or {}), "Authorization": f"Bearer {owner}"}
            answer = case.call()
            statuses.add(answer.status_code)
            case.validate_response(answer, checks=CHECKS)

        ask()

    for result in schema.get_all_operations():
        operation: Any = result.ok()  # pyright: ignore[reportAttributeAccessIssue]
        name = operation.definition.raw["operationId"]
        if name != ENDLESS:
            try_out(operation, answered.setdefault(name, set()))

    assert set(answered) == names(system) - {ENDLESS}
    # It was not only refused.
    assert 200 in answered["read_conversation"]
    assert 200 in answered["search_messages"]


@pytest.fixture
def generated(system: System, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A client made of the API's description, as callers make theirs, asking this gateway."""
    described, options = tmp_path / "openapi.json", tmp_path / "options.json"
    described.write_text(json.dumps(document(system)))
    options.write_text(json.dumps({"post_hooks": [], "package_name_override": "recado_client"}))
    command = [
        sys.executable,
        "-m",
        "openapi_python_client",
        "generate",
        "--meta",
        "none",
        "--path",
        described,
    ]
    subprocess.run(
        [*command, "--config", options, "--output-path", tmp_path / "recado_client"], check=True, timeout=120
    )
    monkeypatch.syspath_prepend(tmp_path)
    yield importlib.import_module("recado_client")
    for name in [name for name in sys.modules if name.partition(".")[0] == "recado_client"]:
        del sys.modules[name]


def test_a_generated_client_and_grpc_read_the_same_conversation(
    system: System, owner: str, lead: str, generated: Any
):
    read = importlib.import_module("recado_client.api.history.read_conversation").sync
    asking = generated.AuthenticatedClient(
        "http://recado",
        owner,
        raise_on_unexpected_status=True,
        httpx_args={"transport": httpx.WSGITransport(system.client.application)},
    )
    by_rest: list[dict[str, Any]] = []
    more: dict[str, str] = {}
    while True:
        page = read(client=asking, lead_id=lead, limit=7, **more)
        by_rest += [found.to_dict() for found in page.messages]
        if not page.pagination.has_more:
            break
        more = {"cursor": page.pagination.cursor}

    by_grpc: list[history_pb2.Message] = []
    with client.open_channel(system.history_address) as channel:
        stub = history_pb2_grpc.HistoryServiceStub(channel)
        request = history_pb2.ListMessagesRequest(lead_id=lead, page_size=11)
        while True:
            answer = client.call(stub.ListMessages, request, token=owner, timeout_s=10)
            by_grpc += answer.messages
            if not answer.next_page_token:
                break
            request.page_token = answer.next_page_token

    def agreed(found: history_pb2.Message) -> tuple[Any, ...]:
        told = MessageToDict(found)
        return (
            found.id,
            found.wamid,
            found.type or "unknown",
            found.body or None,
            told["direction"],
            found.status,
            found.reply_to_id or None,
            [reaction.emoji for reaction in found.reactions],
        )

    def agreed_by_rest(found: dict[str, Any]) -> tuple[Any, ...]:
        return (
            found["id"],
            found["wamid"],
            found["type"],
            found["body"],
            found["direction"],
            found["status"],
            found.get("context", {}).get("messageId"),
            [reaction["emoji"] for reaction in found["reactions"]],
        )

    assert len(by_rest) == 33
    assert [agreed_by_rest(found) for found in by_rest] == [agreed(found) for found in by_grpc]


READING: dict[str, Callable[[str], Any]] = {
    "ListMessages": lambda lead: history_pb2.ListMessagesRequest(lead_id=lead),
    "GetLead": lambda lead: history_pb2.GetLeadRequest(lead_id=lead),
    "ExportMessages": lambda lead: history_pb2.ExportMessagesRequest(lead_id=lead),
    "ListChanges": lambda lead: history_pb2.ListChangesRequest(lead_id=lead),
    "WatchMessages": lambda lead: history_pb2.ListChangesRequest(lead_id=lead),
    "GetCoverage": lambda lead: history_pb2.GetCoverageRequest(lead_id=lead),
    "SearchMessages": lambda lead: history_pb2.SearchMessagesRequest(query="pedido", lead_id=lead),
    "ListLeads": lambda lead: history_pb2.ListLeadsRequest(),
    "ListAudit": lambda lead: history_pb2.ListAuditRequest(lead_id=lead),
    "WatchLeads": lambda lead: history_pb2.WatchLeadsRequest(),
}
# Without a lead of their own they show a stranger an empty list; one is for services alone.
LISTS = {"ListLeads", "ListAudit"}
OF_SERVICES = {"WatchLeads"}
STREAMS = {"ExportMessages", "WatchMessages", "WatchLeads"}


def test_every_rpc_is_for_those_it_is_for_and_no_others(
    system: System, owner: str, stranger: str, lead: str, token_for: Callable[..., str]
):
    methods = history_pb2.DESCRIPTOR.services_by_name["HistoryService"].methods
    assert {method.name for method in methods} == set(READING)

    with client.open_channel(system.history_address) as channel:
        stub = history_pb2_grpc.HistoryServiceStub(channel)

        def reason(method: str, token: str) -> str:
            ask: Any = client.stream if method in STREAMS else client.call
            try:
                found = ask(getattr(stub, method), READING[method](lead), token=token, timeout_s=5)
                told = next(found) if method in STREAMS else found
            except Exception as error:
                return type(error).__name__
            return "" if told.ListFields() or method in STREAMS else "empty"

        not_granted = token_for("padaria", instances=["00000000-0000-4000-8000-000000000000"])
        for method in sorted(READING):
            if method in OF_SERVICES:
                assert {reason(method, token) for token in (owner, stranger)} == {"PermissionDenied"}
                continue
            hidden = "empty" if method in LISTS else "NotFound"
            assert reason(method, owner) == "", method
            assert reason(method, stranger) == hidden, method
            if method != "ListAudit":
                assert reason(method, not_granted) == hidden, method
            assert reason(method, token_for("padaria", scopes=["messages:send"])) == "PermissionDenied", (
                method
            )
            assert reason(method, "not.a.token") == "Unauthenticated", method
