"""What the REST API offers: each operation declared once, with what it takes, who may ask, what it answers.

The declaration is what checks a request, and what the OpenAPI document is made of.
"""

import hashlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import urlencode

import flask
import msgspec

from gateway import auth, backends, idempotency, limits, parameters, render, request_id
from plumbing import errors
from plumbing.rpc import client
from plumbing.tokens import Caller

PREFIX: Final = "/api/v1/whatsapp"
_IN_PATH: Final = re.compile(r"{(\w+)}")


@dataclass(frozen=True)
class File:
    """An answer or a body that is no JSON: its media types."""

    media_types: tuple[str, ...]
    description: str

    @property
    def is_stream(self) -> bool:
        """Server-sent events."""
        return "text/event-stream" in self.media_types


@dataclass(frozen=True, kw_only=True)
class Operation:
    method: str
    path: str
    """Below PREFIX; `{lead_id}` is a UUID that the view is given."""
    view: Callable[..., Any]
    """Takes a Call, then what stands in the path, `query` and `body`, as far as they are declared."""
    tag: str
    scopes: tuple[str, ...]
    """One of them is needed."""
    answer: type[msgspec.Struct] | File
    summary: str
    status: int = 200
    also: Mapping[int, type[msgspec.Struct] | None] = field(default_factory=dict[int, Any])
    """Other statuses of success; None for those without a body."""
    query: type[msgspec.Struct] = parameters.Nothing
    body: type[msgspec.Struct] | File | None = None
    errors: tuple[int, ...] = ()
    """Beyond those that every operation may answer with."""
    is_limited: bool = False
    """Counts against the limit of its user (RECADO_LIMIT_USER)."""
    has_etag: bool = False
    takes_key: bool = False
    """Takes an Idempotency-Key."""
    body_bytes_max: int | None = None
    """Where it is more than for others."""

    @property
    def name(self) -> str:
        return self.view.__name__

    @property
    def rule(self) -> str:
        """The path as Flask writes it."""
        return PREFIX + _IN_PATH.sub(r"<\1>", self.path)

    @property
    def path_parameters(self) -> list[str]:
        return _IN_PATH.findall(self.path)


class Call:
    """A request whose caller is known, and the services that it may ask in the caller's name."""

    def __init__(self, services: backends.Backends, token: str, caller: Caller) -> None:
        self.services = services
        self.token = token
        self.caller = caller

    def capture(self, method: str, request: Any, *, timeout_s: float = backends.TIMEOUT_S) -> Any:
        """Call CaptureService. Raises plumbing.errors."""
        return self._call(getattr(self.services.capture, method), request, timeout_s)

    def history(self, method: str, request: Any, *, timeout_s: float = backends.TIMEOUT_S) -> Any:
        """Call HistoryService. Raises plumbing.errors."""
        return self._call(getattr(self.services.history, method), request, timeout_s)

    def _call(self, method: Any, request: Any, timeout_s: float) -> Any:
        return client.call(
            method, request, token=self.token, timeout_s=timeout_s, request_id=request_id.current()
        )


def install(app: flask.Flask, operations: list[Operation]) -> None:
    for operation in operations:
        app.add_url_rule(
            operation.rule,
            operation.name,
            _serve(operation),
            methods=[operation.method],
            provide_automatic_options=False,
        )


def _serve(operation: Operation) -> Callable[..., flask.Response]:
    """Make the view that Flask calls: who asks, what is asked, and only then the work."""

    def view(**path: str) -> flask.Response:
        services = backends.of(flask.current_app)
        try:
            token, caller = auth.caller_of(services.verifier, *operation.scopes)
        except errors.Unauthenticated:
            limits.count_address(has_valid_token=False)
            raise
        limits.count_address(has_valid_token=True)
        if operation.is_limited:
            limits.count_user(caller)
        if operation.body_bytes_max:
            flask.request.max_content_length = operation.body_bytes_max
        if operation.takes_key:
            return idempotency.once(
                caller, operation.name, lambda: _done(operation, Call(services, token, caller), path)
            )
        return _done(operation, Call(services, token, caller), path)

    return view


def _done(operation: Operation, call: Call, path: Mapping[str, str]) -> flask.Response:
    """Read what is asked, do it, and write the answer."""
    arguments: dict[str, Any] = {
        name: parameters.path_identifier(name.removesuffix("_id"), text) for name, text in path.items()
    }
    query = parameters.query(operation.query)
    if operation.query is not parameters.Nothing:
        arguments["query"] = query
    if isinstance(operation.body, type):
        arguments["body"] = parameters.json_body(operation.body)
    answer = operation.view(call, **arguments)
    if isinstance(answer, flask.Response):
        return answer
    response = flask.Response(render.encode(answer), operation.status, mimetype="application/json")
    _link(response, answer)
    if operation.has_etag:
        _tag(response, answer)
    return response


def _link(response: flask.Response, answer: Any) -> None:
    """Say where the next page is (RFC 8288)."""
    cursor = answer.pagination.cursor if hasattr(answer, "pagination") else None
    if cursor:
        # The cursor has taken the place of where the walk began.
        asked = {name: value for name, value in flask.request.args.items() if name != "around"}
        query = urlencode({**asked, "cursor": cursor})
        response.headers["Link"] = f'<{flask.request.path}?{query}>; rel="next"'


def _tag(response: flask.Response, answer: Any) -> None:
    """Let a caller ask whether something has changed. What is only about the asking is left out."""
    if hasattr(answer, "metadata"):
        metadata = msgspec.structs.replace(answer.metadata, synced_up_to=None)
        answer = msgspec.structs.replace(answer, metadata=metadata)
    digest = hashlib.blake2b(render.encode(answer), digest_size=12).hexdigest()
    response.set_etag(digest, weak=True)
    response.make_conditional(flask.request)
