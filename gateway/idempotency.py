"""Idempotency-Key: the same request under the same key is done once and answered twice."""

import hashlib
import re
from collections.abc import Callable, Iterator
from typing import Final

import flask

from plumbing import errors
from plumbing.errors import FieldFault
from plumbing.replies import Replies, Reply
from plumbing.tokens import Caller

HEADER: Final = "Idempotency-Key"
_KEY: Final = re.compile(r"[\x21-\x7e]{1,255}")


def once(caller: Caller, name: str, work: Callable[[], flask.Response]) -> flask.Response:
    """Do an operation, or answer as it was answered when this caller asked it under this key before."""
    given = flask.request.headers.get(HEADER)
    if given is None:
        return work()
    if not _KEY.fullmatch(given):
        raise errors.InvalidArgument(
            "the header is not right",
            fields=(FieldFault(HEADER, "must be 1 to 255 visible ASCII characters"),),
        )
    replies: Replies = flask.current_app.extensions["replies"]
    # Who has lost an instance is not answered with what it gave.
    granted = "*" if caller.instances is None else " ".join(sorted(caller.instances))
    key = _digest(caller.tenant, caller.subject, granted, name, given)
    request = _digest(flask.request.full_path, flask.request.mimetype, *_content())
    known = replies.begin(key, request)
    if known is not None:
        response = flask.Response(known.body, known.status, mimetype=known.media_type)
        if known.location:
            response.headers["Location"] = known.location
        return response
    try:
        response = work()
    except errors.DeadlineExceeded:
        # It may have been done, or be about to be: whoever asks again meanwhile is told to wait.
        raise
    except BaseException:
        replies.drop(key)
        raise
    reply = Reply(
        response.status_code, response.mimetype or "", response.get_data(), response.headers.get("Location")
    )
    replies.end(key, request, reply)
    return response


def _content() -> Iterator[str | bytes]:
    """Give what a body says. A form's boundary is another one each time that it is sent."""
    if flask.request.mimetype != "multipart/form-data":
        yield flask.request.get_data()
        return
    for name, value in flask.request.form.items(multi=True):
        yield from (name, value)
    for name, file in flask.request.files.items(multi=True):
        yield from (name, file.filename or "", file.read())
        file.seek(0)


def _digest(*parts: str | bytes) -> str:
    digest = hashlib.blake2b(digest_size=24)
    for part in parts:
        told = part if isinstance(part, bytes) else part.encode("utf-8", "surrogatepass")
        digest.update(len(told).to_bytes(8) + told)
    return digest.hexdigest()
