"""The worker: performs the jobs of the queues by calling the services.

A job that fails is not tried again here: its row stays in capture's outbox, which hands it over again.
"""

import contextlib
import os
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import msgspec

from plumbing import errors, queues, settings, telemetry, tokens
from plumbing.rpc import client
from protos import (
    capture_pb2,
    capture_pb2_grpc,
    enrichment_pb2,
    enrichment_pb2_grpc,
    history_pb2_grpc,
    jobs,
)
from recado import exporting

_NICENESS: Final = 10

_LEAD_TIMEOUT_S: Final = 10.0
# The Graph API is tried again within it; then the profile is what webhooks said.
_PROFILE_TIMEOUT_S: Final = 15.0
# The service's answer has to arrive before the queue calls the job a failure.
_APPLY_TIMEOUT_S: Final = jobs.APPLY_WEBHOOK.timeout_s - 10.0
_MERGE_TIMEOUT_S: Final = 90.0
_SYNC_TIMEOUT_S: Final = jobs.RUN_SYNC.timeout_s - 10.0


@dataclass(frozen=True, slots=True)
class Settings:
    redis_url: str
    auth_secret: str
    capture_address: str
    enrichment_address: str
    history_address: str
    exports_folder: Path | None
    """Shared with the gateway; None where nobody exports many leads."""
    queues: tuple[str, ...]
    metrics_port: int


def load(environ: Mapping[str, str]) -> Settings:
    """Raises settings.SettingsError listing every fault at once."""
    with settings.read(environ) as env:
        return Settings(
            redis_url=env.secret("RECADO_REDIS_URL"),
            auth_secret=env.secret("RECADO_AUTH_SECRET"),
            capture_address=env.address("RECADO_CAPTURE_ADDRESS"),
            enrichment_address=env.address("RECADO_ENRICHMENT_ADDRESS"),
            history_address=env.address("RECADO_HISTORY_ADDRESS"),
            exports_folder=Path(folder) if (folder := env.text("RECADO_EXPORTS_DIR", "")) else None,
            queues=env.parsed("RECADO_QUEUES", ",".join(jobs.QUEUES), _read_queues),
            metrics_port=env.integer("RECADO_METRICS_PORT", 0, at_least=0, at_most=65535),
        )


def _read_queues(text: str) -> tuple[str, ...]:
    """Read names separated by commas; first things come first in whatever order they are named."""
    named = {name.strip() for name in text.split(",")}
    if unknown := sorted(named - set(jobs.QUEUES)):
        raise ValueError(f"{', '.join(unknown)}: there are {', '.join(jobs.QUEUES)}")
    return tuple(name for name in jobs.QUEUES if name in named)


