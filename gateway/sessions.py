"""/session: signing in to the inbox with a token, which a cookie keeps where no script can read it."""

import time
from datetime import UTC, datetime
from typing import Any, Final

import flask
import jwt
import msgspec

from gateway import auth, backends, limits, parameters, render, shapes
from plumbing import errors
from plumbing.errors import FieldFault
from plumbing.tokens import Caller

_PATH: Final = "/"
# Browsers keep cookies of 4,096 bytes, with their name and attributes (RFC 6265, 6.1).
_COOKIE_BYTES_MAX: Final = 3_900


class SignIn(msgspec.Struct, forbid_unknown_fields=True):
    """The token to sign in with."""

    token: str


def sign_in() -> flask.Response:
    body = parameters.json_body(SignIn)
    _verify(body.token)
    if len(body.token) > _COOKIE_BYTES_MAX:
        raise errors.InvalidArgument(
            "the body is not right",
            fields=(FieldFault("token", f"must be at most {_COOKIE_BYTES_MAX} characters to be a cookie"),),
        )
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
    caller = _verify(token)
    session = shapes.Session(
        caller.subject,
        caller.tenant,
        sorted(caller.scopes),
        datetime.fromtimestamp(_expires_at(token), UTC).isoformat().replace("+00:00", "Z"),
    )
    return flask.Response(render.encode(session), mimetype="application/json")


def _verify(token: str) -> Caller:
    try:
        return backends.of(flask.current_app).verifier.verify(token)
    except errors.Unauthenticated:
        limits.count_address(has_valid_token=False)
        raise


def sign_out() -> flask.Response:
    response = flask.Response(status=204)
    response.delete_cookie(auth.COOKIE, path=_PATH, httponly=True, samesite="Strict")
    return response


def _expires_at(token: str) -> int:
    """Give the time at which a token ends that has been verified."""
    claims: dict[str, Any] = jwt.decode(token, options={"verify_signature": False})
    return int(claims["exp"])
