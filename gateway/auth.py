"""Who calls: the bearer token of a request, or the cookie of somebody signed in to the inbox."""

from typing import Final

import flask

from plumbing import errors, tokens

COOKIE: Final = "recado_session"
# A page of another site can make a browser send the cookie, but not this header.
OWN_REQUEST: Final = "X-Recado-Request"
_SAFE: Final = ("GET", "HEAD")


def caller_of(verifier: tokens.Verifier, *scopes: str) -> tuple[str, tokens.Caller]:
    """Give the request's token, and its caller, once it verifies and carries one of these scopes.

    The services verify it again. Raises Unauthenticated or PermissionDenied.
    """
    token = token_of()
    caller = verifier.verify(token)
    if not caller.scopes.intersection(scopes):
        caller.require(scopes[0])
    return token, caller


def token_of() -> str:
    """Give the request's token, unverified. Raises Unauthenticated when there is none."""
    request = flask.request
    given = request.headers.get("Authorization")
    if given is None and COOKIE in request.cookies:
        if request.method not in _SAFE and not request.headers.get(OWN_REQUEST):
            raise errors.PermissionDenied(f"a request by cookie that changes something needs {OWN_REQUEST}")
        return request.cookies[COOKIE]
    scheme, _, token = (given or "").partition(" ")
    token = token.strip()
    if scheme.lower() != "bearer" or not token:
        raise errors.Unauthenticated("a bearer token is needed")
    return token
