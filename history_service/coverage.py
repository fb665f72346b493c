"""What is known of a lead's exchange with one number: which times are complete, by what, and which not."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, Final, NamedTuple

import msgspec

from history_service import store

# A connected app shares as much with a new partner. Source: Meta, "Onboarding WhatsApp Business app users".
_HISTORY: Final = timedelta(days=180)
# Where each phase begins, in days before the connection. Source: Meta, "history webhook reference".
_PHASES: Final = ((0, 1), (1, 90), (2, 180))


class Interval(NamedTuple):
    start: datetime
    end: datetime | None
    route: str


class Gap(NamedTuple):
    start: datetime | None
    end: datetime | None
    reason: str
    detail: str = ""


class Coverage(NamedTuple):
    intervals: list[Interval]
    gaps: list[Gap]


class Connected(NamedTuple):
    """Since when webhooks come, and until when: None is now."""

    since: datetime
    until: datetime | None
    reason: str = ""


class HistoryImport(NamedTuple):
    status: str
    started_at: datetime
    error: str | None
    detail: str | None


class _Phase(msgspec.Struct):
    progress: int = 0


class _Progress(msgspec.Struct):
    phases: dict[str, _Phase] = {}
    declined: list[Any] | None = None


def read(instance: store.InstanceRow, recoveries: Sequence[store.RecoveryRow]) -> Coverage:
    """Give the coverage of a lead's exchange with one number; `recoveries` the newest first."""
    is_connected = instance.connection_state == "connected"
    connected = Connected(
        instance.webhook_activated_at or instance.created_at,
        None if is_connected else instance.connection_changed_at,
        instance.connection_reason or "",
    )
    histories = [
        HistoryImport(row.status, row.started_at, row.error_message, row.detail)
        for row in recoveries
        if row.sync_type == "history_import"
    ]
    exports: list[tuple[datetime, datetime]] = []
    for row in recoveries:
        if row.sync_type == "chat_export" and row.detail:
            report = msgspec.json.decode(row.detail, type=_Report)
            if report.firstAt and report.lastAt:
                exports.append((report.firstAt, report.lastAt))
    return of(connected, histories[0] if histories else None, exports)


def of(
    connected: Connected, history: HistoryImport | None, exports: Sequence[tuple[datetime, datetime]]
) -> Coverage:
    """`exports` are the first and last times of the chats that were imported, in any order."""
    gaps: list[Gap] = []
    intervals = [Interval(connected.since, connected.until, "live")]
    if connected.until:
        gaps.append(Gap(connected.until, None, "disconnected", connected.reason))
    before, reason, detail = connected.since, "before_connection", ""
    if history:
        progress = (
            msgspec.json.decode(history.detail, type=_Progress, strict=False)
            if history.detail
            else _Progress()
        )
        days = _days_complete(progress)
        if history.status == "completed" or days == _HISTORY.days:
            days = _HISTORY.days
        elif progress.declined:
            reason, detail = "history_declined", history.error or ""
        else:
            reason = "history_incomplete"
        if days:
            start = min(history.started_at, connected.since) - timedelta(days=days)
            intervals.append(Interval(start, connected.since, "history"))
            before = start
            if days == _HISTORY.days:
                reason = "before_connection"
    for start, end in exports:
        intervals.append(Interval(start, end, "chat_export"))
    intervals.sort(key=lambda found: found.start)
    gaps += _between(exports, before, reason, detail)
    gaps.sort(key=lambda found: (found.start is not None, found.start))
    return Coverage(intervals, gaps)


class _Report(msgspec.Struct):
    """What an import of a chat found."""

    firstAt: datetime | None = None
    lastAt: datetime | None = None


def _days_complete(progress: _Progress) -> int:
    """Say how far back the phases reach that came whole. They may overlap: one that began proves nothing."""
    days = 0
    for phase, reaches in _PHASES:
        found = progress.phases.get(str(phase))
        if found is None or found.progress < 100:
            break
        days = reaches
    return days


def _between(
    exports: Sequence[tuple[datetime, datetime]], before: datetime, reason: str, detail: str
) -> list[Gap]:
    """Give what lies before `before` and in no export."""
    gaps: list[Gap] = []
    at = before
    for start, end in sorted(exports, reverse=True):
        if end < at:
            gaps.append(Gap(end, at, reason, detail))
        at = min(at, start)
    gaps.append(Gap(None, at, reason, detail))
    return gaps
