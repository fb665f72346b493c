"""The job of an export: the histories of many leads, each a file of one zip."""

import os
import re
import time
import unicodedata
import uuid
import zipfile
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import IO, Any, Final
from zoneinfo import ZoneInfo

from gateway import exporting, render, statements
from plumbing import errors, tokens
from plumbing.rpc import client
from protos import capture_pb2, history_pb2

KEPT: Final = timedelta(hours=24)
"""So long a file can be fetched."""
_TIMEOUT_S: Final = 30.0
_LEAD_TIMEOUT_S: Final = 3600.0
_TOKEN_TTL_S: Final = 7200
_TELL_EVERY_S: Final = 2.0
_PAGE: Final = 200
_NOT_IN_NAMES: Final = re.compile(r"[^\w.-]+")


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
        try:
            if self._folder is None:
                raise errors.FailedPrecondition("the worker has no RECADO_EXPORTS_DIR")
            progress.file_bytes = self._write(self._folder, tenant, work, progress)
            progress.status = "completed"
        except errors.RecadoError as error:
            if error.is_retryable:
                raise
            progress.status, progress.error_message = "failed", error.detail
        self._call(self._capture.UpdateExport, progress)

    def _write(
        self,
        folder: Path,
        tenant: str,
        work: capture_pb2.ExportWork,
        progress: capture_pb2.UpdateExportRequest,
    ) -> int:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        _forget_old(folder)
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
        )
        path = path_of(folder, uuid.UUID(work.export.id))
        draft = path.with_suffix(".part")
        told_at = time.monotonic()
        with (
            open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file,
            zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive,
        ):
            for number, lead in enumerate(self._leads(work.request, token, progress), start=1):
                name = f"{number:05d}-{_plain(lead.name or lead.number)}.{chosen.extension}"
                with archive.open(name, "w") as part:
                    self._write_lead(part, lead, work.request, chosen, options, token)
                progress.leads_done = number
                if time.monotonic() - told_at > _TELL_EVERY_S:
                    told_at = time.monotonic()
                    self._call(self._capture.UpdateExport, progress)
        draft.rename(path)
        return path.stat().st_size

    def _leads(
        self,
        request: capture_pb2.CreateExportRequest,
        token: str,
        progress: capture_pb2.UpdateExportRequest,
    ) -> Iterator[history_pb2.Lead]:
        if request.lead_ids:
            progress.leads_total = len(request.lead_ids)
            for lead_id in request.lead_ids:
                yield self._call(
                    self._history.GetLead, history_pb2.GetLeadRequest(lead_id=lead_id), token=token
                )
            return
        asked = history_pb2.ListLeadsRequest(page_size=_PAGE)
        while True:
            page = self._call(self._history.ListLeads, asked, token=token)
            progress.leads_total = page.total_size
            yield from page.leads
            if not page.next_page_token:
                return
            asked.page_token = page.next_page_token

    def _write_lead(
        self,
        part: IO[bytes],
        lead: history_pb2.Lead,
        request: capture_pb2.CreateExportRequest,
        chosen: exporting.Format,
        options: exporting.Options,
        token: str,
    ) -> None:
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

        for chunk in chosen.write(header, messages(), options):
            part.write(chunk)

    def _call(self, method: Any, request: Any, *, token: str | None = None) -> Any:
        return client.call(method, request, token=token or self._own_token(), timeout_s=_TIMEOUT_S)


def path_of(folder: Path, export_id: uuid.UUID) -> Path:
    return folder / f"{export_id}.zip"


def _forget_old(folder: Path) -> None:
    """Remove the files that nobody may fetch any more."""
    before = time.time() - KEPT.total_seconds()
    for path in folder.iterdir():
        if path.suffix in (".zip", ".part") and path.stat().st_mtime < before:
            path.unlink(missing_ok=True)


def _plain(name: str) -> str:
    """Give a name in letters that every file system takes."""
    letters = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode()
    return _NOT_IN_NAMES.sub("-", letters).strip("-.")[:60] or "conversation"
