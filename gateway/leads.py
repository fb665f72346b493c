"""/leads: the people and groups a business talks to."""

from typing import Annotated, Final

import flask
import msgspec

from gateway import parameters, render, shapes, statements
from gateway.conversations import begun
from gateway.operations import Call
from plumbing import errors
from plumbing.errors import FieldFault
from protos import capture_pb2, history_pb2

# The file, and what a form says around it.
FILE_BYTES_MAX: Final = 16 * 1024 * 1024 + 64 * 1024
# 40,000 lines are read and compared before the answer.
_IMPORT_TIMEOUT_S: Final = 30.0


class ListLeads(msgspec.Struct, kw_only=True):
    q: Annotated[
        str,
        parameters.text(
            "Part of a name, user name or number (with or without Brazil's ninth digit).", longest=200
        ),
    ]
    limit: Annotated[int, parameters.limit()]
    cursor: Annotated[str, parameters.cursor()]


class ImportChat(msgspec.Struct, kw_only=True, rename="camel"):
    business_participant: Annotated[
        str, parameters.text("What the business is called in the chat.", longest=200, is_required=True)
    ]
    time_zone: Annotated[
        str,
        parameters.text("Of the phone, such as America/Sao_Paulo.", longest=64, is_required=True),
    ]
    instance_id: Annotated[
        str, parameters.identifier("Through which number; needed when the lead talks to several.")
    ]
    date_order: Annotated[
        str, parameters.choice("Of the dates, where the file leaves it open.", "dmy", "mdy", "ymd")
    ]
    dry_run: Annotated[bool, parameters.flag("Say what would happen and change nothing.")]


class Paging(msgspec.Struct, kw_only=True):
    limit: Annotated[int, parameters.limit()]
    cursor: Annotated[str, parameters.cursor()]


def list_leads(call: Call, query: ListLeads) -> shapes.Leads:
    request = history_pb2.ListLeadsRequest(page_size=query.limit, page_token=query.cursor, query=query.q)
    page = call.history("ListLeads", request)
    return shapes.Leads(
        [render.listed_lead(found) for found in page.leads],
        render.pagination(page.next_page_token, page.total_size),
    )


def get_lead(call: Call, lead_id: str) -> shapes.Lead:
    return render.lead(call.history("GetLead", history_pb2.GetLeadRequest(lead_id=lead_id)))


def get_coverage(call: Call, lead_id: str) -> shapes.Coverage:
    found = call.history("GetCoverage", history_pb2.GetCoverageRequest(lead_id=lead_id))
    return shapes.Coverage(lead_id, [_coverage(row) for row in found.conversations])


def _coverage(row: history_pb2.ConversationCoverage) -> shapes.ConversationCoverage:
    return shapes.ConversationCoverage(
        instance_id=row.instance_id,
        instance_name=row.instance_name or None,
        display_phone_number=row.display_phone_number or None,
        intervals=[
            shapes.Interval(
                render.moment(interval, "from_time"),
                render.moment(interval, "to_time"),
                interval.route,  # pyright: ignore[reportArgumentType] - history knows no other
            )
            for interval in row.intervals
        ],
        gaps=[
            shapes.Gap(
                render.moment(gap, "from_time"),
                render.moment(gap, "to_time"),
                gap.reason,  # pyright: ignore[reportArgumentType] - history knows no other
                gap.detail or None,
            )
            for gap in row.gaps
        ],
        statement=shapes.Statement(
            en=statements.of_coverage(row, "en"), pt=statements.of_coverage(row, "pt-BR")
        ),
    )


def import_chat(call: Call, lead_id: str, query: ImportChat) -> flask.Response:
    """Import an exported chat: the file is the body, or the part `file` of a form."""
    request = capture_pb2.ImportChatRequest(
        lead_id=lead_id,
        instance_id=query.instance_id,
        business_participant=query.business_participant,
        time_zone=query.time_zone,
        date_order=query.date_order,
        is_dry_run=query.dry_run,
    )
    if flask.request.mimetype == "multipart/form-data":
        part = flask.request.files.get("file")
        if part is None:
            raise errors.InvalidArgument("the form is not right", fields=(FieldFault("file", "is required"),))
        request.file = part.read()
    else:
        request.file = flask.request.get_data()
    sync = call.capture("ImportChat", request, timeout_s=_IMPORT_TIMEOUT_S)
    if not query.dry_run:
        return begun(sync)
    return flask.Response(render.encode(render.sync(sync)), mimetype="application/json")


def list_syncs(call: Call, lead_id: str, query: Paging) -> shapes.Syncs:
    request = capture_pb2.ListSyncsRequest(lead_id=lead_id, page_size=query.limit, page_token=query.cursor)
    page = call.capture("ListSyncs", request)
    return shapes.Syncs(
        [render.sync(found) for found in page.syncs], render.pagination(page.next_page_token, page.total_size)
    )


def list_tickets(call: Call, lead_id: str, query: Paging) -> shapes.Tickets:
    request = capture_pb2.ListTicketsRequest(lead_id=lead_id, page_size=query.limit, page_token=query.cursor)
    page = call.capture("ListTickets", request)
    return shapes.Tickets(
        [render.ticket(found) for found in page.tickets],
        render.pagination(page.next_page_token, page.total_size),
    )


def close_ticket(call: Call, ticket_id: str) -> shapes.Ticket:
    return render.ticket(call.capture("CloseTicket", capture_pb2.CloseTicketRequest(ticket_id=ticket_id)))


def reopen_ticket(call: Call, ticket_id: str) -> shapes.Ticket:
    return render.ticket(call.capture("ReopenTicket", capture_pb2.ReopenTicketRequest(ticket_id=ticket_id)))


def list_merges(call: Call, lead_id: str) -> shapes.Merges:
    """What was merged into a lead because a webhook proved both to be one person."""
    found = call.capture("ListLeadMerges", capture_pb2.ListLeadMergesRequest(lead_id=lead_id))
    return shapes.Merges(
        [render.lead_merge(merge) for merge in found.merges], render.pagination("", len(found.merges))
    )


def undo_merge(call: Call, lead_id: str, merge_id: str) -> shapes.Merge:
    """Part a lead from one that was merged into it. What came since is divided by the recovery `syncId`."""
    request = capture_pb2.UndoLeadMergeRequest(lead_id=lead_id, merge_id=merge_id)
    return render.lead_merge(call.capture("UndoLeadMerge", request))
