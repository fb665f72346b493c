"""/conversations/sync: a lead's history, and its manual recovery."""

import flask
import msgspec

from gateway import auth, backends, parameters, render
from plumbing import errors
from plumbing.errors import FieldFault
from protos import capture_pb2, history_pb2


class StartSync(msgspec.Struct, forbid_unknown_fields=True, rename="camel"):
    lead_id: str


def read() -> flask.Response:
    """GET: a page of messages."""
    services = backends.of(flask.current_app)
    token = auth.token_of(services.verifier, "history:read")
    with parameters.query() as query:
        from_time, to_time = query.period("fromDate", "toDate")
        request = history_pb2.ListMessagesRequest(
            lead_id=query.identifier("leadId"),
            page_size=query.integer("limit", 100, at_least=1, at_most=1000),
            page_token=query.cursor(),
            order=(
                history_pb2.ORDER_DESC
                if query.choice("order", "asc", among=("asc", "desc")) == "desc"
                else history_pb2.ORDER_ASC
            ),
            from_time=from_time,
            to_time=to_time,
        )
    page = services.call(services.history.ListMessages, request, token=token)
    summary = page.summary
    return render.answer(
        {
            "messages": [render.message(found) for found in page.messages],
            "pagination": render.pagination(page.next_page_token, page.total_size),
            "metadata": {
                "firstMessageAt": render.moment(summary, "first_message_at"),
                "lastMessageAt": render.moment(summary, "last_message_at"),
                "totalMessages": summary.total_messages,
                "syncedUpTo": render.moment(summary, "synced_up_to"),
            },
        }
    )


def start_sync() -> flask.Response:
    """POST: start the manual recovery of a lead, or give the one that runs."""
    services = backends.of(flask.current_app)
    token = auth.token_of(services.verifier, "history:sync")
    body = parameters.json_body(StartSync)
    if not parameters.is_uuid(body.lead_id):
        raise errors.InvalidArgument(
            "the body is not right", fields=(FieldFault("leadId", "must be a UUID"),)
        )
    request = capture_pb2.StartSyncRequest(lead_id=body.lead_id)
    sync = services.call(services.capture.StartSync, request, token=token)
    response = render.answer(render.sync(sync), 202)
    response.headers["Location"] = flask.url_for("get_sync", sync_id=sync.id)
    return response


def get_sync(sync_id: str) -> flask.Response:
    services = backends.of(flask.current_app)
    token = auth.token_of(services.verifier, "history:sync", "history:read")
    with parameters.query():
        pass
    request = capture_pb2.GetSyncRequest(sync_id=parameters.path_identifier("sync", sync_id))
    return render.answer(render.sync(services.call(services.capture.GetSync, request, token=token)))
