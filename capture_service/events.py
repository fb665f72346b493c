"""Normalise: one `value` of a webhook becomes what it says about messages, people and the account.

What decides is what a value holds, not what its `field` is called: fields may be missing, and the
same arrays come under several of them. What is not read here as a message or a person is kept as a
notice, so that nothing a webhook says is left out.
"""

import functools
import hashlib
import logging
import uuid
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime, timedelta
from typing import Any, Final, TypeAlias, TypeVar, cast

import msgspec

from capture_service import fold, identity, kinds, ledger, patterns, payload, roster
from capture_service.payload import Malformed, Object
from protos import ids

log = logging.getLogger(__name__)

# What the fold has a field for; everything else a message says is its content.
_ENVELOPE_KEYS: Final = frozenset(
    {
        "id", "timestamp", "type", "from", "from_user_id", "from_parent_user_id",
        "to", "to_user_id", "to_parent_user_id", "context", "errors", "history_context",
    }
)  # fmt: skip
_OWN_STATES: Final = frozenset({"payment", "call"})
_STATUS_KEYS: Final = frozenset(
    {
        "id", "status", "timestamp", "type", "errors", "recipient_id", "recipient_user_id",
        "recipient_parent_user_id", "recipient_type",
        "recipient_participant_id", "recipient_participant_user_id",
    }
)  # fmt: skip

# What of a value is read as messages and people; what else it holds is a notice.
_CONVERSATION_KEYS: Final = frozenset(
    {"messages", "message_echoes", "statuses", "calls", "history", "standby", "state_sync"}
)
_ADDRESS_KEYS: Final = frozenset({"messaging_product", "metadata"})
_SAID_KEYS: Final = _CONVERSATION_KEYS | _ADDRESS_KEYS | {"contacts"}
# Lists of which each item is a fact by itself: how they are spread over webhooks says nothing.
_FACT_KEYS: Final = ("user_id_update", "user_preferences", "user_actions", "automatic_events")
# Kinds whose bytes Meta sends after a history, also as an echo of days ago (field report of a
# production reconnection, September 2026).
_MEDIA: Final = frozenset({"image", "video", "audio", "document", "sticker"})
# An echo of what was sent longer ago is such a fill. The webhook alone decides, and not when its number
# was registered: that is another time in every system that the ledger is replayed into.
_LIVE_WITHIN: Final = timedelta(minutes=15)
# What a history cannot render says nothing about a conversation: Meta's own welcome to every number
# that is connected comes as such a thread (field report of an onboarding, 2026-09-12).
_UNRENDERED: Final = frozenset({"errors", "unsupported", "unknown"})
# What never has content of its own, and says all it has to say.
_BODILESS: Final = kinds.ACTS | {"request_welcome"}
_CHUNK_KEYS: Final = frozenset({"metadata", "threads"})
_THREAD_KEYS: Final = frozenset({"id", "context", "messages"})
# Code of "History sync is turned off by the business", wherever it stands.
HISTORY_DECLINED: Final = 2593109
_NOTHING_NEW: Final = payload.System()
T = TypeVar("T")


class Instance(msgspec.Struct, frozen=True):
    """A connected number, as far as reading its webhooks needs it."""

    tenant_id: int
    id: int
    public_id: uuid.UUID
    phone_number_id: str
    display_phone_number: str
    waba_id: str = ""


class Event(msgspec.Struct, frozen=True):
    """One message as one item of a webhook tells it; `message.lead_id` is not resolved yet."""

    person: identity.Person | None
    message: fold.Message
    path: str
    opens_conversation: bool = True
    """Whether it alone is reason enough to list its person among the leads."""


class Sighting(msgspec.Struct, frozen=True):
    """Something about a person and no message: a card of the address book, a new user id."""

    tenant_id: int
    person: identity.Person
    path: str
    batch_id: uuid.UUID


