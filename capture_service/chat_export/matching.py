"""Which lines of an exported chat are not there yet, and what importing it does.

A file has no ids. A line is held to be a message that is known by minute, direction and what else the
two have in common: see `likeness` and `pairing`.
"""

import uuid
from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from typing import Final

import msgspec

from capture_service import fold
from capture_service.chat_export import messages, pairing
from capture_service.chat_export.likeness import Known, Said
from capture_service.chat_export.messages import Place
from capture_service.chat_export.parser import Chat, Line

_STEP: Final = timedelta(milliseconds=1)
_STEPS_MAX: Final = 999


class Plan(msgspec.Struct):
    """What importing a chat does."""

    messages: list[fold.Message]
    """Those to add, in the order of the file."""
    doubled: set[uuid.UUID]
    """Messages of an earlier export that are known by other routes as well: they are there twice."""
    changed: list[fold.Message]
    """What lines say of messages that are known: the words of one that has none, or that it was deleted
    or edited on the phone."""
    matched: int
    notices: int
    """Lines that nobody said: they are not imported."""
    deleted: int
    edited: int
    first_at: datetime | None
    last_at: datetime | None


def plan(chat: Chat, *, business: str, known: Iterable[Known], place: Place) -> Plan:
    """Say what the chat adds to what is known.

    The same chat, or a later export of it, names every message the same again, so that importing it
    once more adds nothing.
    """
    lines = [line for line in chat.lines if line.author is not None]
    said = list(_named(lines, business, place))
    pairs = _pairs(said, known)
    result = Plan(
        messages=[],
        doubled={message.id for message in pairs.doubled},
        changed=[],
        matched=len(pairs.found),
        notices=len(chat.lines) - len(lines),
        deleted=sum(line.kind == "deleted" for line in lines),
        edited=sum(line.is_edited for line in lines),
        first_at=min((line.at for line in lines), default=None),
        last_at=max((line.at for line in lines), default=None),
    )
    clock = _Clock()
    for number, one in enumerate(said):
        pair = pairs.found.get(number)
        if pair is None:
            result.messages.append(messages.new(one, clock.next(one.line), place))
            continue
        clock.passed(one.line, pair.message.sent_at)
        if pair.is_changed:
            result.changed.append(messages.change(pair.message, one, place))
        elif filling := messages.filling(pair.message, one, place):
            result.changed.append(filling)
    return result


def _named(lines: Iterable[Line], business: str, place: Place) -> Iterator[Said]:
    ordinals: Counter[tuple[int, int, str]] = Counter()
    for line in lines:
        direction = fold.OUTBOUND if line.author == business else fold.INBOUND
        name = messages.name_of(line)
        key = (int(line.at.timestamp()) // 60, direction, name)
        ordinals[key] += 1
        yield messages.said(line, name, ordinals[key], direction, place)


def _pairs(said: list[Said], known: Iterable[Known]) -> pairing.Pairs:
    """Pair, of each minute and side, the lines with the messages."""
    sides: dict[tuple[int, int], list[Known]] = {}
    for message in known:
        sides.setdefault((int(message.sent_at.timestamp()) // 60, message.direction), []).append(message)
    lines: dict[tuple[int, int], list[int]] = {}
    for number, one in enumerate(said):
        if (one.minute, one.direction) in sides:
            lines.setdefault((one.minute, one.direction), []).append(number)
    every = pairing.Pairs({}, [])
    for side, numbers in lines.items():
        pairs = pairing.pair([said[number] for number in numbers], sides[side])
        every.found |= {numbers[number]: pair for number, pair in pairs.found.items()}
        every.doubled += pairs.doubled
    return every


class _Clock:
    """Gives times that keep the order of the file, within the minute or the second that it writes."""

    def __init__(self) -> None:
        self._lines: Counter[datetime] = Counter()
        self._latest: dict[datetime, datetime] = {}

    def next(self, line: Line) -> datetime:
        """Give the time of a message that is not known: after the lines before it."""
        at = line.at + min(self._lines[line.at], _STEPS_MAX) * _STEP
        if latest := self._latest.get(line.at):
            at = min(max(at, latest + _STEP), _end(line))
        self.passed(line, at)
        return at

    def passed(self, line: Line, at: datetime) -> None:
        """Note when a line was sent, as far as the file allows it."""
        self._lines[line.at] += 1
        if line.at <= at <= _end(line):
            self._latest[line.at] = max(at, self._latest.get(line.at, at))


def _end(line: Line) -> datetime:
    return line.at + (timedelta(seconds=1) if line.has_seconds else timedelta(minutes=1)) - _STEP
