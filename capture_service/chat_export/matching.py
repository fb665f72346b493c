"""Which lines of an exported chat are not there yet, and what message each of them makes.

A file has no ids. A line is held to be a message that is known when minute, direction and text are
equal; of lines that are equal among themselves, as many are known as there are such messages.
"""

import hashlib
import re
import unicodedata
import uuid
from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Final, NamedTuple

import msgspec

from capture_service import fold, kinds
from capture_service.chat_export.parser import Chat, Line
from protos import ids

# Of two files of one chat, both name a message the same only if its key does not depend on the file.
WAMID_PREFIX: Final = "export."
_MEDIA: Final = "\0media"
_DELETED: Final = "\0deleted"
_PLACE: Final = "\0place"
_WORDLESS: Final = "\0wordless"
# How a chat export writes a location, after a word for it or the name of the place.
_PLACE_LINK: Final = re.compile(r"https?://(?:maps\.google\.com/\?q=|(?:\w+\.)?foursquare\.com/v/)\S+$")
_SPACE: Final = re.compile(r"\s+")
_INVISIBLE: Final = re.compile("[\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff]")
_KINDS: Final[Mapping[str, str]] = {
    "image": "image",
    "video": "video",
    "gif": "video",
    "audio": "audio",
    "sticker": "sticker",
    "document": "document",
    "contact": "contacts",
}


class Key(NamedTuple):
    """What tells a line from others, and a message from others: minutes since 1970, direction, text."""

    minute: int
    direction: int
    text: str


class Known(msgspec.Struct, frozen=True):
    """A message that is there already; `texts` are all that it ever said."""

    id: uuid.UUID
    wamid: str
    is_export: bool
    """Nothing but an exported chat has brought it."""
    sent_at: datetime
    direction: int
    texts: list[str]
    is_media: bool
    is_place: bool
    is_wordless: bool
    """Neither a text nor a file: an exported chat may have nothing in its place."""
    is_revoked: bool


class Plan(msgspec.Struct):
    """What importing a chat does."""

    messages: list[fold.Message]
    """Those to add, in the order of the file."""
    doubled: set[uuid.UUID]
    """Ids that lines would have which are known by other routes: where an export brought them first, they
    are there twice."""
    changed: list[fold.Message]
    """What lines say of messages of an earlier export: deleted or edited on the phone since."""
    matched: int
    notices: int
    """Lines that nobody said: they are not imported."""
    deleted: int
    edited: int
    first_at: datetime | None
    last_at: datetime | None


class Place(msgspec.Struct, frozen=True):
    """Where the messages belong."""

    tenant_id: int
    instance_id: int
    instance_public_id: uuid.UUID
    lead_id: uuid.UUID
    batch_id: uuid.UUID
    is_group: bool


def known_keys(messages: Iterable[Known]) -> list[set[Key]]:
    """Give for every known message the keys under which a line may stand for it."""
    found: list[set[Key]] = []
    for message in messages:
        texts = {normalised(text) for text in message.texts if text}
        if message.is_media:
            texts.add(_MEDIA)
        if message.is_place:
            texts.add(_PLACE)
        if message.is_wordless:
            texts.add(_WORDLESS)
        if message.is_revoked:
            texts.add(_DELETED)
        found.append({Key(_minute(message), message.direction, text) for text in texts})
    return found


