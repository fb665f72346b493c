"""Normalise: one `value` of a webhook becomes what it says about messages and people.

What decides is what a value holds, not what its `field` is called: fields may be missing, and the
same arrays come under several of them.
"""

import logging
import uuid
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any, Final, TypeAlias

import msgspec

from capture_service import fold, identity, payload
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
_STATUS_KEYS: Final = frozenset(
    {
        "id", "status", "timestamp", "type", "errors", "recipient_id", "recipient_user_id",
        "recipient_parent_user_id", "recipient_type",
    }
)  # fmt: skip

# Where the human line of a type is, besides `caption`.
_BODY_PATHS: Final[dict[str, tuple[tuple[str, ...], ...]]] = {
    "button": (("text",),),
    "interactive": (("button_reply", "title"), ("list_reply", "title"), ("nfm_reply", "body")),
    "reaction": (("emoji",),),
    "location": (("name",), ("address",)),
    "system": (("body",),),
    "order": (("text",),),
    "document": (("caption",), ("filename",)),
}


class Instance(msgspec.Struct, frozen=True):
    """A connected number, as far as reading its webhooks needs it."""

    tenant_id: int
    id: int
    public_id: uuid.UUID
    phone_number_id: str
    display_phone_number: str


class Event(msgspec.Struct, frozen=True):
    """One message as one item of a webhook tells it; `message.lead_id` is not resolved yet."""

    person: identity.Person | None
    message: fold.Message
    path: str


class Fault(msgspec.Struct, frozen=True):
    """An item that could not be applied: where, and why."""

    path: str
    reason: str


class Batch(msgspec.Struct):
    """The webhook that is being read."""

    id: uuid.UUID
    received_at: datetime
    instance: Instance
    doubts: list[Fault] = []
    """Items that were applied although their time could not be read."""

    def moment(self, timestamp: str | int | None, path: str) -> datetime:
        """Read when an item happened; when it does not say, it happened when it came, and that is noted."""
        try:
            return payload.moment(timestamp, f"{path}.timestamp")
        except Malformed as error:
            self.doubts.append(Fault(error.path, f"{error.reason}; placed at its arrival"))
            return self.received_at


Item: TypeAlias = Event | Fault
_Reader: TypeAlias = Callable[[Any, str], Event]


def normalise(batch: Batch, field: str, value: Object, path: str) -> Iterator[Item]:
    """Yield an event per message, status and call of the value, and a fault per item that is none.

    `path` is where the value stands in the webhook, for the faults.
    """
    people = _contacts(value, path)
    yield from people.faults
    from_history = field == "history"
    inbound = fold.HISTORY_MEDIA if from_history else fold.WEBHOOK
    echoed = fold.HISTORY_MEDIA if from_history else fold.ECHO
    yield from _each(
        value, "messages", path, lambda item, at: _inbound(batch, people, item, at, source=inbound)
    )
    yield from _each(
        value, "message_echoes", path, lambda item, at: _echo(batch, people, item, at, source=echoed)
    )
    yield from _each(value, "statuses", path, lambda item, at: _status(batch, people, item, at))
    yield from _each(value, "calls", path, lambda item, at: _call(batch, people, item, at))
    if "history" in value:
        yield from _history(batch, value, path)
    if isinstance(value.get("standby"), dict):
        yield from normalise(batch, field, value["standby"], f"{path}.standby")
    yield from batch.doubts
    batch.doubts = []


def _each(holder: Object, key: str, path: str, read: _Reader) -> Iterator[Item]:
    try:
        items = payload.array_in(holder, key, path)
    except Malformed as error:
        yield Fault(error.path, error.reason)
        return
    for number, item in enumerate(items):
        at = f"{path}.{key}[{number}]"
        try:
            yield read(item, at)
        except Malformed as error:
            yield Fault(error.path, error.reason)
        except RecursionError:
            yield Fault(at, "nested too deeply")
        except Exception as error:
            # A bug of ours must not cost the items beside this one; the ledger keeps it for a replay.
            log.exception("item_not_understood", extra={"path": at})
            yield Fault(at, f"not understood: {type(error).__name__}")


