"""Who said a line, told by how the lines of the file begin."""

import re
import unicodedata
from collections import Counter
from collections.abc import Sequence
from functools import lru_cache
from typing import Final

from capture_service.chat_export import marks

# The subject of a group may have 100 characters; what stands before a ": " further on is no name.
CHARS_MAX: Final = 128
_ENDS_MAX: Final = 4
# Fewer lines that begin alike are no evidence: with a name too long, words would be cut off what was said.
_BEARING_OUT_MIN: Final = 3
_QUOTE: Final = re.compile('["\u201c\u201d\u201e\u00ab\u00bb]')
_NUMBER: Final = re.compile(r"\+?[\d\s().\-\u2010-\u2015\u2212]*\d")
_NUMBER_SIGNS: Final = re.compile(r"\D")
# In the notice that somebody's security code changed, the name of that person may hold the ": ".
NOTICE_WORDS: Final = (
    "security code",
    "código de segurança",
    "código de seguridad",
    "sicherheitsnummer",
    "code de sécurité",
    "codice di sicurezza",
)


@lru_cache(maxsize=1024)
def key(name: str) -> str:
    """Give a name as it is compared: as people type what a phone shows them, and of a number the digits."""
    plain = " ".join(unicodedata.normalize("NFKC", marks.removed(name)).casefold().split())
    return _NUMBER_SIGNS.sub("", plain) if _NUMBER.fullmatch(plain) else plain


class Authors:
    """Who said it, where names and messages may both contain ": ".

    A line with a single ": " leaves no doubt, and a name known from such a line is preferred, as is the
    one that the caller knows. Of a beginning that nothing bears out, the longest name that all of its
    lines share is the author, if there are enough of them. Whoever wrote just three messages, all of
    them "Order: …", gets a wrong name by that; whoever is saved as "Ana: Loja" gets the right one.
    """

    def __init__(self, rests: Sequence[str], known: str | None = None) -> None:
        self._known = key(known) if known else None
        self._names: dict[str, str] = {}
        self._certain: Counter[str] = Counter()
        self._doubtful: Counter[str] = Counter()
        for rest in rests:
            names = [self._name(rest[:end]) for end in _ends(rest)]
            if len(names) == 1:
                self._certain[names[0]] += 1
            else:
                self._doubtful.update(names)

    def split(self, rest: str) -> tuple[str | None, str]:
        """Give the author, None on a notice, and the words."""
        for end in self._preferred(rest):
            name = self._name(rest[:end])
            if self._is_name(name):
                words = rest[end + 1 :]
                return name, "" if words == "." else words
        return None, rest

    def _preferred(self, rest: str) -> list[int]:
        ends = _ends(rest)
        if len(ends) < 2:
            return ends
        names = [self._name(rest[:end]) for end in ends]
        for end, name in zip(ends, names, strict=True):
            if key(name) == self._known:
                return [end]
        lines = self._doubtful[names[0]]
        if names[0] in self._certain or lines < _BEARING_OUT_MIN:
            return ends[:1]
        return [
            end
            for end, name in zip(reversed(ends), reversed(names), strict=True)
            if self._doubtful[name] == lines
        ][:1]

    def _is_name(self, name: str) -> bool:
        if not name or key(name) == self._known:
            return bool(name)
        # 'Ana changed the subject to "Sale: today"' is a notice; whoever is saved as 'João "Zé"' says
        # more than one thing.
        if _QUOTE.search(name) and self._certain[name] + self._doubtful[name] < 2:
            return False
        lowered = name.casefold()
        return not any(words in lowered for words in NOTICE_WORDS)

    def _name(self, raw: str) -> str:
        name = self._names.get(raw)
        if name is None:
            name = self._names[raw] = " ".join(marks.removed(raw).split())
        return name


def _ends(rest: str) -> list[int]:
    """List the places of the colons at which a name may end, nearest first."""
    ends: list[int] = []
    begins = 0
    while len(ends) < _ENDS_MAX and (end := rest.find(": ", begins, CHARS_MAX)) > 0:
        # What follows a name's ": " is a name's still only if it could be: no tag, no quote, nothing of
        # iOS's own words, which begin with a mark, and no label of an address.
        if ends and (
            rest[begins] == marks.LRM
            or "<" in rest[begins:end]
            or _QUOTE.search(rest, begins, end)
            or rest.startswith("http", end + 2)
        ):
            return ends
        ends.append(end)
        begins = end + 2
    # A message without a word: "Ana:", and "Ana:." in the samples of chat-miner.
    length = len(rest.removesuffix(".")) - 1
    if 0 < length < CHARS_MAX and rest[length] == ":" and length >= begins and marks.LRM not in rest[begins:]:
        ends.append(length)
    return ends
