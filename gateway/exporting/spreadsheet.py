"""A table that a spreadsheet opens: a row a message, a header row in the reader's language."""

import csv
import re
from collections.abc import Iterable, Iterator
from typing import Final

from gateway.exporting import message as reading
from gateway.exporting.document import Header, Options, Shown, encoded, in_chunks
from gateway.exporting.message import Message
from gateway.exporting.words import WORDS

_BOM: Final = b"\xef\xbb\xbf"
# Excel and others look past what is invisible before the sign, and Japanese ones read the wide signs too.
_FORMULA: Final = re.compile(
    "[\\s\u061c\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff\ufffd]*[=+\\-@＝＋－＠]|[\t\r\n]"  # noqa: RUF001
)


class _Echo:
    """What csv.writer writes on: gives back the row, which `writerow` then returns."""

    def write(self, row: str) -> str:
        return row


def write(header: Header, messages: Iterable[Shown], options: Options) -> Iterator[bytes]:
    """Write RFC 4180, in UTF-8; line breaks inside texts stay, in quotes.

    A cell that a spreadsheet would run as a formula gets an apostrophe in front: one that begins with
    = + - @, their wide forms, tab, CR or LF, also behind white space and marks that do not show. That
    goes for telephone numbers ("'+5511...") as well, which a spreadsheet would otherwise make a sum of.
    A program that reads the file takes one apostrophe off before such a sign, or reads jsonl instead.
    Source: OWASP, "CSV Injection", 2026-11.

    What this cannot help: opened under another separator than `options.separator`, the file falls apart
    at other places, and what begins there may be a formula. Spreadsheets set to Portuguese expect ";".

    Direction, type, status and source are the API's words; dates are written year first, which no
    spreadsheet takes for another day.
    """
    return in_chunks(_bytes(messages, options))


def _bytes(messages: Iterable[Shown], options: Options) -> Iterator[bytes]:
    if options.with_bom:
        yield _BOM
    yield from encoded(_rows(messages, options))


def _rows(messages: Iterable[Shown], options: Options) -> Iterator[str]:
    writer = csv.writer(_Echo(), delimiter=options.separator, lineterminator="\r\n")
    columns = WORDS[options.language].columns
    yield writer.writerow(columns.values())
    for shown in messages:
        cells = _cells(reading.read(shown), options)
        yield writer.writerow([_inert(cells[column]) for column in columns])


def _inert(value: str | None) -> str:
    text = reading.printable(value or "")
    return f"'{text}" if _FORMULA.match(text) else text


def _cells(message: Message, options: Options) -> dict[str, str | None]:
    at = reading.local(message.timestamp, options.time_zone)
    target, _ = reading.reply_target(message)
    return {
        "timestamp": message.timestamp,
        "date": at.date().isoformat(),
        "time": f"{at:%H:%M:%S}",
        "direction": message.direction,
        "from_name": message.sender.name,
        "from_number": message.sender.number,
        "type": message.type,
        "body": message.body,
        "status": message.status,
        "media_kind": message.type if message.is_media else None,
        "file_name": reading.file_name(message),
        "media_url": message.media_url,
        "reply_to": target or reading.text_at(reading.plain(message.context), "wamid"),
        "reactions": "; ".join(
            " ".join(filter(None, (reaction.emoji, reading.name_of(reaction.sender))))
            for reaction in message.reactions
        ),
        "edited_at": message.edited_at,
        "revoked_at": message.revoked_at,
        "error": reading.failure(message),
        "source": message.sync_source,
        "id": message.id,
        "wamid": message.wamid,
        "instance_id": message.instance_id,
    }
