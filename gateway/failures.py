"""/webhooks: what could not be applied, and applying it again."""

from datetime import datetime

import flask
import msgspec

from gateway import auth, backends, parameters, render, request_id
from plumbing import errors
from plumbing.errors import FieldFault
from plumbing.rpc import client
from protos import capture_pb2

# A replay answers when it is done; a longer one is `recado replay`'s.
_REPLAY_TIMEOUT_S = 60.0
_STATES = {name: state for state, name in render.LEDGER_STATES.items()}


class Replay(msgspec.Struct, forbid_unknown_fields=True, rename={"from_": "from"}):
    states: list[str] = []
    from_: datetime | None = None
    to: datetime | None = None


def list_failures() -> flask.Response:
    services = backends.of(flask.current_app)
    token = auth.token_of(services.verifier, "instances:admin")
    with parameters.query() as query:
        request = capture_pb2.ListWebhookFailuresRequest(
            page_size=query.integer("limit", 100, at_least=1, at_most=1000), page_token=query.cursor()
        )
    page = services.call(services.capture.ListWebhookFailures, request, token=token)
    return render.answer(
        {
            "failures": [render.failure(found) for found in page.failures],
            "pagination": render.pagination(page.next_page_token, page.total_size),
        }
    )


def replay() -> flask.Response:
    """Apply kept webhooks of the caller's tenant again, and answer with what came of it."""
    services = backends.of(flask.current_app)
    token = auth.token_of(services.verifier, "instances:admin")
    body = parameters.json_body(Replay)
    faults = [
        FieldFault(f"states[{index}]", f"must be one of {', '.join(_STATES)}")
        for index, state in enumerate(body.states)
        if state not in _STATES
    ]
    faults += [
        FieldFault(name, "must have a time zone")
        for name, moment in (("from", body.from_), ("to", body.to))
        if moment and moment.tzinfo is None
    ]
    if faults:
        raise errors.InvalidArgument("the body is not right", fields=tuple(faults))
    request = capture_pb2.ReplayWebhooksRequest(
        states=[_STATES[state] for state in body.states],
        from_time=body.from_,
        to_time=body.to,
    )
    *_, progress = client.stream(
        services.capture.ReplayWebhooks,
        request,
        token=token,
        timeout_s=_REPLAY_TIMEOUT_S,
        request_id=request_id.current(),
    )
    return render.answer(
        {
            "webhooksReplayed": progress.webhooks_done,
            "webhooksFailed": progress.webhooks_failed,
            "messagesImported": progress.messages_imported,
        }
    )


def get_batch(batch_id: str) -> flask.Response:
    """What one webhook did."""
    services = backends.of(flask.current_app)
    token = auth.token_of(services.verifier, "history:read", "instances:admin")
    with parameters.query():
        pass
    request = capture_pb2.GetBatchRequest(batch_id=parameters.path_identifier("batch", batch_id))
    return render.answer(render.batch(services.call(services.capture.GetBatch, request, token=token)))
