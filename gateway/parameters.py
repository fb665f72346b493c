"""Query parameters and JSON bodies: declared once, read and documented by the same declaration.

A query is a msgspec.Struct whose fields are annotated with rules: `Annotated[int, integer(...)]`. Every
fault of a request is named at once.
"""

import re
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Annotated, Any, Final, TypeAlias, TypeVar, cast, get_type_hints
from urllib.parse import parse_qsl

import flask
import msgspec
from werkzeug.datastructures import MultiDict
from werkzeug.exceptions import UnsupportedMediaType

from plumbing import errors
from plumbing.errors import FieldFault

T = TypeVar("T", bound=msgspec.Struct)

_MOMENT_SCHEMA: Final[dict[str, Any]] = {
    "anyOf": [{"type": "string", "format": "date-time"}, {"type": "string", "format": "date"}],
    "examples": ["2026-11-22", "2026-11-22T14:03:05Z"],
}
Moment: TypeAlias = Annotated[str, msgspec.Meta(extra_json_schema=_MOMENT_SCHEMA)]
"""In a body; `period` reads it."""
_DATE: Final = re.compile(r"\d{4}-\d{2}-\d{2}")
_DATE_TIME: Final = re.compile(r"\d{4}-\d{2}-\d{2}[Tt ]\d{2}:\d{2}:\d{2}(\.\d{1,9})?([Zz]|[+-]\d{2}:\d{2})")
_CURSOR_CHARS_MAX: Final = 512
_YEAR_MAX: Final = 9000
_PARAMETERS_MAX: Final = 100


class Refused(Exception):
    """The text is not what the rule asks for; the argument says what it must be."""


@dataclass(frozen=True)
class Rule:
    """What a parameter must be, and what it says."""

    description: str
    schema: dict[str, Any]
    read: Callable[[str], Any]
    """Gives the value of a text, or raises Refused."""
    default: Any = None
    is_required: bool = False


def identifier(description: str, *, is_required: bool = False) -> Rule:
    """A UUID; "" when it is not given."""

    def read(text: str) -> str:
        if not is_uuid(text):
            raise Refused("must be a UUID")
        return text

    return Rule(description, {"type": "string", "format": "uuid"}, read, "", is_required)


def integer(description: str, default: int, *, at_least: int, at_most: int) -> Rule:
    def read(text: str) -> int:
        if not (text.isascii() and text.isdigit() and len(text) <= 9 and at_least <= int(text) <= at_most):
            raise Refused(f"must be a whole number from {at_least} to {at_most}")
        return int(text)

    schema = {"type": "integer", "minimum": at_least, "maximum": at_most, "default": default}
    return Rule(description, schema, read, default)


def choice(description: str, *among: str, default: str = "") -> Rule:
    def read(text: str) -> str:
        if text not in among:
            raise Refused(f"must be {' or '.join(among)}")
        return text

    schema: dict[str, Any] = {"type": "string", "enum": list(among)}
    return Rule(description, schema | ({"default": default} if default else {}), read, default)


def flag(description: str) -> Rule:
    """true or false; False when it is not given."""

    def read(text: str) -> bool:
        if text not in ("true", "false"):
            raise Refused("must be true or false")
        return text == "true"

    return Rule(description, {"type": "boolean", "default": False}, read, False)


def text(description: str, *, longest: int, is_required: bool = False) -> Rule:
    """Text of so many characters at most; "" when it is not given."""

    def read(text: str) -> str:
        if len(text) > longest:
            raise Refused(f"must be at most {longest} characters")
        if "\0" in text:
            raise Refused("must not contain U+0000")
        if is_required and not text.strip():
            raise Refused("is required")
        return text

    schema: dict[str, Any] = {"type": "string", "maxLength": longest}
    return Rule(description, schema | ({"minLength": 1} if is_required else {}), read, "", is_required)


def cursor() -> Rule:
    def read(text: str) -> str:
        if not text or len(text) > _CURSOR_CHARS_MAX or not text.isascii():
            raise Refused("is not a cursor of this list")
        return text

    description = "From the page before; the other parameters must be the same as for that page."
    schema = {"type": "string", "minLength": 1, "maxLength": _CURSOR_CHARS_MAX}
    return Rule(description, schema, read, "")


def limit(default: int = 100, at_most: int = 1000) -> Rule:
    return integer("How many at most.", default, at_least=1, at_most=at_most)


def moment(description: str, *, is_end: bool = False) -> Rule:
    """An RFC 3339 date-time, or a date: its first moment in UTC, with `is_end` its last."""

    def read(text: str) -> datetime:
        try:
            return _moment(text, is_end=is_end)
        except (ValueError, OverflowError):
            raise Refused("must be a date (2026-11-22) or an RFC 3339 time (2026-11-22T14:03:05Z)") from None

    return Rule(description, _MOMENT_SCHEMA, read)


def rules(shape: type[msgspec.Struct]) -> Iterator[tuple[str, str, Rule]]:
    """Give (attribute, name in the query, rule) of every parameter that is declared."""
    names = {found.name: found.encode_name for found in msgspec.structs.fields(shape)}
    for attribute, annotation in get_type_hints(shape, include_extras=True).items():
        rule = next(part for part in annotation.__metadata__ if isinstance(part, Rule))
        yield attribute, names[attribute], rule


