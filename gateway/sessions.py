"""/session: signing in to the inbox with a token, which a cookie keeps where no script can read it."""

import time
from datetime import UTC, datetime
from typing import Any, Final

import flask
import jwt
import msgspec

from gateway import auth, backends, limits, parameters, render, shapes
from plumbing import errors

_PATH: Final = "/"


class SignIn(msgspec.Struct, forbid_unknown_fields=True):
    """The token to sign in with."""

    token: str


def sign_in() -> flask.Response:
    body = parameters.json_body(SignIn)
    try:
        backends.of(flask.current_app).verifier.verify(body.token)
    except errors.Unauthenticated:
        limits.count_address(has_valid_token=False)
        raise
    response = flask.Response(status=204)
    response.set_cookie(
        auth.COOKIE,
        body.token,
        max_age=max(1, _expires_at(body.token) - int(time.time())),
        path=_PATH,
        httponly=True,
        secure=flask.request.is_secure,
        samesite="Strict",
    )
    return response


def whoami() -> flask.Response:
    token = auth.token_of()
    caller = backends.of(flask.current_app).verifier.verify(token)
    session = shapes.Session(
        caller.subject,
        caller.tenant,
        sorted(caller.scopes),
        datetime.fromtimestamp(_expires_at(token), UTC).isoformat().replace("+00:00", "Z"),
    )
    return flask.Response(render.encode(session), mimetype="application/json")


def sign_out() -> flask.Response:
    response = flask.Response(status=204)
    response.delete_cookie(auth.COOKIE, path=_PATH, httponly=True, samesite="Strict")
    return response


def _expires_at(token: str) -> int:
    """Give the time at which a token ends that has been verified."""
    claims: dict[str, Any] = jwt.decode(token, options={"verify_signature": False})
    return int(claims["exp"])
