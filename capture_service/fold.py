"""The fold: everything ever said about one message, in any order and any number of times, is one row.

Every route (webhook, echo, history, status ...) says what it knows as a `Message`; `merge` joins two
of them. It is commutative, associative and idempotent, because every part of a row is the greatest
element of an order: the content of the route most trusted for content, the parties of the route most
trusted for parties, the highest delivery state, the earliest time of each state, the union of the
documents. So the same events give the same row whatever their order, repetition or grouping.

The store uses this same function on the rows it has locked: there is no second merge in SQL.
"""

import hashlib
import uuid
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final, cast

import msgspec

from capture_service import kinds

# Bits of `Message.sources`: the routes by which a message came.
STATUS: Final = 1
HISTORY: Final = 2
HISTORY_MEDIA: Final = 4
ECHO: Final = 8
WEBHOOK: Final = 16
API: Final = 32
CHAT_EXPORT: Final = 64
MANUAL_SYNC: Final = 128
BATCH_RECOVER: Final = 256
# Another message spoke of this one: a reaction, an edit, a revoke, one event of a call.
MENTION: Final = 512

LIVE: Final = ECHO | WEBHOOK | API

# Who is believed about what was said. A status says nothing; types of HOLLOW_TYPES next to nothing.
CONTENT_RANKS: Final[Mapping[int, int]] = {
    STATUS: 0,
    MENTION: 0,
    CHAT_EXPORT: 2,
    HISTORY: 3,
    HISTORY_MEDIA: 4,
    API: 5,
    ECHO: 6,
    WEBHOOK: 7,
}
HOLLOW_RANK: Final = 1
# What the real content may still replace: a message about another one (kinds.ACTS), should another
# route call it a message after all; a placeholder or an error, as media_placeholder and its fill
# (Meta, "history webhook"), error 131060 "message unavailable", which may resolve within seconds; a
# template, of which a history has the name and not the words.
HOLLOW_TYPES: Final = frozenset({"media_placeholder", "errors", "unsupported", "unknown", "template"})

# Who is believed about direction and contact. The media fill of a history names the user as sender
# even of the business's own messages (in Meta's own example pair), so any other route overrules it.
# A reaction saw nothing of the message that it is about: it only guesses whose that is.
NOBODY_RANK: Final = 0
PARTY_RANKS: Final[Mapping[int, int]] = {
    MENTION: NOBODY_RANK,
    HISTORY_MEDIA: 1,
    CHAT_EXPORT: 1,
    HISTORY: 2,
    STATUS: 3,
    ECHO: 4,
    WEBHOOK: 4,
    API: 4,
}

INBOUND: Final = 1
OUTBOUND: Final = 2

# Arrays of joined documents that are sets, by their key; any other stays as Meta sent it.
_SETS: Final = frozenset({"edits", "reactions", "revokes", "calls", "payments", "states"})

# Ranks of the delivery states: the highest one seen is shown. "failed" is final unless a delivery
# is reported as well.
PENDING: Final = 1
SENT: Final = 2
FAILED: Final = 3
DELIVERED: Final = 4
READ: Final = 5
PLAYED: Final = 6
STATUS_RANKS: Final[Mapping[str, int]] = {
    "pending": PENDING,
    "accepted": PENDING,
    "sent": SENT,
    "failed": FAILED,
    "error": FAILED,
    "delivered": DELIVERED,
    "read": READ,
    "played": PLAYED,
}


class Message(msgspec.Struct, frozen=True, kw_only=True):
    """What one or more routes say about one message.

    Documents (content, context, sender, errors, billing, mentions) are canonical JSON text: see
    `document`. `errors` holds those of each report of a failure, see `reported`. `mentions` holds what
    other messages said of this one, as sets: `edits`, `reactions`, `revokes`, and the events of a call;
    the view of it is the reader's.
    """

    tenant_id: int
    instance_id: int
    id: uuid.UUID
    wamid: str
    batch_id: uuid.UUID
    sources: int
    sent_at: datetime
    type: str = ""
    body: str | None = None
    content: str | None = None
    context: str | None = None
    content_rank: int = 0
    content_version: int = 0
    """By which version of the parser the content was read: of one route, a newer reading counts."""
    direction: int = OUTBOUND
    lead_id: uuid.UUID | None = None
    """In whose conversation it is shown."""
    act_lead_id: uuid.UUID | None = None
    """Whose act it is, in place of `lead_id`: an act is shown on the message that it is about."""
    sender: str | None = None
    party_rank: int = NOBODY_RANK
    party_version: int = 0
    party: str = ""
    """Tells leads apart that routes of one rank name: set where they differ, and never kept."""
    status: int = PENDING
    errors: str | None = None
    billing: str | None = None
    mentions: str | None = None
    pattern: str | None = None
    is_sync_initial: bool = False
    status_sent_at: datetime | None = None
    status_delivered_at: datetime | None = None
    status_read_at: datetime | None = None
    status_played_at: datetime | None = None
    status_failed_at: datetime | None = None


def placed(is_act: bool, lead_id: uuid.UUID | None) -> dict[str, uuid.UUID | None]:
    """Give the fields that say whose a message is."""
    return {"lead_id": None, "act_lead_id": lead_id} if is_act else {"lead_id": lead_id, "act_lead_id": None}


