"""Connects the sandbox's numbers, as an operator would: over gRPC, with a token of its tenant."""

import logging
from collections.abc import Callable
from typing import Any, Final

from plumbing import errors, tokens
from plumbing.rpc import client
from protos import capture_pb2, capture_pb2_grpc, enrichment_pb2, enrichment_pb2_grpc
from recado.sandbox import people
from recado.sandbox.sender import Stopped

log = logging.getLogger(__name__)

_TOKEN_TTL_S: Final = 600.0
_TIMEOUT_S: Final = 10.0
_RETRY_S: Final = 0.5
# Opens nothing anywhere: the stand-in accepts any token.
_ACCESS_TOKEN: Final = "EAASandbox"  # noqa: S105


def register(
    *,
    capture_address: str,
    enrichment_address: str,
    auth_secret: str,
    wait: Callable[[float], bool],
) -> list[str]:
    """Register both numbers and keep an access token for each; give the instances' ids.

    Waits for services that are not there yet. Doing it again changes nothing. Raises Stopped.
    """
    capture, enrichment = client.open_channel(capture_address), client.open_channel(enrichment_address)
    with capture, enrichment:
        while True:
            token = tokens.issue(
                auth_secret,
                subject="sandbox",
                tenant=people.TENANT,
                scopes=["instances:admin"],
                ttl_s=_TOKEN_TTL_S,
            )
            try:
                return [
                    _register(
                        capture_pb2_grpc.CaptureServiceStub(capture),
                        enrichment_pb2_grpc.EnrichmentServiceStub(enrichment),
                        business,
                        token,
                    )
                    for business in people.BUSINESSES
                ]
            except errors.RecadoError as error:
                if not error.is_retryable:
                    raise
                log.info("registration_waits", extra={"reason": error.reason})
            if wait(_RETRY_S):
                raise Stopped


def _register(capture: Any, enrichment: Any, business: people.Business, token: str) -> str:
    instance: capture_pb2.Instance = client.call(
        capture.CreateInstance,
        capture_pb2.CreateInstanceRequest(
            waba_id=business.waba_id,
            phone_number_id=business.phone_number_id,
            display_phone_number=business.display_phone_number,
            name=business.name,
        ),
        token=token,
        timeout_s=_TIMEOUT_S,
    )
    client.call(
        enrichment.StoreAccessToken,
        enrichment_pb2.StoreAccessTokenRequest(instance_id=instance.id, access_token=_ACCESS_TOKEN),
        token=token,
        timeout_s=_TIMEOUT_S,
    )
    return instance.id