class Notice(msgspec.Struct, frozen=True):
    """A fact about the account: all that a value says beyond messages and people."""

    tenant_id: int
    instance_id: int | None
    """None where it concerns every number of the WABA."""
    account_id: str
    """The WABA; of a few events of `account_update` the business portfolio."""
    sender_id: str
    """As of the batch."""
    field: str
    event: str
    """What happened, where the value says so."""
    happened_at: datetime
    """The item's own time or `entry[].time`; when it came, where both are absent."""
    is_dated: bool
    batch_id: uuid.UUID
    told: str
    """The value, as a document."""
    path: str
    number_id: str = ""
    """Of the instance, as Meta knows it."""

    def digest(self) -> bytes:
        """Tell this notice from every other by all it says; it has no id of its own."""
        at = self.happened_at.isoformat() if self.is_dated else ""
        parts = (self.field, self.sender_id, self.number_id, at, self.told)
        return hashlib.sha256("\n".join(parts).encode()).digest()[:16]


class Chunk(msgspec.Struct, frozen=True):
    """How far the history of an instance has come, as one of its chunks says."""

    tenant_id: int
    instance_id: int
    batch_id: uuid.UUID
    came_at: datetime
    path: str
    phase: int | None = None
    chunk_order: int | None = None
    progress: int | None = None
    declined: str | None = None
    """Meta's errors as a document, when the business shares no history."""


class Fault(msgspec.Struct, frozen=True):
    """An item that could not be applied: where, and why."""

    path: str
    reason: str


class Batch(msgspec.Struct):
    """The webhook that is being read, as far as it concerns one account."""

    id: uuid.UUID
    received_at: datetime
    tenant_id: int
    account_id: str
    instance: Instance | None
    """None where nothing but `entry[].id` says whose it is."""
    sender_id: str = ""
    """As `account_id`, but of what is about a number the `entry[].id`: that is what it was at the time."""
    entry_time: Any = None
    doubts: list[Fault] = []
    """Items that were applied although their time could not be read."""

    def moment(self, timestamp: Any, path: str) -> datetime:
        """Read when an item happened; when it does not say, it happened when it came, and that is noted."""
        try:
            return payload.moment(timestamp, f"{path}.timestamp")
        except Malformed as error:
            self.doubts.append(Fault(error.path, f"{error.reason}; placed at its arrival"))
            return self.received_at

    def stamped_at(self) -> datetime | None:
        """Give `entry[].time`, which few webhooks about conversations have."""
        return _moment(self.entry_time)


Item: TypeAlias = Event | Sighting | Notice | Chunk | Fault


def normalise(batch: Batch, field: str, value: Object, path: str) -> Iterator[Item]:
    """Yield what the value says, and a fault per item of it that could not be read.

    `path` is where the value stands in the webhook, for the faults.
    """
    if batch.instance is None:
        if any(value.get(key) for key in _CONVERSATION_KEYS - {"standby"}):
            yield Fault(path, "names no phone_number_id: whose conversations these are is not known")
    else:
        yield from _conversations(batch, batch.instance, field, value, path)
    try:
        yield from _notices(batch, field, value, path)
    except RecursionError:
        yield Fault(path, "nested too deeply")
    standby = value.get("standby")
    if isinstance(standby, dict):
        yield from normalise(batch, field, cast("Object", standby), f"{path}.standby")
    elif standby is not None:
        yield Fault(f"{path}.standby", "must be an object")
    yield from batch.doubts
    batch.doubts = []


class _Told(msgspec.Struct, frozen=True):
    """What the items of one value have in common."""

    batch: Batch
    instance: Instance
    business: frozenset[str]
    """The number itself, as it is registered and as the webhook writes it."""
    people: roster.People
    source: int
    """The route by which its messages came."""
    echo_source: int

    def message_id(self, wamid: str) -> uuid.UUID:
        return ids.message_id(self.instance.public_id, wamid)

    def is_business(self, number: str | None) -> bool:
        return bool(number) and identity.canonical(number) in self.business

    def read(self, item: object, shape: type[T], path: str) -> tuple[Any, T]:
        """Give an item as it was read and what it says; what was put aside is noted. Raises Malformed."""
        known, wire, faults = payload.read(item, shape, path)
        self.batch.doubts += [Fault(fault.path, f"{fault.reason}; put aside") for fault in faults]
        return known, wire


