"""An "Export chat" file becomes lines: when, who, what.

Nobody has written the format down. What is known of it comes from those who read such files, as of
2026-11: the tests of Pustur/whatsapp-chat-parser and joweich/chat-miner, and WhatsApp's own words in
starkdmi/whats_json and mlomb/chat-analytics. A file holds no ids, no zone and no quotes; Android does
not even write the seconds.

What a file cannot tell, and what is done about it:

- Nothing marks where a message ends. A line that looks like the first line of a message, in exactly
  the shape of the file's own, is taken for one even when somebody pasted it into a message. Two kinds
  are told apart: on iOS the pasted line follows a bare LF where messages end in CRLF; and a line that
  goes back by more than a day, by an author who never speaks in order, belongs to the message before.
  An old part of the same chat, pasted into it, comes out as messages of that time.
- A name may contain ": ", and so may a message. See `authors.Authors`.
- Android writes `null` for what it cannot export; whoever types "null" is read as having sent nothing.
- Two people of the same name are one participant.
- iOS marks its own words with U+200E, the notices and what stands for a picture alike. In a language
  whose words are not listed here, that a picture was sent is read as a notice.
"""

import re
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, date, datetime, time, timedelta
from itertools import pairwise
from typing import Final, Literal, NamedTuple, TypeAlias
from zoneinfo import ZoneInfo

import msgspec

from capture_service.chat_export import content, marks
from capture_service.chat_export.authors import Authors
from capture_service.chat_export.content import Kind, MediaKind, Platform

DateOrder: TypeAlias = Literal["dmy", "mdy", "ymd"]

# WhatsApp exports the latest 40,000 messages, without media; what is put together from several such
# files is still read.
LINES_MAX: Final = 500_000

_YEAR_MIN: Final = 1970
_YEAR_MAX: Final = 2099
_DAY: Final = timedelta(days=1)

# \d and int() know the digits of every script, \s every space, U+202F and U+00A0 among them.
_HEADER: Final = re.compile(
    rf"[{marks.ANY}]*(\[)?"
    # 31/12/2026, 12-31-26, 31. 12. 2026., 2026-12-31; Arabic has U+200F after each number
    r"(\d{4}|\d\d?)[\u200e\u200f]?([-/.])\s?(\d\d?)[\u200e\u200f]?\3\s?(\d{4}|\d\d?)[\u200e\u200f]?\.?([,\u060c]?)\s{1,3}"
    # "klo", "um", "às"
    r"(?:([^\W\d_]{1,4})\.?\s)?"
    # 14:05, 14.05.59; Canadian French: "14 h 05 min 59 s"
    r"(\d\d?)([:.]|\s?h\s?)(\d\d)(?:(?:[:.]|\s?min\s?)(\d\d)(?:\s?s\b)?)?"
    r"(?:\s?([AaPp]\.?\s?[Mm]\.?|[\u0635\u0645]))?"
    # "] " of iOS; " - " of Android; ": " of old iOS
    r"(?(1)\](?:\s|$)|(?:\s[-\u2013]|(:))(?:\s|$))"
)


class NotAChat(Exception):
    """The text is no exported chat. Carries what was expected, never the content."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """A message or a notice, with all the lines of the file that it takes."""

    number: int
    """Of its first line in the file, from 1."""
    at: datetime
    has_seconds: bool
    author: str | None
    """None on what nobody said: notices, of kind "system"."""
    text: str
    """Of media the caption; empty where there is nothing to read."""
    kind: Kind
    media_name: str | None = None
    """The name of the file in the archive, when the chat was exported with its media, or the one that the
    sender's document has."""
    media_kind: MediaKind | None = None
    """None also on media of which the file does not say what they were."""
    is_edited: bool = False
    title: str = ""
    """How iOS describes a document, in place of a caption: its name, and how many pages."""
    written: str = ""
    """All that stands behind the name, where that is not the text: it may still be what somebody typed."""


class Chat(msgspec.Struct, frozen=True, kw_only=True):
    """`lines` come as in the file, which is by arrival: times may go back.

    `participants` is how many lines each author has, in order of appearance. `is_ambiguous` says that
    the order of day and month was guessed.
    """

    lines: list[Line]
    participants: dict[str, int]
    date_order: DateOrder
    is_ambiguous: bool
    platform: Platform


class _Shape(NamedTuple):
    """What all first lines of one file have in common: phone and language write them, not people."""

    bracket: str | None
    separator: str
    is_year_first: bool
    has_long_year: bool
    comma: str
    word: str | None
    time_separator: str
    has_seconds: bool
    half: str | None
    """"AM" and "PM" without their first letter: "M", ".m.", ". m."; None where the day has 24 hours."""
    colon: str | None


class _Start(NamedTuple):
    """Where a message begins, once it is known to be one."""

    line: int
    at: datetime
    author: str | None
    words: str


