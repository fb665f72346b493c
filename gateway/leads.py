"""/leads: the people and groups a business talks to."""

import flask

from gateway import auth, backends, parameters, render
from protos import history_pb2


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
