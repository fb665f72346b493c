"""A message of the API, as the formats for people read it."""

import re
from datetime import UTC, datetime
from typing import Any, Final, cast
from zoneinfo import ZoneInfo

import msgspec

from gateway.exporting.document import Shown

OUTBOUND: Final = "OUTBOUND"
# Of these the words of a conversation are a caption, and there may be a file.
MEDIA_KINDS: Final = frozenset({"image", "video", "audio", "document", "sticker", "media_placeholder"})
VOICE_SIGN: Final = "🎤"
# What the body says of media that came without a word.
_SIGNS: Final = frozenset({"📷", "🎥", VOICE_SIGN, "🎵", "📄", "🏷️", "📎"})
# They turn the text around them, so that "gpj.exe" reads "exe.jpg".
_DIRECTION_MARKS: Final = re.compile("[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff]")
# Browsers, spreadsheets and editors each do something else with these.
_UNPRINTABLE: Final = dict.fromkeys((*range(9), 11, 12, *range(14, 32), *range(127, 160)), "\ufffd")


class Party(msgspec.Struct, frozen=True, rename="camel"):
    name: str | None = None
    number: str | None = None
    user_id: str | None = None


class Reaction(msgspec.Struct, frozen=True):
    emoji: str
    sender: Party = msgspec.field(name="from")


class Revision(msgspec.Struct, frozen=True):
    body: str | None = None
    timestamp: str | None = None


class Message(msgspec.Struct, frozen=True, rename="camel"):
    """What of a message an export for people shows; what is JSON in the API is not read yet."""

    id: str
    wamid: str
    type: str
    direction: str
    timestamp: str
    status: str
    sender: Party = msgspec.field(name="from")
    instance_id: str
    sync_source: str
    body: str | None = None
    media_url: str | None = None
    pattern: str | None = None
    reactions: tuple[Reaction, ...] = ()
    edited_at: str | None = None
    revoked_at: str | None = None
    revisions: tuple[Revision, ...] = ()
    context: Any = None
    content: Any = None
    errors: Any = None

    @property
    def is_outbound(self) -> bool:
        return self.direction == OUTBOUND

    @property
    def is_media(self) -> bool:
        return self.type in MEDIA_KINDS


def read(shown: Shown) -> Message:
    return msgspec.convert(as_dictionary(shown), Message)


def as_dictionary(shown: Shown) -> dict[str, Any]:
    """Give the object as its JSON has it, but for the documents in it, which stay unread."""
    return msgspec.to_builtins(shown, builtin_types=(msgspec.Raw,))


def plain(value: Any) -> Any:
    """Give a JSON document as Python has it; None for one that Python cannot hold.

    Such are half a surrogate pair and a number beyond all floats. They were in what Meta sent, and a
    whole export must not end at one of them.
    """
    if not isinstance(value, msgspec.Raw):
        return value
    try:
        return msgspec.json.decode(value)
    except msgspec.MsgspecError:
        return None


def text_at(holder: Any, *path: str) -> str | None:
    for key in path:
        holder = plain(cast("dict[str, Any]", holder).get(key)) if isinstance(holder, dict) else None
    return holder if isinstance(holder, str) and holder.strip() else None


def file_name(message: Message) -> str | None:
    """Give the name that the sender's file had, on one line and without marks that turn it around."""
    if not message.is_media or message.content is None:
        return None
    name = text_at(plain(message.content), message.type, "filename")
    return (one_line(name) or None) if name else None


def words_of(message: Message) -> str:
    """Give what the sender wrote; "" when it is media without a caption or there is nothing to read."""
    body = message.body or ""
    if message.is_media and (body in _SIGNS or one_line(body) == file_name(message)):
        return ""
    return body


def reply_target(message: Message) -> tuple[str | None, bool]:
    """Give the id of the message that this one answers, if known, and whether it answers any."""
    context = plain(message.context)
    target = text_at(context, "messageId")
    return target, target is not None or text_at(context, "wamid") is not None


def is_forwarded(message: Message) -> bool:
    context = plain(message.context)
    if not isinstance(context, dict):
        return False
    told = cast("dict[str, Any]", context)
    return any(plain(told.get(name)) is True for name in ("forwarded", "frequently_forwarded"))


def failure(message: Message) -> str | None:
    """Give in Meta's words, which are English, why a message failed or cannot be shown."""
    errors = plain(message.errors)
    if not isinstance(errors, list):
        return None
    reasons: list[str] = []
    for error in map(plain, cast("list[Any]", errors)):
        told = text_at(error, "error_data", "details") or text_at(error, "title") or text_at(error, "message")
        code = plain(cast("dict[str, Any]", error).get("code")) if isinstance(error, dict) else None
        number = f"({code})" if isinstance(code, int | str) else None
        if told or number:
            reasons.append(" ".join(filter(None, (told, number))))
    return "; ".join(reasons) or None


def name_of(party: Party) -> str | None:
    """Give what to call somebody, on one line; None when nothing is known of them."""
    for known in (party.name, party.number, party.user_id):
        if known and (line := one_line(known)):
            return line
    return None


def one_line(text: str) -> str:
    return printable(" ".join(_DIRECTION_MARKS.sub("", text).split()))


def printable(text: str) -> str:
    """Show a control character, but for tab and line breaks, as the sign for what cannot be shown."""
    return text.translate(_UNPRINTABLE)


def local(timestamp: str, zone: ZoneInfo) -> datetime:
    """Give the time on a clock of the zone; in UTC at the two ends of the calendar, which have none."""
    moment = datetime.fromisoformat(timestamp)
    try:
        return moment.astimezone(zone)
    except OverflowError:
        return moment.astimezone(UTC)
