"""What every call passes through: metrics, the caller's token, and the rendering of errors."""

import logging
import re
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent import futures
from typing import Any, Final, NoReturn

import grpc
import structlog
from prometheus_client import Counter, Histogram

from plumbing import errors, tokens
from plumbing.rpc import calls, status

log = logging.getLogger(__name__)

# Answered to anybody: they tell nothing about the data.
_HEALTH: Final = "/grpc.health.v1.Health/"
_REFLECTION: Final = "/grpc.reflection."
# A call without a deadline could hold a thread for ever.
_DEADLINE_MAX_S: Final = 3600.0
# The id comes from outside and goes into the logs.
_REQUEST_ID: Final = re.compile(r"[A-Za-z0-9._-]{1,64}")

_seconds: Final = Histogram(
    "recado_rpc_seconds",
    "Time to answer a call",
    ["method"],
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10),
)
_answered: Final = Counter("recado_rpc_calls_total", "Calls answered", ["method", "code"])

Behaviour = Callable[[Any, grpc.ServicerContext], Any]


class ServerInterceptor(grpc.ServerInterceptor):
    def __init__(self, verifier: tokens.Verifier, *, probes: futures.ThreadPoolExecutor) -> None:
        """`probes` serves questions about health, apart from the threads that serve calls."""
        self._verifier = verifier
        self._probes = probes
        self._wrapped: dict[str, Any] = {}

    def intercept_service(self, continuation: Callable[..., Any], handler_call_details: Any) -> Any:
        method: str = handler_call_details.method
        wrapped = self._wrapped.get(method)
        if wrapped is None:
            handler = continuation(handler_call_details)
            # Unknown methods are not remembered: strangers could name any number of them.
            if handler is None or method.startswith(_REFLECTION):
                return handler
            if method.startswith(_HEALTH):
                return self._apart(handler)
            wrapped = self._wrapped[method] = self._wrap(handler, method)
        return wrapped

    def _apart(self, handler: Any) -> Any:
        if handler.response_streaming:
            return handler  # needs no thread while it waits

        def serve(request: Any, context: grpc.ServicerContext) -> Any:
            return handler.unary_unary(request, context)

        # gRPC's way of choosing threads by method.
        vars(serve)["experimental_thread_pool"] = self._probes
        return grpc.unary_unary_rpc_method_handler(
            serve,
            request_deserializer=handler.request_deserializer,
            response_serializer=handler.response_serializer,
        )

    def _wrap(self, handler: Any, method: str) -> Any:
        assert not handler.request_streaming, "the contracts have no streams from the caller"
        if handler.response_streaming:
            behaviour = self._streaming(handler.unary_stream, method)
            make = grpc.unary_stream_rpc_method_handler
        else:
            behaviour = self._unary(handler.unary_unary, method)
            make = grpc.unary_unary_rpc_method_handler
        return make(
            behaviour,
            request_deserializer=handler.request_deserializer,
            response_serializer=handler.response_serializer,
        )

    def _unary(self, behaviour: Behaviour, method: str) -> Behaviour:
        seconds = _seconds.labels(method)
        answered = _answered.labels(method, "OK")

        def serve(request: Any, context: grpc.ServicerContext) -> Any:
            started = time.perf_counter()
            try:
                self._enter(context)
                response = behaviour(request, context)
            except Exception as error:
                _refuse(context, error, method)
            else:
                answered.inc()
                return response
            finally:
                seconds.observe(time.perf_counter() - started)

        return serve

    def _streaming(self, behaviour: Behaviour, method: str) -> Callable[..., Iterator[Any]]:
        """Wrap a stream. Its duration says more about its reader than about us and is not measured."""
        ended = {code: _answered.labels(method, code) for code in ("OK", "CANCELLED")}

        def serve(request: Any, context: grpc.ServicerContext) -> Iterator[Any]:
            try:
                self._enter(context)
                yield from behaviour(request, context)
            except GeneratorExit:  # the reader went away
                ended["CANCELLED"].inc()
                raise
            except Exception as error:
                _refuse(context, error, method)
            else:
                ended["OK"].inc()

        return serve

    def _enter(self, context: grpc.ServicerContext) -> None:
        metadata = {key: str(value) for key, value in context.invocation_metadata()}
        request_id = metadata.get("x-request-id", "")
        if not _REQUEST_ID.fullmatch(request_id):
            request_id = str(uuid.uuid4())
        structlog.contextvars.bind_contextvars(request_id=request_id)
        scheme, _, token = metadata.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not token:
            raise errors.Unauthenticated("a bearer token is needed")
        caller = self._verifier.verify(token)

        def remaining_s() -> float:
            return min(context.time_remaining(), _DEADLINE_MAX_S)

        calls.enter(calls.Call(caller, request_id, remaining_s))


def _refuse(context: grpc.ServicerContext, error: Exception, method: str) -> NoReturn:
    if not isinstance(error, errors.RecadoError):
        log.error("rpc_failed", exc_info=error, extra={"method": method})
        error = errors.Internal("internal error")
    _answered.labels(method, error.grpc_code.name).inc()
    context.abort_with_status(status.to_status(error))
