"""Capture over gRPC: scopes, refusals, and what enrichment writes back."""

import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from capture_service import service
from capture_service.ingest import Ingest
from capture_service.sweep import Sweeper
from plumbing import errors, postgres, tokens
from plumbing.rpc import client, server
from protos import capture_pb2 as pb, capture_pb2_grpc
from tests import wire

Call = Callable[..., Any]
Query = Callable[..., list[dict[str, Any]]]
SOME_ID = str(uuid.UUID(int=7))


@pytest.fixture
def call(
    pool: postgres.Pool, ingest: Ingest, auth_secret: str, token_for: Callable[..., str]
) -> Iterator[Call]:
    """Call capture as a service, or with the token given: call("GetSync", request, token=...)."""

    def clock() -> datetime:
        return datetime.now(UTC)

    sweeper = Sweeper(pool, ingest, lambda job, job_id, arguments: None)
    running = server.start(
        "capture",
        address="127.0.0.1:0",
        register=lambda grpc_server: service.register(
            grpc_server, service.CaptureServicer(pool, ingest, sweeper, clock=clock)
        ),
        full_names=[service.FULL_NAME],
        verifier=tokens.Verifier(auth_secret),
        workers=4,
    )
    with client.open_channel(running.address) as channel:
        stub = capture_pb2_grpc.CaptureServiceStub(channel)
        own = token_for("", scopes=["service"], subject="gateway")

        def do(method: str, request: Any, *, token: str = own) -> Any:
            if method == "ReplayWebhooks":
                return list(client.stream(stub.ReplayWebhooks, request, token=token, timeout_s=10))
            return client.call(getattr(stub, method), request, token=token, timeout_s=10)

        yield do
    running.stop()


REQUESTS: dict[str, Any] = {
    "IngestWebhooks": pb.IngestWebhooksRequest(webhooks=[pb.Webhook(body=b"{}")]),
    "CreateInstance": pb.CreateInstanceRequest(waba_id="1", phone_number_id="2", display_phone_number="3"),
    "ListInstances": pb.ListInstancesRequest(),
    "StartSync": pb.StartSyncRequest(lead_id=SOME_ID),
    "GetSync": pb.GetSyncRequest(sync_id=SOME_ID),
    "RunSync": pb.RunSyncRequest(tenant="padaria", sync_id=SOME_ID),
    "ImportChat": pb.ImportChatRequest(lead_id=SOME_ID),
    "ApplyWebhook": pb.ApplyWebhookRequest(tenant="padaria", batch_id=SOME_ID),
    "GetBatch": pb.GetBatchRequest(batch_id=SOME_ID),
    "ListAccountEvents": pb.ListAccountEventsRequest(instance_id=SOME_ID),
    "MergeLeads": pb.MergeLeadsRequest(tenant="padaria", lead_id=SOME_ID, other_lead_id=SOME_ID),
    "ListLeadMerges": pb.ListLeadMergesRequest(lead_id=SOME_ID),
    "UndoLeadMerge": pb.UndoLeadMergeRequest(lead_id=SOME_ID, merge_id=SOME_ID),
    "ListSyncs": pb.ListSyncsRequest(lead_id=SOME_ID),
    "ListTickets": pb.ListTicketsRequest(lead_id=SOME_ID),
    "CloseTicket": pb.CloseTicketRequest(ticket_id=SOME_ID),
    "ReopenTicket": pb.ReopenTicketRequest(ticket_id=SOME_ID),
    "CreateExport": pb.CreateExportRequest(format="csv", language="en"),
    "GetExport": pb.GetExportRequest(export_id=SOME_ID),
    "GetExportWork": pb.GetExportWorkRequest(tenant="padaria", export_id=SOME_ID),
    "UpdateExport": pb.UpdateExportRequest(tenant="padaria", export_id=SOME_ID, status="completed"),
    "ListWebhookFailures": pb.ListWebhookFailuresRequest(),
    "ReplayWebhooks": pb.ReplayWebhooksRequest(),
    "GetLeadProfile": pb.GetLeadProfileRequest(tenant="padaria", lead_id=SOME_ID),
    "ApplyLeadProfile": pb.ApplyLeadProfileRequest(tenant="padaria", lead_id=SOME_ID),
}


