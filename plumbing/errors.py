"""The closed set of errors that any process raises and every caller sees.

One class per gRPC code. They cross RPC intact (plumbing.rpc) and are rendered for HTTP in one place
(gateway.problems). Anything else that is raised is a bug.
"""

from dataclasses import dataclass
from typing import ClassVar, Final

import grpc


@dataclass(frozen=True, slots=True)
class FieldFault:
    """A field of the request that is wrong, and why; never its value."""

    name: str
    reason: str


class RecadoError(Exception):
    """Base of the set; only its subclasses are raised."""

    grpc_code: ClassVar[grpc.StatusCode]
    reason: ClassVar[str]
    """For programs: ErrorInfo.reason and the problem document's `code`."""
    is_retryable: ClassVar[bool] = False
    """Whether the same request may succeed later."""

    def __init__(
        self, detail: str, *, fields: tuple[FieldFault, ...] = (), retry_after_s: float | None = None
    ) -> None:
        super().__init__(detail)
        self.detail = detail
        self.fields = fields
        self.retry_after_s = retry_after_s


class InvalidArgument(RecadoError):
    grpc_code = grpc.StatusCode.INVALID_ARGUMENT
    reason = "INVALID_ARGUMENT"


class Unauthenticated(RecadoError):
    grpc_code = grpc.StatusCode.UNAUTHENTICATED
    reason = "UNAUTHENTICATED"


class PermissionDenied(RecadoError):
    grpc_code = grpc.StatusCode.PERMISSION_DENIED
    reason = "PERMISSION_DENIED"


class NotFound(RecadoError):
    grpc_code = grpc.StatusCode.NOT_FOUND
    reason = "NOT_FOUND"


class AlreadyExists(RecadoError):
    grpc_code = grpc.StatusCode.ALREADY_EXISTS
    reason = "ALREADY_EXISTS"


class FailedPrecondition(RecadoError):
    grpc_code = grpc.StatusCode.FAILED_PRECONDITION
    reason = "FAILED_PRECONDITION"


class ResourceExhausted(RecadoError):
    grpc_code = grpc.StatusCode.RESOURCE_EXHAUSTED
    reason = "RESOURCE_EXHAUSTED"
    is_retryable = True


class Unavailable(RecadoError):
    grpc_code = grpc.StatusCode.UNAVAILABLE
    reason = "UNAVAILABLE"
    is_retryable = True


class DeadlineExceeded(RecadoError):
    grpc_code = grpc.StatusCode.DEADLINE_EXCEEDED
    reason = "DEADLINE_EXCEEDED"
    is_retryable = True


class Internal(RecadoError):
    grpc_code = grpc.StatusCode.INTERNAL
    reason = "INTERNAL"


BY_GRPC_CODE: Final[dict[grpc.StatusCode, type[RecadoError]]] = {
    error.grpc_code: error
    for error in (
        InvalidArgument,
        Unauthenticated,
        PermissionDenied,
        NotFound,
        AlreadyExists,
        FailedPrecondition,
        ResourceExhausted,
        Unavailable,
        DeadlineExceeded,
        Internal,
    )
}
