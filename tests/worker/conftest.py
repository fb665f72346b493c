import threading
from collections.abc import Iterator
from typing import Any

import pytest

from plumbing import errors, tokens
from plumbing.rpc import calls, client, server
from protos import capture_pb2, capture_pb2_grpc, enrichment_pb2, enrichment_pb2_grpc


class Services(capture_pb2_grpc.CaptureServiceServicer, enrichment_pb2_grpc.EnrichmentServiceServicer):
    """Capture and enrichment as the worker sees them: they note what they are asked, and answer as told."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, Any]] = []
        self.callers: list[tokens.Caller] = []
        self.remaining_s: dict[str, float] = {}
        self.lead: capture_pb2.LeadProfile | None = None
        self.profile = enrichment_pb2.ContactProfile()
        self.faults: dict[str, list[errors.RecadoError]] = {}
        self.may_answer = threading.Event()
        self.may_answer.set()
        self.changed = threading.Condition()

    def GetLeadProfile(self, request: Any, context: Any) -> capture_pb2.LeadProfile:
        self._note("GetLeadProfile", request)
        if self.lead is None:
            raise errors.NotFound("no such lead")
        return self.lead

    def FetchContactProfile(self, request: Any, context: Any) -> enrichment_pb2.ContactProfile:
        self._note("FetchContactProfile", request)
        return self.profile

    def ApplyLeadProfile(self, request: Any, context: Any) -> capture_pb2.LeadProfile:
        self._note("ApplyLeadProfile", request)
        return capture_pb2.LeadProfile(lead_id=request.lead_id)

    def RunSync(self, request: Any, context: Any) -> capture_pb2.SyncLog:
        self._note("RunSync", request)
        self.may_answer.wait(20)
        return capture_pb2.SyncLog(id=request.sync_id, status="completed")

    def methods(self) -> list[str]:
        return [method for method, _ in self.asked]

    def wait_until_asked(self, count: int, *, timeout_s: float = 20) -> None:
        with self.changed:
            assert self.changed.wait_for(lambda: len(self.asked) >= count, timeout_s), self.methods()

    def _note(self, method: str, request: Any) -> None:
        call = calls.current()
        call.caller.require("service")
        with self.changed:
            self.asked.append((method, request))
            self.callers.append(call.caller)
            self.remaining_s[method] = call.remaining_s()
            self.changed.notify_all()
        if self.faults.get(method):
            raise self.faults[method].pop(0)


@pytest.fixture
def services() -> Services:
    return Services()


@pytest.fixture
def address(services: Services, auth_secret: str) -> Iterator[str]:
    """Where both services answer."""

    def register(grpc_server: Any) -> None:
        capture_pb2_grpc.add_CaptureServiceServicer_to_server(services, grpc_server)
        enrichment_pb2_grpc.add_EnrichmentServiceServicer_to_server(services, grpc_server)

    running = server.start(
        "services",
        address="127.0.0.1:0",
        register=register,
        full_names=["recado.capture.v1.CaptureService", "recado.enrichment.v1.EnrichmentService"],
        verifier=tokens.Verifier(auth_secret),
        workers=4,
    )
    yield running.address
    running.stop()


@pytest.fixture
def channel(address: str) -> Iterator[Any]:
    with client.open_channel(address) as opened:
        yield opened
