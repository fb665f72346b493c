"""Pages of messages: the next of what is wanted, the one around a message, and how many there are in all."""

import uuid
from typing import Final, NamedTuple

from history_service import store
from plumbing import errors, postgres

# Of messages that words are in, no more are looked at; beyond, going through the newest is quicker.
MATCHES_MAX: Final = 5_000
# Where they are known to be in more, the next so many messages are looked through first.
_LOOKED_THROUGH: Final = 2_000
# A page with more text ends before its limit: an answer has 40 MiB, and a letter up to four bytes.
_PAGE_CHARS_MAX: Final = 4_000_000


class Part(NamedTuple):
    """A page."""

    rows: list[store.MessageRow]
    has_more: bool
    has_before: bool = False
    matched: int | None = None
    """How many there are from this page on, when they were counted; beyond MATCHES_MAX just more."""


def page(
    conn: postgres.Transaction,
    wanted: store.MessageFilter,
    *,
    is_descending: bool,
    after: store.Place | None,
    count: int,
    known: int | None = None,
) -> Part:
    """Give the next page of what is wanted; `known` is how many there are, where an earlier page said."""
    if wanted.words is None:
        rows = store.list_messages(
            conn, wanted, is_descending=is_descending, after=after, count_max=count + 1
        )
        return _cut(rows, count)
    if not wanted.words:
        return Part([], has_more=False, matched=0)
    found = None
    if known is None or known <= MATCHES_MAX:
        found = _matches(conn, wanted, is_descending=is_descending, after=after, count_max=count + 1)
    if found is None or found.found > MATCHES_MAX:
        # What is in very many messages is most likely in the next ones,
        until = store.place_ahead(
            conn, wanted, is_descending=is_descending, after=after, count=_LOOKED_THROUGH
        )
        rows = store.list_messages(
            conn, wanted, is_descending=is_descending, after=after, until=until, count_max=count + 1
        )
        matched = found.found if found else None
        if until is None or len(rows) > count:
            return _cut(rows, count, matched)
        # and where it is not, all of them are gathered.
        everything = store.list_matches(
            conn, wanted, is_descending=is_descending, after=after, count_max=count + 1
        )
        found = store.Matches(everything.places, matched or everything.found)
    rows = store.find_messages(
        conn, tenant_id=wanted.tenant_id, ids=[id for _, id in found.places[: count + 1]]
    )
    if is_descending:
        rows.reverse()
    return _cut(rows, count, found.found)


def _cut(rows: list[store.MessageRow], count: int, matched: int | None = None) -> Part:
    """Make a page of the first rows: so many, or those that fit into an answer."""
    size = 0
    for place, row in enumerate(rows[:count]):
        size += len(row.body or "") + len(row.content or "")
        if place and size > _PAGE_CHARS_MAX:
            return Part(rows[:place], has_more=True, matched=matched)
    return Part(rows[:count], has_more=len(rows) > count, matched=matched)


def _matches(
    conn: postgres.Transaction,
    wanted: store.MessageFilter,
    *,
    is_descending: bool = False,
    after: store.Place | None = None,
    count_max: int = 1,
) -> store.Matches:
    """Find messages with the wanted words: no more than one beyond MATCHES_MAX."""
    # Words as they were typed are found in half the time of all that begin so. Where they alone are in
    # too many messages, nothing else needs to be known.
    found = store.Matches([], 0)
    for sought in dict.fromkeys((wanted.words_as_typed, wanted.words)):
        found = store.list_matches(
            conn,
            store.replaced(wanted, words=sought),
            is_descending=is_descending,
            after=after,
            count_max=count_max,
            bound=MATCHES_MAX + 1,
        )
        if found.found > MATCHES_MAX:
            break
    return found


def around(
    conn: postgres.Transaction,
    wanted: store.MessageFilter,
    message_id: uuid.UUID,
    *,
    is_descending: bool,
    count: int,
) -> Part:
    """Give the page that holds a message about in its middle. Raises NotFound."""
    place = None if wanted.words == "" else store.find_place(conn, wanted, message_id)
    if place is None:
        raise errors.NotFound("no such message in this conversation")
    before = page(conn, wanted, is_descending=not is_descending, after=place, count=(count - 1) // 2)
    rest = page(conn, wanted, is_descending=is_descending, after=place, count=count - 1 - len(before.rows))
    rows = store.find_messages(conn, tenant_id=wanted.tenant_id, ids=[message_id])
    return Part(
        [*reversed(before.rows), *rows, *rest.rows], has_more=rest.has_more, has_before=before.has_more
    )


def total(conn: postgres.Transaction, wanted: store.MessageFilter, part: Part, *, is_first: bool) -> int:
    """Count what is wanted; of words no more than MATCHES_MAX, and one to say that there are more."""
    if wanted.words is None:
        return store.count_messages(conn, wanted)
    if is_first and part.matched is not None:
        return part.matched
    if not wanted.words:
        return 0
    return _matches(conn, wanted).found
