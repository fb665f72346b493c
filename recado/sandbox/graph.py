"""A stand-in of the Graph API: answers as Meta answers, and misbehaves when told to.

A new endpoint is a function `(State, Request) -> Answer` and a line in `_ROUTES`. Under `/_sandbox/`
tests set profiles and faults and read back what was asked.
"""

import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias, cast

import flask
from werkzeug.serving import BaseWSGIServer, make_server

from recado.sandbox import people
from recado.sandbox.wire import Object

_REQUESTS_KEPT_MAX: Final = 10_000
_DELAY_S_MAX: Final = 60.0

Answer: TypeAlias = tuple[int, Object]


@dataclass(frozen=True, slots=True)
class Request:
    """What an endpoint is asked: its path after the version, split, and the parameters of query and body."""

    method: str
    node: str
    edge: str
    parameters: Mapping[str, Any]


@dataclass(slots=True)
class Behaviour:
    """What to do to requests whose edge matches ("" is the node itself, "*" is everything)."""

    edge: str = "*"
    delay_s: float = 0.0
    status: int = 400
    error: Object | None = None
    """Meta's error object to answer with; None answers normally, after the delay."""
    headers: dict[str, str] = field(default_factory=lambda: dict[str, str]())
    times: int | None = None
    """How often it applies; None is until it is cleared."""


@dataclass(frozen=True, slots=True)
class Seen:
    """A request as it is shown to tests: without its token."""

    method: str
    path: str
    has_token: bool
    status: int


class State:
    """What the stand-in knows and how it behaves. Safe to use from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._behaviours: list[Behaviour] = []
        self._profiles: dict[str, Object] = {}
        self._seen: deque[Seen] = deque(maxlen=_REQUESTS_KEPT_MAX)

    def behave(self, behaviour: Behaviour) -> None:
        with self._lock:
            self._behaviours.append(behaviour)

    def know(self, wa_id: str, profile: Object) -> None:
        """Let the edge `contacts` answer for this number, which Meta's own does for nobody."""
        with self._lock:
            self._profiles[wa_id] = profile

    def reset(self) -> None:
        with self._lock:
            self._behaviours.clear()
            self._profiles.clear()
            self._seen.clear()

    def profile(self, wa_id: str) -> Object | None:
        with self._lock:
            return self._profiles.get(wa_id)

    def knows_anybody(self) -> bool:
        with self._lock:
            return bool(self._profiles)

    def note(self, seen: Seen) -> None:
        with self._lock:
            self._seen.append(seen)

    def seen(self) -> list[Seen]:
        with self._lock:
            return list(self._seen)

    def take_behaviour(self, edge: str) -> Behaviour | None:
        """Give the behaviour set last that applies, counting it as used."""
        with self._lock:
            for behaviour in reversed(self._behaviours):
                if behaviour.edge not in ("*", edge):
                    continue
                if behaviour.times is not None:
                    behaviour.times -= 1
                    if behaviour.times <= 0:
                        self._behaviours.remove(behaviour)
                return behaviour
        return None


def error(code: int, message: str, **more: object) -> Object:
    """Give Meta's error envelope. Source: "Cloud API error codes"; what to key on is `code`."""
    told: Object = {"message": message, "type": "OAuthException", "code": code}
    return {"error": {**told, **more, "fbtrace_id": "ASandboxTraceAbCdEfGhIj"}}


# Endpoints


def _contacts(state: State, request: Request) -> Answer:
    """Answer `GET /{phone_number_id}/contacts`: on Meta's side that edge does not exist."""
    if not state.knows_anybody():
        return 400, error(
            100,
            "(#100) Tried accessing nonexisting field (contacts) on node type (WhatsAppBusinessPhoneNumber)",
        )
    profile = state.profile(str(request.parameters.get("wa_id") or request.parameters.get("contacts") or ""))
    return 200, {"data": [profile] if profile else []}


def _phone_number(_state: State, request: Request) -> Answer:
    """Answer `GET /{phone_number_id}?fields=`."""
    business = next((known for known in people.BUSINESSES if known.phone_number_id == request.node), None)
    if business is None:
        return 400, error(
            100,
            f"Unsupported get request. Object with ID '{request.node}' does not exist, cannot be loaded "
            "due to missing permissions, or does not support this operation.",
            error_subcode=33,
        )
    known: Object = {
        "id": business.phone_number_id,
        "display_phone_number": f"+{business.display_phone_number}",
        "verified_name": business.name,
        "quality_rating": "GREEN",
        "platform_type": "CLOUD_API",
        "is_on_biz_app": True,
        "status": "CONNECTED",
        "throughput": {"level": "STANDARD"},
    }
    wanted = [name for name in str(request.parameters.get("fields", "")).split(",") if name]
    if not wanted:
        wanted = ["verified_name", "display_phone_number", "quality_rating", "platform_type"]
    return 200, {name: known[name] for name in [*wanted, "id"] if name in known}


