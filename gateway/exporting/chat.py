"""A chat as WhatsApp itself exports it, from an Android phone."""

import re
from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Final

from gateway.exporting import message as reading
from gateway.exporting.document import Header, Language, Options, Shown, encoded, in_chunks
from gateway.exporting.message import Message
from gateway.exporting.words import WORDS, Words, clock

# WhatsApp has no longer names, and who reads the file does not look for the end of one much further on.
_NAME_CHARS_MAX: Final = 100
_FILE_NAME_CHARS_MAX: Final = 200
# No phone lets a file be called so, and a reader takes them for the end of the name.
_NOT_IN_FILE_NAMES: Final = re.compile(r"[/\\<>\u2022]")


def write(header: Header, messages: Iterable[Shown], options: Options) -> Iterator[bytes]:
    """Write "31/12/2026 14:05 - Name: text", in English "12/31/26, 2:05 PM - Name: text".

    The lines of a text follow as they are. So a text that holds such a line itself looks like two
    messages: that is the format's, which marks no ends, and what must be certain is exported as jsonl.
    The format has no replies, reactions, states and ids either, and no place for `header`.

    Of a file whose name is known the name is written, as in an export with media; of others that it was
    left out. What has no content reads as a message that did not arrive yet, as on a phone.
    """
    words = WORDS[options.language]
    return in_chunks(encoded(_line(reading.read(shown), words, options) for shown in messages))


def _line(message: Message, words: Words, options: Options) -> str:
    when = _when(reading.local(message.timestamp, options.time_zone), options.language)
    return f"{when} - {_author(message, words)}: {_text(message, words)}\n"


def _when(at: datetime, language: Language) -> str:
    if language == "en":
        return f"{at.month}/{at.day}/{at.year % 100:02}, {clock(at, language)}"
    return f"{at.day:02}/{at.month:02}/{at.year:04} {clock(at, language)}"


def _author(message: Message, words: Words) -> str:
    name = reading.name_of(message.sender) or (words.you if message.is_outbound else words.unknown)
    if len(name) > _NAME_CHARS_MAX:
        name = name[: _NAME_CHARS_MAX - 1].rstrip() + "…"
    # A colon and a space end the name; a space that does not break looks the same, and ends nothing.
    return name.replace(": ", ":\xa0")


def _text(message: Message, words: Words) -> str:
    if message.revoked_at:
        return words.deleted_own if message.is_outbound else words.deleted
    said = reading.printable(reading.words_of(message))
    if message.is_media:
        name = _attachment(message)
        first = f"{name} {words.attached}" if name else words.omitted
        said = f"{first}\n{said}" if said else first
    elif not said.strip():
        said = words.unavailable
    return f"{said} {words.edited_mark}" if message.edited_at else said


def _attachment(message: Message) -> str | None:
    """Give the file's name as a reader finds it; None when it would not, for want of an extension."""
    name = _NOT_IN_FILE_NAMES.sub("_", reading.file_name(message) or "")[-_FILE_NAME_CHARS_MAX:].strip()
    return name if "." in name.strip(".") else None
