"""/conversations/stream: what changes, as server-sent events, for as long as somebody listens.

One stream per worker tells which leads were touched; whoever listens to one of them then asks, in their
own name, what changed since their last event. So nothing is kept for those who read slowly or not at all,
and who was away is told what they missed.
"""

import logging
import threading
import time
import uuid
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from typing import Annotated, Any, Final

import flask
import msgspec

from gateway import backends, parameters, render, request_id
from gateway.operations import Call
from plumbing import errors
from plumbing.rpc import client
from protos import history_pb2

log = logging.getLogger(__name__)

MEDIA_TYPE: Final = "text/event-stream"
# Load balancers close what says nothing for a minute.
_KEEP_ALIVE_S: Final = 15.0
# However often a lead is touched, its listeners look so often at most.
_LOOK_EVERY_S: Final = 0.3
_AGAIN_S: Final = 1.0
_LISTENERS_MAX: Final = 400
_STREAM_S: Final = 3600.0
# A listener whose connection takes nothing for so long is gone.
_SEND_TIMEOUT_S: Final = 30
_RETRY_MS: Final = 2000
_TOKEN_CHARS_MAX: Final = 8192


class Listen(msgspec.Struct, kw_only=True, rename="camel"):
    lead_id: Annotated[str, parameters.identifier("Only what concerns this lead.")]
    last_event_id: Annotated[
        str,
        parameters.text(
            "Where to go on, for those who cannot send the header Last-Event-ID.", longest=_TOKEN_CHARS_MAX
        ),
    ]


class Hub:
    """Hears which leads were touched, for every listener of this worker."""

    def __init__(self, services: backends.Backends) -> None:
        self._services = services
        self._listeners: set[_Listener] = set()
        self._lock = threading.Lock()
        self._is_running = False

    @contextmanager
    def listening(self, tenant: str, lead_id: str) -> Generator["_Listener"]:
        """Hear of a lead, or with "" of all the tenant's. Raises ResourceExhausted."""
        listener = _Listener(tenant, uuid.UUID(lead_id) if lead_id else None)
        with self._lock:
            if len(self._listeners) >= _LISTENERS_MAX:
                raise errors.ResourceExhausted("too many listen already", retry_after_s=30)
            self._listeners.add(listener)
            if not self._is_running:
                self._is_running = True
                threading.Thread(target=self._run, name="live", daemon=True).start()
        try:
            yield listener
        finally:
            with self._lock:
                self._listeners.discard(listener)

    def _run(self) -> None:
        while True:
            with self._lock:
                if not self._listeners:
                    self._is_running = False
                    return
            try:
                self._hear()
            except errors.RecadoError as error:
                log.warning("live_interrupted", extra={"reason": error.reason})
                time.sleep(_AGAIN_S)

    def _hear(self) -> None:
        """Pass on what is touched until the stream ends or nobody listens any more."""
        touched = client.stream(
            self._services.history.WatchLeads,
            history_pb2.WatchLeadsRequest(),
            token=self._services.own_token(),
            timeout_s=_STREAM_S,
        )
        is_first = True
        for answer in touched:
            with self._lock:
                listeners = list(self._listeners)
            if not listeners:
                touched.close()
                return
            # What was touched before the stream began may not have been told.
            is_unsure, is_first = is_first or answer.may_have_missed, False
            touches = {(touch.tenant, uuid.UUID(touch.lead_id)) for touch in answer.touches}
            tenants = {tenant for tenant, _ in touches}
            for listener in listeners:
                if is_unsure or listener.concerns(touches, tenants):
                    listener.is_touched.set()


class _Listener:
    def __init__(self, tenant: str, lead_id: uuid.UUID | None) -> None:
        self._tenant = tenant
        self._lead_id = lead_id
        self.is_touched = threading.Event()

    def concerns(self, touches: set[tuple[str, uuid.UUID]], tenants: set[str]) -> bool:
        if self._lead_id is None:
            return self._tenant in tenants
        return (self._tenant, self._lead_id) in touches


def stream_conversation(call: Call, query: Listen) -> flask.Response:
    hub: Hub = flask.current_app.extensions["live"]
    resume_token = flask.request.headers.get("Last-Event-ID") or query.last_event_id
    look = _Look(call, query.lead_id)
    # Before anything is answered, so that what is refused is refused with its status.
    first = look(resume_token)
    connection = flask.request.environ.get("gunicorn.socket")
    if connection is not None:
        connection.settimeout(_SEND_TIMEOUT_S)
    response = flask.Response(_events(hub, call, query.lead_id, look, first), mimetype=MEDIA_TYPE)
    response.headers["X-Accel-Buffering"] = "no"
    return response


class _Look:
    """Asks in the caller's name what changed since a token."""

    def __init__(self, call: Call, lead_id: str) -> None:
        self._call = call
        self._lead_id = lead_id
        self._request_id = request_id.current()

    def __call__(self, resume_token: str) -> history_pb2.ListChangesResponse:
        return client.call(
            self._call.services.history.ListChanges,
            history_pb2.ListChangesRequest(lead_id=self._lead_id, resume_token=resume_token),
            token=self._call.token,
            timeout_s=backends.TIMEOUT_S,
            request_id=self._request_id,
        )


def _events(
    hub: Hub, call: Call, lead_id: str, look: _Look, first: history_pb2.ListChangesResponse
) -> Iterator[bytes]:
    with hub.listening(call.caller.tenant, lead_id) as listener:
        yield b"retry: %d\n" % _RETRY_MS + _told(first) + _event("ready", {}, first.resume_token)
        token = first.resume_token
        while True:
            if not listener.is_touched.wait(_KEEP_ALIVE_S):
                yield b": still here\n\n"
            listener.is_touched.clear()
            try:
                changed = look(token)
            except (errors.Unavailable, errors.DeadlineExceeded):
                # What is missed now is told by the next answer.
                listener.is_touched.set()
                time.sleep(_AGAIN_S)
                continue
            except errors.RecadoError:
                # The token has expired, or the lead is no longer the caller's to see: asking again says why.
                return
            token = changed.resume_token
            told = _told(changed)
            if told:
                yield told
            time.sleep(_LOOK_EVERY_S)


def _told(changed: history_pb2.ListChangesResponse) -> bytes:
    """Write what changed; only the last event of several carries the id, so that none is lost between."""
    events: list[tuple[str, Any]] = []
    if changed.must_reload:
        events.append(("reset", {}))
    events += [("lead", {"leadId": lead_id}) for lead_id in changed.lead_ids]
    events += [
        ("message", {"leadId": found.lead_id, "message": render.message(found)}) for found in changed.messages
    ]
    return b"".join(
        _event(name, data, changed.resume_token if place == len(events) - 1 else "")
        for place, (name, data) in enumerate(events)
    )


def _event(name: str, data: Any, id: str) -> bytes:
    identified = b"id: %b\n" % id.encode() if id else b""
    # JSON has no line breaks of its own.
    return identified + b"event: %b\ndata: %b\n\n" % (name.encode(), render.encode(data))
