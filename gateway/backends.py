"""The services behind the gateway."""

from typing import Any, Final

import flask

from plumbing import tokens
from plumbing.rpc import client
from protos import capture_pb2_grpc, history_pb2_grpc

# Whoever asks hears within two seconds that something is away, also when PostgreSQL is frozen, not gone.
TIMEOUT_S: Final = 1.8
_FEED_TOKEN_S: Final = 60


class Backends:
    """Made in each worker, after the fork: no channel survives one."""

    def __init__(
        self,
        *,
        capture_address: str,
        history_address: str,
        auth_secret: str,
        jwks_url: str = "",
        issuer: str = "",
        audience: str = "",
    ) -> None:
        self.capture: Any = capture_pb2_grpc.CaptureServiceStub(client.open_channel(capture_address))
        self.history: Any = history_pb2_grpc.HistoryServiceStub(client.open_channel(history_address))
        self.verifier = tokens.Verifier(auth_secret, jwks_url=jwks_url, issuer=issuer, audience=audience)
        self.own_token = tokens.OwnToken(auth_secret, subject="gateway")
        self._auth_secret = auth_secret

    def feed_token(self, tenant: str, instances: frozenset[str] | None) -> str:
        """Give a token with which to ask for many who may see the same."""
        return tokens.issue(
            self._auth_secret,
            subject="gateway",
            tenant=tenant,
            scopes=["history:read", "service"],
            instances=None if instances is None else sorted(instances),
            ttl_s=_FEED_TOKEN_S,
        )


def of(app: flask.Flask) -> Backends:
    return app.extensions["backends"]
