"""Who the items of a value speak of: its `contacts`, and the person of one item."""

from datetime import datetime

from capture_service import fold, identity, payload
from capture_service.payload import Malformed, Object


class People:
    """The `contacts` of a value, found by either identifier."""

    def __init__(self) -> None:
        self.faults: list[Malformed] = []
        self._all: list[tuple[payload.Contact, str]] = []
        self._by_identifier: dict[str, int] = {}
        self._spoken_of: set[int] = set()

    def add(self, contact: payload.Contact, path: str) -> None:
        for identifier in (contact.user_id, _key(contact.wa_id)):
            if identifier:
                self._by_identifier[identifier] = len(self._all)
        self._all.append((contact, path))

    def of(self, wa_id: str | None, bsuid: str | None, *, is_group: bool = False) -> payload.Contact | None:
        """Give the contact of an item; one of a group is its sender and not whom it is from."""
        if not self._all:
            return None
        found = self._by_identifier.get(bsuid or "")
        if found is None:
            found = self._by_identifier.get(_key(wa_id) or "")
        if found is None:
            if len(self._all) > 1 or wa_id is not None or bsuid is not None:
                return None
            found = 0  # an item that names nobody is about the only contact there is
        if not is_group:
            self._spoken_of.add(found)
        return self._all[found][0]

    def unspoken(self) -> list[tuple[payload.Contact, str]]:
        """List the contacts of whom no item was, with their paths."""
        return [told for number, told in enumerate(self._all) if number not in self._spoken_of]


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
