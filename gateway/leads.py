"""/leads: the people and groups a business talks to."""

import flask

from gateway import auth, backends, parameters, render
from plumbing import errors
from plumbing.errors import FieldFault
from protos import capture_pb2, history_pb2

FILE_BYTES_MAX = 16 * 1024 * 1024
# What a form says around the file.
_FORM_BYTES = 64 * 1024
# 40,000 lines are read and compared before the answer.
_IMPORT_TIMEOUT_S = 30.0


def list_leads() -> flask.Response:
    services = backends.of(flask.current_app)
    token = auth.token_of(services.verifier, "history:read")
    with parameters.query() as query:
        request = history_pb2.ListLeadsRequest(
            page_size=query.integer("limit", 100, at_least=1, at_most=1000),
            page_token=query.cursor(),
            query=query.text("q", longest=200),
        )
    page = services.call(services.history.ListLeads, request, token=token)
    return render.answer(
        {
            "leads": [render.lead(found) for found in page.leads],
            "pagination": render.pagination(page.next_page_token, page.total_size),
        }
    )


def get_lead(lead_id: str) -> flask.Response:
    services = backends.of(flask.current_app)
    token = auth.token_of(services.verifier, "history:read")
    with parameters.query():
        pass
    request = history_pb2.GetLeadRequest(lead_id=parameters.path_identifier("lead", lead_id))
    return render.answer(render.lead(services.call(services.history.GetLead, request, token=token)))


def import_chat(lead_id: str) -> flask.Response:
    """Import an exported chat: the file is the body, or the part `file` of a form."""
    flask.request.max_content_length = FILE_BYTES_MAX + _FORM_BYTES
    services = backends.of(flask.current_app)
    token = auth.token_of(services.verifier, "leads:write")
    with parameters.query() as query:
        is_dry_run = query.choice("dryRun", "false", among=("true", "false")) == "true"
        request = capture_pb2.ImportChatRequest(
            lead_id=parameters.path_identifier("lead", lead_id),
            instance_id=query.optional_identifier("instanceId"),
            business_participant=query.required_text("businessParticipant", longest=200),
            time_zone=query.required_text("timeZone", longest=64),
            date_order=query.choice("dateOrder", "", among=("dmy", "mdy", "ymd")),
            is_dry_run=is_dry_run,
        )
    if flask.request.mimetype == "multipart/form-data":
        part = flask.request.files.get("file")
        if part is None:
            raise errors.InvalidArgument("the form is not right", fields=(FieldFault("file", "is required"),))
        request.file = part.read()
    else:
        request.file = flask.request.get_data()
    sync = services.call(services.capture.ImportChat, request, token=token, timeout_s=_IMPORT_TIMEOUT_S)
    if is_dry_run:
        return render.answer(render.sync(sync))
    response = render.answer(render.sync(sync), 202)
    response.headers["Location"] = flask.url_for("get_sync", sync_id=sync.id)
    return response


def list_merges(lead_id: str) -> flask.Response:
    """What was merged into a lead because a webhook proved both to be one person."""
    services = backends.of(flask.current_app)
    token = auth.token_of(services.verifier, "leads:write", "history:read")
    with parameters.query():
        pass
    request = capture_pb2.ListLeadMergesRequest(lead_id=parameters.path_identifier("lead", lead_id))
    found = services.call(services.capture.ListLeadMerges, request, token=token)
    return render.answer(
        {
            "merges": [render.lead_merge(merge) for merge in found.merges],
            "pagination": render.pagination("", len(found.merges)),
        }
    )


def undo_merge(lead_id: str, merge_id: str) -> flask.Response:
    """Part a lead from one that was merged into it."""
    services = backends.of(flask.current_app)
    token = auth.token_of(services.verifier, "leads:write")
    with parameters.query():
        pass
    request = capture_pb2.UndoLeadMergeRequest(
        lead_id=parameters.path_identifier("lead", lead_id),
        merge_id=parameters.path_identifier("merge", merge_id),
    )
    return render.answer(
        render.lead_merge(services.call(services.capture.UndoLeadMerge, request, token=token))
    )
