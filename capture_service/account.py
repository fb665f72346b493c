"""What facts about the account mean for its numbers: connected or not, and how far a history has come."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, Final, NamedTuple, cast

import msgspec

from capture_service import fold
from capture_service.events import Chunk

# Source: Meta, "account_update webhook reference". Each event leaves the account in one state.
_STATES: Final[Mapping[str, str]] = {
    "ACCOUNT_OFFBOARDED": "offboarded",
    "ACCOUNT_RECONNECTED": "connected",
    "ACCOUNT_DELETED": "deleted",
    "PARTNER_REMOVED": "disconnected",
    "PARTNER_ADDED": "connected",
    "PARTNER_APP_UNINSTALLED": "disconnected",
    "PARTNER_APP_INSTALLED": "connected",
}
_BAN_EVENT: Final = "DISABLED_UPDATE"
_BAN_STATES: Final[Mapping[str, str]] = {"DISABLE": "disabled", "REINSTATE": "connected"}
# Facts that may do something to the connection; a field may be missing in what Meta sends.
CONNECTION_EVENTS: Final = frozenset({*_STATES, _BAN_EVENT})
CONNECTION_FIELDS: Final = frozenset({"account_update", ""})
# Phases: day 0 to 1, 1 to 90, 90 to 180. Source: Meta, "history webhook reference". Each phase counts to
# 100 by itself (field report of an onboarding, 2026-09-12), and the last one ends the history.
_LAST_PHASE: Final = 2


class Connection(NamedTuple):
    changed_at: datetime | None
    """None where no fact has said anything."""
    state: str
    reason: str | None


_CONNECTED: Final = Connection(None, "connected", None)


def connection_by(facts: Iterable[tuple[datetime, str, str]]) -> Connection:
    """Give what the latest of facts (happened at, event, value as a document) makes of a connection.

    Of several at one moment the greater state and reason count, so that their order does not.
    """
    return max((found for fact in facts if (found := _connection(*fact))), default=_CONNECTED)


def connected_at(facts: Iterable[tuple[datetime, str, str]]) -> list[datetime]:
    """Give when facts (happened at, event, value as a document) say that it was connected, or was again."""
    found = [(fact[0], _connection(*fact)) for fact in facts]
    return sorted(at for at, made in found if made and made.state == _CONNECTED.state)


def _connection(at: datetime, event: str, told: str) -> Connection | None:
    value = msgspec.json.decode(told, type=dict[str, Any])
    if event == _BAN_EVENT:
        ban = _text(value.get("ban_info"), "waba_ban_state")
        return Connection(at, _BAN_STATES[ban], ban) if ban in _BAN_STATES else None
    state = _STATES.get(event)
    if state is None:
        return None
    return Connection(at, state, _text(value.get("disconnection_info"), "reason") or event)


def number_of(told: str) -> str | None:
    """Give the digits of the one number that a fact is about; None when it is about the whole account."""
    value = msgspec.json.decode(told, type=dict[str, Any])
    for key in ("display_phone_number", "phone_number"):
        found = value.get(key)
        if isinstance(found, str | int) and not isinstance(found, bool):
            return "".join(character for character in str(found) if character in "0123456789") or None
    return None


def _text(holder: Any, key: str) -> str | None:
    found = cast("dict[str, Any]", holder).get(key) if isinstance(holder, dict) else None
    if isinstance(found, list) and found:
        found = cast("list[Any]", found)[0]
    return found if isinstance(found, str) else None


class Phase(msgspec.Struct):
    progress: int = 0
    chunks: list[int] = []


class History(msgspec.Struct):
    """How far the history of an instance has come. Joining chunks in any order gives the same."""

    phases: dict[str, Phase] = {}
    declined: list[dict[str, Any]] | None = None
    """Meta's errors, when the business shares no history."""

    def add(self, chunk: Chunk) -> None:
        if chunk.declined:
            # Of two that say so in different words, one and the same whichever came first.
            known = fold.document(self.declined) if self.declined else ""
            self.declined = msgspec.json.decode(max(known, chunk.declined), type=list[dict[str, Any]])
        if chunk.phase is None:
            return
        phase = self.phases.setdefault(str(chunk.phase), Phase())
        phase.progress = max(phase.progress, chunk.progress or 0)
        if chunk.chunk_order is not None:
            phase.chunks = sorted({*phase.chunks, chunk.chunk_order})

    def has(self, chunk: Chunk) -> bool:
        """Tell whether the chunk says nothing new; that it brings no message its caller must know.

        What is complete was not declined: that was said before, and only comes late.
        """
        if chunk.declined:
            return self.is_complete or (
                self.declined is not None and fold.document(self.declined) == chunk.declined
            )
        phase = self.phases.get(str(chunk.phase))
        return chunk.phase is None or (
            phase is not None
            and chunk.chunk_order in (None, *phase.chunks)
            and (chunk.progress or 0) <= phase.progress
        )

    @property
    def is_complete(self) -> bool:
        last = self.phases.get(str(_LAST_PHASE))
        return last is not None and last.progress >= 100

    @property
    def percent(self) -> int:
        """0 to 100; 100 only when complete."""
        if self.is_complete:
            return 100
        counted = [(int(number), phase.progress) for number, phase in self.phases.items()]
        phase, progress = max(counted, default=(0, 0))
        return max(0, min(99, (100 * phase + progress) // (_LAST_PHASE + 1)))

    def document(self) -> str:
        return fold.document(self)


class HistoryState(NamedTuple):
    status: str
    percent: int
    error: str | None


def history_state(history: History) -> HistoryState:
    """Give the state of the sync log of a history."""
    if history.is_complete:
        return HistoryState("completed", 100, None)
    if history.declined and not history.phases:
        told = next(
            (text for error in history.declined if (text := _text(error, "title"))),
            "declined by the business",
        )
        return HistoryState("failed", 0, told)
    return HistoryState("in_progress", history.percent, None)


def read_history(detail: str | None) -> History:
    return msgspec.json.decode(detail, type=History) if detail else History()
