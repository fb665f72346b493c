"""The gateway's application: every route on one screen."""

from typing import TYPE_CHECKING, Final

import flask
from werkzeug.middleware.proxy_fix import ProxyFix

from gateway import (
    conversations,
    cors,
    exports,
    hub,
    instances,
    leads,
    limits,
    live,
    operations,
    pages,
    problems,
    records,
    request_id,
    sessions,
    shapes,
    webhook,
)
from gateway.backends import Backends
from gateway.operations import File, Operation
from gateway.settings import Settings
from plumbing import errors
from plumbing.limits import Limiter
from plumbing.replies import Replies
from plumbing.rpc import health

if TYPE_CHECKING:
    from collections.abc import Iterable

    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

_WEBHOOKS: Final = "/webhooks/whatsapp"
_HEALTH_TIMEOUT_S: Final = 1.0
# Of the JSON that callers send; webhooks have their own.
_BODY_BYTES_MAX: Final = 64 * 1024

_READ: Final = ("history:read",)
_SYNC: Final = ("history:sync",)
_WRITE: Final = ("leads:write",)
_ADMIN: Final = ("instances:admin",)
_ADMIN_OR_READ: Final = ("instances:admin", "history:read")

OPERATIONS: Final[list[Operation]] = [
    Operation(
        method="GET",
        path="/conversations/sync",
        view=conversations.read_conversation,
        tag="History",
        summary="A page of a lead's messages",
        scopes=_READ,
        query=conversations.ReadConversation,
        answer=shapes.Conversation,
        also={304: None},
        errors=(404,),
        is_limited=True,
        has_etag=True,
    ),
    Operation(
        method="GET",
        path="/conversations/stream",
        view=live.stream_conversation,
        tag="History",
        summary="What changes, as server-sent events",
        scopes=_READ,
        query=live.Listen,
        answer=File((live.MEDIA_TYPE,), "Events `ready`, `message`, `lead` and `reset`, each with its id."),
        errors=(404,),
    ),
    Operation(
        method="GET",
        path="/messages/search",
        view=conversations.search_messages,
        tag="History",
        summary="Search the messages of all leads",
        scopes=_READ,
        query=conversations.Search,
        answer=shapes.Found,
        errors=(404,),
    ),
    Operation(
        method="GET",
        path="/leads/{lead_id}/export",
        view=exports.export_lead,
        tag="History",
        summary="A lead's history as a file",
        scopes=_READ,
        query=exports.Export,
        answer=File(exports.MEDIA_TYPES, "The file, as it is made."),
    ),
    Operation(
        method="POST",
        path="/exports",
        view=exports.create_export,
        tag="History",
        summary="Export the histories of many leads, by a job",
        scopes=_READ,
        body=exports.NewExport,
        answer=shapes.Export,
        status=202,
        errors=(404, 422),
        takes_key=True,
        body_bytes_max=exports.BODY_BYTES_MAX,
    ),
    Operation(
        method="GET",
        path="/exports/{export_id}",
        view=exports.get_export,
        tag="History",
        summary="How far an export has come",
        scopes=_READ,
        answer=shapes.Export,
    ),
    Operation(
        method="GET",
        path="/exports/{export_id}/file",
        view=exports.get_export_file,
        tag="History",
        summary="The file of an export, for 24 hours",
        scopes=_READ,
        answer=File(("application/zip",), "One file per lead."),
        errors=(422,),
    ),
    Operation(
        method="GET",
        path="/leads",
        view=leads.list_leads,
        tag="Leads",
        summary="Leads by their last message, newest first; who writes during a walk moves to the top",
        scopes=_READ,
        query=leads.ListLeads,
        answer=shapes.Leads,
        also={304: None},
        has_etag=True,
    ),
    Operation(
        method="GET",
        path="/leads/{lead_id}",
        view=leads.get_lead,
        tag="Leads",
        summary="A lead",
        scopes=_READ,
        answer=shapes.Lead,
        also={304: None},
        has_etag=True,
    ),
    Operation(
        method="GET",
        path="/leads/{lead_id}/tickets",
        view=leads.list_tickets,
        tag="Leads",
        summary="A lead's tickets, newest first",
        scopes=_READ,
        query=leads.Paging,
        answer=shapes.Tickets,
    ),
    Operation(
        method="POST",
        path="/tickets/{ticket_id}/close",
        view=leads.close_ticket,
        tag="Leads",
        summary="Close a ticket; the lead's next message opens another",
        scopes=_WRITE,
        answer=shapes.Ticket,
        takes_key=True,
    ),
    Operation(
        method="POST",
        path="/tickets/{ticket_id}/reopen",
        view=leads.reopen_ticket,
        tag="Leads",
        summary="Open a closed ticket again",
        scopes=_WRITE,
        answer=shapes.Ticket,
        errors=(422,),
        takes_key=True,
    ),
    Operation(
        method="GET",
        path="/leads/{lead_id}/merges",
        view=leads.list_merges,
        tag="Leads",
        summary="Leads that were found to be this one",
        scopes=("leads:write", "history:read"),
        answer=shapes.Merges,
    ),
    Operation(
        method="DELETE",
        path="/leads/{lead_id}/merges/{merge_id}",
        view=leads.undo_merge,
        tag="Leads",
        summary="Part a lead from one that was merged into it",
        scopes=_WRITE,
        answer=shapes.Merge,
    ),
    Operation(
        method="GET",
        path="/leads/{lead_id}/coverage",
        view=leads.get_coverage,
        tag="Recovery",
        summary="Which times of a history are complete, by what, and which are not",
        scopes=_READ,
        answer=shapes.Coverage,
    ),
    Operation(
        method="POST",
        path="/conversations/sync",
        view=conversations.start_sync,
        tag="Recovery",
        summary="Start the manual recovery of a lead, or give the one that runs",
        scopes=_SYNC,
        body=conversations.StartSync,
        answer=shapes.Sync,
        status=202,
        errors=(404,),
        is_limited=True,
        takes_key=True,
    ),
    Operation(
        method="GET",
        path="/conversations/sync/{sync_id}",
        view=conversations.get_sync,
        tag="Recovery",
        summary="How far a recovery has come",
        scopes=("history:sync", "history:read"),
        answer=shapes.Sync,
    ),
    Operation(
        method="GET",
        path="/leads/{lead_id}/syncs",
        view=leads.list_syncs,
        tag="Recovery",
        summary="A lead's recoveries, newest first",
        scopes=("history:sync", "history:read"),
        query=leads.Paging,
        answer=shapes.Syncs,
    ),
    Operation(
        method="POST",
        path="/leads/{lead_id}/import",
        view=leads.import_chat,
        tag="Recovery",
        summary="Import a chat that a phone exported",
        scopes=_WRITE,
        query=leads.ImportChat,
        body=File(
            ("application/zip", "text/plain", "application/octet-stream", "multipart/form-data"),
            "The .txt or .zip file, or a form with it as `file`.",
        ),
        answer=shapes.Sync,
        status=202,
        also={200: shapes.Sync},
        takes_key=True,
        body_bytes_max=leads.FILE_BYTES_MAX,
    ),
    Operation(
        method="GET",
        path="/instances",
        view=instances.list_instances,
        tag="Instances",
        summary="The connected numbers",
        scopes=_ADMIN_OR_READ,
        answer=shapes.Instances,
    ),
    Operation(
        method="POST",
        path="/instances",
        view=instances.create_instance,
        tag="Instances",
        summary="Register a number",
        scopes=_ADMIN,
        body=instances.NewInstance,
        answer=shapes.Instance,
        status=201,
        errors=(409,),
        takes_key=True,
    ),
    Operation(
        method="GET",
        path="/instances/{instance_id}/events",
        view=instances.list_events,
        tag="Instances",
        summary="Facts about the account of a number, newest first",
        scopes=_ADMIN_OR_READ,
        query=leads.Paging,
        answer=shapes.AccountEvents,
    ),
    Operation(
        method="GET",
        path="/batches/{batch_id}",
        view=records.get_batch,
        tag="Administration",
        summary="What one webhook did",
        scopes=("history:read", "instances:admin"),
        answer=shapes.Batch,
    ),
    Operation(
        method="GET",
        path="/webhooks/failures",
        view=records.list_failures,
        tag="Administration",
        summary="Webhooks with items that could not be applied",
        scopes=_ADMIN,
        query=leads.Paging,
        answer=shapes.Failures,
    ),
    Operation(
        method="POST",
        path="/webhooks/replay",
        view=records.replay_webhooks,
        tag="Administration",
        summary="Apply kept webhooks again",
        scopes=_ADMIN,
        body=records.Replay,
        answer=shapes.Replayed,
        takes_key=True,
    ),
    Operation(
        method="GET",
        path="/audit",
        view=records.read_audit,
        tag="Administration",
        summary="Who read or changed what, newest first",
        scopes=("audit:read",),
        query=records.ReadAudit,
        answer=shapes.Audit,
    ),
]


