"""By what a line of an exported chat and a message are held to be one, from the surest to the vaguest.

Both have been said in one minute by one side: this is about what else they have in common. A sign
(`\\0…`) begins with what no text has.
"""

import re
import unicodedata
import uuid
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from typing import Final, NamedTuple

import msgspec

from capture_service.chat_export import authors
from capture_service.chat_export.parser import Line

DELETED: Final = "\0deleted"
MEDIA: Final = "\0media"
_EMPTY: Final = "\0empty"
_PLACE: Final = "\0place"
_FILE: Final = "\0file "
_LABELLED: Final = "\0labelled "
_UNLABELLED: Final = "\0unlabelled "

TYPES: Final[Mapping[str, str]] = {
    "image": "image",
    "video": "video",
    "gif": "video",
    "audio": "audio",
    "sticker": "sticker",
    "document": "document",
    "contact": "contacts",
}
"""What the API calls the kinds of media of an exported chat."""

# How a chat export writes a location, after a word for it or the name of the place.
_LINK: Final = re.compile(r"https?://(?:maps\.google\.com/\?q=|(?:\w+\.)?foursquare\.com/v/)\S+$")
_INVISIBLE: Final = re.compile("[\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff]")
# iOS numbers the files of an archive.
_NUMBER: Final = re.compile(r"^\d{8}-")


class Known(msgspec.Struct, frozen=True, kw_only=True):
    """A message that is there already."""

    id: uuid.UUID
    wamid: str
    is_export: bool
    """Nothing but an exported chat has brought it."""
    sent_at: datetime
    direction: int
    type: str
    content_rank: int
    texts: list[str]
    """All words that it ever had; the sign of a kind and the name of a file are none."""
    file_name: str
    senders: list[str]
    """Who of a group said it, by name and by number, as `authors.key` has them."""
    is_media: bool
    is_wordless: bool
    """Neither a text nor a file: an exported chat may have nothing in its place."""
    is_revoked: bool
    is_hollow: bool
    """Nothing is known of what it says, or only what an exported chat said it might be."""
    is_expected: bool
    """A line must stand for it: it is no notice, has been sent, and at this time."""


class Said(NamedTuple):
    """A line that somebody said, and the message that it makes if it is none that is known."""

    line: Line
    name: str
    """Its text as it is compared; a sign where it has none."""
    id: uuid.UUID
    wamid: str
    minute: int
    """Since 1970."""
    direction: int


class Likeness(NamedTuple):
    """One thing in common: a line and a message of which any of these are equal."""

    of_line: Callable[[Said], Iterator[str]]
    of_message: Callable[[Known], Iterator[str]]


def normalised(text: str) -> str:
    """Give a text as it is compared: one form of each letter, no invisible marks, single spaces."""
    plain = text if text.isascii() else _INVISIBLE.sub("", unicodedata.normalize("NFKC", text))
    return " ".join(plain.split())


def _who_and_words(said: Said) -> Iterator[str]:
    # Of whom the phone has not saved, WhatsApp shows the name that they gave themselves behind a tilde.
    yield f"{authors.key(said.line.author or '').removeprefix('~ ')}\n{said.name}"


def _who_and_words_of(message: Known) -> Iterator[str]:
    return (f"{sender}\n{text}" for text in _words_of(message) for sender in message.senders)


def _caption_or_text(said: Said) -> Iterator[str]:
    yield MEDIA + said.name if said.line.kind == "media" else said.name
    if said.line.written:
        # What is read as WhatsApp's own words, somebody may have typed.
        yield normalised(said.line.written)


def _caption_or_text_of(message: Known) -> Iterator[str]:
    for text in _words_of(message):
        yield MEDIA + text if message.is_media else text


def _words(said: Said) -> Iterator[str]:
    yield said.name


def _words_of(message: Known) -> Iterator[str]:
    return filter(None, map(normalised, message.texts))


def _sign(said: Said) -> Iterator[str]:
    """Give what is said without words of one's own, beyond doubt as to which."""
    line = said.line
    if line.kind == "deleted":
        yield DELETED
    elif line.kind == "media" and line.media_name and not line.text:
        yield _file(line.title.partition(" \u2022 ")[0] or line.media_name)
    elif line.kind == "text" and (link := _link(said.name)):
        yield link


def _sign_of(message: Known) -> Iterator[str]:
    if message.is_revoked:
        yield DELETED
    if message.file_name:
        yield _file(message.file_name)
    yield from filter(None, map(_link, _words_of(message)))


def _file(name: str) -> str:
    return _FILE + _NUMBER.sub("", normalised(name)).casefold()


def _link(text: str) -> str:
    found = _LINK.search(text)
    return _PLACE + found[0] if found else ""


def _place(said: Said) -> Iterator[str]:
    if said.line.kind == "text" and _link(said.name):
        yield _PLACE


def _place_of(message: Known) -> Iterator[str]:
    if message.type == "location":
        yield _PLACE


def _kind(said: Said) -> Iterator[str]:
    if said.line.kind == "media" and not said.line.text:
        yield TYPES.get(said.line.media_kind or "", "")


def _kind_of_bare(message: Known) -> Iterator[str]:
    if message.is_media and not message.texts:
        yield message.type


def _media(said: Said) -> Iterator[str]:
    if said.line.kind == "media" and not said.line.text:
        yield MEDIA


def _bare(message: Known) -> Iterator[str]:
    if message.is_media and not message.texts:
        yield MEDIA


def _any_media(message: Known) -> Iterator[str]:
    if message.is_media:
        yield MEDIA


def _empty(said: Said) -> Iterator[str]:
    if said.line.kind == "empty":
        yield _EMPTY


def _wordless(message: Known) -> Iterator[str]:
    if message.is_wordless:
        yield _EMPTY


def _label(said: Said) -> Iterator[str]:
    """Give the words with and without what may belong to the name of whoever said them."""
    if said.line.kind == "text":
        yield _UNLABELLED + said.name
        if unlabelled := said.name.partition(": ")[2]:
            yield _LABELLED + unlabelled


def _label_of(message: Known) -> Iterator[str]:
    for text in _words_of(message):
        yield _LABELLED + text
        if unlabelled := text.partition(": ")[2]:
            yield _UNLABELLED + unlabelled


def _id(one: Said | Known) -> Iterator[str]:
    yield str(one.id)


SAME_LINE: Final = Likeness(_id, _id)
"""An earlier import has made the message of the very same line."""
SURE: Final = (
    Likeness(_who_and_words, _who_and_words_of),
    Likeness(_caption_or_text, _caption_or_text_of),
    Likeness(_sign, _sign_of),
)
VAGUE: Final = (
    Likeness(_place, _place_of),
    Likeness(_kind, _kind_of_bare),
    Likeness(_media, _bare),
    # A file may be exported without the words that came with it.
    Likeness(_media, _any_media),
    Likeness(_empty, _wordless),
)
DOUBTFUL: Final = (Likeness(_words, _words_of), Likeness(_label, _label_of))
"""The same words, of a file or of none, or with what may belong to a name."""
