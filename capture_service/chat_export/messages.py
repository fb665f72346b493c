"""What message a line of an exported chat makes, and what it adds to one that is known."""

import hashlib
import uuid
from datetime import UTC, datetime
from typing import Final

import msgspec

from capture_service import fold, kinds
from capture_service.chat_export.likeness import DELETED, MEDIA, TYPES, Known, Said, normalised
from capture_service.chat_export.parser import Line
from protos import ids

# Of two files of one chat, both name a message the same only if its key does not depend on the file.
_WAMID_PREFIX: Final = "export."


class Place(msgspec.Struct, frozen=True):
    """Where the messages belong."""

    tenant_id: int
    instance_id: int
    instance_public_id: uuid.UUID
    lead_id: uuid.UUID
    batch_id: uuid.UUID
    is_group: bool


def name_of(line: Line) -> str:
    """Give the words that name a line. The ids of all messages that were ever imported follow from it."""
    match line.kind:
        case "deleted":
            return DELETED
        case "media":
            return normalised(line.text or line.title) or MEDIA
        case _:
            return normalised(line.text)


def said(line: Line, name: str, ordinal: int, direction: int, place: Place) -> Said:
    """Give a line its id, by what it says, of equal ones in a minute the so-many-th."""
    minute = int(line.at.timestamp()) // 60
    named = "\n".join((str(place.lead_id), str(minute), str(direction), name, str(ordinal)))
    wamid = _WAMID_PREFIX + hashlib.blake2b(named.encode(errors="replace"), digest_size=16).hexdigest()
    return Said(line, name, ids.message_id(place.instance_public_id, wamid), wamid, minute, direction)


def new(said: Said, at: datetime, place: Place) -> fold.Message:
    """Give the message that a line makes, sent at `at`."""
    line = said.line
    kind = "text"
    content: dict[str, object] = {}
    body: str | None = line.text
    mentions: dict[str, object] = {}
    if line.kind == "media":
        kind = TYPES.get(line.media_kind or "", "document" if line.media_name else "media_placeholder")
        file_name = line.title.partition(" \u2022 ")[0] or line.media_name
        told = {"filename": file_name} if file_name else {}
        if told:
            content[kind] = told
        body = line.text or kinds.line(kind, {kind: told})
    elif line.kind == "deleted":
        kind, body = "unknown", None
        mentions["revokes"] = [{"at": int(line.at.timestamp()), "wamid": said.wamid}]
    elif line.kind == "empty":
        kind, body = "unknown", kinds.line("unknown", {})
    sender = None
    if place.is_group and said.direction == fold.INBOUND:
        sender = fold.document({"name": line.author, "number": None, "user_id": None})
    return fold.Message(
        tenant_id=place.tenant_id,
        instance_id=place.instance_id,
        id=said.id,
        wamid=said.wamid,
        batch_id=place.batch_id,
        sources=fold.CHAT_EXPORT,
        sent_at=at.astimezone(UTC),
        type=kind,
        body=body,
        content=fold.document(content) if content else None,
        content_rank=fold.content_rank(fold.CHAT_EXPORT, kind),
        direction=said.direction,
        lead_id=place.lead_id,
        sender=sender,
        party_rank=fold.PARTY_RANKS[fold.CHAT_EXPORT],
        status=fold.SENT if said.direction == fold.OUTBOUND else fold.PENDING,
        mentions=fold.document(mentions) if mentions else None,
    )


def filling(message: Known, said: Said, place: Place) -> fold.Message | None:
    """Give the words of a line to a message that has none; None where that is not so.

    A file without words is left a placeholder: it may turn out to be another, and be filled by that one.
    """
    if message.content_rank > fold.HOLLOW_RANK or not said.line.text:
        return None
    told = new(said, message.sent_at, place)
    # Whose it is and how far it came, the message knows better.
    return msgspec.structs.replace(
        told,
        id=message.id,
        wamid=message.wamid,
        content_rank=fold.CONTENT_RANKS[fold.CHAT_EXPORT],
        sender=None,
        party_rank=fold.NOBODY_RANK,
        status=fold.PENDING,
    )


def change(message: Known, said: Said, place: Place) -> fold.Message:
    """Give what a line that was deleted or edited does to the message that it was."""
    # When it was edited no export says: after all that the message has said so far.
    act: dict[str, object] = {
        "at": int(message.sent_at.timestamp()) + len(message.texts),
        "wamid": said.wamid,
    }
    if said.line.kind == "deleted":
        mentions: dict[str, object] = {"revokes": [act]}
    else:
        mentions = {"edits": [{**act, "type": "text", "body": said.line.text, "content": {}}]}
    return fold.Message(
        tenant_id=place.tenant_id,
        instance_id=place.instance_id,
        id=message.id,
        wamid=message.wamid,
        batch_id=place.batch_id,
        sources=fold.MENTION,
        sent_at=message.sent_at,
        direction=message.direction,
        lead_id=place.lead_id,
        mentions=fold.document(mentions),
    )
