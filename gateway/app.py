"""The gateway's Flask application: every route on one screen."""

import re
import uuid
from typing import Final

import flask

from gateway import conversations, failures, instances, leads, problems, webhook
from gateway.backends import Backends
from gateway.settings import Settings
from plumbing.rpc import health

_PREFIX: Final = "/api/v1/whatsapp"
_REQUEST_ID: Final = re.compile(r"[A-Za-z0-9._-]{1,64}")
_HEALTH_TIMEOUT_S: Final = 1.0


def create(settings: Settings, backends: Backends) -> flask.Flask:
    app = flask.Flask("gateway", static_folder=None)
    app.json.sort_keys = False  # pyright: ignore[reportAttributeAccessIssue]
    app.extensions["backends"] = backends
    problems.install(app)
    meta = webhook.Webhooks(
        app_secrets=settings.app_secrets,
        verify_token=settings.verify_token,
        ingest=webhook.ingest_over(backends.capture, backends.own_token),
    )
    app.before_request(_name_request)
    app.after_request(_harden)

    def ready() -> flask.Response:
        states = {
            "capture": health.is_serving(settings.capture_address, timeout_s=_HEALTH_TIMEOUT_S),
            "history": health.is_serving(settings.history_address, timeout_s=_HEALTH_TIMEOUT_S),
        }
        away = [name for name, is_serving in states.items() if not is_serving]
        if away:
            return problems.document(503, "UNAVAILABLE", f"away: {', '.join(away)}")
        return flask.Response("ready", mimetype="text/plain")

    for method, path, name, view in (
        ("GET", "/webhooks/whatsapp", "subscribe_webhook", meta.subscribe),
        ("POST", "/webhooks/whatsapp", "receive_webhook", meta.receive),
        ("GET", f"{_PREFIX}/conversations/sync", "read_conversation", conversations.read),
        ("POST", f"{_PREFIX}/conversations/sync", "start_sync", conversations.start_sync),
        ("GET", f"{_PREFIX}/conversations/sync/<sync_id>", "get_sync", conversations.get_sync),
        ("GET", f"{_PREFIX}/leads", "list_leads", leads.list_leads),
        ("GET", f"{_PREFIX}/leads/<lead_id>", "get_lead", leads.get_lead),
        ("GET", f"{_PREFIX}/instances", "list_instances", instances.list_instances),
        ("POST", f"{_PREFIX}/instances", "create_instance", instances.create_instance),
        ("GET", f"{_PREFIX}/webhooks/failures", "list_failures", failures.list_failures),
        ("POST", f"{_PREFIX}/webhooks/replay", "replay_webhooks", failures.replay),
        ("GET", "/livez", "livez", _live),
        ("GET", "/readyz", "readyz", ready),
    ):
        app.add_url_rule(path, name, view, methods=[method], provide_automatic_options=False)
    return app


def _live() -> flask.Response:
    return flask.Response("live", mimetype="text/plain")


def _name_request() -> None:
    given = flask.request.headers.get("X-Request-Id", "")
    flask.g.request_id = given if _REQUEST_ID.fullmatch(given) else uuid.uuid4().hex


def _harden(response: flask.Response) -> flask.Response:
    headers = response.headers
    headers["X-Request-Id"] = flask.g.request_id
    if flask.request.path.startswith(_PREFIX):
        # Personal data: kept by no cache on the way.
        headers["Cache-Control"] = "no-store"
        headers["X-Content-Type-Options"] = "nosniff"
    return response
