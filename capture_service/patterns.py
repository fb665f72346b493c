"""Which messages look automatic, by rules that are few and named; they mark, and never drop anything.

- `bot:menu`: a text that offers at least three numbered options and asks to choose one.
- `auto_reply:quick_repeat`: a text of the business that answered within seconds, and that it sent to
  several people word for word.
- `bot:same_text`: a text of the business that many people were sent word for word.

Only what came live is looked at: an imported history says nothing about how it was written.
"""

import re
from collections.abc import Iterable
from datetime import timedelta
from typing import Final, NamedTuple

MENU: Final = "bot:menu"
QUICK_REPEAT: Final = "auto_reply:quick_repeat"
SAME_TEXT: Final = "bot:same_text"

QUICK: Final = timedelta(seconds=10)
REPEATED_TO_MIN: Final = 3
SAME_TO_MIN: Final = 10
_OPTIONS_MIN: Final = 3
# Longer texts are not compared: nobody repeats them by chance, and a menu fits in less.
TEXT_CHARS_MAX: Final = 4096

# "1 - Pedidos", "2) Preços", "*3* Horário", "[4] Sair", "5️⃣ Falar com atendente".
_OPTION: Final = re.compile(
    r"^[ \t]*[*_\[(]{0,2}\d{1,2}(?:\ufe0f?\u20e3|[*_\])]{1,2}|[ \t]*[-.):\u2013])", re.MULTILINE
)
_PROMPT: Final = re.compile(
    r"\b(?:digit[ea]|escolh[ae]|selecion[ea]|respond[ae]|envie|op[cç][aã]o|op[cç][oõ]es"
    r"|choose|select|reply|press|type|option|options"
    r"|elij[ae]|elige|seleccion[ea]|escrib[ae]|marque|opci[oó]n|opciones)\b",
    re.IGNORECASE,
)


def is_menu(text: str) -> bool:
    """Tell whether a text offers numbered options to choose from."""
    if text.count("\n") < _OPTIONS_MIN - 1 or len(text) > TEXT_CHARS_MAX or not _PROMPT.search(text):
        return False
    return sum(1 for _ in _OPTION.finditer(text)) >= _OPTIONS_MIN


class Sent(NamedTuple):
    """One message of the business, among those with the same text."""

    lead: object
    answers_quickly: bool
    """It came within `QUICK` of something that the person wrote."""


def rules(sent: Iterable[Sent]) -> list[str | None]:
    """Say of each message, all of one text, which rule it falls under."""
    found = list(sent)
    people = len({message.lead for message in found})
    return [
        QUICK_REPEAT
        if message.answers_quickly and people >= REPEATED_TO_MIN
        else SAME_TEXT
        if people >= SAME_TO_MIN
        else None
        for message in found
    ]
