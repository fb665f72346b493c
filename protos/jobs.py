"""Every queue and job: its name, the queue it runs on, and the ids it is given.

A job's arguments are ids, never content, so that Redis holds nothing personal and a job that runs
late reads what is true then. Every job may run twice.
"""

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Job:
    name: str
    queue: str
    arguments: tuple[str, ...]
    """Names of its keyword arguments, all strings."""
    timeout_s: int


ENRICH_LEAD: Final = Job(
    "enrich_lead", queue="enrichment", arguments=("tenant", "lead_id", "outbox_id"), timeout_s=60
)
RUN_SYNC: Final = Job("run_sync", queue="recovery", arguments=("tenant", "sync_id"), timeout_s=3600)
MERGE_LEADS: Final = Job(
    "merge_leads",
    queue="recovery",
    arguments=("tenant", "lead_id", "other_lead_id", "outbox_id"),
    timeout_s=300,
)
APPLY_WEBHOOK: Final = Job("apply_webhook", queue="webhooks", arguments=("tenant", "batch_id"), timeout_s=900)
EXPORT_LEADS: Final = Job("export_leads", queue="exports", arguments=("tenant", "export_id"), timeout_s=7200)
JOBS: Final = {job.name: job for job in (ENRICH_LEAD, RUN_SYNC, MERGE_LEADS, APPLY_WEBHOOK, EXPORT_LEADS)}
QUEUES: Final = ("webhooks", "recovery", "enrichment", "exports")
"""A worker looks into them in this order."""