class _Header(msgspec.Struct, frozen=True):
    """The first line of a message, by the looks of it. `line` counts from 0."""

    line: int
    date: tuple[int, int, int]
    time: tuple[int, int, int]
    rest: str


def parse(
    text: str, *, zone: ZoneInfo, date_order: DateOrder | None = None, business: str | None = None
) -> Chat:
    """Read an exported chat, of Android or iOS, in pt, en, es, de, fr or it.

    Dates, times and names are read in any language; what WhatsApp says instead of a message is known
    in those six. Where nothing in the file tells day from month, `date_order` does; an order under
    which more of the dates do not exist than under another is not followed. `business` is a participant
    of whom the caller knows the name, which matters where it contains ": ".

    The phone wrote its local time. In `zone`, a time that a change of the clocks skipped is read as if
    they had not changed yet, and of a time that came twice the first is meant, or the second where only
    that follows the line before it.

    Raises NotAChat when the first line with anything on it does not begin a message, when no date
    exists, and above LINES_MAX.
    """
    lines = text.split("\n")
    shape, headers = _headers(lines)
    platform: Platform = "ios" if shape.bracket or shape.colon else "android"
    if platform == "ios":
        headers = _after_crlf(headers, lines)
    order, is_ambiguous = _date_order(shape, headers, wished=date_order, text=text)
    days = {header.date: _day(order, header.date) for header in headers}
    authors = Authors([header.rest for header in headers], business)
    dated = [(header, day) for header in headers if (day := days[header.date])]
    times = _times([datetime.combine(day, time(*header.time), zone) for header, day in dated])
    starts = [
        _Start(header.line, at, *authors.split(header.rest))
        for (header, _), at in zip(dated, times, strict=True)
    ]
    if not starts:
        raise NotAChat(f"none of its dates exists between {_YEAR_MIN} and {_YEAR_MAX}")
    starts = _without_pasted(starts)
    found: list[Line] = []
    for start, end in zip(starts, [later.line for later in starts[1:]] + [len(lines)], strict=True):
        body = "\n".join((start.words, *lines[start.line + 1 : end])).replace("\r\n", "\n")
        said = content.read(body, platform=platform) if start.author is not None else content.notice(body)
        if platform == "ios" and not found and content.is_encryption_notice(said.text):
            said = content.notice(body)
        found.append(
            Line(
                number=start.line + 1,
                at=start.at,
                has_seconds=shape.has_seconds,
                author=None if said.kind == "system" else start.author,
                **said._asdict(),
            )
        )
    return Chat(
        lines=found,
        participants=dict(Counter(line.author for line in found if line.author is not None)),
        date_order=order,
        is_ambiguous=is_ambiguous,
        platform=platform,
    )


def begins_as_chat(text: str) -> bool:
    """Tell whether the first line with anything on it begins a message."""
    first = next((line for line in text.split("\n") if line.strip(marks.EDGES)), "")
    return _header(0, first) is not None


def _headers(lines: Sequence[str]) -> tuple[_Shape, list[_Header]]:
    shape: _Shape | None = None
    headers: list[_Header] = []
    for index, line in enumerate(lines):
        found = _header(index, line)
        if found is None:
            if shape is None and line.strip(marks.EDGES):
                break
            continue
        shape = shape or found[0]
        if found[0] == shape:
            headers.append(found[1])
            if len(headers) > LINES_MAX:
                raise NotAChat(f"it has more than {LINES_MAX:,} messages")
    if shape is None:
        raise NotAChat("its first line does not begin with a date and a time as WhatsApp writes them")
    return shape, headers


def _header(index: int, line: str) -> tuple[_Shape, _Header] | None:
    match = _HEADER.match(line)
    if match is None:
        return None
    bracket, a, separator, b, c, comma, word, hour, time_separator, minute, second, half, colon = (
        match.groups()
    )
    is_year_first, has_long_year = len(a) == 4, len(c) == 4
    if is_year_first == has_long_year and (is_year_first or len(c) == 1):
        return None
    # Only old iOS put a colon here, and it always wrote the seconds. "10.5.26 14.30: dentist" is a list.
    if colon and second is None:
        return None
    hours, minutes, seconds = int(hour), int(minute), int(second or 0)
    if half and hours <= 12:
        # 00:05 a.m. is written by some phones that mean 12:05 a.m.
        hours = hours % 12 + (12 if half[0] in "Pp\u0645" else 0)
    if hours > 23 or minutes > 59 or seconds > 59:
        return None
    shape = _Shape(
        bracket,
        separator,
        is_year_first,
        has_long_year,
        comma,
        word,
        time_separator,
        second is not None,
        half[1:] if half else None,
        colon,
    )
    return shape, _Header(
        index, (int(a), int(b), int(c)), (hours, minutes, seconds), line[match.end() :].removesuffix("\r")
    )