def _conversations(batch: Batch, instance: Instance, field: str, value: Object, path: str) -> Iterator[Item]:
    people = roster.read(value, path)
    for error in people.faults:
        yield Fault(error.path, error.reason)
    from_history = field == "history"
    told = _Told(
        batch,
        instance,
        _numbers(instance, value),
        people,
        fold.HISTORY_MEDIA if from_history else fold.WEBHOOK,
        fold.HISTORY_MEDIA if from_history else fold.ECHO,
    )
    latest: datetime | None = None
    for key, read in _READERS.items():
        if key in value:
            for item in _each(value, key, path, lambda item, at, read=read: read(told, item, at)):
                if isinstance(item, Event):
                    latest = max(latest, item.message.sent_at) if latest else item.message.sent_at
                yield item
    # Whom no item is about, as the members of a group, is known by what stands in the contacts all the same.
    said_at = latest or batch.stamped_at() or batch.received_at
    for contact, at, acted_at in people.bystanders():
        if person := roster.person(acted_at or said_at, contact):
            yield Sighting(batch.tenant_id, person, at, batch.id)
    # Whatever the field is called, or without one: no other error has this code.
    yield from _decline(told, value.get("errors"), path)


def _numbers(instance: Instance, value: Object) -> frozenset[str]:
    metadata = value.get("metadata")
    written = cast("Object", metadata).get("display_phone_number") if isinstance(metadata, dict) else None
    return _forms(instance.display_phone_number, written if isinstance(written, str) else "")


@functools.lru_cache(maxsize=256)
def _forms(registered: str, written: str) -> frozenset[str]:
    return frozenset({identity.canonical(registered), identity.canonical(written)} - {""})


def _notices(batch: Batch, field: str, value: Object, path: str) -> Iterator[Notice]:
    is_conversation = not _CONVERSATION_KEYS.isdisjoint(value)
    told = {key: value[key] for key in value.keys() - (_SAID_KEYS if is_conversation else _ADDRESS_KEYS)}
    facts = [(key, found) for key in _FACT_KEYS if (found := _items(told, key))]
    rest = {key: told[key] for key in told.keys() - {key for key, _ in facts}}
    for key, items in facts:
        for number, item in enumerate(items):
            beside = roster.beside(rest, item) | {key: [item]}
            yield _notice(batch, field, beside, f"{path}.{key}[{number}]", _moment(_timestamp(item)))
    if not facts and (told or not is_conversation):
        # What several groups did is one fact: as late as the last of it.
        stamps = [told.get("timestamp"), *map(_timestamp, _items(told, "groups"))]
        yield _notice(batch, field, told, path, max(filter(None, map(_moment, stamps)), default=None))


def _items(holder: Object, key: str) -> list[Any]:
    found = holder.get(key)
    return cast("list[Any]", found) if isinstance(found, list) else []


def _timestamp(item: Any) -> Any:
    return cast("Object", item).get("timestamp") if isinstance(item, dict) else None


def _moment(timestamp: Any) -> datetime | None:
    """Read a time, None where it is none."""
    try:
        return payload.moment(timestamp, "")
    except Malformed:
        return None


def _notice(batch: Batch, field: str, told: Object, path: str, own_time: datetime | None = None) -> Notice:
    stamp = batch.stamped_at()
    return Notice(
        tenant_id=batch.tenant_id,
        instance_id=batch.instance.id if batch.instance else None,
        account_id=batch.account_id,
        sender_id=batch.sender_id,
        field=field,
        event=next((told[key] for key in ("event", "decision") if isinstance(told.get(key), str)), ""),
        happened_at=own_time or stamp or batch.received_at,
        is_dated=stamp is not None,
        batch_id=batch.id,
        told=fold.document(told),
        path=path,
        number_id=batch.instance.phone_number_id if batch.instance else "",
    )


