"""Who a webhook speaks of: the identifiers of a person or a group, most trusted first.

Since 2026 a person may hide the phone number behind a username; the business-scoped user id (BSUID)
is then all there is. Source: Meta, "Business-scoped user IDs", updated 2026-06-29.
"""

import functools
import re
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Final, Literal, TypeAlias

import msgspec

Kind: TypeAlias = Literal["bsuid", "parent_bsuid", "wa_id", "phone_alias", "group"]

_TRUST: Final[Mapping[str, int]] = {"parent_bsuid": 0, "phone_alias": 1, "wa_id": 2, "bsuid": 3, "group": 4}

# A BSUID alone may have 128 characters after its prefix; anything longer than this is not an
# identifier, and an index entry could not hold it.
IDENTIFIER_CHARS_MAX: Final = 256

# Brazil: country 55, two digits of area, then eight digits, or nine with the "9" that mobile
# numbers were given between 2012 and 2016; WhatsApp knows many by the shorter form to this day.
# Landlines begin with 2 to 5 and never took it.
_BRAZIL_MOBILE: Final = re.compile(r"55([1-9]\d)9?([6-9]\d{7})")
# Mexico: 52 and ten digits; WhatsApp knows many with the "1" once dialled before mobile numbers.
_MEXICO: Final = re.compile(r"521?(\d{10})")
_BSUID: Final = re.compile(r"[A-Z]{2}\.(?:ENT\.)?[A-Za-z0-9]{1,128}")
# A number as people write it.
_WRITTEN_NUMBER: Final = re.compile(r"\+?[0-9][0-9 ().\-\u00a0\u2011]*")


class Person(msgspec.Struct, frozen=True, kw_only=True):
    """Whoever is at the other end of a conversation: a person, or a group.

    At least one of the identifiers is set. `said_at` is when the webhook's item happened: of two
    names, numbers or user ids the one said last is shown.
    """

    said_at: datetime
    bsuid: str | None = None
    parent_bsuid: str | None = None
    wa_id: str | None = None
    group: str | None = None
    former_bsuid: str | None = None
    former_parent_bsuid: str | None = None
    number: str | None = None
    """What the address book knows them by: found by it, and shown by it until WhatsApp names a number."""
    former_wa_id: str | None = None
    """What the same person was known by before: found by it, never shown by it."""
    name: str | None = None
    username: str | None = None
    saved_name: str | None = None
    """What the business calls them in its address book; "" when it no longer does."""

    def identifiers(self) -> list[tuple[Kind, str]]:
        """List (kind, value) in the order of trust."""
        if self.group:
            return [("group", self.group)]
        found: list[tuple[Kind, str]] = []
        if self.bsuid:
            found.append(("bsuid", self.bsuid))
        if self.former_bsuid and self.former_bsuid != self.bsuid:
            found.append(("bsuid", self.former_bsuid))
        numbers = dict.fromkeys(filter(None, (self.wa_id, self.number, self.former_wa_id)))
        for number in numbers:
            found.append(("wa_id", number))
        aliases = {alias for number in numbers if (alias := phone_alias(number))}
        for alias in sorted(aliases):
            found.append(("phone_alias", alias))
        # Last: the same person as another portfolio of the same enterprise knows them.
        for parent in dict.fromkeys((self.parent_bsuid, self.former_parent_bsuid)):
            if parent:
                found.append(("parent_bsuid", parent))
        return found


def surest(identifiers: Iterable[tuple[str, str]]) -> str:
    """Give the most trusted of somebody's (kind, value), as a text by which two people can be compared."""
    return max((f"{_TRUST[kind]}{value}" for kind, value in identifiers), default="")


def is_bsuid(text: str) -> bool:
    """Tell whether a text has the form of a business-scoped user id, such as US.13491208655302741918."""
    return bool(_BSUID.fullmatch(text))


def as_wa_id(text: str) -> str:
    """Give the digits of a number that is written for people; anything else as it is."""
    return digits(text) if not text.isdigit() and _WRITTEN_NUMBER.fullmatch(text) else text


def phone_alias(wa_id: str) -> str | None:
    """Give the form in which the two ways of writing a Brazilian or Mexican mobile number are equal.

    None for every number that has only one form, landlines among them.
    """
    if brazilian := _BRAZIL_MOBILE.fullmatch(wa_id):
        return f"55{brazilian[1]}9{brazilian[2]}"
    mexican = _MEXICO.fullmatch(wa_id)
    return f"521{mexican[1]}" if mexican else None


def written_forms(wa_id: str) -> list[str]:
    """List every way in which a webhook may write this number; only itself where there is one way."""
    alias = phone_alias(wa_id)
    if alias is None:
        return [wa_id]
    # An alias is the long form: the digit that the short form lacks follows the area or country code.
    return [alias, alias[:4] + alias[5:] if alias.startswith("55") else alias[:2] + alias[3:]]


def same_number(first: str, second: str) -> bool:
    """Tell whether two numbers are one, whatever their punctuation and the ninth digit."""
    ours = canonical(first)
    return bool(ours) and ours == canonical(second)


# One webhook names few numbers, each several times.
@functools.lru_cache(maxsize=1024)
def canonical(number: str) -> str:
    """Give the one form of a number, however it is written; "" when there is no digit in it."""
    found = digits(number)
    return phone_alias(found) or found


def digits(number: str) -> str:
    if number.isascii() and number.isdigit():
        return number  # as nearly every webhook writes it
    return "".join(character for character in number if character in "0123456789")
