"""Ask a service whether it serves: `python -m plumbing.rpc.health HOST:PORT`, for health checks."""

import sys
from typing import Any

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from plumbing.rpc import client


def is_serving(address: str, *, timeout_s: float) -> bool:
    """Tell whether the service at "host:port" answers, and that it serves."""
    with client.open_channel(address) as channel:
        stub: Any = health_pb2_grpc.HealthStub(channel)
        try:
            response = stub.Check(health_pb2.HealthCheckRequest(), timeout=timeout_s)
        except grpc.RpcError:
            return False
    return bool(response.status == health_pb2.HealthCheckResponse.SERVING)


if __name__ == "__main__":
    sys.exit(0 if is_serving(sys.argv[1], timeout_s=3) else 1)
