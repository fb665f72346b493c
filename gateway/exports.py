"""/leads/{id}/export: a lead's whole history as a file, made as it is sent."""

import re
import unicodedata
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Annotated, Any, Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import flask
import msgspec

from gateway import exporting, parameters, render, request_id, statements
from gateway.operations import Call
from plumbing import errors
from plumbing.errors import FieldFault
from plumbing.rpc import client
from protos import history_pb2

MEDIA_TYPES: Final = tuple(found.media_type.partition(";")[0] for found in exporting.FORMATS.values())
# 100,000 messages take half a minute; whoever reads slower than an hour begins anew.
_TIMEOUT_S: Final = 3600.0
_NOT_IN_NAMES: Final = re.compile(r"[^\w.-]+")


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
        lead=_plain(render.lead(lead)),
        exported_at=datetime.now(UTC),
        statements=[statements.of_coverage(row, options.language) for row in covered.conversations],
    )
    chosen = exporting.FORMATS[query.format]

    def shown() -> Iterator[Mapping[str, Any]]:
        yield from first
        for page in messages:
            yield from page

    response = flask.Response(chosen.write(header, shown(), options), content_type=chosen.media_type)
    response.headers["Content-Disposition"] = _attachment(lead.name or lead.number, chosen.extension)
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
        yield [_plain(render.message(found)) for found in page.messages]


def _plain(shown: msgspec.Struct) -> dict[str, Any]:
    return msgspec.json.decode(render.encode(shown))


def _attachment(name: str, extension: str) -> str:
    """Give the header that names the file, in letters that every browser takes."""
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode()
    stem = _NOT_IN_NAMES.sub("-", plain).strip("-.")[:60] or "conversation"
    return f'attachment; filename="{stem}.{extension}"'