def _each(holder: Object, key: str, path: str, read: Callable[[Any, str], Iterable[Item]]) -> Iterator[Item]:
    try:
        items = payload.array_in(holder, key, path)
    except Malformed as error:
        yield Fault(error.path, error.reason)
        return
    for number, item in enumerate(items):
        at = f"{path}.{key}[{number}]"
        try:
            yield from read(item, at)
        except Malformed as error:
            yield Fault(error.path, error.reason)
        except RecursionError:
            yield Fault(at, "nested too deeply")
        except Exception as error:
            # A bug of ours must not cost the items beside this one; the ledger keeps it for a replay.
            log.exception("item_not_understood", extra={"path": at})
            yield Fault(at, f"not understood: {type(error).__name__}")


def _inbound(value: _Told, item: Any, path: str) -> list[Event]:
    item, wire = value.read(item, payload.Message, path)
    sent_at = value.batch.moment(wire.timestamp, path)
    if value.is_business(wire.from_):
        return _own_fill(value, item, wire, sent_at, path)
    contact = (
        value.people.of_group(wire.from_, wire.from_user_id, sent_at)
        if wire.group_id
        else value.people.of(wire.from_, wire.from_user_id)
    )
    renewed = _renewed(item, path) if wire.type == "system" else _NOTHING_NEW
    new_number = renewed.wa_id or renewed.new_wa_id
    person = roster.person(
        sent_at,
        contact,
        wa_id=new_number or wire.from_,
        bsuid=renewed.user_id or wire.from_user_id,
        parent_bsuid=renewed.parent_user_id or wire.from_parent_user_id,
        former_wa_id=wire.from_ if new_number else None,
        former_bsuid=wire.from_user_id if renewed.user_id else None,
        group=wire.group_id,
    )
    if person is None:
        raise Malformed(path, "names nobody: no from, from_user_id or contact")
    said = _Said(
        value.source,
        fold.INBOUND,
        # A fill may name the user as the sender of what is the business's: it says nothing of a delivery.
        fold.DELIVERED if value.source == fold.WEBHOOK else fold.PENDING,
        roster.participant(wire, contact) if wire.group_id else None,
    )
    return _message(value, person, item, wire, sent_at, said, path)


def _own_fill(value: _Told, item: Any, wire: payload.Message, sent_at: datetime, path: str) -> list[Event]:
    """Read a message that names the business as its sender, as fills of a history may: it is no contact.

    To whom it went the message of the history says, where this does not.
    """
    person = roster.person(
        sent_at,
        value.people.of(wire.to, wire.to_user_id),
        wa_id=wire.to,
        bsuid=wire.to_user_id,
        parent_bsuid=wire.to_parent_user_id,
    )
    if person is None and value.source != fold.HISTORY_MEDIA:
        raise Malformed(path, "comes from the business and names nobody: no to, to_user_id or contact")
    said = _Said(value.source, fold.OUTBOUND, fold.PENDING, None)
    return _message(value, person, item, wire, sent_at, said, path)


def _renewed(item: Object, path: str) -> payload.System:
    system = item.get("system")
    return payload.convert(system, payload.System, f"{path}.system") if system is not None else _NOTHING_NEW


def _echo(value: _Told, item: Any, path: str) -> list[Event]:
    item, wire = value.read(item, payload.Message, path)
    sent_at = value.batch.moment(wire.timestamp, path)
    to = wire.to
    # Some fixtures of edits and revokes have the two ends swapped: the business is never the contact.
    if wire.from_ and value.is_business(to):
        to = wire.from_
    contact = None if wire.group_id else value.people.of(to, wire.to_user_id)
    person = roster.person(
        sent_at,
        contact,
        wa_id=to,
        bsuid=wire.to_user_id,
        parent_bsuid=wire.to_parent_user_id,
        group=wire.group_id,
    )
    if person is None:
        raise Malformed(path, "names nobody: no to, to_user_id or contact")
    source = value.echo_source
    if wire.type in _MEDIA and value.batch.received_at - sent_at > _LIVE_WITHIN:
        source = fold.HISTORY_MEDIA
    said = _Said(source, fold.OUTBOUND, fold.SENT, None)
    return _message(value, person, item, wire, sent_at, said, path)


