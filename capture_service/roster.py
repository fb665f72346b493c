"""Who the items of a value speak of: its `contacts`, and the person of one item."""

from datetime import datetime

from capture_service import fold, identity, payload
from capture_service.payload import Malformed, Object


class People:
    """The `contacts` of a value, found by either identifier."""

    def __init__(self) -> None:
        self.faults: list[Malformed] = []
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
            people.add(payload.convert(contact, payload.Contact, f"{path}.contacts[{number}]"))
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
        wa_id=(wa_id or (contact.wa_id if contact else None) or "").removeprefix("+") or None,
        former_bsuid=former_bsuid,
        former_parent_bsuid=former_parent_bsuid,
        former_wa_id=former_wa_id,
        name=profile.name or None,
        username=profile.username or username or None,
    )
    return person if person.identifiers() else None


def participant(wire: payload.Message, contact: payload.Contact | None) -> str:
    """Who of a group wrote, as the document of `sender`."""
    profile = (contact.profile if contact else None) or payload.Profile()
    return fold.document({"name": profile.name, "number": wire.from_, "user_id": wire.from_user_id})
