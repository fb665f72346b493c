"""Import an exported chat into a lead's history, or show what that would do."""

import sys
import time
from pathlib import Path
from typing import Any, Final

import click
import msgspec
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn
from rich.table import Table

from capture_service import imports
from capture_service.chat_export import archive
from plumbing.rpc import client
from protos import capture_pb2 as pb, capture_pb2_grpc
from recado.connection import Connection

_READ_TIMEOUT_S: Final = 60.0
_POLL_TIMEOUT_S: Final = 10.0
_POLL_EVERY_S: Final = 0.3


def run(
    connection: Connection,
    path: Path,
    *,
    tenant: str,
    lead_id: str,
    instance_id: str,
    business: str,
    time_zone: str,
    date_order: str,
    is_dry_run: bool,
) -> bool:
    """Import a chat with a progress bar, print the report, and tell whether it was completed."""
    request = pb.ImportChatRequest(
        lead_id=lead_id,
        instance_id=instance_id,
        file=_text_of(path),
        business_participant=business,
        time_zone=time_zone,
        date_order=date_order,
        is_dry_run=is_dry_run,
    )
    token = connection.token(tenant=tenant, scopes=["leads:write", "history:read"])
    with connection.channel("capture") as channel:
        # The generated stub has no types.
        capture: Any = capture_pb2_grpc.CaptureServiceStub(channel)
        sync: pb.SyncLog = client.call(capture.ImportChat, request, token=token, timeout_s=_READ_TIMEOUT_S)
        with Progress(
            TextColumn("Importing"),
            BarColumn(),
            TaskProgressColumn(),
            console=Console(stderr=True),
            disable=is_dry_run or not sys.stderr.isatty(),
        ) as bar:
            task = bar.add_task("import", total=100)
            while sync.status in ("pending", "in_progress"):
                time.sleep(_POLL_EVERY_S)
                sync = client.call(
                    capture.GetSync,
                    pb.GetSyncRequest(sync_id=sync.id),
                    token=token,
                    timeout_s=_POLL_TIMEOUT_S,
                )
                bar.update(task, completed=sync.percent)
    _show(sync, is_dry_run=is_dry_run)
    return sync.status == "completed"


def _text_of(path: Path) -> bytes:
    """Give the chat without its media: of an archive of gigabytes only the text is sent."""
    data = path.read_bytes()
    if len(data) <= imports.FILE_BYTES_MAX:
        return data
    try:
        return archive.open_export(data).text.encode(errors="replace")
    except archive.Refused as error:
        raise click.ClickException(f"{path}: {error.reason}") from None


def _show(sync: pb.SyncLog, *, is_dry_run: bool) -> None:
    if sync.status == "failed":
        sys.stdout.write(f"failed: {sync.error_message}\n")
        return
    report = msgspec.json.decode(sync.detail_json or "{}", type=dict[str, Any])
    table = Table("participant", "messages", "is the business", title="Who speaks")
    for who in report.get("participants", ()):
        table.add_row(escape(who["name"]), str(who["messages"]), "yes" if who["isBusiness"] else "")
    console = Console(width=None if sys.stdout.isatty() else 120)
    console.print(table)
    order = f"dates read as {report.get('dateOrder')}"
    if report.get("isDateOrderGuessed"):
        order += ", a guess: nothing in the file tells; --date-order says it"
    console.print(f"{order}; from {report.get('firstAt')} to {report.get('lastAt')}")
    new = report.get("new", 0) if is_dry_run else sync.messages_imported
    what = "would be imported" if is_dry_run else "imported"
    # Scripts read this line: it is never wrapped.
    sys.stdout.write(f"{new} messages {what}, {report.get('matched', 0)} were there already\n")
