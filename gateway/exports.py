"""Histories as files: of one lead, made as it is sent; of many, made by a job and fetched."""

import uuid
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Final, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import flask
import msgspec

from gateway import exporting, parameters, render, request_id, shapes, statements
from gateway.operations import Call
from plumbing import errors
from plumbing.errors import FieldFault
from plumbing.rpc import client
from protos import capture_pb2, history_pb2
from protos.exports import KEPT, path_of

MEDIA_TYPES: Final = tuple(found.media_type.partition(";")[0] for found in exporting.FORMATS.values())
# 10,000 ids of leads.
BODY_BYTES_MAX: Final = 512 * 1024
# 100,000 messages take half a minute; whoever reads slower than an hour begins anew.
_TIMEOUT_S: Final = 3600.0


class NewExport(msgspec.Struct, forbid_unknown_fields=True, rename="camel"):
    """What to export; without leads, all that the token opens.

    csv comes with the mark by which Excel knows UTF-8, and parted by semicolons where `lang` is pt-BR.
    """

    format: Literal["jsonl", "csv", "html", "txt"] = "jsonl"
    lang: Literal["en", "pt-BR"] = "en"
    time_zone: Annotated[str, msgspec.Meta(max_length=64)] = "UTC"
    lead_ids: Annotated[list[shapes.Identifier], msgspec.Meta(max_length=10_000)] = []
    instance_id: shapes.Identifier | None = None
    from_date: parameters.Moment | None = None
    to_date: parameters.Moment | None = None


class Export(msgspec.Struct, kw_only=True, rename="camel"):
    format: Annotated[
        str,
        parameters.choice(
            "jsonl: as the API shows them; csv: for a spreadsheet; html: to read and print;"
            " txt: as WhatsApp exports a chat.",
            *exporting.FORMATS,
            default="jsonl",
        ),
    ]
    from_date: Annotated[datetime | None, parameters.moment("Only messages sent from then on.")]
    to_date: Annotated[datetime | None, parameters.moment("Only messages sent until then.", is_end=True)]
    instance_id: Annotated[str, parameters.identifier("Only through this number of the business.")]
    lang: Annotated[
        str, parameters.choice("Of what is written around the messages.", *statements.LANGUAGES, default="en")
    ]
    time_zone: Annotated[
        str,
        parameters.text("Of the times people read, such as America/Sao_Paulo; else UTC.", longest=64),
    ]
    bom: Annotated[bool, parameters.flag("Of csv: begin with the mark by which Excel knows UTF-8.")]
    separator: Annotated[
        str, parameters.choice("Of csv: spreadsheets set to Portuguese expect a semicolon.", ",", ";")
    ]


def export_lead(call: Call, lead_id: str, query: Export) -> flask.Response:
    options = _options(query)
    lead = call.history("GetLead", history_pb2.GetLeadRequest(lead_id=lead_id))
    covered = call.history("GetCoverage", history_pb2.GetCoverageRequest(lead_id=lead_id))
    request = history_pb2.ExportMessagesRequest(
        lead_id=lead_id,
        from_time=query.from_date,
        to_time=query.to_date,
        filter=history_pb2.MessageFilter(instance_id=query.instance_id),
    )
    messages = _messages(call, request)
    # The first page, before anything is answered: what is refused is refused with its status.
    first = next(messages, list[Mapping[str, Any]]())
    header = exporting.Header(
        lead=render.plain(render.lead(lead)),
        exported_at=datetime.now(UTC),
        statements=[statements.of_coverage(row, options.language) for row in covered.conversations],
    )
    chosen = exporting.FORMATS[query.format]

    def shown() -> Iterator[Mapping[str, Any]]:
        yield from first
        for page in messages:
            yield from page

    response = flask.Response(chosen.write(header, shown(), options), content_type=chosen.media_type)
    response.headers["Content-Disposition"] = (
        f'attachment; filename="{exporting.file_name(lead.name or lead.number, chosen)}"'
    )
    return response


def _options(query: Export) -> exporting.Options:
    try:
        zone = ZoneInfo(query.time_zone or "UTC")
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise errors.InvalidArgument(
            "the query is not right", fields=(FieldFault("timeZone", "is no time zone"),)
        ) from None
    return exporting.Options(
        language="pt-BR" if query.lang == "pt-BR" else "en",
        time_zone=zone,
        with_bom=query.bom,
        separator=";" if query.separator == ";" else ",",
    )


def _messages(call: Call, request: history_pb2.ExportMessagesRequest) -> Iterator[list[Mapping[str, Any]]]:
    pages = client.stream(
        call.services.history.ExportMessages,
        request,
        token=call.token,
        timeout_s=_TIMEOUT_S,
        request_id=request_id.current(),
    )
    for page in pages:
        yield [render.plain(render.message(found)) for found in page.messages]


def create_export(call: Call, body: NewExport) -> flask.Response:
    """Ask for the histories of many leads; the answer says where to ask how far they are."""
    if _folder() is None:
        raise errors.FailedPrecondition("exports of many leads are not set up: RECADO_EXPORTS_DIR")
    faults = [
        FieldFault(f"leadIds[{index}]", "must be a UUID")
        for index, lead_id in enumerate(body.lead_ids)
        if not parameters.is_uuid(lead_id)
    ]
    if body.instance_id is not None and not parameters.is_uuid(body.instance_id):
        faults.append(FieldFault("instanceId", "must be a UUID"))
    from_time, to_time = parameters.period(faults, fromDate=body.from_date, toDate=body.to_date)
    if faults:
        raise errors.InvalidArgument("the body is not right", fields=tuple(faults))
    request = capture_pb2.CreateExportRequest(
        format=body.format,
        language=body.lang,
        time_zone=body.time_zone,
        lead_ids=body.lead_ids,
        from_time=from_time,
        to_time=to_time,
        instance_id=body.instance_id or "",
    )
    export = call.capture("CreateExport", request)
    response = flask.Response(render.encode(render.export(export)), 202, mimetype="application/json")
    response.headers["Location"] = flask.url_for("get_export", export_id=export.id)
    return response


def get_export(call: Call, export_id: str) -> shapes.Export:
    return render.export(call.capture("GetExport", capture_pb2.GetExportRequest(export_id=export_id)))


def get_export_file(call: Call, export_id: str) -> flask.Response:
    """The zip: for 24 hours, and only for whom asked for it."""
    request = capture_pb2.GetExportRequest(export_id=export_id, is_download=True)
    export = call.capture("GetExport", request)
    folder = _folder()
    path = path_of(folder, uuid.UUID(export_id)) if folder else None
    if export.status != "completed":
        raise errors.FailedPrecondition(f"the export is {export.status}")
    is_over = export.completed_at.ToDatetime(UTC) + KEPT < datetime.now(UTC)
    if is_over or path is None or not path.is_file():
        raise errors.NotFound("the file is no longer kept")
    return flask.send_file(
        path, mimetype="application/zip", as_attachment=True, download_name=f"recado-{export_id}.zip"
    )


def _folder() -> Path | None:
    return flask.current_app.extensions["exports"]
