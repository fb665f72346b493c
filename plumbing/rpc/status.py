"""Errors on the wire: google.rpc.Status with ErrorInfo, BadRequest and RetryInfo, both ways."""

from typing import Any, Final, cast

import grpc
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import DecodeError, Message
from google.rpc import error_details_pb2, status_pb2
from grpc_status import rpc_status

from plumbing import errors

_DOMAIN: Final = "recado"
_RETRY_AFTER_S: Final = 1.0
# The error travels in trailing metadata, which is refused as a whole when it is too long.
_DETAIL_CHARS_MAX: Final = 1000
_FIELDS_MAX: Final = 20
_FIELD_CHARS_MAX: Final = 200


def to_status(error: errors.RecadoError) -> grpc.Status:
    """Give what `ServicerContext.abort_with_status` takes."""
    details: list[Message] = [error_details_pb2.ErrorInfo(reason=error.reason, domain=_DOMAIN)]
    if error.fields:
        violations = [
            error_details_pb2.BadRequest.FieldViolation(
                field=fault.name[:_FIELD_CHARS_MAX], description=fault.reason[:_FIELD_CHARS_MAX]
            )
            for fault in error.fields[:_FIELDS_MAX]
        ]
        details.append(error_details_pb2.BadRequest(field_violations=violations))
    if error.retry_after_s is not None:
        delay = Duration()
        delay.FromMilliseconds(round(error.retry_after_s * 1000))
        details.append(error_details_pb2.RetryInfo(retry_delay=delay))
    packed: list[AnyMessage] = []
    for detail in details:
        wrapped = AnyMessage()
        wrapped.Pack(detail)
        packed.append(wrapped)
    code = cast("tuple[int, str]", error.grpc_code.value)[0]
    rich: Any = status_pb2.Status(code=code, message=error.detail[:_DETAIL_CHARS_MAX], details=packed)
    return cast("grpc.Status", cast("Any", rpc_status).to_status(rich))


def from_error(failure: grpc.RpcError) -> errors.RecadoError:
    """Give the error that the other side raised, or what the failure of the transport amounts to."""
    if not isinstance(failure, grpc.Call):  # raised before there was a call
        return errors.Unavailable("the service cannot be called", retry_after_s=_RETRY_AFTER_S)
    code: grpc.StatusCode = failure.code()
    rich = _rich_status(failure)
    if rich is None:
        return _from_transport(code)
    fields: list[errors.FieldFault] = []
    retry_after_s: float | None = None
    for detail in rich.details:
        bad, retry = error_details_pb2.BadRequest(), error_details_pb2.RetryInfo()
        if detail.Unpack(bad):
            fields += [errors.FieldFault(fault.field, fault.description) for fault in bad.field_violations]
        elif detail.Unpack(retry):
            retry_after_s = retry.retry_delay.ToMilliseconds() / 1000
    kind = errors.BY_GRPC_CODE.get(code, errors.Internal)
    return kind(rich.message, fields=tuple(fields), retry_after_s=retry_after_s)


def _rich_status(call: grpc.Call) -> Any:
    try:
        return cast("Any", rpc_status).from_call(call)
    except (ValueError, DecodeError):  # not made by us
        return None


def _from_transport(code: grpc.StatusCode) -> errors.RecadoError:
    """Say it in our words: gRPC's own speak of addresses and sockets, and would reach the API's callers."""
    if code is grpc.StatusCode.DEADLINE_EXCEEDED:
        return errors.DeadlineExceeded("the service did not answer in time")
    if code in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED):
        return errors.Unavailable("the service is away", retry_after_s=_RETRY_AFTER_S)
    if code in errors.BY_GRPC_CODE:
        return errors.BY_GRPC_CODE[code](f"the call was refused ({code.name})")
    return errors.Internal("the service failed")
