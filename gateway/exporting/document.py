"""What every export is told, and how it leaves: as bytes in chunks, whatever the format."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, Final, Literal, NamedTuple, TypeAlias
from zoneinfo import ZoneInfo

import msgspec

# An object of the API, as a struct or as the dictionary of its JSON; documents in it may be msgspec.Raw.
Shown: TypeAlias = Mapping[str, Any] | msgspec.Struct
Language: TypeAlias = Literal["pt-BR", "en"]
Separator: TypeAlias = Literal[",", ";"]

# A chunk is a write on a socket and a turn of the worker: large enough for neither to count.
CHUNK_BYTES: Final = 64 * 1024


class Header(NamedTuple):
    """What an export says of itself before its messages. `lead` is as the API shows it."""

    lead: Shown
    exported_at: datetime
    statements: Sequence[str]
    """What is known to be complete and what is not, in the words of the reader's language."""


class Options(NamedTuple):
    language: Language
    time_zone: ZoneInfo
    """Of the dates and times that people read."""
    with_bom: bool = False
    """Only of csv: without the mark, Excel takes UTF-8 for the code page of its country."""
    separator: Separator = ","
    """Only of csv: spreadsheets set to Portuguese expect ";". RFC 4180 knows only the comma."""


Write: TypeAlias = Callable[[Header, Iterable[Shown], Options], Iterator[bytes]]


class Format(NamedTuple):
    media_type: str
    extension: str
    """Of the file's name, without a dot."""
    write: Write
    """Reads messages as the API shows them, oldest first, as it goes: nothing is held but the chunk."""


def in_chunks(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Join small pieces into chunks that exceed CHUNK_BYTES by less than the last piece."""
    held: list[bytes] = []
    held_bytes = 0
    for piece in pieces:
        held.append(piece)
        held_bytes += len(piece)
        if held_bytes >= CHUNK_BYTES:
            yield b"".join(held)
            held.clear()
            held_bytes = 0
    if held_bytes:
        yield b"".join(held)


def encoded(pieces: Iterable[str]) -> Iterator[bytes]:
    """Write text in UTF-8; half a surrogate pair, which has no bytes, becomes a question mark."""
    for piece in pieces:
        yield piece.encode("utf-8", "replace")
