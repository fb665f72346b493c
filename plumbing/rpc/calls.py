"""The call that is being served: who calls, under which id, with how much time left."""

from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Final

from plumbing.tokens import Caller


@dataclass(frozen=True, slots=True)
class Call:
    caller: Caller
    request_id: str
    remaining_s: Callable[[], float]
    """Seconds until the caller gives up."""


_current: Final[ContextVar[Call]] = ContextVar("call")


def current() -> Call:
    """Give the call being served here. LookupError outside of one, also in threads that a handler starts."""
    return _current.get()


def enter(call: Call) -> None:
    """Make it the call being served. gRPC runs every call in a context of its own, which ends with it."""
    _current.set(call)
