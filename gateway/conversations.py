"""/conversations/sync: a lead's history, and its manual recovery; /messages/search: all of it."""

from datetime import datetime
from typing import Annotated, Final

import flask
import msgspec

from gateway import parameters, render, shapes
from gateway.backends import TIMEOUT_S
from gateway.operations import Call
from plumbing import errors
from plumbing.errors import FieldFault
from protos import capture_pb2, history_pb2

_DIRECTIONS: Final = {"": 0, "INBOUND": history_pb2.INBOUND, "OUTBOUND": history_pb2.OUTBOUND}
_STATUSES: Final = ("pending", "sent", "failed", "delivered", "read", "played")
# The first page with filters counts what they match, once: half a million messages take seconds.
_SEARCH_TIMEOUT_S: Final = 10.0


class Filters(msgspec.Struct, kw_only=True, rename="camel"):
    """What messages can be asked for."""

    direction: Annotated[str, parameters.choice("Only these.", "INBOUND", "OUTBOUND")]
    type: Annotated[str, parameters.text("Only of this type, such as image.", longest=64)]
    status: Annotated[str, parameters.choice("Only in this state of delivery.", *_STATUSES)]
    instance_id: Annotated[str, parameters.identifier("Only through this number of the business.")]
    from_date: Annotated[datetime | None, parameters.moment("Only messages sent from then on.")]
    to_date: Annotated[datetime | None, parameters.moment("Only messages sent until then.", is_end=True)]


class ReadConversation(Filters, kw_only=True, rename="camel"):
    lead_id: Annotated[str, parameters.identifier("Whose history.", is_required=True)]
    limit: Annotated[int, parameters.limit()]
    cursor: Annotated[str, parameters.cursor()]
    order: Annotated[str, parameters.choice("By time.", "asc", "desc", default="asc")]
    q: Annotated[
        str,
        parameters.text(
            'Only with these words, "phrases" and without -excluded words. Case and accents do not count.',
            longest=200,
        ),
    ]
    around: Annotated[
        str, parameters.identifier("The page that holds this message in its middle; without cursor.")
    ]


class Search(Filters, kw_only=True, rename="camel"):
    q: Annotated[
        str,
        parameters.text(
            'Words, the last letters of which may be missing, "phrases" and -excluded words.'
            " Case and accents do not count.",
            longest=200,
            is_required=True,
        ),
    ]
    lead_id: Annotated[str, parameters.identifier("Only in the history of this lead.")]
    limit: Annotated[int, parameters.limit(20, 100)]
    cursor: Annotated[str, parameters.cursor()]


class StartSync(msgspec.Struct, forbid_unknown_fields=True, rename="camel"):
    """Whose history is to be recovered."""

    lead_id: shapes.Identifier


def read_conversation(call: Call, query: ReadConversation) -> shapes.Conversation:
    if query.around and query.cursor:
        raise errors.InvalidArgument(
            "the query is not right", fields=(FieldFault("around", "cannot be given with a cursor"),)
        )
    request = history_pb2.ListMessagesRequest(
        lead_id=query.lead_id,
        page_size=query.limit,
        page_token=query.cursor,
        order=history_pb2.ORDER_DESC if query.order == "desc" else history_pb2.ORDER_ASC,
        from_time=query.from_date,
        to_time=query.to_date,
        filter=_filter(query, query.q),
        around_message_id=query.around,
    )
    is_filtered = bool(query.q or request.filter.ListFields() or query.from_date or query.to_date)
    timeout_s = _SEARCH_TIMEOUT_S if is_filtered and not query.cursor else TIMEOUT_S
    return render.conversation(call.history("ListMessages", request, timeout_s=timeout_s))


def search_messages(call: Call, query: Search) -> shapes.Found:
    request = history_pb2.SearchMessagesRequest(
        query=query.q,
        filter=_filter(query, ""),
        lead_id=query.lead_id,
        from_time=query.from_date,
        to_time=query.to_date,
        page_size=query.limit,
        page_token=query.cursor,
    )
    return render.found(call.history("SearchMessages", request, timeout_s=_SEARCH_TIMEOUT_S))


def _filter(query: Filters, text: str) -> history_pb2.MessageFilter:
    return history_pb2.MessageFilter(
        direction=_DIRECTIONS[query.direction],  # pyright: ignore[reportArgumentType] - an enum's number
        type=query.type,
        status=query.status,
        instance_id=query.instance_id,
        query=text,
    )


def start_sync(call: Call, body: StartSync) -> flask.Response:
    """Start the manual recovery of a lead, or give the one that runs."""
    if not parameters.is_uuid(body.lead_id):
        raise errors.InvalidArgument(
            "the body is not right", fields=(FieldFault("leadId", "must be a UUID"),)
        )
    sync = call.capture("StartSync", capture_pb2.StartSyncRequest(lead_id=body.lead_id))
    return begun(sync)


def begun(sync: capture_pb2.SyncLog) -> flask.Response:
    """Answer that a recovery has been started, and where to ask how far it is."""
    response = flask.Response(render.encode(render.sync(sync)), 202, mimetype="application/json")
    response.headers["Location"] = flask.url_for("get_sync", sync_id=sync.id)
    return response


def get_sync(call: Call, sync_id: str) -> shapes.Sync:
    return render.sync(call.capture("GetSync", capture_pb2.GetSyncRequest(sync_id=sync_id)))
