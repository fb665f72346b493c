"""A small service on bytes, to try the plumbing of any: python -m tests.plumbing.echo ADDRESS SECRET."""

import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc

from plumbing import errors, postgres, telemetry, tokens
from plumbing.rpc import calls, server

NAME = "recado.test.v1.Echo"


def raise_what_it_names(request: bytes, _: grpc.ServicerContext) -> bytes:
    name, detail = request.decode().split(":")
    if name == "Bug":
        raise ValueError(f"content of {detail}")
    if name == "Retry":
        raise postgres.Retry
    fields = (errors.FieldFault("limit", "must be 1 to 1000"), errors.FieldFault("cursor", "não é daqui"))
    raise getattr(errors, name)(detail, fields=fields, retry_after_s=1.5)


def say(request: bytes, _: grpc.ServicerContext) -> bytes:
    return request


def sleep(request: bytes, _: grpc.ServicerContext) -> bytes:
    time.sleep(float(request))
    return b"slept"


def describe_caller(_request: bytes, _: grpc.ServicerContext) -> bytes:
    call = calls.current()
    return f"{call.caller.subject} {call.request_id} {call.remaining_s():.0f}".encode()


def count(request: bytes, _: grpc.ServicerContext) -> Iterator[bytes]:
    for number in range(int(request)):
        if number == 3:
            raise errors.ResourceExhausted("three is enough", retry_after_s=7)
        yield str(number).encode()


def count_for_ever(request: bytes, _: grpc.ServicerContext) -> Iterator[bytes]:
    try:
        while True:
            yield b"more"
            time.sleep(0.01)
    finally:
        Path(request.decode()).write_text("closed")


def register(grpc_server: grpc.Server) -> None:
    unary: dict[str, Any] = {
        "Say": say,
        "Sleep": sleep,
        "Raise": raise_what_it_names,
        "DescribeCaller": describe_caller,
    }
    streaming: dict[str, Any] = {"Count": count, "CountForEver": count_for_ever}
    grpc_server.add_generic_rpc_handlers(
        (
            grpc.method_handlers_generic_handler(
                NAME,
                {
                    **{name: grpc.unary_unary_rpc_method_handler(each) for name, each in unary.items()},
                    **{name: grpc.unary_stream_rpc_method_handler(each) for name, each in streaming.items()},
                },
            ),
        )
    )


def unary_method(channel: grpc.Channel, name: str) -> Any:
    return channel.unary_unary(f"/{NAME}/{name}")


def streaming_method(channel: grpc.Channel, name: str) -> Any:
    return channel.unary_stream(f"/{NAME}/{name}")


if __name__ == "__main__":
    telemetry.configure_logging("echo")
    server.run(
        "echo",
        address=sys.argv[1],
        register=register,
        full_names=[NAME],
        verifier=tokens.Verifier(sys.argv[2]),
        workers=4,
        on_stop=lambda: telemetry.logging.getLogger("echo").info("closed"),
    )
