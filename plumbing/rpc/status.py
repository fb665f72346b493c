"""Errors on the wire: google.rpc.Status with ErrorInfo, BadRequest and RetryInfo, both ways."""

from typing import Any, Final

import grpc
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.duration_pb2 import Duration
from google.rpc import error_details_pb2, status_pb2
from grpc_status import rpc_status

from plumbing import errors

_DOMAIN: Final = "recado"
_RETRY_AFTER_S: Final = 1.0


def to_status(error: errors.RecadoError) -> Any:
    """Give what `ServicerContext.abort_with_status` takes."""
    details: list[Any] = [error_details_pb2.ErrorInfo(reason=error.reason, domain=_DOMAIN)]
    if error.fields:
        details.append(
            error_details_pb2.BadRequest(
                field_violations=[
                    error_details_pb2.BadRequest.FieldViolation(field=fault.name, description=fault.reason)
                    for fault in error.fields
                ]
            )
        )
    if error.retry_after_s is not None:
        delay = Duration()
        delay.FromMilliseconds(round(error.retry_after_s * 1000))
        details.append(error_details_pb2.RetryInfo(retry_delay=delay))
    packed: list[AnyMessage] = []
    for detail in details:
        wrapped = AnyMessage()
        wrapped.Pack(detail)
        packed.append(wrapped)
    code: Any = error.grpc_code.value
    return rpc_status.to_status(status_pb2.Status(code=code[0], message=error.detail, details=packed))


def from_error(failure: grpc.RpcError) -> errors.RecadoError:
    """Give the error that the other side raised, or what the failure of the transport amounts to."""
    call: Any = failure
    code = call.code() if hasattr(call, "code") else grpc.StatusCode.UNKNOWN
    status = rpc_status.from_call(call) if hasattr(call, "trailing_metadata") else None
    if status is None:
        if code is grpc.StatusCode.DEADLINE_EXCEEDED:
            return errors.DeadlineExceeded("the service did not answer in time")
        if code in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED):
            return errors.Unavailable("the service is away", retry_after_s=_RETRY_AFTER_S)
        if code in errors.BY_GRPC_CODE:
            return errors.BY_GRPC_CODE[code](call.details() or "")
        return errors.Internal("the service failed")
    fields: list[errors.FieldFault] = []
    retry_after_s: float | None = None
    for detail in status.details:
        if detail.Is(error_details_pb2.BadRequest.DESCRIPTOR):
            bad = error_details_pb2.BadRequest()
            detail.Unpack(bad)
            fields += [errors.FieldFault(fault.field, fault.description) for fault in bad.field_violations]
        elif detail.Is(error_details_pb2.RetryInfo.DESCRIPTOR):
            retry = error_details_pb2.RetryInfo()
            detail.Unpack(retry)
            retry_after_s = retry.retry_delay.ToMilliseconds() / 1000
    kind = errors.BY_GRPC_CODE.get(code, errors.Internal)
    return kind(status.message, fields=tuple(fields), retry_after_s=retry_after_s)
