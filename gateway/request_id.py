"""The name of a request: the caller's, where it gave one, else ours. It is in the answer, the problem
document and the logs of every service that the request passes through.
"""

import re
import uuid
from typing import Final

import flask

HEADER: Final = "X-Request-Id"
# It goes into logs and headers as it is.
_SANE: Final = re.compile(r"[A-Za-z0-9._-]{1,64}")


def choose(given: str | None) -> str:
    """Give what the caller calls its request if that is fit to be logged, else a new id."""
    return given if given and _SANE.fullmatch(given) else uuid.uuid4().hex


def current() -> str:
    """Give the id of the request that Flask is serving; the same one however often it is asked."""
    if "request_id" not in flask.g:
        flask.g.request_id = choose(flask.request.headers.get(HEADER))
    return flask.g.request_id
