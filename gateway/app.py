"""The gateway's application: every route on one screen."""

from typing import TYPE_CHECKING, Final

import flask

from gateway import conversations, failures, instances, leads, problems, request_id, webhook
from gateway.backends import Backends
from gateway.settings import Settings
from plumbing import errors
from plumbing.rpc import health

if TYPE_CHECKING:
    from collections.abc import Iterable

    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

_WEBHOOKS: Final = "/webhooks/whatsapp"
_PREFIX: Final = "/api/v1/whatsapp"
_HEALTH_TIMEOUT_S: Final = 1.0
# Of the JSON that callers send; webhooks have their own.
_BODY_BYTES_MAX: Final = 64 * 1024


def create(settings: Settings, backends: Backends) -> flask.Flask:
    app = flask.Flask("gateway", static_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = _BODY_BYTES_MAX
    # An address is what it says: no redirect from //leads to /leads.
    app.url_map.merge_slashes = False
    app.extensions["backends"] = backends
    problems.install(app)
    app.after_request(_harden)
    meta = webhook.Webhooks(
        app_secrets=settings.app_secrets,
        verify_token=settings.verify_token,
        ingest=webhook.ingest_over(backends.capture, backends.own_token),
    )

    def ready() -> flask.Response:
        addresses = {"capture": settings.capture_address, "history": settings.history_address}
        away = [
            name
            for name, address in addresses.items()
            if not health.is_serving(address, timeout_s=_HEALTH_TIMEOUT_S)
        ]
        if away:
            raise errors.Unavailable(f"away: {', '.join(away)}", retry_after_s=1)
        return flask.Response("ready", mimetype="text/plain")

    for method, path, name, view in (
        ("GET", _WEBHOOKS, "subscribe_webhook", meta.subscribe),
        # Taken ahead of Flask, below; listed so that Flask knows that the address takes it.
        ("POST", _WEBHOOKS, "receive_webhook", lambda: meta.receive),
        ("GET", f"{_PREFIX}/conversations/sync", "read_conversation", conversations.read),
        ("POST", f"{_PREFIX}/conversations/sync", "start_sync", conversations.start_sync),
        ("GET", f"{_PREFIX}/conversations/sync/<sync_id>", "get_sync", conversations.get_sync),
        ("GET", f"{_PREFIX}/leads", "list_leads", leads.list_leads),
        ("GET", f"{_PREFIX}/leads/<lead_id>", "get_lead", leads.get_lead),
        ("POST", f"{_PREFIX}/leads/<lead_id>/import", "import_chat", leads.import_chat),
        ("GET", f"{_PREFIX}/leads/<lead_id>/merges", "list_merges", leads.list_merges),
        ("DELETE", f"{_PREFIX}/leads/<lead_id>/merges/<merge_id>", "undo_merge", leads.undo_merge),
        ("GET", f"{_PREFIX}/instances", "list_instances", instances.list_instances),
        ("POST", f"{_PREFIX}/instances", "create_instance", instances.create_instance),
        ("GET", f"{_PREFIX}/instances/<instance_id>/events", "list_events", instances.list_events),
        ("GET", f"{_PREFIX}/batches/<batch_id>", "get_batch", failures.get_batch),
        ("GET", f"{_PREFIX}/webhooks/failures", "list_failures", failures.list_failures),
        ("POST", f"{_PREFIX}/webhooks/replay", "replay_webhooks", failures.replay),
        ("GET", "/livez", "livez", _live),
        ("GET", "/readyz", "readyz", ready),
    ):
        app.add_url_rule(path, name, view, methods=[method], provide_automatic_options=False)
    taken = _ahead(app.wsgi_app, method="POST", path=_WEBHOOKS, taker=meta.receive)
    app.wsgi_app = taken  # pyright: ignore[reportAttributeAccessIssue] - the way that Flask documents
    return app


def _ahead(
    others: "WSGIApplication", *, method: str, path: str, taker: "WSGIApplication"
) -> "WSGIApplication":
    """Give `taker` what comes to this one address with this method, the rest to the others."""

    def application(environ: "WSGIEnvironment", start_response: "StartResponse") -> "Iterable[bytes]":
        if environ["PATH_INFO"] == path and environ["REQUEST_METHOD"] == method:
            return taker(environ, start_response)
        return others(environ, start_response)

    return application


def _live() -> flask.Response:
    return flask.Response("live", mimetype="text/plain")


def _harden(response: flask.Response) -> flask.Response:
    headers = response.headers
    headers[request_id.HEADER] = request_id.current()
    headers["X-Content-Type-Options"] = "nosniff"
    if flask.request.path.startswith(_PREFIX):
        # Personal data: kept by no cache on the way.
        headers["Cache-Control"] = "no-store"
    return response