def _after_crlf(headers: list[_Header], lines: Sequence[str]) -> list[_Header]:
    """Drop what only looks like a first line, in a file that tells.

    iOS ends a message in CRLF and a line inside it in LF (Pustur/whatsapp-chat-parser, issue 266). Most
    first lines must agree: editors and mail programs rewrite line ends.
    """
    agreeing = [header for header in headers[1:] if lines[header.line - 1].endswith("\r")]
    return headers[:1] + agreeing if 2 * len(agreeing) > len(headers) - 1 else headers


def _day(order: DateOrder, numbers: tuple[int, int, int]) -> date | None:
    a, b, c = numbers
    year, month, day = {"dmy": (c, b, a), "mdy": (c, a, b), "ymd": (a, b, c)}[order]
    if year < 100:
        year += 2000
    if not _YEAR_MIN <= year <= _YEAR_MAX:
        return None
    try:
        return date(year, month, day)
    except ValueError:
        return None


def _date_order(
    shape: _Shape, headers: Sequence[_Header], *, wished: DateOrder | None, text: str
) -> tuple[DateOrder, bool]:
    """Give the order and whether it is a guess."""
    if shape.is_year_first:
        return "ymd", False
    dates = Counter(header.date for header in headers)
    # Nearly every 12/10/26 could have its year first, and no phone we know of writes a short year so.
    orders: list[DateOrder] = ["dmy", "mdy"]
    if wished == "ymd" and not shape.has_long_year:
        orders.append("ymd")
    impossible = {
        order: sum(count for numbers, count in dates.items() if _day(order, numbers) is None)
        for order in orders
    }
    fewest = min(impossible.values())
    if wished is not None and impossible.get(wished) == fewest:
        return wished, False
    if impossible["dmy"] != impossible["mdy"]:
        return ("dmy" if impossible["dmy"] < impossible["mdy"] else "mdy"), False
    if all(a == b for a, b, _ in dates):
        return "dmy", False
    steps = [(earlier.date, later.date) for earlier, later in pairwise(headers) if earlier.date != later.date]
    back, back_american = _steps_back("dmy", steps), _steps_back("mdy", steps)
    if back != back_american:
        return ("dmy" if back < back_american else "mdy"), False
    return ("mdy" if _is_american(shape, text) else "dmy"), True


def _times(local: Sequence[datetime]) -> list[datetime]:
    """Give the times in UTC, each of an hour that came twice as the order of the file has it."""
    times: list[datetime] = []
    for at in local:
        moment = at.astimezone(UTC)
        if times and moment < times[-1]:
            again = at.replace(fold=1).astimezone(UTC)
            # Earlier for another reason, it stays so: a message that came late, a clock set right.
            moment = again if again >= times[-1] else moment
        times.append(moment)
    return times


def _steps_back(order: DateOrder, steps: Sequence[tuple[tuple[int, int, int], tuple[int, int, int]]]) -> int:
    days = [(_day(order, earlier), _day(order, later)) for earlier, later in steps]
    return sum(1 for earlier, later in days if earlier and later and later < earlier - _DAY)


def _is_american(shape: _Shape, text: str) -> bool:
    """Tell whether 1/2/26 is the second of January by the looks of the file.

    "2:33 PM" in capitals with a short year is how the United States write; so do phones set to Italian
    and to twelve hours, where the notice on encryption is in Italian.
    """
    if shape.half != "M" or shape.has_long_year or shape.separator != "/":
        return False
    words = text.casefold()
    return not any(
        notice in words
        for language, notices in content.ENCRYPTION_NOTICES.items()
        for notice in notices
        if language != "en"
    )


def _without_pasted(starts: list[_Start]) -> list[_Start]:
    """Drop the lines of other chats that somebody pasted into a message of this one.

    Times go back in an honest file too: a message that arrived late, a clock set right. But then its
    author is one who also speaks in order.
    """
    orderly: set[str | None] = set()
    latest = starts[0].at
    for start in starts:
        if start.at >= latest - _DAY:
            orderly.add(start.author)
            latest = max(latest, start.at)
    kept = starts[:1]
    last = starts[0].at
    for start in starts[1:]:
        is_back = start.at < last - _DAY
        if is_back and start.author is not None and start.author not in orderly:
            continue
        kept.append(start)
        if start.author is not None or not is_back:
            last = start.at
    # Had the clock been wrong at the beginning, honest lines would have been dropped for going back.
    # That it was not shows in a chat that comes back to its latest time, or that keeps more than it drops.
    has_come_back = kept[-1] is starts[-1] and kept[-1].at >= latest - _DAY
    return kept if has_come_back or 2 * len(kept) >= len(starts) else starts
