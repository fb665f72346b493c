"""Query parameters and JSON bodies, with every fault named at once."""

import re
import uuid
from collections.abc import Generator
from contextlib import contextmanager
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, Final, TypeVar, cast

import flask
import msgspec
from werkzeug.datastructures import MultiDict
from werkzeug.exceptions import UnsupportedMediaType

from plumbing import errors
from plumbing.errors import FieldFault

T = TypeVar("T", bound=msgspec.Struct)

_DATE: Final = re.compile(r"\d{4}-\d{2}-\d{2}")
_DATE_TIME: Final = re.compile(r"\d{4}-\d{2}-\d{2}[Tt ]\d{2}:\d{2}:\d{2}(\.\d{1,9})?([Zz]|[+-]\d{2}:\d{2})")
_CURSOR_CHARS_MAX: Final = 512
_YEAR_MAX: Final = 9000


class Query:
    """Reads parameters one by one; what is never read is unknown."""

    def __init__(self, values: MultiDict[str, str]) -> None:
        self._values = values
        self._known: set[str] = set()
        self.faults: list[FieldFault] = []

    def _take(self, name: str) -> str | None:
        self._known.add(name)
        given = self._values.getlist(name)
        if len(given) > 1:
            self._refuse(name, "must be given once")
        return given[0] if given else None

    def _refuse(self, name: str, reason: str) -> None:
        self.faults.append(FieldFault(name, reason))

    def identifier(self, name: str) -> str:
        text = self._take(name)
        if text is None:
            self._refuse(name, "is required")
            return ""
        if not is_uuid(text):
            self._refuse(name, "must be a UUID")
        return text

    def optional_identifier(self, name: str) -> str:
        """Give a UUID, or "" when it is not given."""
        return self.identifier(name) if name in self._values else self._absent(name)

    def _absent(self, name: str) -> str:
        self._known.add(name)
        return ""

    def required_text(self, name: str, *, longest: int) -> str:
        text = self.text(name, longest=longest)
        if not text:
            self._refuse(name, "is required")
        return text

    def integer(self, name: str, default: int, *, at_least: int, at_most: int) -> int:
        text = self._take(name)
        if text is None:
            return default
        if not (text.isascii() and text.isdigit() and len(text) <= 9 and at_least <= int(text) <= at_most):
            self._refuse(name, f"must be a whole number from {at_least} to {at_most}")
            return default
        return int(text)

    def choice(self, name: str, default: str, *, among: tuple[str, ...]) -> str:
        text = self._take(name)
        if text is None:
            return default
        if text not in among:
            self._refuse(name, f"must be {' or '.join(among)}")
        return text

    def text(self, name: str, *, longest: int) -> str:
        text = self._take(name) or ""
        if len(text) > longest:
            self._refuse(name, f"must be at most {longest} characters")
        if "\0" in text or "\ufffd" in text:
            self._refuse(name, "must be text in UTF-8 without U+0000")
        return text

    def cursor(self) -> str:
        text = self._take("cursor")
        if text is None:
            return ""
        if not text or len(text) > _CURSOR_CHARS_MAX or not text.isascii():
            self._refuse("cursor", "is not a cursor of this list")
        return text

    def moment(self, name: str, *, is_end: bool = False) -> datetime | None:
        """Read an RFC 3339 date-time, or a date: its first moment in UTC, with `is_end` its last."""
        text = self._take(name)
        if text is None:
            return None
        try:
            if _DATE.fullmatch(text):
                moment = datetime.combine(date.fromisoformat(text), time(), UTC)
                moment += timedelta(days=1, microseconds=-1) if is_end else timedelta()
            elif _DATE_TIME.fullmatch(text):
                moment = datetime.fromisoformat(_microseconds(text)).astimezone(UTC)
            else:
                raise ValueError
            if not 1 < moment.year < _YEAR_MAX:
                raise ValueError
        except (ValueError, OverflowError):
            self._refuse(name, "must be a date (2026-11-22) or an RFC 3339 time (2026-11-22T14:03:05Z)")
            return None
        return moment

    def period(self, start: str, end: str) -> tuple[datetime | None, datetime | None]:
        """Read two moments between which, both included, something lies."""
        first, last = self.moment(start), self.moment(end, is_end=True)
        if first and last and last < first:
            self._refuse(end, f"must not be before {start}")
        return first, last

    def close(self) -> None:
        for name in self._values:
            if name not in self._known:
                self._refuse(name[:100], "is not a parameter of this route")
        if self.faults:
            raise errors.InvalidArgument("the query is not right", fields=tuple(self.faults))


@contextmanager
def query() -> Generator[Query]:
    """Read the query of this request; on leaving, raise InvalidArgument with every fault."""
    reader = Query(flask.request.args)
    yield reader
    reader.close()


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


def _microseconds(text: str) -> str:
    # datetime knows microseconds; RFC 3339 allows more digits.
    return re.sub(r"(\.\d{6})\d+", r"\1", text.upper().replace(" ", "T"))