def _chunk(value: _Told, item: Any, path: str) -> Iterator[Item]:
    chunk = payload.as_object(item, path)
    try:
        threads = payload.array_in(chunk, "threads", path)
    except Malformed as error:
        yield Fault(error.path, error.reason)
        threads = []
    for thread_number, thread in enumerate(threads):
        at = f"{path}.threads[{thread_number}]"
        try:
            thread, wire = value.read(thread, payload.Thread, at)
        except Malformed as error:
            yield Fault(error.path, error.reason)
            continue
        yield from _each(
            thread, "messages", at, lambda item, at, wire=wire: _from_thread(value, wire, item, at)
        )
        yield from _beside(value, thread, _THREAD_KEYS, at)
    yield from _beside(value, chunk, _CHUNK_KEYS, path)
    about = payload.convert(chunk.get("metadata") or {}, payload.ChunkMetadata, f"{path}.metadata")
    phase = payload.count(about.phase)
    if phase is None and not chunk.get("threads"):
        return  # It brings nothing of a history, so that none has begun.
    yield Chunk(
        value.instance.tenant_id,
        value.instance.id,
        value.batch.id,
        value.batch.received_at,
        path,
        phase=phase,
        chunk_order=payload.count(about.chunk_order),
        progress=payload.count(about.progress),
    )


def _beside(value: _Told, holder: Object, read: frozenset[str], path: str) -> Iterator[Item]:
    """Keep what a part of a history says beyond what is read of it; errors may decline the history."""
    told = {key: holder[key] for key in holder.keys() - read}
    if told:
        yield _notice(value.batch, "history", told, path)
    yield from _decline(value, told.get("errors"), path)


def _decline(value: _Told, errors: Any, path: str) -> Iterator[Chunk]:
    if declined := _declined(errors):
        yield Chunk(
            value.instance.tenant_id,
            value.instance.id,
            value.batch.id,
            value.batch.received_at,
            path,
            declined=declined,
        )


def _declined(errors: Any) -> str | None:
    """Give the errors as a document when they say that the business shares no history."""
    found = cast("list[Any]", errors) if isinstance(errors, list) else []
    is_so = any(
        isinstance(error, dict) and payload.count(cast("Object", error).get("code")) == HISTORY_DECLINED
        for error in found
    )
    return fold.document(found) if is_so else None


def _from_thread(value: _Told, thread: payload.Thread, item: Any, path: str) -> Iterator[Item]:
    item, wire = value.read(item, payload.Message, path)
    yield from _decline(value, wire.errors, path)
    sent_at = value.batch.moment(wire.timestamp, path)
    context = thread.context or payload.ThreadContext()
    thread_bsuid = thread.id if thread.id and identity.is_bsuid(thread.id) else None
    thread_number = None if thread_bsuid else thread.id
    user = context.wa_id or thread_number
    # Both are the user: of one who changed number the thread has the former.
    names = [name for name in (context.wa_id, thread_number) if name]
    history = wire.history_context or payload.HistoryContext()
    # Real chunks say from_me (field reports, September 2026); Meta's page "history webhook" says that
    # from equals the business number. Neither always holds.
    is_ours = history.from_me is True or (
        wire.from_ is not None
        and (
            value.is_business(wire.from_)
            or (bool(names) and not any(identity.same_number(wire.from_, name) for name in names))
        )
    )
    other_end = wire.to if is_ours else wire.from_
    former = thread_number if context.wa_id else None
    person = roster.person(
        sent_at,
        None,
        wa_id=user or other_end,
        bsuid=context.user_id or thread_bsuid,
        parent_bsuid=context.parent_user_id,
        former_wa_id=former if former and not identity.same_number(former, user or "") else None,
        username=context.username,
    )
    if person is None:
        raise Malformed(path, "names nobody: neither the thread nor the message says who")
    reported = fold.STATUS_RANKS.get((history.status or "").lower(), fold.PENDING)
    said = _Said(
        fold.HISTORY,
        fold.OUTBOUND if is_ours else fold.INBOUND,
        # For what the user sent, the history's status says nothing: it is often "pending".
        reported if is_ours else fold.PENDING,
        None,
    )
    yield from _message(value, person, item, wire, sent_at, said, path)


