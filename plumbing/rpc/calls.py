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
    """Give the call of this thread. LookupError outside of one."""
    return _current.get()


def enter(call: Call) -> None:
    """Make it the call of this thread; the next one replaces it."""
    _current.set(call)
