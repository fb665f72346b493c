"""What each job asks of which service, and that whatever is queued is performed."""

import inspect
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from plumbing import errors, tokens
from protos import (
    capture_pb2,
    capture_pb2_grpc,
    enrichment_pb2,
    enrichment_pb2_grpc,
    history_pb2_grpc,
    jobs,
)
from recado import exporting, worker
from tests.worker.conftest import Services

LEAD = "0193a2b0-0000-7000-8000-00000000000a"
OUTBOX = "0193a2b0-0000-7000-8000-00000000000b"
NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)


@pytest.fixture
def work(channel: Any, auth_secret: str) -> worker.Jobs:
    return worker.Jobs(
        capture_pb2_grpc.CaptureServiceStub(channel),
        enrichment_pb2_grpc.EnrichmentServiceStub(channel),
        tokens.OwnToken(auth_secret, subject="worker"),
        exporting.Exporter(
            capture_pb2_grpc.CaptureServiceStub(channel),
            history_pb2_grpc.HistoryServiceStub(channel),
            tokens.OwnToken(auth_secret, subject="worker"),
            auth_secret=auth_secret,
            folder=None,
        ),
    )


@pytest.fixture
def lead(services: Services) -> capture_pb2.LeadProfile:
    services.lead = capture_pb2.LeadProfile(
        lead_id=LEAD,
        name="ana",
        wa_id="5511988887777",
        instance_id="0193a2b0-0000-7000-8000-000000000001",
        phone_number_id="106540352242922",
        last_message_at=NOW,
    )
    return services.lead


def test_every_job_has_a_handler_that_takes_its_arguments(work: worker.Jobs):
    handlers = work.handlers()

    assert handlers.keys() == jobs.JOBS.keys()
    for name, handler in handlers.items():
        parameters = inspect.signature(handler).parameters
        assert tuple(parameters) == jobs.JOBS[name].arguments
        assert {parameter.kind for parameter in parameters.values()} == {inspect.Parameter.KEYWORD_ONLY}


def test_every_queue_of_a_job_is_consumed_and_every_queue_consumed_has_a_job():
    assert set(jobs.QUEUES) == {job.queue for job in jobs.JOBS.values()}


def test_a_lead_is_enriched(work: worker.Jobs, services: Services, lead: capture_pb2.LeadProfile):
    services.profile = enrichment_pb2.ContactProfile(
        name="Ana Souza",
        profile_picture_url="https://pps.example/a.jpg",
        is_verified=False,
        last_seen_at=NOW,
        status="ACTIVE",
        sources={"name": "graph", "status": "webhook"},
        graph_outcome="answered",
    )

    work.enrich_lead(tenant="padaria", lead_id=LEAD, outbox_id=OUTBOX)

    (_, got), (_, fetched), (_, applied) = services.asked
    assert services.methods() == ["GetLeadProfile", "FetchContactProfile", "ApplyLeadProfile"]
    assert got == capture_pb2.GetLeadProfileRequest(tenant="padaria", lead_id=LEAD)
    assert fetched == enrichment_pb2.FetchContactProfileRequest(
        tenant="padaria",
        instance_id=lead.instance_id,
        phone_number_id=lead.phone_number_id,
        wa_id=lead.wa_id,
        known_name="ana",
        known_last_message_at=NOW,
    )
    assert msgspec.json.decode(applied.sources_json) == {"name": "graph", "status": "webhook"}
    applied.sources_json = ""
    assert applied == capture_pb2.ApplyLeadProfileRequest(
        tenant="padaria",
        lead_id=LEAD,
        outbox_id=OUTBOX,
        name="Ana Souza",
        profile_picture_url="https://pps.example/a.jpg",
        is_verified=False,
        last_seen_at=NOW,
        status="ACTIVE",
        wa_id="5511988887777",
    )
    assert {(caller.subject, caller.tenant, caller.scopes) for caller in services.callers} == {
        ("worker", "", frozenset({"service"}))
    }


def test_what_nobody_knows_stays_absent(work: worker.Jobs, services: Services):
    services.lead = capture_pb2.LeadProfile(lead_id=LEAD)

    work.enrich_lead(tenant="padaria", lead_id=LEAD, outbox_id=OUTBOX)

    (_, _), (_, fetched), (_, applied) = services.asked
    assert not fetched.HasField("known_last_message_at")
    assert not applied.HasField("is_verified")
    assert not applied.HasField("last_seen_at")


def test_the_job_of_a_lead_erased_since_asks_for_nothing_and_is_settled(
    work: worker.Jobs, services: Services
):
    services.lead = None

    work.enrich_lead(tenant="padaria", lead_id=LEAD, outbox_id=OUTBOX)

    assert services.methods() == ["GetLeadProfile", "ApplyLeadProfile"]
    assert services.asked[-1][1].outbox_id == OUTBOX


@pytest.mark.parametrize("method", ["GetLeadProfile", "FetchContactProfile", "ApplyLeadProfile"])
def test_a_service_that_is_away_postpones_the_job_which_then_runs_whole(
    work: worker.Jobs, services: Services, lead: capture_pb2.LeadProfile, method: str
):
    services.faults[method] = [errors.Unavailable("away", retry_after_s=1)]

    with pytest.raises(errors.Unavailable):
        work.enrich_lead(tenant="padaria", lead_id=LEAD, outbox_id=OUTBOX)
    services.asked.clear()
    work.enrich_lead(tenant="padaria", lead_id=LEAD, outbox_id=OUTBOX)

    assert services.methods() == ["GetLeadProfile", "FetchContactProfile", "ApplyLeadProfile"]


def test_the_three_calls_fit_into_the_jobs_time(
    work: worker.Jobs, services: Services, lead: capture_pb2.LeadProfile
):
    work.enrich_lead(tenant="padaria", lead_id=LEAD, outbox_id=OUTBOX)

    assert 0 < sum(services.remaining_s.values()) < jobs.ENRICH_LEAD.timeout_s


def test_a_sync_has_nearly_an_hour(work: worker.Jobs, services: Services):
    work.run_sync(tenant="padaria", sync_id=OUTBOX)

    assert services.asked == [("RunSync", capture_pb2.RunSyncRequest(tenant="padaria", sync_id=OUTBOX))]
    assert 3500 < services.remaining_s["RunSync"] < jobs.RUN_SYNC.timeout_s
