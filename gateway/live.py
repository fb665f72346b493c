"""/conversations/stream: what changes, as server-sent events, for as long as somebody listens.

Who was away says what they heard last, and is told what they missed.
"""

from collections.abc import Iterator
from contextlib import ExitStack
from typing import Annotated, Final

import flask
import msgspec

from gateway import hub, parameters, request_id
from gateway.operations import Call
from plumbing import errors

MEDIA_TYPE: Final = "text/event-stream"
# Load balancers close what says nothing for a minute.
_KEEP_ALIVE_S: Final = 15.0
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


def stream_conversation(call: Call, query: Listen) -> flask.Response:
    feed: hub.Hub = flask.current_app.extensions["live"]
    listener = hub.Listener(call, query.lead_id, request_id.current())
    resume_token = flask.request.headers.get("Last-Event-ID") or query.last_event_id
    with ExitStack() as stack:
        # Before anything is answered, so that what is refused is refused with its status.
        stack.enter_context(feed.listening(listener, resume_token))
        response = flask.Response(_events(feed, listener), mimetype=MEDIA_TYPE)
        response.headers["X-Accel-Buffering"] = "no"
        response.call_on_close(stack.pop_all().close)
    return response


def _events(feed: hub.Hub, listener: hub.Listener) -> Iterator[bytes]:
    yield b"retry: %d\n" % _RETRY_MS
    while True:
        yield listener.take(_KEEP_ALIVE_S)
        try:
            listener.call.services.verifier.verify(listener.call.token)
            if listener.is_lead_changed:
                feed.look_for(listener, listener.resume_token)
        except errors.Unavailable:
            continue
        except errors.RecadoError:
            # The token has expired, or the lead is no longer the caller's to see: asking again says why.
            return
