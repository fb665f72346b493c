"""Meta's webhooks: verified, kept, acknowledged. Never judged by their content."""

import hmac
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any, Final

import flask
from google.protobuf.timestamp_pb2 import Timestamp
from prometheus_client import Counter

from gateway import signature
from gateway.lane import Lane, Waiter
from plumbing import errors
from plumbing.rpc import client
from protos import capture_pb2 as pb

BODY_BYTES_MAX: Final = 3 * 1024 * 1024
"""Meta: "Webhook payloads can be up to 3 MB" (Webhooks, overview, September 2026)."""

# Within this a webhook is kept or refused; Meta is answered within two seconds in every case.
_TIMEOUT_S: Final = 1.5

_answered: Final = Counter("recado_webhooks_total", "Webhooks answered", ["outcome"])
_kept: Final = _answered.labels("kept")
_refused: Final = _answered.labels("refused")
_postponed: Final = _answered.labels("postponed")


class Webhooks:
    """The two routes Meta knows. One per worker."""

    def __init__(
        self,
        *,
        app_secrets: Sequence[bytes],
        verify_token: str,
        ingest: Callable[[Any], Any],
    ) -> None:
        """`ingest` sends an IngestWebhooksRequest and returns after the commit."""
        self._app_secrets = app_secrets
        self._verify_token = verify_token.encode()
        self._ingest = ingest
        self._lane = Lane(self._send)

    def subscribe(self) -> flask.Response:
        """Answer Meta's check of the callback: GET with hub.mode, hub.verify_token, hub.challenge."""
        query = flask.request.args
        given = query.get("hub.verify_token", "").encode()
        is_ours = hmac.compare_digest(given, self._verify_token)
        if not is_ours or query.get("hub.mode") != "subscribe" or not query.get("hub.challenge"):
            raise errors.PermissionDenied("the verify token is not ours")
        return flask.Response(query["hub.challenge"], mimetype="text/plain")

    def receive(self) -> flask.Response:
        """Keep a webhook; 200 means that it is on disk."""
        request = flask.request
        request.max_content_length = BODY_BYTES_MAX
        body = request.get_data(cache=False)
        try:
            signature.verify(self._app_secrets, body, request.headers.get("X-Hub-Signature-256"))
            self._lane.submit(body, datetime.now(UTC), timeout_s=_TIMEOUT_S)
        except errors.Unauthenticated:
            _refused.inc()
            raise
        except errors.RecadoError as error:
            # Whatever went wrong behind us, the webhook is Meta's to send again.
            _postponed.inc()
            raise errors.Unavailable("the webhook was not kept; send it again", retry_after_s=1) from error
        _kept.inc()
        return flask.Response("EVENT_RECEIVED", mimetype="text/plain")

    def _send(self, waiters: Sequence[Waiter]) -> None:
        request = pb.IngestWebhooksRequest()
        for waiter in waiters:
            stamp = Timestamp()
            stamp.FromDatetime(waiter.received_at)
            request.webhooks.add(body=waiter.body, received_at=stamp)
        self._ingest(request)


def ingest_over(stub: Any, own_token: Callable[[], str]) -> Callable[[Any], Any]:
    """Give the `ingest` that calls the capture service in the gateway's own name."""

    def ingest(request: Any) -> Any:
        return client.call(stub.IngestWebhooks, request, token=own_token(), timeout_s=_TIMEOUT_S)

    return ingest