def _inbound(batch: Batch, people: "_People", item: Any, path: str, *, source: int) -> Event:
    wire = payload.convert(item, payload.Message, path)
    sent_at = batch.moment(wire.timestamp, path)
    contact = people.of(wire.from_, wire.from_user_id)
    person = _person(
        sent_at,
        contact,
        wa_id=wire.from_,
        bsuid=wire.from_user_id,
        parent_bsuid=wire.from_parent_user_id,
        group=wire.group_id,
    )
    if person is None:
        raise Malformed(path, "names nobody: no from, from_user_id or contact")
    return Event(
        person,
        _message(
            batch,
            item,
            wire,
            sent_at,
            source=source,
            direction=fold.INBOUND,
            status=fold.DELIVERED,
            sender=_participant(wire, contact) if wire.group_id else None,
        ),
        path,
    )


def _echo(batch: Batch, people: "_People", item: Any, path: str, *, source: int) -> Event:
    wire = payload.convert(item, payload.Message, path)
    sent_at = batch.moment(wire.timestamp, path)
    to = wire.to
    # Some fixtures of edits and revokes have the two ends swapped: the business is never the contact.
    if to and wire.from_ and identity.same_number(to, batch.instance.display_phone_number):
        to = wire.from_
    contact = people.of(to, wire.to_user_id)
    person = _person(
        sent_at,
        contact,
        wa_id=to,
        bsuid=wire.to_user_id,
        parent_bsuid=wire.to_parent_user_id,
        group=wire.group_id,
    )
    if person is None:
        raise Malformed(path, "names nobody: no to, to_user_id or contact")
    message = _message(
        batch, item, wire, sent_at, source=source, direction=fold.OUTBOUND, status=fold.SENT, sender=None
    )
    return Event(person, message, path)


def _history(batch: Batch, value: Object, path: str) -> Iterator[Item]:
    try:
        chunks = payload.array_in(value, "history", path)
    except Malformed as error:
        yield Fault(error.path, error.reason)
        return
    for chunk_number, chunk in enumerate(chunks):
        chunk_path = f"{path}.history[{chunk_number}]"
        try:
            threads = payload.array_in(payload.as_object(chunk, chunk_path), "threads", chunk_path)
        except Malformed as error:
            yield Fault(error.path, error.reason)
            continue
        for thread_number, thread in enumerate(threads):
            at = f"{chunk_path}.threads[{thread_number}]"
            try:
                wire = payload.convert(thread, payload.Thread, at)
            except Malformed as error:
                yield Fault(error.path, error.reason)
                continue
            yield from _each(
                thread, "messages", at, lambda item, at, wire=wire: _from_thread(batch, wire, item, at)
            )


def _from_thread(batch: Batch, thread: payload.Thread, item: Any, path: str) -> Event:
    wire = payload.convert(item, payload.Message, path)
    sent_at = batch.moment(wire.timestamp, path)
    context = thread.context or payload.ThreadContext()
    user = context.wa_id or thread.id
    business = batch.instance.display_phone_number
    history = wire.history_context or payload.HistoryContext()
    # Real chunks say from_me (field reports, September 2026); Meta's page "history webhook" says that
    # from equals the business number. Neither always holds.
    is_ours = history.from_me is True or (
        wire.from_ is not None
        and (
            identity.same_number(wire.from_, business)
            or (user is not None and not identity.same_number(wire.from_, user))
        )
    )
    other_end = wire.to if is_ours else wire.from_
    person = _person(
        sent_at,
        None,
        wa_id=user or other_end,
        bsuid=context.user_id,
        parent_bsuid=context.parent_user_id,
        username=context.username,
    )
    if person is None:
        raise Malformed(path, "names nobody: neither the thread nor the message says who")
    reported = fold.STATUS_RANKS.get((history.status or "").lower(), fold.PENDING)
    message = _message(
        batch,
        item,
        wire,
        sent_at,
        source=fold.HISTORY,
        direction=fold.OUTBOUND if is_ours else fold.INBOUND,
        # For what the user sent, the history's status says nothing: it is often "pending".
        status=reported if is_ours else fold.DELIVERED,
        sender=None,
    )
    return Event(person, message, path)


