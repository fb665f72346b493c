"""Meta's wire: a webhook body as bytes becomes objects whose types are checked where they are used.

The shapes and their traps are those of Meta's "Webhooks reference" for the WhatsApp Business
Platform. Only what the fold needs is typed here; every other key is kept as it came.
"""

import functools
import json
import math
import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Final, TypeVar, cast, get_args

import msgspec

from capture_service import identity

# A millisecond timestamp has 13 digits where a second one has 10. Meta documents seconds; contact
# syncs bring milliseconds (field report of a Brazilian provider, 2026-09-10).
_MILLISECONDS_FROM: Final = 100_000_000_000
# 2100-01-01. What claims to be later is no time.
_SECONDS_MAX: Final = 4_102_444_800

# One escape sequence of a JSON string: a whole surrogate pair, a lone surrogate, U+0000, any other.
_ESCAPE: Final = re.compile(
    rb"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}"
    rb"|(?P<bad>\\u[dD][89a-fA-F][0-9a-fA-F]{2}|\\u0000)"
    rb"|\\."
)
# A whole string (one that does not end, to the end), or a bracket outside of one. Nothing is gone over
# twice: possessive.
_BRACKET: Final = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+(?:"|\\?\Z)|[\[\]{}]', re.DOTALL)
_QUOTE: Final = ord('"')
_INTEGER_CHARS_MAX: Final = 4_000
# No number of a person, and no id that Meta writes as a number, has more than twenty digits.
_IDENTIFIER_BELOW: Final = 10**20
# Deeper than anything Meta sends, by an order of magnitude.
DEPTH_MAX: Final = 200
_PARTS_MAX: Final = 100_000
_ROUTES_MAX: Final = 100
_NUMBER_ID: Final = re.compile(rb'"phone_number_id"\s*:\s*"?([0-9A-Za-z_.-]{1,64})')
_ENTRY_ID: Final = re.compile(rb'"id"\s*:\s*"([0-9]{1,64})"')
_REPLACEMENT: Final = rb"\ufffd"
# Below it is kept what has another type than Meta documents.
NOT_UNDERSTOOD: Final = "not_understood"
_BESIDES: Final = ("context", "errors", "history_context")

Object = dict[str, Any]
Identifier = Annotated[str, msgspec.Meta(max_length=identity.IDENTIFIER_CHARS_MAX)]
T = TypeVar("T")


class Malformed(Exception):
    """A part of a webhook is not what it must be. Carries where and why, never the content."""

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(f"{path}: {reason}" if path else reason)
        self.path = path
        self.reason = reason


class Text(msgspec.Struct, frozen=True):
    body: str | None = None


class HistoryContext(msgspec.Struct, frozen=True):
    status: str | None = None
    from_me: bool | None = None


class Context(msgspec.Struct, frozen=True):
    id: str | None = None


class Target(msgspec.Struct, frozen=True):
    """`reaction`, `edit` and `revoke`: which message they are about."""

    message_id: str | None = None
    original_message_id: str | None = None
    message: Object | None = None
    emoji: str | None = None


class System(msgspec.Struct, frozen=True):
    """What a system message says of the person's new identifiers."""

    wa_id: Identifier | None = None
    new_wa_id: Identifier | None = None
    user_id: Identifier | None = None
    parent_user_id: Identifier | None = None


class Message(msgspec.Struct, frozen=True, rename={"from_": "from"}):
    """`messages[]`, `message_echoes[]` and the messages of a history thread."""

    id: Annotated[str, msgspec.Meta(min_length=1)]
    timestamp: Any = None
    type: str | None = None
    from_: Identifier | None = None
    from_user_id: Identifier | None = None
    from_parent_user_id: Identifier | None = None
    to: Identifier | None = None
    to_user_id: Identifier | None = None
    to_parent_user_id: Identifier | None = None
    group_id: Identifier | None = None
    text: Text | None = None
    context: Context | None = None
    history_context: HistoryContext | None = None
    errors: list[Object] | None = None


class Status(msgspec.Struct, frozen=True):
    id: Annotated[str, msgspec.Meta(min_length=1)]
    status: Annotated[str, msgspec.Meta(min_length=1)]
    timestamp: Any = None
    type: str | None = None
    recipient_id: Identifier | None = None
    recipient_user_id: Identifier | None = None
    recipient_parent_user_id: Identifier | None = None
    recipient_type: str | None = None
    recipient_participant_id: Identifier | None = None
    recipient_participant_user_id: Identifier | None = None
    errors: list[Object] | None = None


class Call(msgspec.Struct, frozen=True, rename={"from_": "from"}):
    id: Annotated[str, msgspec.Meta(min_length=1)]
    timestamp: Any = None
    event: str | None = None
    direction: str | None = None
    from_: Identifier | None = None
    from_user_id: Identifier | None = None
    to: Identifier | None = None
    to_user_id: Identifier | None = None


class Profile(msgspec.Struct, frozen=True):
    name: str | None = None
    username: str | None = None


class Contact(msgspec.Struct, frozen=True):
    wa_id: Identifier | None = None
    user_id: Identifier | None = None
    parent_user_id: Identifier | None = None
    profile: Profile | None = None


class ChunkMetadata(msgspec.Struct, frozen=True):
    """Of `history[]`: how far the history has come, as numbers or as text."""

    phase: Any = None
    chunk_order: Any = None
    progress: Any = None


class BookEntry(msgspec.Struct, frozen=True):
    """`state_sync[].contact`: a card of the business's address book."""

    phone_number: Identifier | None = None
    user_id: Identifier | None = None
    parent_user_id: Identifier | None = None
    username: str | None = None
    full_name: str | None = None
    first_name: str | None = None


class Stamp(msgspec.Struct, frozen=True):
    timestamp: Any = None


class StateSync(msgspec.Struct, frozen=True):
    contact: BookEntry
    action: str | None = None
    metadata: Stamp | None = None


class Renewal(msgspec.Struct, frozen=True):
    previous: Identifier | None = None
    current: Identifier | None = None


class UserIdUpdate(msgspec.Struct, frozen=True):
    timestamp: Any = None
    wa_id: Identifier | None = None
    user_id: Renewal | None = None
    parent_user_id: Renewal | None = None


class Preference(msgspec.Struct, frozen=True):
    timestamp: Any = None
    wa_id: Identifier | None = None
    user_id: Identifier | None = None


class ThreadContext(msgspec.Struct, frozen=True):
    wa_id: Identifier | None = None
    user_id: Identifier | None = None
    parent_user_id: Identifier | None = None
    username: str | None = None


class Thread(msgspec.Struct, frozen=True):
    id: Identifier | None = None
    context: ThreadContext | None = None


def is_slow_to_read(body: bytes) -> bool:
    """Tell, from a count alone, a body that has far more parts than a sender waits for to be read.

    A history of 5,000 messages has some 25,000; of a webhook Meta promises at most 1,000 updates.
    """
    return len(body) > _PARTS_MAX and body.count(b"{") + body.count(b"[") > _PARTS_MAX


def routes_named(body: bytes) -> set[tuple[str, str]]:
    """Give the numbers and accounts that a body may be about, without reading it: at most `_ROUTES_MAX`."""
    found: set[tuple[str, str]] = set()
    for kind, pattern in (("phone_number", _NUMBER_ID), ("waba", _ENTRY_ID)):
        for match in pattern.finditer(body):
            if len(found) >= _ROUTES_MAX:
                return found
            found.add((kind, match[1].decode()))
    return found


def decode(body: bytes) -> Object:
    """Read a webhook body.

    What PostgreSQL cannot hold or UTF-8 does not know (U+0000, lone surrogates, broken bytes) comes
    out as U+FFFD; the ledger keeps the bytes themselves.

    Raises Malformed when it is not JSON or not an object.
    """
    try:
        value = _decoded(body)
    except RecursionError:
        try:
            value = _decoded(pruned(body))
        except RecursionError:
            raise Malformed("", "nested too deeply") from None
    return as_object(value, "")


def _decoded(body: bytes) -> Any:
    try:
        return msgspec.json.decode(_scrubbed(body) if b"\\u0000" in body else body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        # Rare enough to pay for a second reading: most bodies have nothing to mend.
        mended = _mended(body)
        try:
            return msgspec.json.decode(mended)
        except msgspec.DecodeError as error:
            return _with_numbers_out_of_range(mended, error)


def _with_numbers_out_of_range(mended: bytes, error: msgspec.DecodeError) -> Any:
    """Read what only a number beyond all bounds, or none, keeps from being read: it becomes null."""
    try:
        return json.loads(mended, parse_float=_finite, parse_int=_bounded, parse_constant=_nothing)
    except ValueError:
        raise Malformed("", f"not JSON: {error}") from None


def _finite(text: str) -> float | None:
    number = float(text)
    return number if math.isfinite(number) else None


def _bounded(text: str) -> int | None:
    # Beyond it Python itself refuses to read one (sys.set_int_max_str_digits).
    return int(text) if len(text) <= _INTEGER_CHARS_MAX else None


def _nothing(_: str) -> None:
    """NaN or Infinity, which is not JSON: what stands beside it must not be lost."""


def readable(body: bytes) -> bytes:
    """Give a body that `decode` has read in a form in which every part of it can be read by itself."""
    for mend in (lambda: body, lambda: _mended(body), lambda: _mended(pruned(body))):
        readable = mend()
        try:
            msgspec.json.decode(readable)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            continue
        return readable
    return msgspec.json.encode(decode(body))


def _mended(body: bytes) -> bytes:
    return _scrubbed(body).decode("utf-8-sig", errors="replace").encode()


def pruned(body: bytes) -> bytes:
    """Give the body with everything below `DEPTH_MAX` levels replaced by null.

    What is nested so deeply that no parser takes it must not cost what stands beside it.
    """
    kept: list[bytes] = []
    depth = start = 0
    for token in _BRACKET.finditer(body):
        bracket = body[token.start()]
        if bracket == _QUOTE:
            continue
        if bracket in b"[{":
            depth += 1
            if depth == DEPTH_MAX + 1:
                kept += [body[start : token.start()], b"null"]
        else:
            depth -= 1
            if depth == DEPTH_MAX:
                start = token.end()
    return b"".join([*kept, body[start:]]) if depth <= DEPTH_MAX else b"".join(kept)


def _scrubbed(body: bytes) -> bytes:
    return _ESCAPE.sub(lambda found: _REPLACEMENT if found["bad"] else found[0], body)


def as_object(value: object, path: str) -> Object:
    if not isinstance(value, dict):
        raise Malformed(path, f"expected an object, got {_kind(value)}")
    return cast("Object", value)


def as_array(value: object, path: str) -> list[Any]:
    if not isinstance(value, list):
        raise Malformed(path, f"expected an array, got {_kind(value)}")
    return cast("list[Any]", value)


def array_in(holder: Mapping[str, Any], key: str, path: str) -> list[Any]:
    """Give the array under `key`; an absent key is an empty one. Raises Malformed on anything else."""
    return as_array(holder[key], f"{path}.{key}") if key in holder else []


def convert(value: object, shape: type[T], path: str) -> T:
    """Read `value` as `shape`. Raises Malformed naming the field below `path` that is wrong."""
    try:
        return msgspec.convert(value, shape)
    except msgspec.ValidationError as error:
        written = _with_identifiers_as_text(value, shape)
        if written is None:
            raise _malformed(error, path) from None
    try:
        return msgspec.convert(written, shape)
    except msgspec.ValidationError as error:
        raise _malformed(error, path) from None


def _with_identifiers_as_text(value: object, shape: type[Any]) -> Object | None:
    """Write the identifiers of an object that are JSON numbers as text; None where there are none."""
    if not isinstance(value, dict):
        return None
    holder = cast("Object", value)
    numbers = {
        key: str(number)
        for key in _identifiers_of(shape)
        if type(number := holder.get(key)) is int and 0 <= number < _IDENTIFIER_BELOW
    }
    return {**holder, **numbers} if numbers else None


@functools.cache
def _identifiers_of(shape: type[Any]) -> frozenset[str]:
    return frozenset(
        field.encode_name for field in msgspec.structs.fields(shape) if Identifier in get_args(field.type)
    )


def read(value: object, shape: type[T], path: str) -> tuple[object, T, list[Malformed]]:
    """Read `value` as `shape`, though what it says besides has another type than Meta documents.

    Give the value as it was read, what it says, and what was wrong with it: such a key is put aside,
    below NOT_UNDERSTOOD. Raises Malformed when who it is from or what it is cannot be read.
    """
    faults: list[Malformed] = []
    aside: Object = {}
    while True:
        try:
            return value, convert(value, shape, path), faults
        except Malformed as fault:
            key = next((key for key in _BESIDES if fault.path.startswith(f"{path}.{key}")), None)
            if key is None:
                raise
            faults.append(fault)
            holder = as_object(value, path)
            aside[key] = holder[key]
            value = {name: told for name, told in holder.items() if name != key} | {NOT_UNDERSTOOD: aside}


def _malformed(error: msgspec.ValidationError, path: str) -> Malformed:
    reason, _, inner = str(error).partition(" - at `$")
    return Malformed(path + inner.rstrip("`"), reason[0].lower() + reason[1:])


def count(value: object) -> int | None:
    """Read a small number that may be written as text; None when it is none."""
    if isinstance(value, str) and re.fullmatch("[0-9]{1,9}", value):
        return int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) and abs(value) < 10**9 else None


def moment(timestamp: object, path: str) -> datetime:
    """Read a Unix time in seconds or milliseconds, as text or number. Raises Malformed."""
    if isinstance(timestamp, bool) or not isinstance(timestamp, str | int):
        raise Malformed(path, f"expected a Unix time, got {_kind(timestamp)}")
    try:
        number = int(timestamp)
    except ValueError:
        raise Malformed(path, "expected a Unix time") from None
    seconds, milliseconds = divmod(number, 1000) if number >= _MILLISECONDS_FROM else (number, 0)
    if not 0 < seconds < _SECONDS_MAX:
        raise Malformed(path, "expected a Unix time between 1970 and 2100")
    at = datetime.fromtimestamp(seconds, UTC)
    return at + timedelta(milliseconds=milliseconds) if milliseconds else at


def _kind(value: object) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "a boolean"
        case int() | float():
            return "a number"
        case str():
            return "a string"
        case list():
            return "an array"
        case _:
            return "an object"