def _book_entry(value: _Told, item: Any, path: str) -> list[Item]:
    entry = payload.as_object(item, path)
    if entry.get("type", "contact") != "contact" and "contact" not in entry:
        return [_notice(value.batch, "smb_app_state_sync", {"state_sync": [entry]}, path)]
    wire = payload.convert(item, payload.StateSync, path)
    card = wire.contact
    stamp = wire.metadata.timestamp if wire.metadata else None
    # Removals come with "0" for a time (implementers' fixtures): it is no time. Where the entry has none
    # either, nothing tells such a removal that is delivered again from a second one: it counts as new.
    is_dated = stamp not in (None, 0, "0", "")
    at = (
        value.batch.moment(stamp, f"{path}.metadata")
        if is_dated
        else value.batch.stamped_at() or value.batch.received_at
    )
    is_removed = (wire.action or "").lower() == "remove"
    number = identity.digits(card.phone_number) if card.phone_number else None
    person = roster.person(
        at, None, number=number, bsuid=card.user_id, parent_bsuid=card.parent_user_id, username=card.username
    )
    if person is None:
        raise Malformed(path, "names nobody: no phone_number or user_id")
    saved_name = "" if is_removed else card.full_name or card.first_name or None
    named = msgspec.structs.replace(person, saved_name=saved_name)
    return [Sighting(value.instance.tenant_id, named, path, value.batch.id)]


def _user_id_update(value: _Told, item: Any, path: str) -> list[Sighting]:
    wire = payload.convert(item, payload.UserIdUpdate, path)
    renewal, parent = wire.user_id or payload.Renewal(), wire.parent_user_id or payload.Renewal()
    person = roster.person(
        value.batch.moment(wire.timestamp, path),
        value.people.of(wire.wa_id, renewal.current),
        wa_id=wire.wa_id,
        bsuid=renewal.current,
        parent_bsuid=parent.current,
        former_bsuid=renewal.previous,
        former_parent_bsuid=parent.previous,
    )
    if person is None:
        raise Malformed(path, "names nobody: no wa_id or user_id")
    return [Sighting(value.instance.tenant_id, person, path, value.batch.id)]


def _preference(value: _Told, item: Any, path: str) -> list[Sighting]:
    wire = payload.convert(item, payload.Preference, path)
    at = value.batch.moment(wire.timestamp, path)
    person = roster.person(
        at, value.people.of(wire.wa_id, wire.user_id), wa_id=wire.wa_id, bsuid=wire.user_id
    )
    return [Sighting(value.instance.tenant_id, person, path, value.batch.id)] if person else []


def _status(value: _Told, item: Any, path: str) -> list[Event]:
    item, wire = value.read(item, payload.Status, path)
    at = value.batch.moment(wire.timestamp, path)
    is_group = wire.recipient_type == "group"
    contact = None if is_group else value.people.of(wire.recipient_id, wire.recipient_user_id)
    if is_group:
        value.people.of_group(wire.recipient_participant_id, wire.recipient_participant_user_id, at)
    person = roster.person(
        at,
        contact,
        wa_id=None if is_group else wire.recipient_id,
        bsuid=wire.recipient_user_id,
        parent_bsuid=wire.recipient_parent_user_id,
        group=wire.recipient_id if is_group else None,
    )
    name = wire.status.lower()
    # Of a payment and of a call the same words say something else than how far a message has come.
    rank = None if wire.type in _OWN_STATES else fold.STATUS_RANKS.get(name)
    details: Object = {key: item[key] for key in item.keys() - _STATUS_KEYS}
    if wire.type:
        details["type"] = wire.type
    participant = wire.recipient_participant_user_id or wire.recipient_participant_id
    if participant:
        # Each of a group receives and reads for themselves.
        at_state = {"at": str(wire.timestamp), "status": wire.status}
        details["recipients"] = {participant: {"number": wire.recipient_participant_id, "states": [at_state]}}
    if rank is None:
        details["states"] = {wire.status: str(wire.timestamp)}
    if "payment" in details:
        # Each attempt by itself: fields of two would make a payment that never was.
        paid = {"at": str(wire.timestamp), "status": wire.status, "payment": details.pop("payment")}
        details["payments"] = [paid]
    message = fold.Message(
        tenant_id=value.instance.tenant_id,
        instance_id=value.instance.id,
        id=value.message_id(wire.id),
        wamid=wire.id,
        batch_id=value.batch.id,
        sources=fold.STATUS,
        sent_at=at,
        direction=fold.OUTBOUND,
        party_rank=fold.PARTY_RANKS[fold.STATUS] if person else fold.NOBODY_RANK,
        status=rank or fold.PENDING,
        errors=fold.reported(at, wire.errors) if wire.errors else None,
        billing=fold.joinable(details) if details else None,
        status_sent_at=at if rank == fold.SENT else None,
        status_delivered_at=at if rank == fold.DELIVERED else None,
        status_read_at=at if rank == fold.READ else None,
        status_played_at=at if rank == fold.PLAYED else None,
        status_failed_at=at if rank == fold.FAILED else None,
    )
    return [Event(person, message, path)]