# (method, edge) of /{version}/{node}/{edge}; "" is the node itself.
_ROUTES: Final[Mapping[tuple[str, str], Callable[[State, Request], Answer]]] = {
    ("GET", ""): _phone_number,
    ("GET", "contacts"): _contacts,
}


# Serving


def create_app(state: State) -> flask.Flask:
    app = flask.Flask("recado-sandbox")

    def graph(version: str, node: str, edge: str = "") -> flask.Response:
        if not version.startswith("v"):
            return _reply(400, error(2500, "Unknown path components"))
        behaviour = state.take_behaviour(edge)
        if behaviour and behaviour.delay_s:
            time.sleep(behaviour.delay_s)
        headers = behaviour.headers if behaviour else {}
        status, body = _answer(state, node, edge, behaviour)
        path = f"/{version}/{node}" + (f"/{edge}" if edge else "")
        state.note(Seen(flask.request.method, path, _has_token(), status))
        return _reply(status, body, headers)

    methods = ["GET", "POST", "DELETE"]
    app.add_url_rule("/<version>/<node>", "node", graph, methods=methods)
    app.add_url_rule("/<version>/<node>/<edge>", "edge", graph, methods=methods)
    _add_controls(app, state)
    return app


def serve(app: flask.Flask, host: str, port: int) -> BaseWSGIServer:
    """Listen, and serve from a thread of its own until `shutdown()`; the port is in `.server_port`."""
    server = make_server(host, port, app, threaded=True)
    threading.Thread(target=server.serve_forever, name="graph", daemon=True).start()
    return server


def _answer(state: State, node: str, edge: str, behaviour: Behaviour | None) -> Answer:
    if not _has_token():
        return 401, error(
            2500, "An active access token must be used to query information about the current user."
        )
    if behaviour and behaviour.error is not None:
        return behaviour.status, {"error": behaviour.error}
    endpoint = _ROUTES.get((flask.request.method, edge))
    if endpoint is None:
        verb = flask.request.method.lower()
        return 400, error(100, f"Unsupported {verb} request.", error_subcode=33)
    body = cast("object", flask.request.get_json(silent=True))
    told = cast("dict[str, Any]", body) if isinstance(body, dict) else {}
    return endpoint(state, Request(flask.request.method, node, edge, {**flask.request.args, **told}))


def _has_token() -> bool:
    scheme, _, token = flask.request.headers.get("Authorization", "").partition(" ")
    return (scheme == "Bearer" and bool(token)) or "access_token" in flask.request.args


def _reply(status: int, body: object, headers: Mapping[str, str] | None = None) -> flask.Response:
    response = flask.jsonify(body)
    response.status_code = status
    response.headers["X-App-Usage"] = '{"call_count":1,"total_cputime":0,"total_time":1}'
    response.headers["facebook-api-version"] = "v25.0"
    for name, value in (headers or {}).items():
        response.headers[name] = value
    return response


def _add_controls(app: flask.Flask, state: State) -> None:
    def behave() -> flask.Response:
        told = cast("dict[str, Any]", flask.request.get_json())
        try:
            behaviour = Behaviour(**told)
        except TypeError as fault:
            return _reply(400, {"detail": str(fault)})
        behaviour.delay_s = min(behaviour.delay_s, _DELAY_S_MAX)
        state.behave(behaviour)
        return _reply(200, {})

    def know(wa_id: str) -> flask.Response:
        state.know(wa_id, cast("Object", flask.request.get_json()))
        return _reply(200, {})

    def reset() -> flask.Response:
        state.reset()
        return _reply(200, {})

    def requests() -> flask.Response:
        return _reply(
            200,
            [
                {"method": seen.method, "path": seen.path, "has_token": seen.has_token, "status": seen.status}
                for seen in state.seen()
            ],
        )

    app.add_url_rule("/_sandbox/behaviours", "behave", behave, methods=["POST"])
    app.add_url_rule("/_sandbox/profiles/<wa_id>", "know", know, methods=["PUT"])
    app.add_url_rule("/_sandbox/reset", "reset", reset, methods=["POST"])
    app.add_url_rule("/_sandbox/requests", "requests", requests, methods=["GET"])
