"""Problem documents (RFC 9457): the one place where an error becomes an HTTP answer."""

import logging
import math
import re
from collections.abc import Sequence
from typing import Any, Final

import flask
import msgspec
from werkzeug.exceptions import HTTPException

from gateway import request_id
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
TITLES: Final = {
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
# What Flask and Werkzeug refuse by themselves, in our words.
_OF_HTTP: Final = {
    404: ("NOT_FOUND", "there is nothing at this address"),
    405: ("METHOD_NOT_ALLOWED", "this address does not take this method"),
    413: ("PAYLOAD_TOO_LARGE", "the body is larger than this address takes"),
    415: ("UNSUPPORTED_MEDIA_TYPE", "the body must be application/json"),
}
# What a field of a gRPC request is called in the REST API, where it is not just camelCase.
_PARAMETERS: Final = {
    "page_token": "cursor",
    "page_size": "limit",
    "from_time": "fromDate",
    "to_time": "toDate",
    "query": "q",
    "resume_token": "lastEventId",
    "around_message_id": "around",
}
_UNDERSCORE: Final = re.compile(r"_(\w)")
_RETRY_AFTER_S: Final = 1


def install(app: flask.Flask) -> None:
    """Let every error of this application be answered by `of`."""
    app.register_error_handler(Exception, lambda error: of(error, request_id.current()))


def of(error: Exception, named: str) -> flask.Response:
    """Answer a request, named so, that ended with this error."""
    if isinstance(error, errors.RecadoError):
        return _of_ours(error, named)
    if isinstance(error, HTTPException):
        return _of_http(error, named)
    log.error("request_failed", exc_info=error, extra={"request_id": named})
    return _of_ours(errors.Internal("internal error"), named)


def _of_ours(error: errors.RecadoError, named: str) -> flask.Response:
    status = _HTTP_STATUS[type(error)]
    # Which of the two it was helps nobody outside: both say "later".
    code = errors.Unavailable.reason if status == 503 else error.reason
    response = _document(status, code, error.detail, named, fields=error.fields)
    if status == 401:
        response.headers["WWW-Authenticate"] = 'Bearer realm="recado"'
    if status in (429, 503):
        response.headers["Retry-After"] = str(max(_RETRY_AFTER_S, math.ceil(error.retry_after_s or 0)))
    return response


def _of_http(error: HTTPException, named: str) -> flask.Response:
    status = error.code or 500
    code, detail = _OF_HTTP.get(status, ("BAD_REQUEST", error.description or "the request is malformed"))
    response = _document(status, code, detail, named)
    for name, value in error.get_headers():
        if name == "Allow":
            response.headers[name] = value
    return response


def _document(
    status: int, code: str, detail: str, named: str, *, fields: Sequence[errors.FieldFault] = ()
) -> flask.Response:
    problem: dict[str, Any] = {
        "type": "about:blank",
        "title": TITLES.get(status, "Error"),
        "status": status,
        "detail": detail,
        "code": code,
        "requestId": named,
    }
    if fields:
        problem["errors"] = [{"field": _parameter(fault.name), "detail": fault.reason} for fault in fields]
    response = flask.Response(msgspec.json.encode(problem), status, mimetype="application/problem+json")
    response.headers[request_id.HEADER] = named
    return response


def _parameter(name: str) -> str:
    name = name.removeprefix("filter.")
    return _PARAMETERS.get(name) or _UNDERSCORE.sub(lambda found: found[1].upper(), name)
