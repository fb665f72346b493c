"""The invisible marks that WhatsApp sets around words, and how words are freed of them."""

import re
from typing import Final

LRM: Final = "\u200e"
ANY: Final = "\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff"
EDGES: Final = (
    " \t\r\n\x0b\x0c\xa0\u202f\u200b\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\ufeff"
)
# WhatsApp sets these in pairs around mentions and telephone numbers. With one half trimmed off, the
# other would turn the text after it.
_PAIRED: Final = re.compile("[\u202a-\u202e\u2066-\u2069]")
_EACH: Final = re.compile(f"[{ANY}]")


def removed(text: str) -> str:
    """Give the text without any mark."""
    return _EACH.sub("", text)


def cleaned(text: str) -> str:
    """Give what somebody said: without pairs, and without marks and spaces at either end."""
    return _PAIRED.sub("", text).strip(EDGES)
