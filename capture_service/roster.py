"""Who the items of a value speak of: its `contacts`, and the person of one item."""

from datetime import datetime
from typing import Any, NamedTuple, cast

from capture_service import fold, identity, payload
from capture_service.payload import Malformed, Object


class Bystander(NamedTuple):
    """A contact whom no item was about, or who acted in a group."""

    contact: payload.Contact
    path: str
    acted_at: datetime | None
    """When it acted in a group the last time; None where no item names it."""


class People:
    """The `contacts` of a value, found by either identifier."""

    def __init__(self) -> None:
        self.faults: list[Malformed] = []
        self._all: list[tuple[payload.Contact, str]] = []
        self._by_identifier: dict[str, int] = {}
        self._spoken_of: set[int] = set()
        self._acted_at: dict[int, datetime] = {}

    def add(self, contact: payload.Contact, path: str) -> None:
        for identifier in (contact.user_id, _key(contact.wa_id)):
            if identifier:
                self._by_identifier[identifier] = len(self._all)
        self._all.append((contact, path))

    def of(self, wa_id: str | None, bsuid: str | None) -> payload.Contact | None:
        """Give the contact whom an item is about."""
        found = self._find(wa_id, bsuid)
        if found is None:
            return None
        self._spoken_of.add(found)
        return self._all[found][0]

    def of_group(self, wa_id: str | None, bsuid: str | None, at: datetime) -> payload.Contact | None:
        """Give the contact who acted in a group then: the item is about the group."""
        found = self._find(wa_id, bsuid)
        if found is None:
            return None
        self._acted_at[found] = max(self._acted_at.get(found, at), at)
        return self._all[found][0]

    def bystanders(self) -> list[Bystander]:
        return [
            Bystander(contact, path, self._acted_at.get(number))
            for number, (contact, path) in enumerate(self._all)
            if number in self._acted_at or number not in self._spoken_of
        ]

    def _find(self, wa_id: str | None, bsuid: str | None) -> int | None:
        if not self._all:
            return None
        found = self._by_identifier.get(bsuid or "")
        if found is None:
            found = self._by_identifier.get(_key(wa_id) or "")
        if found is None and len(self._all) == 1 and wa_id is None and bsuid is None:
            return 0  # an item that names nobody is about the only contact there is
        return found


def _key(wa_id: str | None) -> str | None:
    """Give one form for every way of writing a number (ninth digit, punctuation)."""
    return (identity.canonical(wa_id) or wa_id) if wa_id else None


def read(value: Object, path: str) -> People:
    """Read the `contacts` of a value; what is wrong with one of them is noted in `faults`."""
    people = People()
    try:
        contacts = payload.array_in(value, "contacts", path)
    except Malformed as error:
        people.faults.append(error)
        return people
    for number, contact in enumerate(contacts):
        try:
            at = f"{path}.contacts[{number}]"
            people.add(payload.convert(contact, payload.Contact, at), at)
        except Malformed as error:
            people.faults.append(error)
    return people


def beside(value: Object, item: Any) -> Object:
    """Give a value as it would be were an item its only one: of the contacts those whom the item names."""
    contacts = value.get("contacts")
    if not isinstance(contacts, list) or not isinstance(item, dict):
        return value
    named = _named(cast("Object", item))
    kept = [
        cast("Object", contact)
        for contact in cast("list[Any]", contacts)
        if isinstance(contact, dict) and named & _named(cast("Object", contact))
    ]
    return {**value, "contacts": kept} if kept else {key: value[key] for key in value.keys() - {"contacts"}}


def _named(holder: Object) -> set[str]:
    """Give the identifiers with which an item, or a contact, names someone."""
    user_id = holder.get("user_id")
    renewal = cast("Object", user_id) if isinstance(user_id, dict) else {"current": user_id}
    found = [_key(wa_id) if isinstance(wa_id := holder.get("wa_id"), str) else None]
    found += [bsuid for key in ("previous", "current") if isinstance(bsuid := renewal.get(key), str)]
    return {identifier for identifier in found if identifier}


def person(
    at: datetime,
    contact: payload.Contact | None,
    *,
    wa_id: str | None = None,
    bsuid: str | None = None,
    parent_bsuid: str | None = None,
    former_wa_id: str | None = None,
    former_bsuid: str | None = None,
    former_parent_bsuid: str | None = None,
    number: str | None = None,
    group: str | None = None,
    username: str | None = None,
) -> identity.Person | None:
    if group:
        return identity.Person(said_at=at, group=group)
    profile = (contact.profile if contact else None) or payload.Profile()
    person = identity.Person(
        said_at=at,
        bsuid=bsuid or (contact.user_id if contact else None) or None,
        parent_bsuid=parent_bsuid or (contact.parent_user_id if contact else None) or None,
        wa_id=identity.as_wa_id(wa_id or (contact.wa_id if contact else None) or "") or None,
        number=number or None,
        former_bsuid=former_bsuid,
        former_parent_bsuid=former_parent_bsuid,
        former_wa_id=identity.as_wa_id(former_wa_id) if former_wa_id else None,
        name=profile.name or None,
        username=profile.username or username or None,
    )
    return person if person.identifiers() else None


def participant(wire: payload.Message, contact: payload.Contact | None) -> str:
    """Who of a group wrote, as the document of `sender`."""
    profile = (contact.profile if contact else None) or payload.Profile()
    return fold.document({"name": profile.name, "number": wire.from_, "user_id": wire.from_user_id})
