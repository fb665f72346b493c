"""Pages of other addresses, such as one that embeds the panel, may ask the API with a token.

Never with the cookie of the inbox: no answer allows credentials, so a browser sends none along and shows
the page nothing that was answered to one (Fetch, "CORS protocol").
"""

from collections.abc import Iterable
from typing import Final

import flask

from gateway import idempotency, request_id
from gateway.operations import PREFIX, Operation
from gateway.settings import ANY_ORIGIN

_ASKED: Final = (
    "Authorization",
    "Content-Type",
    idempotency.HEADER,
    "If-None-Match",
    "Last-Event-ID",
    request_id.HEADER,
    "X-Recado-Request",
)
_ANSWERED: Final = (
    "Content-Disposition",
    "ETag",
    "Link",
    "Location",
    "RateLimit",
    "RateLimit-Policy",
    "Retry-After",
    request_id.HEADER,
    "X-RateLimit-Limit",
    "X-RateLimit-Remaining",
    "X-RateLimit-Reset",
)
# Browsers keep the answer to a question beforehand for two hours at most (Chromium).
_KEPT_S: Final = 7200


def install(app: flask.Flask, operations: Iterable[Operation], origins: frozenset[str]) -> None:
    methods = ", ".join(sorted({operation.method for operation in operations}))

    def answer_beforehand() -> flask.Response | None:
        """Answer what a browser asks before a page's request."""
        request = flask.request
        if (
            request.method != "OPTIONS"
            or "Access-Control-Request-Method" not in request.headers
            or not request.path.startswith(PREFIX + "/")
        ):
            return None
        return flask.Response(
            status=204,
            headers={
                "Access-Control-Allow-Methods": methods,
                "Access-Control-Allow-Headers": ", ".join(_ASKED),
                "Access-Control-Max-Age": str(_KEPT_S),
            },
        )

    def allow(response: flask.Response) -> flask.Response:
        if not flask.request.path.startswith(PREFIX + "/"):
            return response
        if ANY_ORIGIN in origins:
            allowed = ANY_ORIGIN
        else:
            response.vary.add("Origin")
            given = flask.request.headers.get("Origin", "")
            allowed = given if given in origins else ""
        if allowed:
            response.headers["Access-Control-Allow-Origin"] = allowed
            response.headers["Access-Control-Expose-Headers"] = ", ".join(_ANSWERED)
        return response

    app.before_request(answer_beforehand)
    app.after_request(allow)
