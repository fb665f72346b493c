"""/instances: the connected numbers."""

import flask
import msgspec

from gateway import auth, backends, parameters, render
from protos import capture_pb2


class NewInstance(msgspec.Struct, forbid_unknown_fields=True, rename="camel"):
    waba_id: str
    phone_number_id: str
    display_phone_number: str
    name: str = ""


def list_instances() -> flask.Response:
    services = backends.of(flask.current_app)
    token = auth.token_of(services.verifier, "instances:admin", "history:read")
    with parameters.query():
        pass
    found = services.call(services.capture.ListInstances, capture_pb2.ListInstancesRequest(), token=token)
    return render.answer(
        {
            "instances": [render.instance(row) for row in found.instances],
            "pagination": render.pagination("", len(found.instances)),
        }
    )


def create_instance() -> flask.Response:
    """Register a number. Doing it again answers with the instance as it is."""
    services = backends.of(flask.current_app)
    token = auth.token_of(services.verifier, "instances:admin")
    body = parameters.json_body(NewInstance)
    request = capture_pb2.CreateInstanceRequest(
        waba_id=body.waba_id,
        phone_number_id=body.phone_number_id,
        display_phone_number=body.display_phone_number,
        name=body.name,
    )
    return render.answer(
        render.instance(services.call(services.capture.CreateInstance, request, token=token)), 201
    )


def list_events(instance_id: str) -> flask.Response:
    """Facts about the account of an instance, newest first."""
    services = backends.of(flask.current_app)
    token = auth.token_of(services.verifier, "instances:admin", "history:read")
    with parameters.query() as query:
        request = capture_pb2.ListAccountEventsRequest(
            instance_id=parameters.path_identifier("instance", instance_id),
            page_size=query.integer("limit", 100, at_least=1, at_most=1000),
            page_token=query.cursor(),
        )
    page = services.call(services.capture.ListAccountEvents, request, token=token)
    return render.answer(
        {
            "events": [render.account_event(found) for found in page.events],
            "pagination": render.pagination(page.next_page_token, page.total_size),
        }
    )
