"""/leads: the people and groups a business talks to."""

import flask

from gateway import auth, backends, parameters, render
from protos import capture_pb2, history_pb2


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
