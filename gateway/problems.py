"""Problem documents (RFC 9457): the one place where an error becomes an HTTP answer."""

import logging
import re
from typing import Any, Final

import flask
import msgspec
from werkzeug.exceptions import HTTPException

from plumbing import errors

log = logging.getLogger(__name__)

_HTTP_STATUS: Final[dict[type[errors.RecadoError], int]] = {
    errors.InvalidArgument: 400,
    errors.Unauthenticated: 401,
    errors.PermissionDenied: 403,
    errors.NotFound: 404,
    errors.AlreadyExists: 409,
    errors.FailedPrecondition: 422,
    errors.ResourceExhausted: 429,
    errors.Unavailable: 503,
    errors.DeadlineExceeded: 503,
    errors.Internal: 500,
}
_TITLES: Final = {
    400: "Bad request",
    401: "Not authenticated",
    403: "Not allowed",
    404: "Not found",
    405: "Method not allowed",
    409: "Conflict",
    413: "Too large",
    415: "Unsupported media type",
    422: "Cannot be done now",
    429: "Too many requests",
    500: "Internal error",
    503: "Temporarily unavailable",
}
_CODES: Final = {
    404: "NOT_FOUND",
    405: "METHOD_NOT_ALLOWED",
    413: "PAYLOAD_TOO_LARGE",
    415: "UNSUPPORTED_MEDIA_TYPE",
}
# What a field of a gRPC request is called in the REST API, where it is not just camelCase.
_PARAMETERS: Final = {
    "page_token": "cursor",
    "page_size": "limit",
    "from_time": "fromDate",
    "to_time": "toDate",
    "query": "q",
}
_UNDERSCORE: Final = re.compile(r"_(\w)")
_RETRY_AFTER_S: Final = 1


def install(app: flask.Flask) -> None:
    app.register_error_handler(errors.RecadoError, _of_ours)
    app.register_error_handler(HTTPException, _of_http)
    app.register_error_handler(Exception, _of_a_bug)


def _of_ours(error: Exception) -> flask.Response:
    assert isinstance(error, errors.RecadoError)
    status = _HTTP_STATUS[type(error)]
    response = document(
        status,
        error.reason if error.reason != "DEADLINE_EXCEEDED" else errors.Unavailable.reason,
        error.detail,
        fields=[(_parameter(fault.name), fault.reason) for fault in error.fields],
    )
    if status == 401:
        response.headers["WWW-Authenticate"] = 'Bearer realm="recado"'
    if status in (429, 503):
        response.headers["Retry-After"] = str(max(_RETRY_AFTER_S, round(error.retry_after_s or 0)))
    return response


def _of_http(error: Exception) -> flask.Response:
    assert isinstance(error, HTTPException)
    status = error.code or 500
    response = document(status, _CODES.get(status, "BAD_REQUEST"), error.description or "")
    for name, value in error.get_headers():
        if name == "Allow":
            response.headers[name] = value
    return response


def _of_a_bug(error: Exception) -> flask.Response:
    log.error("request_failed", exc_info=error, extra={"request_id": flask.g.get("request_id")})
    return document(500, errors.Internal.reason, "internal error")


def document(
    status: int, code: str, detail: str, *, fields: list[tuple[str, str]] | None = None
) -> flask.Response:
    """Answer with a problem document; `fields` are (parameter, reason)."""
    problem: dict[str, Any] = {
        "type": "about:blank",
        "title": _TITLES.get(status, "Error"),
        "status": status,
        "detail": detail,
        "code": code,
        "requestId": flask.g.get("request_id", ""),
    }
    if fields:
        problem["errors"] = [{"field": name, "detail": reason} for name, reason in fields]
    return flask.Response(msgspec.json.encode(problem), status, mimetype="application/problem+json")


def _parameter(name: str) -> str:
    return _PARAMETERS.get(name) or _UNDERSCORE.sub(lambda found: found[1].upper(), name)