def plan(chat: Chat, *, business: str, known: Iterable[Known], place: Place) -> Plan:
    """Say what the chat adds to what is known.

    The same chat, or a later export of it, names every message the same again, so that importing it
    once more adds nothing.
    """
    # What came by other routes first: a line stands for that rather than for what an export made of it.
    rows = sorted(known, key=lambda row: row.is_export)
    numbers = {row.id: number for number, row in enumerate(rows)}
    candidates: dict[Key, list[int]] = {}
    for number, keys in enumerate(known_keys(rows)):
        for key in keys:
            candidates.setdefault(key, []).append(number)
    claimed: set[int] = set()
    ordinals: Counter[Key] = Counter()
    in_minute: Counter[tuple[int, bool]] = Counter()
    result = Plan([], set(), [], 0, 0, 0, 0, None, None)
    changed: dict[tuple[int, int], list[_Changed]] = {}
    for line in chat.lines:
        if line.kind == "system" or line.author is None:
            result.notices += 1
            continue
        result.deleted += line.kind == "deleted"
        result.edited += line.is_edited
        result.first_at = min(result.first_at or line.at, line.at)
        result.last_at = max(result.last_at or line.at, line.at)
        direction = fold.OUTBOUND if line.author == business else fold.INBOUND
        key = Key(int(line.at.timestamp()) // 60, direction, _text_of(line))
        ordinals[key] += 1
        # Android writes no seconds: thousandths keep the order of the file within the minute.
        in_minute[int(line.at.timestamp()), line.has_seconds] += 1
        standing = (number for stands_for in _keys(line, key) for number in candidates.get(stands_for, ()))
        match = next((number for number in standing if number not in claimed), None)
        if match is not None:
            claimed.add(match)
            result.matched += 1
            if not rows[match].is_export:
                own = ids.message_id(place.instance_public_id, _wamid(key, ordinals[key], place))
                if own in numbers:
                    claimed.add(numbers[own])
                    result.doubled.add(own)
            continue
        offset = min(in_minute[int(line.at.timestamp()), line.has_seconds] - 1, 999)
        at = line.at + timedelta(milliseconds=offset)
        message = _message(line, key, ordinals[key], at, direction, place)
        result.messages.append(message)
        if (line.kind == "deleted" or line.is_edited) and message.id not in numbers:
            changed.setdefault((key.minute, direction), []).append(_Changed(line, message))
    left = [row for number, row in enumerate(rows) if row.is_export and number not in claimed]
    for (minute, direction), lines in changed.items():
        of_minute = [row for row in left if (_minute(row), row.direction) == (minute, direction)]
        # As many messages of an earlier export without a line as lines without a message: they are these.
        if len(of_minute) == len(lines):
            result.changed += [_mention(row, told, place) for row, told in zip(of_minute, lines, strict=True)]
            taken = {told.message.id for told in lines}
            result.messages = [message for message in result.messages if message.id not in taken]
            result.matched += len(lines)
    return result


class _Changed(NamedTuple):
    """A deleted or edited line that is no known message, and the message that it would make."""

    line: Line
    message: fold.Message


def _minute(row: Known) -> int:
    return int(row.sent_at.timestamp()) // 60


def _mention(row: Known, told: _Changed, place: Place) -> fold.Message:
    # When it was edited no export says: after all that the message has said so far.
    act: dict[str, object] = {
        "at": int(row.sent_at.timestamp()) + len(row.texts),
        "wamid": told.message.wamid,
    }
    if told.line.kind == "deleted":
        mentions: dict[str, object] = {"revokes": [act]}
    else:
        mentions = {"edits": [{**act, "type": "text", "body": told.line.text, "content": {}}]}
    return fold.Message(
        tenant_id=place.tenant_id,
        instance_id=place.instance_id,
        id=row.id,
        wamid=row.wamid,
        batch_id=place.batch_id,
        sources=fold.MENTION,
        sent_at=row.sent_at,
        direction=row.direction,
        lead_id=place.lead_id,
        mentions=fold.document(mentions),
    )


def normalised(text: str) -> str:
    """Give a text as it is compared: one form of each letter, no invisible marks, single spaces."""
    plain = _INVISIBLE.sub("", unicodedata.normalize("NFKC", text))
    return _SPACE.sub(" ", plain).strip()


def _keys(line: Line, key: Key) -> list[Key]:
    """Give the keys of the messages that a line may stand for, the best first; `key` names the line."""
    if line.kind == "empty":
        return [key, key._replace(text=_WORDLESS)]
    if line.title:
        return [key, key._replace(text=_MEDIA)]
    if line.kind == "text" and _PLACE_LINK.search(key.text):
        return [key, key._replace(text=_PLACE)]
    return [key]


def _text_of(line: Line) -> str:
    match line.kind:
        case "deleted":
            return _DELETED
        case "media":
            return normalised(line.text or line.title) or _MEDIA
        case _:
            return normalised(line.text)


def _wamid(key: Key, ordinal: int, place: Place) -> str:
    """Name a line by what it says, of equal ones the so-many-th."""
    said = "\n".join((str(place.lead_id), str(key.minute), str(key.direction), key.text, str(ordinal)))
    return WAMID_PREFIX + hashlib.blake2b(said.encode(errors="replace"), digest_size=16).hexdigest()


def _message(line: Line, key: Key, ordinal: int, at: datetime, direction: int, place: Place) -> fold.Message:
    wamid = _wamid(key, ordinal, place)
    kind = "text"
    content: dict[str, object] = {}
    body: str | None = line.text
    mentions: dict[str, object] = {}
    if line.kind == "media":
        kind = _KINDS.get(line.media_kind or "", "document" if line.media_name else "media_placeholder")
        name = line.title.partition(" \u2022 ")[0] or line.media_name
        told = {"filename": name} if name else {}
        if told:
            content[kind] = told
        body = line.text or kinds.line(kind, {kind: told})
    elif line.kind == "deleted":
        kind, body = "unknown", None
        mentions["revokes"] = [{"at": int(line.at.timestamp()), "wamid": wamid}]
    elif line.kind == "empty":
        kind, body = "unknown", kinds.line("unknown", {})
    sender = None
    if place.is_group and direction == fold.INBOUND:
        sender = fold.document({"name": line.author, "number": None, "user_id": None})
    return fold.Message(
        tenant_id=place.tenant_id,
        instance_id=place.instance_id,
        id=ids.message_id(place.instance_public_id, wamid),
        wamid=wamid,
        batch_id=place.batch_id,
        sources=fold.CHAT_EXPORT,
        sent_at=at.astimezone(UTC),
        type=kind,
        body=body,
        content=fold.document(content) if content else None,
        content_rank=fold.content_rank(fold.CHAT_EXPORT, kind),
        direction=direction,
        lead_id=place.lead_id,
        sender=sender,
        party_rank=fold.PARTY_RANKS[fold.CHAT_EXPORT],
        status=fold.SENT if direction == fold.OUTBOUND else fold.PENDING,
        mentions=fold.document(mentions) if mentions else None,
    )
