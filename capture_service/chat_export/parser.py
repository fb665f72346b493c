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
- A name may contain ": ", and so may a message. See `_Authors`.
- Android writes `null` for what it cannot export; whoever types "null" is read as having sent nothing.
- Two people of the same name are one participant.
- iOS marks its own words with U+200E, the notices and what stands for a picture alike. In a language
  whose words are not listed here, that a picture was sent is read as a notice.
"""

import re
import unicodedata
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from typing import Final, Literal, NamedTuple, TypeAlias
from zoneinfo import ZoneInfo

import msgspec

DateOrder: TypeAlias = Literal["dmy", "mdy", "ymd"]
Platform: TypeAlias = Literal["android", "ios"]
Kind: TypeAlias = Literal["text", "media", "deleted", "system", "empty"]
MediaKind: TypeAlias = Literal["image", "video", "audio", "sticker", "document", "contact", "gif"]

# The subject of a group may have 100 characters; what stands before a ": " further on is no name.
AUTHOR_CHARS_MAX: Final = 128
_AUTHOR_ENDS_MAX: Final = 4
# WhatsApp exports the latest 40,000 messages, without media; what is put together from several such
# files is still read.
LINES_MAX: Final = 500_000

_YEAR_MIN: Final = 1970
_YEAR_MAX: Final = 2099
_DAY: Final = timedelta(days=1)

_LRM: Final = "\u200e"
_MARKS: Final = "\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff"
_EDGES: Final = (
    " \t\r\n\x0b\x0c\xa0\u202f\u200b\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\ufeff"
)
# WhatsApp sets these in pairs around mentions and telephone numbers. With one half trimmed off, the
# other would turn the text after it.
_PAIRED_MARK: Final = re.compile("[\u202a-\u202e\u2066-\u2069]")
_ANY_MARK: Final = re.compile(f"[{_MARKS}]")
_QUOTE: Final = re.compile('["\u201c\u201d\u201e\u00ab\u00bb]')

# \d and int() know the digits of every script, \s every space, U+202F and U+00A0 among them.
_HEADER: Final = re.compile(
    rf"[{_MARKS}]*(\[)?"
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

_ENCRYPTION_NOTICES: Final = {
    "en": ("end-to-end encrypt",),
    "pt": ("de ponta a ponta", "encriptadas ponto a ponto", "encriptação ponto a ponto"),
    "es": ("de extremo a extremo",),
    "de": ("ende-zu-ende-verschlüssel",),
    "fr": ("de bout en bout",),
    "it": ("crittografati end-to-end", "crittografia end-to-end"),
}
# In the notice that somebody's security code changed, the name of that person may hold the ": ".
_NOTICE_WORDS: Final = (
    "security code",
    "código de segurança",
    "código de seguridad",
    "sicherheitsnummer",
    "code de sécurité",
    "codice di sicurezza",
)

# Everything below in lower case, without marks, angle brackets and final stop: see `_token`.
# Android does not say what it left out, and always writes <>.
_OMITTED_UNSAID: Final = frozenset(
    (
        "media omitted",
        "mídia oculta",
        "mídia omitida",
        "arquivo de mídia oculto",
        "ficheiro não revelado",
        "multimédia omitido",
        "multimedia omitido",
        "archivo omitido",
        "medien ausgeschlossen",
        "medien weggelassen",
        "médias omis",
        "fichier omis",
        "media omessi",
        "media omesso",
    )
)
_OMITTED: Final[dict[str, MediaKind]] = {
    **dict.fromkeys(
        (
            "image omitted",
            "imagem ocultada",
            "imagem omitida",
            "imagem não revelada",
            "imagen omitida",
            "bild weggelassen",
            "image absente",
            "immagine omessa",
        ),
        "image",
    ),
    **dict.fromkeys(
        (
            "video omitted",
            "video note omitted",
            "vídeo omitido",
            "vídeo ocultado",
            "vídeo não revelado",
            "video omitido",
            "video weggelassen",
            "videonachricht weggelassen",
            "vidéo absente",
            "video omesso",
        ),
        "video",
    ),
    **dict.fromkeys(
        (
            "audio omitted",
            "view once voice message omitted",
            "áudio ocultado",
            "áudio omitido",
            "ficheiro de áudio não revelado",
            "audio omitido",
            "audio weggelassen",
            "audio omis",
            "audio omesso",
        ),
        "audio",
    ),
    **dict.fromkeys(
        (
            "sticker omitted",
            "figurinha omitida",
            "sticker omitido",
            "sticker não revelado",
            "sticker weggelassen",
            "sticker omis",
            "sticker non incluso",
        ),
        "sticker",
    ),
    **dict.fromkeys(
        (
            "gif omitted",
            "gif omitido",
            "gif não revelada",
            "gif weggelassen",
            "gif retiré",
            "gif esclusa",
        ),
        "gif",
    ),
    **dict.fromkeys(
        (
            "document omitted",
            "documento omitido",
            "documento ocultado",
            "documento não revelado",
            "dokument weggelassen",
            "document manquant",
            "documento omesso",
        ),
        "document",
    ),
    **dict.fromkeys(
        (
            "contact card omitted",
            "cartão do contato omitido",
            "contacto não revelado",
            "tarjeta de contacto omitida",
            "kontaktkarte ausgelassen",
            "fiche contact manquante",
            "scheda contatto omessa",
        ),
        "contact",
    ),
}
_DELETED: Final = frozenset(
    (
        "this message was deleted",
        "you deleted this message",
        "you deleted this message as admin",
        "mensagem apagada",
        "esta mensagem foi apagada",
        "essa mensagem foi apagada",
        "você apagou esta mensagem",
        "você apagou essa mensagem",
        "apagou esta mensagem",
        "esta mensagem foi eliminada",
        "eliminou esta mensagem",
        "se eliminó este mensaje",
        "este mensaje fue eliminado",
        "eliminaste este mensaje",
        "diese nachricht wurde gelöscht",
        "du hast diese nachricht gelöscht",
        "ce message a été supprimé",
        "vous avez supprimé ce message",
        "questo messaggio è stato eliminato",
        "hai eliminato questo messaggio",
    )
)
_DELETED_BY_ADMIN: Final = re.compile(
    r"this message was deleted by (?:an )?admin\b.*"
    r"|un admin\., .+, eliminó este mensaje"
    r"|diese nachricht wurde von admin .+ gelöscht"
)
_EDITED: Final = frozenset(
    (
        "this message was edited",
        "mensagem editada",
        "esta mensagem foi editada",
        "se editó este mensaje",
        "mensaje editado",
        "diese nachricht wurde bearbeitet",
        "ce message a été modifié",
        "questo messaggio è stato modificato",
    )
)
# There was a message, and the phone that exported could not show it either.
_UNAVAILABLE: Final = frozenset(
    (
        "you received a view once message. for added privacy, you can only open it on your phone",
        "you sent a view once message. for added privacy, you can only open it on your phone",
        "waiting for this message. this may take a while",
        "this message can't be displayed here. please open whatsapp on your phone to view the message",
        "aguardando mensagem. essa ação pode levar alguns instantes",
        "no se puede mostrar este mensaje aquí. para verlo, abre whatsapp en tu teléfono",
        "in attesa del messaggio",
    )
)
_TOKEN_CHARS_MAX: Final = 160

# Longer than any file system allows a name to be, with the number of pages that may follow it.
_ATTACHMENT_CHARS_MAX: Final = 320
_ATTACHED_WORDS: Final = (
    "file attached|arquivo anexado|ficheiro anexado|archivo adjunto|datei angehängt|fichier joint"
    "|file allegato"
)
_TAG_WORDS: Final = "attached|anexado|anexo|adjunto|anhang|pièce jointe|allegato"
# "IMG-20261005-WA0012.jpg (arquivo anexado)", "Contrato.pdf • 3 páginas (arquivo anexado)", and of old
# iOS "00000012-PHOTO.jpg <attached>". WhatsApp's own file names are known in every language.
_ATTACHED: Final = re.compile(
    r"([^/\\<>\u2022]+?)(?: \u2022 [^/\\<>\u2022]+)? "
    rf"(?:\((?:{_ATTACHED_WORDS})\)|<(?:{_TAG_WORDS})>)"
    r"|((?:IMG|VID|AUD|PTT|STK|DOC)-\d{8}-WA\d{4,6}\.\w{2,5}) \([^()]{3,60}\)",
    re.IGNORECASE,
)
_ATTACHED_TAG: Final = re.compile(
    rf"<(?:(?:{_TAG_WORDS})\s?: ?([^<>\n/\\]+)|[^<>\n:]{{2,24}}: ?(\d{{8}}-[^<>\n/\\]+))>", re.IGNORECASE
)
# "Localização: https://…", "POLL:", which iOS marks as it does its notices.
_LABELLED: Final = re.compile(r"[^:\n]{3,32}:(?:\s?https?://|\s*(?:\n|$))")

_KINDS_BY_EXTENSION: Final[dict[str, MediaKind]] = {
    **dict.fromkeys(("jpg", "jpeg", "png", "heic", "heif", "bmp", "tif", "tiff"), "image"),
    **dict.fromkeys(("mp4", "mov", "3gp", "mkv", "avi", "webm", "m4v"), "video"),
    **dict.fromkeys(("opus", "ogg", "oga", "m4a", "mp3", "aac", "amr", "wav", "flac"), "audio"),
    "webp": "sticker",
    "gif": "gif",
    "vcf": "contact",
}
# A GIF is an .mp4 and a picture may be a .webp; iOS says in the name which it is, and Android, but for
# GIFs, too.
_KINDS_BY_NAME: Final[dict[str, MediaKind]] = {
    "img": "image",
    "photo": "image",
    "vid": "video",
    "video": "video",
    "aud": "audio",
    "ptt": "audio",
    "audio": "audio",
    "stk": "sticker",
    "sticker": "sticker",
    "gif": "gif",
    "doc": "document",
}
_NAMED_BY_WHATSAPP: Final = re.compile(r"(?:\d{8}-([a-z]+)-\d|([a-z]{3})-\d{8}-wa\d)")


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
    """The name of the file in the archive, when the chat was exported with its media."""
    media_kind: MediaKind | None = None
    """None also on media of which the file does not say what they were."""
    is_edited: bool = False


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


def parse(text: str, *, zone: ZoneInfo, date_order: DateOrder | None = None) -> Chat:
    """Read an exported chat, of Android or iOS, in pt, en, es, de, fr or it.

    Dates, times and names are read in any language; what WhatsApp says instead of a message is known
    in those six. Where nothing in the file tells day from month, `date_order` does; an order under
    which more of the dates do not exist than under another is not followed.

    The phone wrote its local time. In `zone`, a time that a change of the clocks skipped is read as if
    they had not changed yet, and of a time that came twice the first is meant.

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
    authors = _Authors([header.rest for header in headers])
    starts = [
        _Start(
            header.line,
            datetime(day.year, day.month, day.day, *header.time, tzinfo=zone).astimezone(UTC),
            *authors.split(header.rest),
        )
        for header in headers
        if (day := days[header.date])
    ]
    if not starts:
        raise NotAChat(f"none of its dates exists between {_YEAR_MIN} and {_YEAR_MAX}")
    starts = _without_pasted(starts)
    found: list[Line] = []
    for start, end in zip(starts, [later.line for later in starts[1:]] + [len(lines)], strict=True):
        body = "\n".join((start.words, *lines[start.line + 1 : end])).replace("\r\n", "\n")
        content = _content(body, platform=platform) if start.author is not None else _notice(body)
        if platform == "ios" and not found and _is_encryption_notice(content.text):
            content = _notice(body)
        found.append(
            Line(
                number=start.line + 1,
                at=start.at,
                has_seconds=shape.has_seconds,
                author=None if content.kind == "system" else start.author,
                text=content.text,
                kind=content.kind,
                media_name=content.media_name,
                media_kind=content.media_kind,
                is_edited=content.is_edited,
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
    first = next((line for line in text.split("\n") if line.strip(_EDGES)), "")
    return _header(0, first) is not None


def _headers(lines: Sequence[str]) -> tuple[_Shape, list[_Header]]:
    shape: _Shape | None = None
    headers: list[_Header] = []
    for index, line in enumerate(lines):
        found = _header(index, line)
        if found is None:
            if shape is None and line.strip(_EDGES):
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
        for language, notices in _ENCRYPTION_NOTICES.items()
        for notice in notices
        if language != "en"
    )


class _Authors:
    """Who said it, where names and messages may both contain ": ".

    A line with a single ": " leaves no doubt, and a name known from such a line is preferred. Of a
    beginning that no such line bears out, the longest name that all of its lines share is the author,
    if there are at least two. Whoever wrote just two messages, both of them "Order: …", gets a wrong
    name by that; whoever is saved as "Ana: Loja" gets the right one.
    """

    def __init__(self, rests: Sequence[str]) -> None:
        self._names: dict[str, str] = {}
        self._certain: Counter[str] = Counter()
        self._doubtful: Counter[str] = Counter()
        for rest in rests:
            names = [self._name(rest[:end]) for end in _author_ends(rest)]
            if len(names) == 1:
                self._certain[names[0]] += 1
            else:
                self._doubtful.update(names)

    def split(self, rest: str) -> tuple[str | None, str]:
        """Give the author, None on a notice, and the words."""
        for end in self._preferred(rest):
            name = self._name(rest[:end])
            if self._is_name(name):
                words = rest[end + 1 :]
                return name, "" if words == "." else words
        return None, rest

    def _preferred(self, rest: str) -> list[int]:
        ends = _author_ends(rest)
        if len(ends) < 2:
            return ends
        shortest = self._name(rest[: ends[0]])
        lines = self._doubtful[shortest]
        if shortest in self._certain or lines < 2:
            return ends[:1]
        return [end for end in reversed(ends) if self._doubtful[self._name(rest[:end])] == lines][:1]

    def _is_name(self, name: str) -> bool:
        if not name:
            return False
        # 'Ana changed the subject to "Sale: today"' is a notice; whoever is saved as 'João "Zé"' says
        # more than one thing.
        if _QUOTE.search(name) and self._certain[name] + self._doubtful[name] < 2:
            return False
        lowered = name.casefold()
        return not any(words in lowered for words in _NOTICE_WORDS)

    def _name(self, raw: str) -> str:
        name = self._names.get(raw)
        if name is None:
            name = self._names[raw] = " ".join(_ANY_MARK.sub("", raw).split())
        return name


def _author_ends(rest: str) -> list[int]:
    """List the places of the colons at which a name may end, nearest first."""
    ends: list[int] = []
    begins = 0
    while len(ends) < _AUTHOR_ENDS_MAX and (end := rest.find(": ", begins, AUTHOR_CHARS_MAX)) > 0:
        # What follows a name's ": " is a name's still only if it could be: no tag, no quote, nothing of
        # iOS's own words, which begin with a mark, and no label of an address.
        if ends and (
            rest[begins] == _LRM
            or "<" in rest[begins:end]
            or _QUOTE.search(rest, begins, end)
            or rest.startswith("http", end + 2)
        ):
            return ends
        ends.append(end)
        begins = end + 2
    # A message without a word: "Ana:", and "Ana:." in the samples of chat-miner.
    length = len(rest.removesuffix(".")) - 1
    if (
        0 < length < AUTHOR_CHARS_MAX
        and rest[length] == ":"
        and length >= begins
        and _LRM not in rest[begins:]
    ):
        ends.append(length)
    return ends


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


class _Content(NamedTuple):
    kind: Kind
    text: str
    media_name: str | None = None
    media_kind: MediaKind | None = None
    is_edited: bool = False


def _notice(body: str) -> _Content:
    return _Content("system", _cleaned(body))


def _is_encryption_notice(text: str) -> bool:
    lowered = text.casefold()
    return any(notice in lowered for notices in _ENCRYPTION_NOTICES.values() for notice in notices)


def _content(body: str, *, platform: Platform) -> _Content:
    text, is_edited = _without_edited(_cleaned(body))
    if not text:
        return _Content("empty", "", is_edited=is_edited)
    return (
        _attached(text, is_edited=is_edited)
        or _said_instead(text, platform=platform, is_edited=is_edited)
        or _own_words(body, text, platform=platform)
        or _Content("text", text, is_edited=is_edited)
    )


def _said_instead(text: str, *, platform: Platform, is_edited: bool) -> _Content | None:
    """Read what WhatsApp writes where it leaves something out."""
    first, _, caption = text.partition("\n")
    token = _token(first)
    if token in _OMITTED or (token in _OMITTED_UNSAID and first.startswith("<")):
        return _Content("media", caption.strip(_EDGES), None, _OMITTED.get(token), is_edited)
    # iOS puts the caption first and its own words behind a mark: "contrato.pdf • 3 páginas documento omitido"
    said, _, own = text.rpartition(_LRM)
    if said and (token_of_own := _token(own)) in _OMITTED:
        return _Content(
            "media", said.replace(_LRM, "").strip(_EDGES), None, _OMITTED[token_of_own], is_edited
        )
    if caption:
        return None
    if token in _DELETED or _DELETED_BY_ADMIN.fullmatch(token):
        return _Content("deleted", "")
    if token in _UNAVAILABLE or (platform == "android" and text == "null"):
        return _Content("empty", "")
    return None


def _attached(text: str, *, is_edited: bool) -> _Content | None:
    """Read a file's name: Android writes it on the first line, iOS in a tag before or behind the caption."""
    first, _, caption = text.partition("\n")
    if first.endswith((")", ">")) and len(first) <= _ATTACHMENT_CHARS_MAX:
        match = _ATTACHED.fullmatch(_ANY_MARK.sub("", first))
        if match and "." in (name := match[1] or match[2]).strip("."):
            return _Content("media", caption.strip(_EDGES), name, _media_kind(name), is_edited)
    tag = _ATTACHED_TAG.match(text) or _ATTACHED_TAG.fullmatch(text, max(0, text.rfind("<")))
    if tag is None:
        return None
    name = (tag[1] or tag[2]).strip(_EDGES)
    # "contrato.pdf • 3 páginas" before the tag is what the sender's file was called.
    caption = (text[: tag.start()] + text[tag.end() :]).replace(_LRM, "").strip(_EDGES)
    return _Content("media", caption, name, _media_kind(name), is_edited)


def _own_words(body: str, text: str, *, platform: Platform) -> _Content | None:
    """Tell the notices of iOS, which it attributes to the group or the contact, by the mark before them."""
    if platform != "ios" or not body.lstrip().startswith(_LRM) or _LABELLED.match(text):
        return None
    return _Content("system", text)


def _media_kind(name: str) -> MediaKind:
    lowered = name.casefold()
    own = _NAMED_BY_WHATSAPP.match(lowered)
    if own and (kind := _KINDS_BY_NAME.get(own[1] or own[2])):
        return kind
    return _KINDS_BY_EXTENSION.get(lowered.rpartition(".")[2], "document")


def _cleaned(text: str) -> str:
    return _PAIRED_MARK.sub("", text).strip(_EDGES)


def _without_edited(text: str) -> tuple[str, bool]:
    if not text.endswith(">"):
        return text, False
    start = text.rfind("<", max(0, len(text) - _TOKEN_CHARS_MAX))
    if start < 0 or _token(text[start:]) not in _EDITED:
        return text, False
    return text[:start].strip(_EDGES), True


def _token(words: str) -> str:
    """Give the words as the tables above have them; "" for what is too long to be in one."""
    if len(words) > _TOKEN_CHARS_MAX:
        return ""
    return unicodedata.normalize("NFC", words.strip(_EDGES + "<>.").casefold())
