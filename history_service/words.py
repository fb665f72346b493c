"""What a person types to find messages: read, turned into a query of the index, and shown in what was found.

Words are compared without case and accents. The last letters of a word may be missing, and other forms
of it are found by the stem that Portuguese, English and Spanish give it; the index knows no language.
"""

import re
import unicodedata
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from history_service import search

CHARS_MAX: Final = 200
# A shorter stem finds mostly other words: "casa" has the Portuguese stem "cas".
_STEM_CHARS_MIN: Final = 4
_TERM: Final = re.compile(r'(?P<excluded>-)?(?:"(?P<phrase>[^"]*)"?|(?P<word>[^\s"]+))')
# As public.recado_words parts them: ASCII punctuation is a gap, and the parser knows the rest of it.
_GAPS: Final = r"\s!-/:-@\[-`{-~¡§«¶·»¿\u2010-\u2027\u2030-\u205e\u3000-\u3003\u3008-\u3011"
_GAP: Final = re.compile(f"[{_GAPS}]+")
_WORD: Final = re.compile(f"[^{_GAPS}]+")
# As telephones write them by themselves.
_QUOTES: Final = str.maketrans(dict.fromkeys("“”„‟«»", '"'))
_SNIPPET_CHARS: Final = 160
_BEFORE_CHARS: Final = 40


class Term(NamedTuple):
    words: tuple[str, ...]
    is_phrase: bool
    is_excluded: bool


class Forms(NamedTuple):
    """What the index knows a word by; several lexemes where its parser divides it, none for a mere sign."""

    lexemes: Sequence[str]
    stems: Sequence[str]


def read(text: str) -> list[Term]:
    """Take a query apart: words, "phrases in quotes", -excluded ones. Nothing typed is an error."""
    terms: list[Term] = []
    for found in _TERM.finditer(unicodedata.normalize("NFKC", text).translate(_QUOTES)):
        is_phrase = found["phrase"] is not None
        words = tuple(word for word in _GAP.split(found["phrase"] if is_phrase else found["word"]) if word)
        if words:
            # What punctuation holds together, as a number or an address, is a phrase with an open end.
            terms.append(Term(words, is_phrase, found["excluded"] is not None))
    return terms


def query(terms: Sequence[Term], forms: Mapping[str, Forms], *, is_as_typed: bool = False) -> str:
    """Give the tsquery of these terms; "", which finds nothing, when no word is asked for.

    `is_as_typed` is without other endings: it finds a part of it.
    """
    wanted = [_quoted(term, forms, is_open=not is_as_typed) for term in terms if not term.is_excluded]
    unwanted = [_quoted(term, forms, is_open=False) for term in terms if term.is_excluded]
    asked = [part for part in wanted if part]
    if not asked or len(asked) < len(wanted):
        return ""
    return " & ".join([*asked, *(f"!({part})" for part in unwanted if part)])


def _quoted(term: Term, forms: Mapping[str, Forms], *, is_open: bool) -> str:
    *before, last = term.words
    parts = [_lexeme(lexeme) for word in before for lexeme in forms[word].lexemes]
    lexemes = forms[last].lexemes
    parts += [_lexeme(lexeme) for lexeme in lexemes[:-1]]
    if lexemes:
        if term.is_phrase or not is_open:
            parts.append(_lexeme(lexemes[-1]))
        else:
            alternatives = [lexemes[-1], *(forms[last].stems if len(term.words) == len(lexemes) == 1 else ())]
            parts.append("(" + " | ".join(f"{_lexeme(found)}:*" for found in _useful(alternatives)) + ")")
    return "(" + " <-> ".join(parts) + ")" if parts else ""


def _useful(alternatives: Sequence[str]) -> list[str]:
    """Leave out short stems, and whatever another one finds as well."""
    word, *stems = alternatives
    kept = [word, *(stem for stem in stems if len(stem) >= _STEM_CHARS_MIN)]
    return sorted({one for one in kept if not any(one != other and one.startswith(other) for other in kept)})


def _lexeme(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "''") + "'"


class Marks(NamedTuple):
    """What to mark in a text: words that begin so, and words that are exactly so."""

    beginnings: tuple[str, ...]
    words: frozenset[str]


def marks(terms: Sequence[Term], forms: Mapping[str, Forms]) -> Marks:
    beginnings: list[str] = []
    exact: set[str] = set()
    for term in terms:
        if term.is_excluded:
            continue
        *before, last = [search.comparable(word) for word in term.words]
        exact.update(before)
        if term.is_phrase:
            exact.add(last)
        else:
            beginnings += _useful([last, *(forms[term.words[-1]].stems if not before else ())])
    return Marks(tuple(beginnings), frozenset(exact))


class Piece(NamedTuple):
    text: str
    is_match: bool


def snippet(text: str, marked: Marks) -> list[Piece]:
    """Give the part of a text around the first word that was found, in pieces; "..." where it is cut."""
    found = [
        (match.start(), match.end())
        for match in _WORD.finditer(text)
        if _is_marked(search.comparable(match[0]), marked)
    ]
    start = _cut_before(text, found[0][0] - _BEFORE_CHARS) if found else 0
    end = min(len(text), start + _SNIPPET_CHARS)
    pieces = [Piece("…", False)] if start else []
    at = start
    for first, last in found:
        if first >= end:
            break
        if first > at:
            pieces.append(Piece(text[at:first], False))
        pieces.append(Piece(text[first : min(last, end)], True))
        at = min(last, end)
    if at < end:
        pieces.append(Piece(text[at:end], False))
    if end < len(text):
        pieces.append(Piece("…", False))
    return pieces


def _is_marked(word: str, marked: Marks) -> bool:
    return word in marked.words or word.startswith(marked.beginnings)


def _cut_before(text: str, at: int) -> int:
    """Give a place at or before which to begin: that of a word."""
    if at <= 0:
        return 0
    gap = text.find(" ", at)
    return gap + 1 if 0 <= gap < at + _BEFORE_CHARS else at