def _status(batch: Batch, people: "_People", item: Any, path: str) -> Event:
    wire = payload.convert(item, payload.Status, path)
    at = batch.moment(wire.timestamp, path)
    is_group = wire.recipient_type == "group"
    contact = None if is_group else people.of(wire.recipient_id, wire.recipient_user_id)
    person = _person(
        at,
        contact,
        wa_id=None if is_group else wire.recipient_id,
        bsuid=wire.recipient_user_id,
        parent_bsuid=wire.recipient_parent_user_id,
        group=wire.recipient_id if is_group else None,
    )
    name = wire.status.lower()
    rank = fold.STATUS_RANKS.get(name)
    details: Object = {key: item[key] for key in item.keys() - _STATUS_KEYS}
    if wire.type:
        details["type"] = wire.type
    if rank is None:
        details["states"] = {wire.status: str(wire.timestamp)}
    instance = batch.instance
    message = fold.Message(
        tenant_id=instance.tenant_id,
        instance_id=instance.id,
        id=ids.message_id(instance.public_id, wire.id),
        wamid=wire.id,
        batch_id=batch.id,
        sources=fold.STATUS,
        sent_at=at,
        direction=fold.OUTBOUND,
        party_rank=fold.PARTY_RANKS[fold.STATUS] if person else fold.NOBODY_RANK,
        status=rank or fold.PENDING,
        errors=fold.document(wire.errors) if wire.errors else None,
        billing=fold.document(details) if details else None,
        status_sent_at=at if rank == fold.SENT else None,
        status_delivered_at=at if rank == fold.DELIVERED else None,
        status_read_at=at if rank == fold.READ else None,
        status_played_at=at if rank == fold.PLAYED else None,
        status_failed_at=at if rank == fold.FAILED else None,
    )
    return Event(person, message, path)


def _call(batch: Batch, people: "_People", item: Any, path: str) -> Event:
    wire = payload.convert(item, payload.Call, path)
    at = batch.moment(wire.timestamp, path)
    instance = batch.instance
    is_ours = wire.direction == "BUSINESS_INITIATED" or (
        wire.from_ is not None and identity.same_number(wire.from_, instance.display_phone_number)
    )
    number, bsuid = (wire.to, wire.to_user_id) if is_ours else (wire.from_, wire.from_user_id)
    person = _person(at, people.of(number, bsuid), wa_id=number, bsuid=bsuid)
    if person is None:
        raise Malformed(path, "names nobody: no from, to or contact")
    message = fold.Message(
        tenant_id=instance.tenant_id,
        instance_id=instance.id,
        id=ids.message_id(instance.public_id, wire.id),
        wamid=wire.id,
        batch_id=batch.id,
        sources=fold.WEBHOOK,
        sent_at=at,
        type="call",
        content=fold.document({"call": {wire.event or "event": item}}),
        content_rank=fold.CONTENT_RANKS[fold.WEBHOOK],
        direction=fold.OUTBOUND if is_ours else fold.INBOUND,
        party_rank=fold.PARTY_RANKS[fold.WEBHOOK],
        status=fold.DELIVERED if not is_ours else fold.PENDING,
    )
    return Event(person, message, path)