def test_every_method_has_a_row_here() -> None:
    methods = {method.name for method in pb.DESCRIPTOR.services_by_name["CaptureService"].methods}

    assert methods == set(REQUESTS)


@pytest.mark.parametrize("method", sorted(REQUESTS))
def test_a_token_without_the_scope_is_refused_and_so_is_none(
    call: Call, token_for: Callable[..., str], method: str
) -> None:
    with pytest.raises(errors.PermissionDenied):
        call(method, REQUESTS[method], token=token_for("padaria", scopes=["messages:send"]))
    with pytest.raises(errors.Unauthenticated):
        call(method, REQUESTS[method], token="not.a.token")


@pytest.mark.parametrize("method", ["StartSync", "GetSync", "RunSync", "GetLeadProfile", "ApplyLeadProfile"])
def test_what_is_not_there_is_not_found(call: Call, owner: str, method: str) -> None:
    is_ours = method in ("StartSync", "GetSync")

    with pytest.raises(errors.NotFound):
        call(method, REQUESTS[method], **({"token": owner} if is_ours else {}))


@pytest.mark.parametrize(
    ("asked", "field"),
    [
        (pb.ReplayWebhooksRequest(tenant="padria"), "tenant"),
        (pb.ReplayWebhooksRequest(phone_number_id="1" + wire.NUMBER_ID), "phone_number_id"),
        (pb.ReplayWebhooksRequest(tenant="floricultura", phone_number_id=wire.NUMBER_ID), "phone_number_id"),
    ],
)
def test_a_replay_of_what_is_not_known_says_so(
    call: Call, register: Callable[..., None], asked: pb.ReplayWebhooksRequest, field: str
) -> None:
    register()
    register("floricultura", number_id="9", waba_id="99")

    with pytest.raises(errors.NotFound) as caught:
        call("ReplayWebhooks", asked)
    assert [fault.name for fault in caught.value.fields] == [field]
    [progress] = call("ReplayWebhooks", pb.ReplayWebhooksRequest(phone_number_id=wire.NUMBER_ID))
    assert progress.webhooks_done == 0


def test_faulty_fields_are_named(call: Call, owner: str) -> None:
    with pytest.raises(errors.InvalidArgument) as caught:
        call("CreateInstance", pb.CreateInstanceRequest(waba_id="1" * 65), token=owner)
    assert {fault.name for fault in caught.value.fields} == {
        "waba_id",
        "phone_number_id",
        "display_phone_number",
    }

    with pytest.raises(errors.InvalidArgument):
        call("GetSync", pb.GetSyncRequest(sync_id="7"), token=owner)
    with pytest.raises(errors.InvalidArgument):
        call("ListWebhookFailures", pb.ListWebhookFailuresRequest(page_size=-1), token=owner)


def test_an_empty_request_is_answered_with_nothing(call: Call) -> None:
    assert not call("IngestWebhooks", pb.IngestWebhooksRequest()).verdicts


def test_each_webhook_gets_its_verdict_in_order(call: Call, register: Callable[..., None]) -> None:
    register()
    bodies = [
        wire.messages(wire.text("w1")),
        b"garbage",
        wire.webhook(wire.entry(wire.change(number_id="999", messages=[wire.text("w2")]))),
        wire.webhook(wire.entry()),
    ]

    answer = call("IngestWebhooks", pb.IngestWebhooksRequest(webhooks=[pb.Webhook(body=b) for b in bodies]))

    assert [verdict.state for verdict in answer.verdicts] == [
        pb.LEDGER_STATE_PROCESSED,
        pb.LEDGER_STATE_FAILED,
        pb.LEDGER_STATE_UNROUTED,
        pb.LEDGER_STATE_IGNORED,
    ]