def _call(value: _Told, item: Any, path: str) -> list[Event]:
    wire = payload.convert(item, payload.Call, path)
    at = value.batch.moment(wire.timestamp, path)
    is_ours = wire.direction == "BUSINESS_INITIATED" or value.is_business(wire.from_)
    wa_id, bsuid = (wire.to, wire.to_user_id) if is_ours else (wire.from_, wire.from_user_id)
    person = roster.person(at, value.people.of(wa_id, bsuid), wa_id=wa_id, bsuid=bsuid)
    if person is None:
        raise Malformed(path, "names nobody: no from, to or contact")
    message = fold.Message(
        tenant_id=value.instance.tenant_id,
        instance_id=value.instance.id,
        id=value.message_id(wire.id),
        wamid=wire.id,
        batch_id=value.batch.id,
        sources=fold.WEBHOOK,
        sent_at=at,
        type="call",
        body=kinds.line("call", item),
        content_rank=fold.CONTENT_RANKS[fold.WEBHOOK],
        direction=fold.OUTBOUND if is_ours else fold.INBOUND,
        party_rank=fold.PARTY_RANKS[fold.WEBHOOK],
        status=fold.DELIVERED if not is_ours else fold.PENDING,
        mentions=fold.joinable({"calls": [item]}),
    )
    return [Event(person, message, path)]


class _Said(msgspec.Struct, frozen=True):
    """How a message came: by which route, from which side, and what of its delivery is known."""

    source: int
    direction: int
    status: int
    sender: str | None
    """Who of a group wrote, as a document."""


def _message(
    value: _Told,
    person: identity.Person | None,
    item: Object,
    wire: payload.Message,
    sent_at: datetime,
    said: _Said,
    path: str,
) -> list[Event]:
    """Give the message, and what it does to the message that it is about."""
    target = _target(item, wire, path) if wire.type in kinds.ACTS else None
    kind = wire.type or ("text" if wire.text else "unknown")
    content = _content(kind, item)
    # As an interactive message that WhatsApp could not render: another route may know what it said.
    is_empty = not any(content.values()) and not (wire.text and wire.text.body) and kind not in _BODILESS
    errors = wire.errors
    if errors and kind in fold.HOLLOW_TYPES:
        # They say why there is no content: what replaces it replaces them.
        content["errors"], errors = errors, None
    message = fold.Message(
        tenant_id=value.instance.tenant_id,
        instance_id=value.instance.id,
        id=value.message_id(wire.id),
        wamid=wire.id,
        batch_id=value.batch.id,
        sources=said.source,
        sent_at=sent_at,
        type=kind,
        body=wire.text.body if kind == "text" and wire.text else kinds.line(kind, item),
        content=fold.document(content) if content else None,
        context=fold.joinable(item["context"]) if wire.context else None,
        content_rank=fold.HOLLOW_RANK if target or is_empty else fold.content_rank(said.source, kind),
        direction=said.direction,
        sender=said.sender,
        party_rank=fold.PARTY_RANKS[said.source] if person else fold.NOBODY_RANK,
        status=said.status,
        errors=fold.reported(sent_at, errors) if errors else None,
        pattern=patterns.MENU if said.source & fold.LIVE and wire.text and _is_menu(wire.text) else None,
    )
    is_unrendered = said.source == fold.HISTORY and kind in _UNRENDERED
    told = [Event(person, message, path, opens_conversation=not is_unrendered)]
    if target is not None:
        told.append(_mention(value, person, item, wire, sent_at, said, target, path))
    return told


