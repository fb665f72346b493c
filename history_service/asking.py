"""What a request asks: read, or refused (InvalidArgument) by the name of the field that is wrong."""

import uuid
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple

from history_service import cursor, resuming, search, store, views, words
from plumbing import errors
from plumbing.errors import FieldFault
from protos import history_pb2 as pb

_PAGE_SIZE_DEFAULT: Final = 100
_PAGE_SIZE_MAX: Final = 1000
_TYPE_CHARS_MAX: Final = 64
_WATCHED_MAX: Final = 1000
_STATUS_RANKS: Final = {name: rank for rank, name in views.STATUSES.items()}
_DELIVERED: Final = _STATUS_RANKS["delivered"]


class Asked(NamedTuple):
    """The filter of a request, read."""

    direction: int | None
    type: str | None
    outbound_statuses: list[int] | None
    inbound_statuses: list[int] | None
    instance_id: uuid.UUID | None
    terms: list[words.Term] | None
    question: tuple[Any, ...]
    """All of it, for the cursor."""


class Watcher(NamedTuple):
    """Who is told what changes."""

    subject: str
    lead_id: uuid.UUID | None
    request_id: str


def message_filter(prefix: str, told: pb.MessageFilter) -> Asked:
    """Read a filter. Raises InvalidArgument naming every field that is wrong."""
    faults: list[FieldFault] = []

    def refuse(name: str, reason: str) -> None:
        faults.append(FieldFault(f"{prefix}.{name}".lstrip("."), reason))

    if told.direction not in (pb.DIRECTION_UNSPECIFIED, pb.INBOUND, pb.OUTBOUND):
        refuse("direction", "must be INBOUND or OUTBOUND")
    if len(told.type) > _TYPE_CHARS_MAX or "\0" in told.type:
        refuse("type", f"must be at most {_TYPE_CHARS_MAX} characters, none of them U+0000")
    rank = _STATUS_RANKS.get(told.status)
    if told.status and rank is None:
        refuse("status", f"must be {', '.join(_STATUS_RANKS)}")
    instance_id = read_uuid(told.instance_id)
    if told.instance_id and instance_id is None:
        refuse("instance_id", "must be a UUID")
    if len(told.query) > words.CHARS_MAX or "\0" in told.query:
        refuse("query", f"must be at most {words.CHARS_MAX} characters, none of them U+0000")
    if faults:
        raise errors.InvalidArgument("the request is not right", fields=tuple(faults))
    inbound = None
    if rank is not None:
        # What a person wrote has been delivered: see views.message_of.
        ranks = range(1, rank + 1) if rank == _DELIVERED else (rank,) if rank > _DELIVERED else ()
        inbound = list(ranks)
    message_type = None if not told.type else "" if told.type == "unknown" else told.type
    return Asked(
        direction={pb.INBOUND: 1, pb.OUTBOUND: 2}.get(told.direction),
        type=message_type,
        outbound_statuses=None if rank is None else [rank],
        inbound_statuses=inbound,
        instance_id=instance_id,
        terms=words.read(told.query) if told.query.strip() else None,
        question=(int(told.direction), told.type, told.status, str(instance_id or ""), told.query.strip()),
    )


def watchers(request: pb.ListChangesRequest) -> list[Watcher]:
    if request.lead_id:
        raise invalid("lead_id", "cannot be given with watchers")
    if len(request.watchers) > _WATCHED_MAX:
        raise invalid("watchers", f"must be at most {_WATCHED_MAX}")
    return [
        Watcher(
            told.subject,
            uuid_if_given(f"watchers[{place}].lead_id", told.lead_id),
            told.request_id,
        )
        for place, told in enumerate(request.watchers)
    ]


def lead_search(query: str) -> store.LeadSearch:
    """Read what is typed to find somebody: parts of names in any order, or of a number."""
    # User names are written, and not kept, with an "@". What is beyond the last word is part of it.
    words = query.strip().removeprefix("@").split(maxsplit=store.NAME_WORDS_MAX - 1)
    return store.LeadSearch(words=words, numbers=search.number_forms(query))


def period(
    request: pb.ListMessagesRequest | pb.SearchMessagesRequest | pb.ExportMessagesRequest,
) -> tuple[datetime | None, datetime | None]:
    from_time, to_time = _moment(request, "from_time"), _moment(request, "to_time")
    if from_time and to_time and from_time > to_time:
        raise invalid("from_time", "must not be after the end of the range")
    return from_time, to_time


def _moment(request: Any, name: str) -> datetime | None:
    if not request.HasField(name):
        return None
    try:
        return getattr(request, name).ToDatetime(UTC)
    except (ValueError, OverflowError):
        raise invalid(name, "must be a time of the years 1 to 9999") from None


def position(page_token: str, question: tuple[Any, ...]) -> cursor.Position | None:
    if not page_token:
        return None
    try:
        return cursor.read(page_token, *question)
    except cursor.Bad:
        raise _bad_page_token() from None


def _bad_page_token() -> errors.InvalidArgument:
    return invalid("page_token", "is damaged or belongs to another query")


def token(row: store.MessageRow, total: int | None, question: tuple[Any, ...]) -> str:
    return cursor.write(cursor.Position.at(row.sent_at, row.id, total=total), *question)


def resumed(token: str, name: str = "resume_token") -> resuming.Moment | None:
    if not token:
        return None
    try:
        return resuming.read(token)
    except resuming.Bad:
        raise invalid(name, "is not one of this feed") from None


def page_size(asked: int, *, default: int = _PAGE_SIZE_DEFAULT, at_most: int = _PAGE_SIZE_MAX) -> int:
    """Give how many rows a page has: what is beyond the most is the most (AIP-158)."""
    if asked < 0:
        raise invalid("page_size", "must not be negative")
    return min(asked or default, at_most)


def uuid_of(name: str, text: str) -> uuid.UUID:
    found = read_uuid(text)
    if found is None:
        raise invalid(name, "must be a UUID")
    return found


def uuid_if_given(name: str, text: str) -> uuid.UUID | None:
    return uuid_of(name, text) if text else None


def read_uuid(text: str) -> uuid.UUID | None:
    try:
        return uuid.UUID(text)
    except ValueError:
        return None


def invalid(name: str, reason: str) -> errors.InvalidArgument:
    return errors.InvalidArgument("the request is not right", fields=(FieldFault(name, reason),))
