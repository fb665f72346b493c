"""What every call passes through: metrics, the caller's token, and the rendering of errors."""

import logging
import time
import uuid
from collections.abc import Callable, Iterator
from typing import Any, Final

import grpc
from prometheus_client import Counter, Histogram

from plumbing import errors, tokens
from plumbing.rpc import calls, status

log = logging.getLogger(__name__)

# Answered to anybody: they tell nothing about the data.
_OPEN_SERVICES: Final = ("/grpc.health.v1.Health/", "/grpc.reflection.")
# A call without a deadline could hold a thread for ever.
_DEADLINE_MAX_S: Final = 3600.0

_seconds: Final = Histogram(
    "recado_rpc_seconds",
    "Time to answer a call",
    ["method"],
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10),
)
_answered: Final = Counter("recado_rpc_calls_total", "Calls answered", ["method", "code"])

Handler = Callable[[Any, grpc.ServicerContext], Any]


class ServerInterceptor(grpc.ServerInterceptor[Any, Any]):
    def __init__(self, verifier: tokens.Verifier) -> None:
        self._verifier = verifier

    def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], grpc.RpcMethodHandler[Any, Any] | None],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Any:
        handler: Any = continuation(handler_call_details)
        method: str = handler_call_details.method
        if handler is None or method.startswith(_OPEN_SERVICES):
            return handler
        name = method.rpartition("/")[2]
        if handler.response_streaming:
            return grpc.unary_stream_rpc_method_handler(
                self._streaming(handler.unary_stream, name),
                request_deserializer=handler.request_deserializer,
                response_serializer=handler.response_serializer,
            )
        return grpc.unary_unary_rpc_method_handler(
            self._unary(handler.unary_unary, name),
            request_deserializer=handler.request_deserializer,
            response_serializer=handler.response_serializer,
        )

    def _unary(self, behaviour: Handler, name: str) -> Handler:
        seconds = _seconds.labels(name)
        answered = _answered.labels(name, "OK")

        def serve(request: Any, context: grpc.ServicerContext) -> Any:
            started = time.perf_counter()
            try:
                self._enter(context)
                response = behaviour(request, context)
            except Exception as error:
                _refuse(context, error, name)
            else:
                answered.inc()
                return response
            finally:
                seconds.observe(time.perf_counter() - started)

        return serve

    def _streaming(self, behaviour: Handler, name: str) -> Handler:
        def serve(request: Any, context: grpc.ServicerContext) -> Iterator[Any]:
            try:
                self._enter(context)
                yield from behaviour(request, context)
            except Exception as error:
                _refuse(context, error, name)
            else:
                _answered.labels(name, "OK").inc()

        return serve

    def _enter(self, context: grpc.ServicerContext) -> None:
        metadata = {key: value for key, value in context.invocation_metadata()}
        scheme, _, token = str(metadata.get("authorization", "")).partition(" ")
        if scheme.lower() != "bearer" or not token:
            raise errors.Unauthenticated("a bearer token is needed")
        caller = self._verifier.verify(token)
        request_id = str(metadata.get("x-request-id") or uuid.uuid4())

        def remaining_s() -> float:
            left = context.time_remaining()
            return _DEADLINE_MAX_S if left is None else min(left, _DEADLINE_MAX_S)

        calls.enter(calls.Call(caller, request_id, remaining_s))


def _refuse(context: grpc.ServicerContext, error: Exception, name: str) -> None:
    if not context.is_active() and not isinstance(error, errors.RecadoError):
        raise error
    if not isinstance(error, errors.RecadoError):
        log.error("rpc_failed", exc_info=error, extra={"method": name})
        error = errors.Internal("internal error")
    _answered.labels(name, error.grpc_code.name).inc()
    context.abort_with_status(status.to_status(error))
