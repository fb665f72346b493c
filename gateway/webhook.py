"""Meta's webhooks: verified, kept, acknowledged. Never judged by their content."""

import hmac
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import flask
from prometheus_client import Counter
from werkzeug.exceptions import BadRequest, RequestEntityTooLarge

from gateway import problems, request_id, signature
from gateway.lane import Lane, Waiter
from plumbing import errors
from plumbing.rpc import client
from protos import capture_pb2 as pb

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

BODY_BYTES_MAX: Final = 3 * 1024 * 1024
"""Meta: "Webhook payloads can be up to 3 MB" (Webhooks, overview, September 2026)."""

# Within this a webhook's call has ended; with the lane's grace, Meta is answered within two seconds.
_TIMEOUT_S: Final = 1.5
# Meta looks at the status alone, and gunicorn would send a body in a packet of its own.
_KEPT_HEADERS: Final = [("Content-Length", "0")]

_answered: Final = Counter("recado_webhooks_total", "Webhooks answered", ["outcome"])
_kept: Final = _answered.labels("kept")
_refused: Final = _answered.labels("refused")
_postponed: Final = _answered.labels("postponed")

Ingest: TypeAlias = Callable[[pb.IngestWebhooksRequest, float], pb.IngestWebhooksResponse]


class Webhooks:
    """What Meta knows of us. One per worker."""

    def __init__(
        self,
        *,
        app_secrets: Sequence[bytes],
        verify_token: str,
        ingest: Ingest,
        timeout_s: float = _TIMEOUT_S,
    ) -> None:
        """`ingest` makes the call within so many seconds and returns after the commit."""
        self._app_secrets = app_secrets
        self._verify_token = verify_token.encode()
        self._ingest = ingest
        self._timeout_s = timeout_s
        self._lane = Lane(self._send)

    def subscribe(self) -> flask.Response:
        """Answer Meta's check of the callback: GET with hub.mode, hub.verify_token, hub.challenge."""
        query = flask.request.args
        given = query.get("hub.verify_token", "").encode()
        is_ours = hmac.compare_digest(given, self._verify_token)
        if not is_ours or query.get("hub.mode") != "subscribe" or not query.get("hub.challenge"):
            raise errors.PermissionDenied("the verify token is not ours")
        return flask.Response(query["hub.challenge"], mimetype="text/plain")

    def receive(self, environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        """Keep a webhook (POST); 200 means that it is on disk.

        A WSGI application of its own, answered ahead of Flask (gateway.app): what Flask does for a
        request took as much time as all of this, and half as many webhooks a second were kept.
        """
        try:
            self._keep(environ)
        except Exception as error:
            (_postponed if isinstance(error, errors.Unavailable) else _refused).inc()
            answer = problems.of(error, request_id.choose(environ.get("HTTP_X_REQUEST_ID")))
            return answer(environ, start_response)
        _kept.inc()
        start_response("200 OK", _KEPT_HEADERS)
        return ()

    def _keep(self, environ: "WSGIEnvironment") -> None:
        body = _read_body(environ)
        signature.verify(self._app_secrets, body, environ.get("HTTP_X_HUB_SIGNATURE_256"))
        self._lane.submit(body, datetime.now(UTC), timeout_s=self._timeout_s)

    def _send(self, waiters: Sequence[Waiter], timeout_s: float) -> None:
        request = pb.IngestWebhooksRequest()
        for waiter in waiters:
            request.webhooks.add(body=waiter.body, received_at=waiter.received_at)
        verdicts = self._ingest(request, timeout_s).verdicts
        assert len(verdicts) == len(waiters), "capture has a verdict on every webhook"


def _read_body(environ: "WSGIEnvironment") -> bytes:
    """Raises 413 before anything is read where the length is declared; one byte past the limit else."""
    declared = environ.get("CONTENT_LENGTH") or "0"
    if declared.isdecimal() and int(declared) > BODY_BYTES_MAX:
        raise RequestEntityTooLarge
    try:
        # gunicorn ends the body where its length or its last chunk says. Werkzeug's limited stream
        # would end a longer one at the limit, and call it 401 for the signature of what is left.
        body = environ["wsgi.input"].read(BODY_BYTES_MAX + 1)
    except Exception as error:  # whatever gunicorn finds wrong with the chunks, and a sender gone away
        raise BadRequest("the body cannot be read") from error
    if len(body) > BODY_BYTES_MAX:
        raise RequestEntityTooLarge
    return body


def ingest_over(stub: Any, own_token: Callable[[], str]) -> Ingest:
    """Give the `ingest` that calls the capture service in the gateway's own name."""

    def ingest(request: pb.IngestWebhooksRequest, timeout_s: float) -> pb.IngestWebhooksResponse:
        return client.call(stub.IngestWebhooks, request, token=own_token(), timeout_s=timeout_s)

    return ingest
