"""What a person types to find somebody or something, made comparable with what is stored.

Without case and accents ("joao" finds "João"), and as the plain letters that ornamental ones stand for.
"""

import re
import unicodedata
from typing import Final

_SEPARATORS: Final = re.compile(r"[\s()+./-]")
# Stored numbers carry the long form beside their own (lead_identifiers, kind phone_alias), so it is
# the short form that needs the other one: Brazil's ninth digit, with or without the country, and the
# "1" of Mexico.
_BRAZIL_SHORT: Final = re.compile(r"((?:55)?[1-9]\d)([6-9]\d{7})")
_MEXICO_SHORT: Final = re.compile(r"52(\d{10})")


def _plain_letters() -> dict[str, str]:
    """Map each Latin letter that carries marks to its lower-case letter without them."""
    plain: dict[str, str] = {}
    for code in (*range(0x00C0, 0x0250), *range(0x1E00, 0x1F00)):
        letter = unicodedata.normalize("NFD", chr(code))[0]
        if letter.isascii() and letter.isalpha():
            plain[chr(code)] = letter.lower()
    return plain


_PLAIN: Final = str.maketrans(_plain_letters())


def comparable(text: str) -> str:
    """Give a text without case, marks and ornament."""
    return unicodedata.normalize("NFKC", text).strip().lower().translate(_PLAIN)


def number_forms(text: str) -> list[str]:
    """Give the digits of a typed number in every form it may be stored; none when it is no number."""
    digits = _SEPARATORS.sub("", text)
    if not (digits.isascii() and digits.isdigit()):
        return []
    brazilian = _BRAZIL_SHORT.fullmatch(digits)
    mexican = _MEXICO_SHORT.fullmatch(digits)
    forms = [digits]
    if brazilian:
        forms.append(f"{brazilian[1]}9{brazilian[2]}")
    if mexican:
        forms.append(f"521{mexican[1]}")
    return forms
