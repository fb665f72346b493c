"""What is kept beside the conversations: webhooks, what could not be applied, and who read what."""

from typing import Annotated, Final

import msgspec

from gateway import parameters, render, request_id, shapes
from gateway.leads import Paging
from gateway.operations import Call
from plumbing import errors
from plumbing.errors import FieldFault
from plumbing.rpc import client
from protos import capture_pb2, history_pb2

# A replay answers when it is done; a longer one is `recado replay`'s.
_REPLAY_TIMEOUT_S: Final = 60.0
_STATES: Final = {name: state for state, name in render.LEDGER_STATES.items()}


class Replay(msgspec.Struct, forbid_unknown_fields=True, rename={"from_": "from"}):
    """Which kept webhooks to apply again: those in these states, that came in this time; without, all."""

    states: list[str] = []
    from_: parameters.Moment | None = None
    to: parameters.Moment | None = None


class ReadAudit(msgspec.Struct, kw_only=True, rename="camel"):
    lead_id: Annotated[str, parameters.identifier("Only what concerns this lead.")]
    subject: Annotated[str, parameters.text("Only what this person or program did.", longest=200)]
    limit: Annotated[int, parameters.limit()]
    cursor: Annotated[str, parameters.cursor()]


def list_failures(call: Call, query: Paging) -> shapes.Failures:
    request = capture_pb2.ListWebhookFailuresRequest(page_size=query.limit, page_token=query.cursor)
    page = call.capture("ListWebhookFailures", request)
    return shapes.Failures(
        [render.failure(found) for found in page.failures],
        render.pagination(page.next_page_token, page.total_size),
    )


def replay_webhooks(call: Call, body: Replay) -> shapes.Replayed:
    """Apply kept webhooks of the caller's tenant again, and answer with what came of it."""
    faults = [
        FieldFault(f"states[{index}]", f"must be one of {', '.join(_STATES)}")
        for index, state in enumerate(body.states)
        if state not in _STATES
    ]
    from_time, to_time = parameters.period(faults, **{"from": body.from_, "to": body.to})
    if faults:
        raise errors.InvalidArgument("the body is not right", fields=tuple(faults))
    request = capture_pb2.ReplayWebhooksRequest(
        states=[_STATES[state] for state in body.states],
        from_time=from_time,
        to_time=to_time,
    )
    *_, progress = client.stream(
        call.services.capture.ReplayWebhooks,
        request,
        token=call.token,
        timeout_s=_REPLAY_TIMEOUT_S,
        request_id=request_id.current(),
    )
    return shapes.Replayed(progress.webhooks_replayed, progress.webhooks_failed, progress.messages_imported)


def get_batch(call: Call, batch_id: str) -> shapes.Batch:
    """What one webhook did."""
    return render.batch(call.capture("GetBatch", capture_pb2.GetBatchRequest(batch_id=batch_id)))


def read_audit(call: Call, query: ReadAudit) -> shapes.Audit:
    """Who read or changed what, newest first."""
    request = history_pb2.ListAuditRequest(
        page_size=query.limit, page_token=query.cursor, lead_id=query.lead_id, subject=query.subject
    )
    page = call.history("ListAudit", request)
    return shapes.Audit(
        [render.audit_entry(entry) for entry in page.entries],
        shapes.AuditPagination(page.next_page_token or None, bool(page.next_page_token)),
    )
