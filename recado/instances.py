"""Register connected numbers."""

from typing import Any, Final

from plumbing.rpc import client
from protos import capture_pb2, capture_pb2_grpc, enrichment_pb2, enrichment_pb2_grpc
from recado.connection import Connection

_TIMEOUT_S: Final = 15.0


def add(
    connection: Connection,
    *,
    tenant: str,
    waba_id: str,
    phone_number_id: str,
    display_phone_number: str,
    name: str,
    access_token: str | None,
) -> str:
    """Register a number for a tenant, keep its access token when given, and give the instance id.

    Raises plumbing.errors, AlreadyExists when the number is another tenant's.
    """
    token = connection.token(tenant=tenant, scopes=["instances:admin"])
    with connection.channel("capture") as channel:
        # The generated stubs have no types.
        capture: Any = capture_pb2_grpc.CaptureServiceStub(channel)
        instance: capture_pb2.Instance = client.call(
            capture.CreateInstance,
            capture_pb2.CreateInstanceRequest(
                waba_id=waba_id,
                phone_number_id=phone_number_id,
                display_phone_number=display_phone_number,
                name=name,
            ),
            token=token,
            timeout_s=_TIMEOUT_S,
        )
    if access_token is not None:
        with connection.channel("enrichment") as channel:
            enrichment: Any = enrichment_pb2_grpc.EnrichmentServiceStub(channel)
            client.call(
                enrichment.StoreAccessToken,
                enrichment_pb2.StoreAccessTokenRequest(instance_id=instance.id, access_token=access_token),
                token=token,
                timeout_s=_TIMEOUT_S,
            )
    return instance.id