def content_rank(source: int, message_type: str) -> int:
    """Say how far `source` is believed about the content of a message it calls `message_type`."""
    return HOLLOW_RANK if message_type in HOLLOW_TYPES else CONTENT_RANKS[source]


def is_act(message: Message) -> bool:
    """Tell whether this is shown on another message and in no conversation."""
    return message.content_rank == HOLLOW_RANK and message.type in kinds.ACTS


def merge(first: Message, second: Message) -> Message:
    """Join what two routes, or two moments, say about the same message.

    Both must carry the same id. `batch_id` is that of the webhook that came first, as batch ids are in
    the order of arrival; which of two is applied first does not show.
    """
    told = max(first, second, key=_content_order)
    party = max(first, second, key=_party_order)
    return Message(
        tenant_id=first.tenant_id,
        instance_id=first.instance_id,
        id=first.id,
        wamid=first.wamid,
        batch_id=min(first.batch_id, second.batch_id),
        sources=first.sources | second.sources,
        sent_at=told.sent_at,
        type=told.type,
        body=told.body,
        content=told.content,
        context=_joined(first.context, second.context),
        content_rank=told.content_rank,
        content_version=told.content_version,
        direction=party.direction,
        **placed(is_act(told), party.lead_id or party.act_lead_id),
        sender=party.sender,
        party_rank=party.party_rank,
        party_version=party.party_version,
        party=party.party,
        status=max(first.status, second.status),
        errors=_joined(first.errors, second.errors),
        billing=_joined(first.billing, second.billing),
        mentions=_joined(first.mentions, second.mentions),
        pattern=_greatest(first.pattern, second.pattern),
        is_sync_initial=first.is_sync_initial or second.is_sync_initial,
        status_sent_at=_earliest(first.status_sent_at, second.status_sent_at),
        status_delivered_at=_earliest(first.status_delivered_at, second.status_delivered_at),
        status_read_at=_earliest(first.status_read_at, second.status_read_at),
        status_played_at=_earliest(first.status_played_at, second.status_played_at),
        status_failed_at=_earliest(first.status_failed_at, second.status_failed_at),
    )


def fold(messages: Iterable[Message]) -> list[Message]:
    """Join all messages of the same (tenant, id); sorted by it, the order in which rows are locked."""
    rows: dict[tuple[int, uuid.UUID], Message] = {}
    for message in messages:
        key = (message.tenant_id, message.id)
        known = rows.get(key)
        rows[key] = message if known is None else merge(known, message)
    return [
        msgspec.structs.replace(rows[key], party="") if rows[key].party else rows[key] for key in sorted(rows)
    ]


_encoder = msgspec.json.Encoder(order="sorted")


def document(value: object) -> str:
    """Write a JSON value in its one canonical form: keys sorted, no spaces, only needed escapes."""
    return _encoder.encode(value).decode()


def joinable(value: object) -> str:
    """Write a document that is joined with others: some of its arrays are sets, put in their order."""
    text = document(value)
    return document(_union(value, value)) if "[" in text else text


def reported(at: datetime, errors: Sequence[object]) -> str:
    """Write the errors of one report of a failure, so that those of several stand side by side.

    Each list stays as it came; the keys are in the order of time.
    """
    digest = hashlib.blake2b(document(errors).encode(), digest_size=4).hexdigest()
    return document({f"{int(at.timestamp()):011}.{digest}": errors})


def _content_order(message: Message) -> tuple[int, bool, int, float, str, str, str, int]:
    is_empty = message.content_rank == HOLLOW_RANK and message.type not in HOLLOW_TYPES | kinds.ACTS
    # Between equals the earliest time wins (of several statuses: the first), then any fixed order.
    return (
        message.content_rank,
        # What came without its body has a type at least.
        is_empty,
        # Who only speaks of a message has read nothing of it.
        message.content_version if message.content_rank else 0,
        -message.sent_at.timestamp(),
        message.type,
        message.body or "",
        message.content or "",
        message.content_version,
    )


def _party_order(message: Message) -> tuple[int, bool, int, int, str, int, str]:
    lead = message.lead_id or message.act_lead_id
    return (
        message.party_rank,
        lead is not None,
        message.party_version,
        message.direction,
        message.party,
        lead.int if lead else 0,
        message.sender or "",
    )


def _earliest(first: datetime | None, second: datetime | None) -> datetime | None:
    if first is None or second is None:
        return first or second
    return min(first, second)


def _greatest(first: str | None, second: str | None) -> str | None:
    if first is None or second is None:
        return first or second
    return max(first, second)


def _joined(first: str | None, second: str | None) -> str | None:
    """Join two documents: objects key by key, arrays of _SETS as sets; of other values the greater text."""
    if first is None or second is None or first == second:
        return first or second
    return document(_union(msgspec.json.decode(first), msgspec.json.decode(second)))


def _union(first: Any, second: Any, key: str = "") -> Any:
    match first, second:
        case dict(), dict():
            ours, theirs = cast("dict[str, Any]", first), cast("dict[str, Any]", second)
            both = ours.keys() & theirs.keys()
            return {**ours, **theirs, **{key: _union(ours[key], theirs[key], key) for key in both}}
        case list(), list() if key in _SETS:
            items = cast("list[Any]", first) + cast("list[Any]", second)
            as_set = {document(item): item for item in items}
            return [as_set[key] for key in sorted(as_set)]
        case (None, other) | (other, None):
            return other
        case _:
            return max(first, second, key=document)