def create(settings: Settings, backends: Backends) -> flask.Flask:
    app = flask.Flask("gateway", static_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = _BODY_BYTES_MAX
    # An address is what it says: no redirect from //leads to /leads.
    app.url_map.merge_slashes = False
    app.extensions["backends"] = backends
    app.extensions["live"] = hub.Hub(backends)
    problems.install(app)
    app.after_request(_harden)
    limits.install(
        app,
        limits.Limits(
            Limiter(settings.redis_url, secret=settings.auth_secret),
            settings.limit_user,
            settings.limit_ip,
            settings.is_limit_ip_for_all,
        ),
    )
    app.extensions["exports"] = settings.exports_folder
    app.extensions["replies"] = Replies(settings.redis_url)
    cors.install(app, OPERATIONS, settings.cors_origins)
    operations.install(app, OPERATIONS)
    meta = webhook.Webhooks(
        app_secrets=settings.app_secrets,
        verify_token=settings.verify_token,
        ingest=webhook.ingest_over(backends.capture, backends.own_token),
    )
    shown = pages.Pages(OPERATIONS)

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
        ("GET", "/", "inbox", shown.inbox),
        ("GET", "/static/<name>", "static", shown.static),
        ("GET", "/docs", "docs", shown.reference),
        ("GET", pages.DOCUMENT, "openapi", shown.openapi),
        ("GET", "/session", "whoami", sessions.whoami),
        ("POST", "/session", "sign_in", sessions.sign_in),
        ("DELETE", "/session", "sign_out", sessions.sign_out),
        ("GET", "/livez", "livez", _live),
        ("GET", "/readyz", "readyz", ready),
    ):
        app.add_url_rule(path, name, view, methods=[method], provide_automatic_options=False)
    inner = app.wsgi_app
    if settings.trusted_proxies:
        # What they say of who asks is believed, and of nobody else.
        count = settings.trusted_proxies
        inner = ProxyFix(inner, x_for=count, x_proto=count)
    taken = _ahead(inner, method="POST", path=_WEBHOOKS, taker=meta.receive)
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
    if pages.is_of_the_api(flask.request.path):
        # Personal data: kept by no cache on the way.
        headers["Cache-Control"] = "no-store"
    return response