class Jobs:
    """One method per job. Each may run twice; the services see to it that it does no harm."""

    def __init__(
        self, capture: Any, enrichment: Any, token: Callable[[], str], exporter: exporting.Exporter
    ) -> None:
        """`capture` and `enrichment` are the stubs; `token` gives the worker's own token."""
        self._exporter = exporter
        self._capture = capture
        self._enrichment = enrichment
        self._token = token

    def handlers(self) -> dict[str, Callable[..., None]]:
        return {
            jobs.ENRICH_LEAD.name: self.enrich_lead,
            jobs.RUN_SYNC.name: self.run_sync,
            jobs.MERGE_LEADS.name: self.merge_leads,
            jobs.APPLY_WEBHOOK.name: self.apply_webhook,
            jobs.EXPORT_LEADS.name: self.export_leads,
        }

    def enrich_lead(self, *, tenant: str, lead_id: str, outbox_id: str) -> None:
        """Ask for a lead's profile and write down what came of it."""
        try:
            lead = self._call(
                self._capture.GetLeadProfile,
                capture_pb2.GetLeadProfileRequest(tenant=tenant, lead_id=lead_id),
                timeout_s=_LEAD_TIMEOUT_S,
            )
        except errors.NotFound:
            self._settle(tenant=tenant, lead_id=lead_id, outbox_id=outbox_id)
            return
        profile = self._call(
            self._enrichment.FetchContactProfile,
            enrichment_pb2.FetchContactProfileRequest(
                tenant=tenant,
                instance_id=lead.instance_id,
                phone_number_id=lead.phone_number_id,
                wa_id=lead.wa_id,
                known_name=lead.name,
                known_last_message_at=lead.last_message_at if lead.HasField("last_message_at") else None,
            ),
            timeout_s=_PROFILE_TIMEOUT_S,
        )
        self._call(
            self._capture.ApplyLeadProfile,
            capture_pb2.ApplyLeadProfileRequest(
                tenant=tenant,
                lead_id=lead_id,
                outbox_id=outbox_id,
                name=profile.name,
                profile_picture_url=profile.profile_picture_url,
                is_verified=profile.is_verified if profile.HasField("is_verified") else None,
                last_seen_at=profile.last_seen_at if profile.HasField("last_seen_at") else None,
                status=profile.status,
                sources_json=msgspec.json.encode(dict(profile.sources)).decode(),
                wa_id=lead.wa_id,
            ),
            timeout_s=_LEAD_TIMEOUT_S,
        )

    def _settle(self, *, tenant: str, lead_id: str, outbox_id: str) -> None:
        """Let nobody hand over again the job of a lead that is gone."""
        gone = capture_pb2.ApplyLeadProfileRequest(tenant=tenant, lead_id=lead_id, outbox_id=outbox_id)
        with contextlib.suppress(errors.NotFound):
            self._call(self._capture.ApplyLeadProfile, gone, timeout_s=_LEAD_TIMEOUT_S)

    def run_sync(self, *, tenant: str, sync_id: str) -> None:
        """Do what a sync log asks for."""
        self._call(
            self._capture.RunSync,
            capture_pb2.RunSyncRequest(tenant=tenant, sync_id=sync_id),
            timeout_s=_SYNC_TIMEOUT_S,
        )

    def merge_leads(self, *, tenant: str, lead_id: str, other_lead_id: str, outbox_id: str) -> None:
        """Make two leads one that a webhook proved to be one person."""
        self._call(
            self._capture.MergeLeads,
            capture_pb2.MergeLeadsRequest(
                tenant=tenant, lead_id=lead_id, other_lead_id=other_lead_id, outbox_id=outbox_id
            ),
            timeout_s=_MERGE_TIMEOUT_S,
        )

    def apply_webhook(self, *, tenant: str, batch_id: str) -> None:
        """Apply a large webhook that was answered once it was kept."""
        self._call(
            self._capture.ApplyWebhook,
            capture_pb2.ApplyWebhookRequest(tenant=tenant, batch_id=batch_id),
            timeout_s=_APPLY_TIMEOUT_S,
        )

    def export_leads(self, *, tenant: str, export_id: str) -> None:
        """Make the file of an export."""
        self._exporter.run(tenant, export_id)

    def _call(self, method: Any, request: Any, *, timeout_s: float) -> Any:
        return client.call(method, request, token=self._token(), timeout_s=timeout_s)


def main() -> None:
    config = load(os.environ)
    telemetry.configure_logging("worker")
    telemetry.serve_metrics(config.metrics_port)
    # Jobs can wait; webhooks on the same machine cannot.
    os.nice(_NICENESS)
    capture = capture_pb2_grpc.CaptureServiceStub(client.open_channel(config.capture_address))
    own_token = tokens.OwnToken(config.auth_secret, subject="worker")
    work = Jobs(
        capture,
        enrichment_pb2_grpc.EnrichmentServiceStub(client.open_channel(config.enrichment_address)),
        own_token,
        exporting.Exporter(
            capture,
            history_pb2_grpc.HistoryServiceStub(client.open_channel(config.history_address)),
            own_token,
            auth_secret=config.auth_secret,
            folder=config.exports_folder,
        ),
    )
    if config.exports_folder and jobs.EXPORT_LEADS.queue in config.queues:
        threading.Thread(target=exporting.forget_always, args=(config.exports_folder,), daemon=True).start()
    queues.run_worker(config.redis_url, config.queues, work.handlers())


if __name__ == "__main__":
    main()