def _is_menu(text: payload.Text) -> bool:
    return text.body is not None and patterns.is_menu(text.body)


def _content(kind: str, item: Object) -> Object:
    """Give what a message says beyond the fields of the fold; of a plain text the body says it all."""
    told: Object = {key: item[key] for key in item.keys() - _ENVELOPE_KEYS}
    text = told.get("text")
    if kind == "text" and isinstance(text, dict) and len(cast("Object", text)) <= 1:
        del told["text"]
    return told


def _target(item: Object, wire: payload.Message, path: str) -> payload.Target | None:
    """Read which message an act is about; None when it does not say."""
    act: Any = item.get(wire.type or "")
    if not isinstance(act, dict):
        return None
    target = payload.convert(cast("Object", act), payload.Target, f"{path}.{wire.type}")
    return target if (target.message_id or target.original_message_id) else None


def _mention(
    value: _Told,
    person: identity.Person | None,
    item: Object,
    wire: payload.Message,
    sent_at: datetime,
    said: _Said,
    target: payload.Target,
    path: str,
) -> Event:
    """Say of the target what the act does to it; whichever of the two comes first, the row is the same."""
    wamid = target.original_message_id or target.message_id or ""
    act: Object = {"at": int(sent_at.timestamp()), "wamid": wire.id}
    match wire.type:
        case "reaction":
            # No emoji: the reaction is taken back.
            act |= {"by": _author(wire, said), "emoji": target.emoji or None}
            mentions = {"reactions": [act]}
        case "edit":
            edited = target.message or {}
            kind = edited.get("type")
            kind = kind if isinstance(kind, str) else "unknown"
            act |= {"type": kind, "body": kinds.line(kind, edited), "content": _content(kind, edited)}
            act["version"] = ledger.PARSER_VERSION
            mentions = {"edits": [act]}
        case _:
            mentions = {"revokes": [act]}
    # People edit and revoke what they wrote themselves; what they react to is mostly the other side's.
    direction = said.direction if wire.type != "reaction" else fold.INBOUND + fold.OUTBOUND - said.direction
    message = fold.Message(
        tenant_id=value.instance.tenant_id,
        instance_id=value.instance.id,
        id=value.message_id(wamid),
        wamid=wamid,
        batch_id=value.batch.id,
        # What a history says of a message that it does not bring is imported all the same.
        sources=fold.MENTION | said.source & fold.HISTORY,
        sent_at=sent_at,
        direction=direction,
        party_rank=fold.PARTY_RANKS[fold.MENTION],
        mentions=fold.joinable(mentions),
    )
    return Event(person, message, path)


def _author(wire: payload.Message, said: _Said) -> str:
    """Name who reacted, the same on every route: a side, or a participant of a group."""
    if said.direction == fold.OUTBOUND:
        return "business"
    if not said.sender:
        return "contact"
    ids = [wire.from_user_id, identity.canonical(wire.from_ or "") or None]
    return " ".join(id for id in ids if id and " " not in id) or "contact"


_READERS: Final[dict[str, Callable[[_Told, Any, str], Iterable[Item]]]] = {
    "messages": _inbound,
    "message_echoes": _echo,
    "statuses": _status,
    "calls": _call,
    "history": _chunk,
    "state_sync": _book_entry,
    "user_id_update": _user_id_update,
    "user_preferences": _preference,
}