def _message(
    batch: Batch,
    item: Object,
    wire: payload.Message,
    sent_at: datetime,
    *,
    source: int,
    direction: int,
    status: int,
    sender: str | None,
) -> fold.Message:
    kind = wire.type or "unknown"
    told: Object = {key: item[key] for key in item.keys() - _ENVELOPE_KEYS}
    text = told.get("text")
    if kind == "text" and isinstance(text, dict) and len(text) <= 1:  # pyright: ignore[reportUnknownArgumentType]
        del told["text"]  # the body says it all
    instance = batch.instance
    return fold.Message(
        tenant_id=instance.tenant_id,
        instance_id=instance.id,
        id=ids.message_id(instance.public_id, wire.id),
        wamid=wire.id,
        batch_id=batch.id,
        sources=source,
        sent_at=sent_at,
        type=kind,
        body=wire.text.body if kind == "text" and wire.text else _body(kind, item),
        content=fold.document(told) if told else None,
        context=fold.document(item["context"]) if wire.context else None,
        content_rank=fold.content_rank(source, kind),
        direction=direction,
        sender=sender,
        party_rank=fold.PARTY_RANKS[source],
        status=status,
        errors=fold.document(wire.errors) if wire.errors else None,
    )


def _body(kind: str, item: Object) -> str | None:
    """Give the caption or another line a person would read; None where the type has none."""
    for path in (("caption",), *_BODY_PATHS.get(kind, ())):
        value: Any = item.get(kind)
        for key in path:
            value = value.get(key) if isinstance(value, dict) else None  # pyright: ignore[reportUnknownVariableType, reportUnknownMemberType]
        if isinstance(value, str) and value:
            return value
    return None


class _People:
    """The `contacts` of a value, found by either identifier."""

    def __init__(self) -> None:
        self.faults: list[Fault] = []
        self._by_identifier: dict[str, payload.Contact] = {}
        self._all: list[payload.Contact] = []

    def add(self, contact: payload.Contact) -> None:
        self._all.append(contact)
        for identifier in (contact.wa_id, contact.user_id):
            if identifier:
                self._by_identifier[identifier] = contact

    def of(self, wa_id: str | None, bsuid: str | None) -> payload.Contact | None:
        for identifier in (bsuid, wa_id):
            if identifier and identifier in self._by_identifier:
                return self._by_identifier[identifier]
        if len(self._all) != 1:
            return None
        # A sole contact that is written otherwise (ninth digit), or a message that names nobody.
        only = self._all[0]
        if wa_id is None and bsuid is None:
            return only
        return only if wa_id and only.wa_id and identity.same_number(wa_id, only.wa_id) else None


def _contacts(value: Object, path: str) -> _People:
    people = _People()
    try:
        contacts = payload.array_in(value, "contacts", path)
    except Malformed as error:
        people.faults.append(Fault(error.path, error.reason))
        return people
    for number, contact in enumerate(contacts):
        try:
            people.add(payload.convert(contact, payload.Contact, f"{path}.contacts[{number}]"))
        except Malformed as error:
            people.faults.append(Fault(error.path, error.reason))
    return people


def _person(
    at: datetime,
    contact: payload.Contact | None,
    *,
    wa_id: str | None = None,
    bsuid: str | None = None,
    parent_bsuid: str | None = None,
    group: str | None = None,
    username: str | None = None,
) -> identity.Person | None:
    if group:
        return identity.Person(group=group)
    profile = (contact.profile if contact else None) or payload.Profile()
    person = identity.Person(
        bsuid=bsuid or (contact.user_id if contact else None) or None,
        parent_bsuid=parent_bsuid or (contact.parent_user_id if contact else None) or None,
        wa_id=wa_id or (contact.wa_id if contact else None) or None,
        name=profile.name or None,
        name_at=at if profile.name else None,
        username=profile.username or username or None,
    )
    return person if person.bsuid or person.wa_id or person.parent_bsuid else None


def _participant(wire: payload.Message, contact: payload.Contact | None) -> str:
    """Who of a group wrote, as the document of `sender`."""
    profile = (contact.profile if contact else None) or payload.Profile()
    return fold.document({"name": profile.name, "number": wire.from_, "user_id": wire.from_user_id})
