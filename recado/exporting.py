"""The job of an export: the histories of many leads, each a file of one zip."""

import contextlib
import logging
import os
import time
import uuid
import zipfile
from collections.abc import Callable, Generator, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any, Final
from zoneinfo import ZoneInfo

from gateway import exporting, render, statements
from plumbing import errors, tokens
from plumbing.rpc import client
from protos import capture_pb2, history_pb2
from protos.exports import KEPT, path_of

log = logging.getLogger(__name__)

_TIMEOUT_S: Final = 30.0
_LEAD_TIMEOUT_S: Final = 3600.0
_TOKEN_TTL_S: Final = 7200
_TELL_EVERY_S: Final = 2.0
_PAGE: Final = 1000
# Each finds who became active, and so moved to the top, before the one before came to them.
_WALKS_MAX: Final = 10
_FORGET_EVERY_S: Final = 600.0
_LEFT_OUT: Final = {
    "en": ("left-out.txt", "These leads could not be read any more and are not in this export:"),
    "pt-BR": (
        "fora-da-exportacao.txt",
        "Estes contatos não puderam mais ser lidos e não estão nesta exportação:",
    ),
}


class Exporter:
    """Makes the file of an export, in the name of whom asked for it."""

    def __init__(
        self,
        capture: Any,
        history: Any,
        own_token: Callable[[], str],
        *,
        auth_secret: str,
        folder: Path | None,
    ) -> None:
        """`capture` and `history` are the stubs; `folder` is shared with the gateway; None is none."""
        self._capture = capture
        self._history = history
        self._own_token = own_token
        self._auth_secret = auth_secret
        self._folder = folder

    def run(self, tenant: str, export_id: str) -> None:
        """Do what an export asks for. Safe to run again: an export that has ended is left as it is."""
        request = capture_pb2.GetExportWorkRequest(tenant=tenant, export_id=export_id)
        work = self._call(self._capture.GetExportWork, request)
        progress = capture_pb2.UpdateExportRequest(tenant=tenant, export_id=export_id, status="in_progress")
        if work.export.status in ("completed", "failed"):
            return
        self._call(self._capture.UpdateExport, progress)
        try:
            if self._folder is None:
                raise errors.FailedPrecondition("the worker has no RECADO_EXPORTS_DIR")
            progress.file_bytes = self._write(self._folder, tenant, work, progress)
            progress.status = "completed"
        except errors.RecadoError as error:
            if error.is_retryable:
                raise
            progress.status, progress.error_message = "failed", error.detail
        except OSError as error:
            log.exception("export_not_written", extra={"export_id": export_id})
            progress.status = "failed"
            progress.error_message = f"the file could not be written: {error.strerror}"
        except Exception:
            # Also the queue's, when the job has taken too long: the next attempt would end the same way.
            log.exception("export_failed", extra={"export_id": export_id})
            progress.status = "failed"
            progress.error_message = "the file could not be made; the worker's log says why"
        self._call(self._capture.UpdateExport, progress)

    def _write(
        self,
        folder: Path,
        tenant: str,
        work: capture_pb2.ExportWork,
        progress: capture_pb2.UpdateExportRequest,
    ) -> int:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        token = tokens.issue(
            self._auth_secret,
            subject=work.requested_by,
            tenant=tenant,
            scopes=["history:read"],
            instances=list(work.instance_ids) if work.is_limited else None,
            ttl_s=_TOKEN_TTL_S,
        )
        chosen = exporting.FORMATS[work.request.format]
        options = exporting.Options(
            language="pt-BR" if work.request.language == "pt-BR" else "en",
            time_zone=ZoneInfo(work.request.time_zone or "UTC"),
            with_bom=work.request.format == "csv",
            # As spreadsheets of that language part their columns.
            separator=";" if work.request.language == "pt-BR" else ",",
        )
        told_at = time.monotonic()
        lead_ids = list(work.request.lead_ids) or self._all_leads(token)
        progress.leads_total = len(lead_ids)
        left_out: list[str] = []
        path = path_of(folder, uuid.UUID(work.export.id))
        with _draft(path) as file, zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
            for number, lead_id in enumerate(lead_ids, start=1):
                try:
                    asked = history_pb2.GetLeadRequest(lead_id=lead_id)
                    lead = self._call(self._history.GetLead, asked, token=token)
                    name = f"{number:05d}-{exporting.file_name(lead.name or lead.number, chosen)}"
                    chunks = self._read_lead(lead, work.request, chosen, options, token)
                    first = next(chunks, b"")
                except errors.NotFound:
                    left_out.append(lead_id)
                    continue
                with archive.open(name, "w", force_zip64=True) as part:
                    part.write(first)
                    for chunk in chunks:
                        part.write(chunk)
                progress.leads_done = number
                if time.monotonic() - told_at > _TELL_EVERY_S:
                    told_at = time.monotonic()
                    self._call(self._capture.UpdateExport, progress)
            if left_out:
                name, told = _LEFT_OUT[options.language]
                archive.writestr(name, "\n".join([told, *left_out, ""]))
        return path.stat().st_size

    def _all_leads(self, token: str) -> list[str]:
        """Give the ids of all leads. The list is by last message: who writes meanwhile moves within it."""
        found: dict[str, None] = {}
        for _ in range(_WALKS_MAX):
            known = len(found)
            asked = history_pb2.ListLeadsRequest(page_size=_PAGE)
            while True:
                page = self._call(self._history.ListLeads, asked, token=token)
                found.update((lead.id, None) for lead in page.leads)
                if not page.next_page_token:
                    break
                asked.page_token = page.next_page_token
            if len(found) == known:
                break
        return list(found)

    def _read_lead(
        self,
        lead: history_pb2.Lead,
        request: capture_pb2.CreateExportRequest,
        chosen: exporting.Format,
        options: exporting.Options,
        token: str,
    ) -> Iterator[bytes]:
        covered = self._call(
            self._history.GetCoverage, history_pb2.GetCoverageRequest(lead_id=lead.id), token=token
        )
        header = exporting.Header(
            lead=render.plain(render.lead(lead)),
            exported_at=datetime.now(UTC),
            statements=[statements.of_coverage(row, options.language) for row in covered.conversations],
        )
        pages = client.stream(
            self._history.ExportMessages,
            history_pb2.ExportMessagesRequest(
                lead_id=lead.id,
                from_time=request.from_time if request.HasField("from_time") else None,
                to_time=request.to_time if request.HasField("to_time") else None,
                filter=history_pb2.MessageFilter(instance_id=request.instance_id),
            ),
            token=token,
            timeout_s=_LEAD_TIMEOUT_S,
        )

        def messages() -> Iterator[Mapping[str, Any]]:
            for page in pages:
                for found in page.messages:
                    yield render.plain(render.message(found))

        yield from chosen.write(header, messages(), options)

    def _call(self, method: Any, request: Any, *, token: str | None = None) -> Any:
        return client.call(method, request, token=token or self._own_token(), timeout_s=_TIMEOUT_S)


@contextlib.contextmanager
def _draft(path: Path) -> Generator[IO[bytes]]:
    """Write a file that is there once it is whole, or not at all."""
    draft = path.with_suffix(f".{uuid.uuid4().hex}.part")
    try:
        with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            yield file
        draft.rename(path)
    finally:
        draft.unlink(missing_ok=True)


def forget_always(folder: Path) -> None:
    """Remove files that nobody may fetch any more, now and from time to time."""
    while True:
        try:
            forget_old(folder)
        except OSError:
            log.exception("old_exports_not_removed")
        time.sleep(_FORGET_EVERY_S)


def forget_old(folder: Path) -> None:
    """Remove the files that nobody may fetch any more, and what attempts left that were killed."""
    before = time.time() - KEPT.total_seconds()
    for path in folder.iterdir() if folder.is_dir() else ():
        if path.suffix in (".zip", ".part") and path.stat().st_mtime < before:
            path.unlink(missing_ok=True)
