"""Apply kept webhooks again, and show which could not be applied."""

import sys
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any, Final

import grpc
from google.protobuf.timestamp_pb2 import Timestamp
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from capture_service import ledger
from plumbing import errors
from plumbing.rpc import client
from protos import capture_pb2 as pb, capture_pb2_grpc
from recado.connection import Connection
from recado.stack import store

STATES: Final = {
    "failed": pb.LEDGER_STATE_FAILED,
    "unrouted": pb.LEDGER_STATE_UNROUTED,
    "processed": pb.LEDGER_STATE_PROCESSED,
    "ignored": pb.LEDGER_STATE_IGNORED,
}
_REPLAY_TIMEOUT_S: Final = 24 * 3600.0
_LIST_TIMEOUT_S: Final = 15.0
_SHOWN_MAX: Final = 200


def run(
    connection: Connection,
    *,
    states: Sequence[str],
    tenant: str,
    number: str,
    is_outdated: bool,
    parser_version_below: int | None,
    from_time: datetime | None,
    to_time: datetime | None,
) -> bool:
    """Replay with a progress bar, print the outcome, and tell whether nothing failed again."""
    below = [ledger.PARSER_VERSION] if is_outdated else []
    below += [parser_version_below] if parser_version_below else []
    request = pb.ReplayWebhooksRequest(
        states=[STATES[state] for state in states],
        tenant=tenant,
        phone_number_id=number,
        parser_version_below=min(below, default=0),
        from_time=_timestamp(from_time),
        to_time=_timestamp(to_time),
    )
    with (
        connection.channel("capture") as channel,
        # On standard error: standard output says the outcome alone.
        Progress(
            TextColumn("Replaying"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            console=Console(stderr=True),
            disable=not sys.stderr.isatty(),
        ) as bar,
    ):
        task = bar.add_task("replay", total=None)
        last = pb.ReplayProgress()
        answers: Iterator[pb.ReplayProgress] = client.stream(
            _stub(channel).ReplayWebhooks,
            request,
            token=connection.token(tenant="", scopes=["service"]),
            timeout_s=_REPLAY_TIMEOUT_S,
        )
        try:
            for last in answers:
                bar.update(task, total=last.webhooks_total, completed=last.webhooks_done)
        except errors.Unavailable:
            sys.stderr.write(
                f"interrupted after {last.webhooks_done} of {last.webhooks_total} webhooks, "
                "which stay applied; it is safe to run again\n"
            )
            raise
    sys.stdout.write(
        f"{last.webhooks_replayed} webhooks replayed, {last.messages_imported} messages imported, "
        f"{last.webhooks_failed} failed\n"
    )
    return not last.webhooks_failed


def show_failures(connection: Connection, *, tenant: str | None) -> None:
    """Print the webhooks with items that could not be applied, newest first, and how many still wait.

    Without a tenant: those too broken to belong to one.
    """
    request = pb.ListWebhookFailuresRequest(page_size=_SHOWN_MAX)
    with connection.channel("capture") as channel:
        answer: pb.ListWebhookFailuresResponse = client.call(
            _stub(channel).ListWebhookFailures,
            request,
            token=connection.token(tenant=tenant or "", scopes=["instances:admin"]),
            timeout_s=_LIST_TIMEOUT_S,
        )
    table = Table("batch", "received", "attempts", "bytes", "where", "why", title="Webhooks that failed")
    for failure in answer.failures:
        for position, fault in enumerate(failure.faults or [pb.ItemFault(reason="no reason kept")]):
            table.add_row(
                failure.batch_id if position == 0 else "",
                failure.received_at.ToDatetime(UTC).isoformat(timespec="seconds") if position == 0 else "",
                str(failure.attempts) if position == 0 else "",
                str(failure.body_bytes) if position == 0 else "",
                escape(fault.path or "(whole body)"),
                escape(fault.reason),
            )
    console = Console(width=None if sys.stdout.isatty() else 200)
    if answer.failures:
        console.print(table)
    hidden = answer.total_size - len(answer.failures)
    console.print(
        f"{answer.total_size} failed" + (f", {hidden} of them older than those shown" if hidden else "")
    )
    database_url = connection.database_url()
    if database_url is not None:
        console.print(f"{store.count_unrouted(database_url)} kept until their number is registered")


def _stub(channel: grpc.Channel) -> Any:
    """Give the stub; its generated code has no types."""
    return capture_pb2_grpc.CaptureServiceStub(channel)


def _timestamp(moment: datetime | None) -> Timestamp | None:
    if moment is None:
        return None
    stamp = Timestamp()
    stamp.FromDatetime(moment.astimezone(UTC))
    return stamp
