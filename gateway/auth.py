"""Who calls: the bearer token of a request, and what it may do."""

import flask

from plumbing import errors, tokens


def token_of(verifier: tokens.Verifier, *scopes: str) -> str:
    """Give the request's token once it verifies and carries one of these scopes.

    The services verify it again. Raises Unauthenticated or PermissionDenied.
    """
    scheme, _, token = flask.request.headers.get("Authorization", "").partition(" ")
    token = token.strip()
    if scheme.lower() != "bearer" or not token:
        raise errors.Unauthenticated("a bearer token is needed")
    caller = verifier.verify(token)
    if not caller.scopes.intersection(scopes):
        caller.require(scopes[0])
    return token