def test_an_enriched_profile_settles_the_first_contact(
    call: Call, register: Callable[..., None], query: Query
) -> None:
    register()
    body = wire.messages(wire.text("w1"))
    call("IngestWebhooks", pb.IngestWebhooksRequest(webhooks=[pb.Webhook(body=body)]))
    [job] = query("SELECT id, arguments ->> 'lead_id' AS lead_id FROM outbox")
    lead_id = job["lead_id"]

    known = call("GetLeadProfile", pb.GetLeadProfileRequest(tenant="padaria", lead_id=lead_id))
    for _ in range(2):  # a job may run twice
        call(
            "ApplyLeadProfile",
            pb.ApplyLeadProfileRequest(
                tenant="padaria",
                lead_id=lead_id,
                outbox_id=str(job["id"]),
                name="Ana",
                status="ACTIVE",
                sources_json='{"name":"webhook"}',
            ),
        )

    assert (known.name, known.wa_id, known.phone_number_id) == ("Ana Souza", wire.ANA, wire.NUMBER_ID)
    assert query("SELECT count(*) AS n FROM outbox") == [{"n": 0}]
    assert query("SELECT status, percent FROM whatsapp_sync_logs") == [
        {"status": "completed", "percent": 100}
    ]
    assert query("SELECT profile ->> 'status' AS status FROM leads") == [{"status": "ACTIVE"}]


@pytest.mark.parametrize("is_merged_first", [True, False])
def test_what_is_found_of_a_lead_is_known_of_the_one_that_it_became(
    call: Call, register: Callable[..., None], query: Query, is_merged_first: bool
) -> None:
    register()
    told = [wire.text("w1"), {**wire.text("w2", sender=None), "from_user_id": "BR.1"}]
    for message in told:
        body = wire.messages(message, contacts=[])
        call("IngestWebhooks", pb.IngestWebhooksRequest(webhooks=[pb.Webhook(body=body)]))
    older, younger = [str(row["id"]) for row in query("SELECT id FROM leads ORDER BY id")]

    def merge() -> None:
        call("MergeLeads", pb.MergeLeadsRequest(tenant="padaria", lead_id=older, other_lead_id=younger))

    def enrich() -> None:
        call(
            "ApplyLeadProfile",
            pb.ApplyLeadProfileRequest(tenant="padaria", lead_id=younger, status="ACTIVE"),
        )

    for step in (merge, enrich) if is_merged_first else (enrich, merge):
        step()

    assert query(f"SELECT profile ->> 'status' AS status FROM leads WHERE id = '{older}'") == [
        {"status": "ACTIVE"}
    ]


def test_a_name_taken_out_of_the_address_book_leaves_the_persons_own(
    call: Call, register: Callable[..., None], query: Query
) -> None:
    register()
    told = [wire.messages(wire.text("w1"))]
    for action, at, name in (("add", wire.NOON + 1, "Cliente"), ("remove", wire.NOON + 2, None)):
        card = {"phone_number": wire.ANA, **({"full_name": name} if name else {})}
        item = {"type": "contact", "contact": card, "action": action, "metadata": {"timestamp": str(at)}}
        told.append(wire.webhook(wire.entry(wire.change("smb_app_state_sync", state_sync=[item]))))
    for body in told:
        call("IngestWebhooks", pb.IngestWebhooksRequest(webhooks=[pb.Webhook(body=body)]))
    [lead] = query("SELECT id, saved_name FROM leads")
    assert lead["saved_name"] == ""

    known = call("GetLeadProfile", pb.GetLeadProfileRequest(tenant="padaria", lead_id=str(lead["id"])))

    assert known.name == "Ana Souza"


def test_the_job_of_a_lead_that_is_gone_is_settled(
    call: Call, register: Callable[..., None], query: Query
) -> None:
    register()
    body = wire.messages(wire.text("w1"))
    call("IngestWebhooks", pb.IngestWebhooksRequest(webhooks=[pb.Webhook(body=body)]))
    [job] = query("SELECT id FROM outbox")

    with pytest.raises(errors.NotFound):
        call(
            "ApplyLeadProfile",
            pb.ApplyLeadProfileRequest(tenant="padaria", lead_id=SOME_ID, outbox_id=str(job["id"])),
        )

    assert query("SELECT count(*) AS n FROM outbox") == [{"n": 0}]


def test_an_operator_sees_the_failures_of_all_and_a_tenant_its_own(
    call: Call, register: Callable[..., None], owner: str, stranger: str
) -> None:
    register()
    bodies = [wire.messages({"id": 7}), b"nobody's"]
    call("IngestWebhooks", pb.IngestWebhooksRequest(webhooks=[pb.Webhook(body=b) for b in bodies]))

    request = pb.ListWebhookFailuresRequest()

    assert call("ListWebhookFailures", request).total_size == 2
    assert call("ListWebhookFailures", request, token=owner).total_size == 2
    assert call("ListWebhookFailures", request, token=stranger).total_size == 1