def query(shape: type[T]) -> T:
    """Read the query of this request. Raises InvalidArgument with every fault."""
    return _read(shape, _values(flask.request.query_string))


def _values(query_string: bytes) -> MultiDict[str, str]:
    """Take a query apart. What is no UTF-8 keeps its place as a surrogate, which every rule refuses."""
    try:
        pairs = parse_qsl(
            query_string.decode(errors="surrogateescape"),
            keep_blank_values=True,
            errors="surrogateescape",
            max_num_fields=_PARAMETERS_MAX,
        )
    except ValueError:
        raise _refused("the query is not right", FieldFault("", "has too many parameters")) from None
    return MultiDict(pairs)


def _read(shape: type[T], values: MultiDict[str, str]) -> T:
    told: dict[str, Any] = {}
    faults: list[FieldFault] = []
    known: set[str] = set()
    for attribute, name, rule in rules(shape):
        known.add(name)
        given = values.getlist(name)
        told[attribute] = rule.default
        if len(given) > 1:
            faults.append(FieldFault(name, "must be given once"))
        elif given:
            try:
                if not given[0].isascii() and not _is_text(given[0]):
                    raise Refused("must be text in UTF-8")
                told[attribute] = rule.read(given[0])
            except Refused as refused:
                faults.append(FieldFault(name, str(refused)))
        elif rule.is_required:
            faults.append(FieldFault(name, "is required"))
    faults += [
        FieldFault(_shown(name), "is not a parameter of this route") for name in values if name not in known
    ]
    first, last = told.get("from_date"), told.get("to_date")
    if first and last and last < first:
        faults.append(FieldFault("toDate", "must not be before fromDate"))
    if faults:
        raise errors.InvalidArgument("the query is not right", fields=tuple(faults))
    return shape(**told)


def _shown(name: str) -> str:
    return name[:100].encode(errors="replace").decode()


def _is_text(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


class Nothing(msgspec.Struct):
    """A query without parameters."""


def json_body(shape: type[T]) -> T:
    """Read the request's body as `shape`, a msgspec.Struct that forbids unknown fields.

    Raises InvalidArgument naming every field that is wrong, or 415 when the body is not declared as JSON.
    """
    if flask.request.mimetype != "application/json":
        raise UnsupportedMediaType
    try:
        told = msgspec.json.decode(flask.request.get_data())
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise _refused("the body is not JSON", FieldFault("body", "is not JSON")) from None
    if not isinstance(told, dict):
        raise _refused("the body is not right", FieldFault("body", "must be an object"))
    given = cast("dict[str, Any]", told)
    known = {field.encode_name: field for field in msgspec.structs.fields(shape)}
    faults = [FieldFault(name[:100], "is not a field of this body") for name in given if name not in known]
    for name, field in known.items():
        if name in given:
            faults += _faults_of(name, given[name], field.type)
        elif field.required:
            faults.append(FieldFault(name, "is required"))
    if faults:
        raise _refused("the body is not right", *faults)
    return msgspec.convert(given, shape)


def _faults_of(name: str, value: Any, kind: Any) -> list[FieldFault]:
    try:
        msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        reason, _, inside = str(error).partition(" - at `$")
        return [FieldFault(name + inside.rstrip("`"), reason[0].lower() + reason[1:])]
    return []


def _refused(detail: str, *faults: FieldFault) -> errors.InvalidArgument:
    return errors.InvalidArgument(detail, fields=faults)


def is_uuid(text: str) -> bool:
    try:
        return len(text) == 36 and str(uuid.UUID(text)) == text.lower()
    except ValueError:
        return False


def path_identifier(name: str, text: str) -> str:
    """Check an id that stands in the path; what cannot be one is of nothing that exists."""
    if not is_uuid(text):
        raise errors.NotFound(f"no such {name}")
    return text


def _moment(text: str, *, is_end: bool) -> datetime:
    if _DATE.fullmatch(text):
        moment = datetime.combine(date.fromisoformat(text), time(), UTC)
        moment += timedelta(days=1, microseconds=-1) if is_end else timedelta()
    elif _DATE_TIME.fullmatch(text):
        moment = datetime.fromisoformat(_microseconds(text)).astimezone(UTC)
    else:
        raise ValueError
    if not 1 < moment.year < _YEAR_MAX:
        raise ValueError
    return moment


def _microseconds(text: str) -> str:
    # datetime knows microseconds; RFC 3339 allows more digits.
    return re.sub(r"(\.\d{6})\d+", r"\1", text.upper().replace(" ", "T"))


def period(faults: list[FieldFault], **texts: str | None) -> tuple[datetime | None, datetime | None]:
    """Read from when and until when, by name, of a body, as a query's are read; note what is wrong."""
    (first_name, first_text), (last_name, last_text) = texts.items()
    first = _noted(faults, first_name, first_text, moment(""))
    last = _noted(faults, last_name, last_text, moment("", is_end=True))
    if first and last and last < first:
        faults.append(FieldFault(last_name, f"must not be before {first_name}"))
    return first, last


def _noted(faults: list[FieldFault], name: str, text: str | None, rule: Rule) -> datetime | None:
    try:
        return None if text is None else cast("datetime", rule.read(text))
    except Refused as refused:
        faults.append(FieldFault(name, str(refused)))
        return None
