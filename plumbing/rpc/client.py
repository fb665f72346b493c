"""Calls to other services: a deadline on each, a token with each, errors of the closed set."""

import json
from collections.abc import Callable, Generator, Iterator
from typing import Any, Final, TypeVar

import grpc

from plumbing.rpc import MESSAGE_BYTES_MAX, METADATA_BYTES_MAX, status

T = TypeVar("T")

_SERVICE_CONFIG: Final = json.dumps({"loadBalancingConfig": [{"round_robin": {}}]})
_OPTIONS: Final = [
    ("grpc.service_config", _SERVICE_CONFIG),
    ("grpc.max_receive_message_length", MESSAGE_BYTES_MAX),
    ("grpc.max_send_message_length", MESSAGE_BYTES_MAX),
    ("grpc.max_metadata_size", METADATA_BYTES_MAX),
    # A service that was restarted is found again within a second, not after minutes of back-off.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1000),
    # Otherwise all channels of a process to one address share one back-off: a new channel, such as that of
    # a health check, would be told that a service is away which has just come back.
    ("grpc.use_local_subchannel_pool", 1),
    # In spite of its name, how long an attempt to connect may take: 20 s by default.
    ("grpc.min_reconnect_backoff_ms", 1000),
    # A peer that vanished without closing is noticed.
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 5_000),
    ("grpc.enable_http_proxy", 0),
]


def prepare_gevent() -> None:
    """Let gRPC work under gevent's monkey patching; call it in the worker, before any channel."""
    from grpc.experimental import gevent

    gevent.init_gevent()


def open_channel(address: str) -> grpc.Channel:
    """Give a channel that connects when it is first used and again whenever it must."""
    return grpc.insecure_channel(address, options=_OPTIONS)


def call(
    method: Callable[..., T], request: object, *, token: str, timeout_s: float, request_id: str | None = None
) -> T:
    """Call a stub's method and give its response. Raises plumbing.errors.

    Nothing is tried twice: whether that is safe only the caller knows.
    """
    try:
        return method(request, timeout=timeout_s, metadata=_metadata(token, request_id))
    except grpc.RpcError as failure:
        raise status.from_error(failure) from failure


def stream(
    method: Callable[..., Iterator[T]],
    request: object,
    *,
    token: str,
    timeout_s: float,
    request_id: str | None = None,
) -> Generator[T]:
    """Call a stub's streaming method and yield its responses. Raises plumbing.errors.

    `timeout_s` is for the whole stream. Closing the generator ends the call.
    """
    responses: Any = None
    try:
        responses = method(request, timeout=timeout_s, metadata=_metadata(token, request_id))
        yield from responses
    except grpc.RpcError as failure:
        raise status.from_error(failure) from failure
    finally:
        if responses is not None:
            responses.cancel()


def _metadata(token: str, request_id: str | None) -> list[tuple[str, str]]:
    metadata = [("authorization", f"Bearer {token}")]
    if request_id:
        metadata.append(("x-request-id", request_id))
    return metadata
