"""Which messages look automatic, by rules that are few and named; they mark, and never drop anything.

- `bot:menu`: a text that offers at least three numbered options and asks to choose one.
- `auto_reply:quick_repeat`: a text of the business that answered within seconds, and that it sent to
  several people word for word.
- `bot:same_text`: a text of the business that many people were sent word for word.

Only what came live is looked at: an imported history says nothing about how it was written. The order in
which it came does not matter: what `is_late` is noted, and examined once more.
"""

import re
from datetime import datetime, timedelta
from typing import Final, NamedTuple

from capture_service import fold
from protos.ids import moment_of

MENU: Final = "bot:menu"
QUICK_REPEAT: Final = "auto_reply:quick_repeat"
SAME_TEXT: Final = "bot:same_text"

QUICK: Final = timedelta(seconds=10)
REPEATED_TO_MIN: Final = 3
SAME_TO_MIN: Final = 10
_OPTIONS_MIN: Final = 3
# Texts are examined 15 seconds after they came (sweep.py): what is applied sooner than this is in time, with
# a margin for the transaction that applies it.
_IN_TIME: Final = timedelta(seconds=5)
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


class View(NamedTuple):
    """What the rules see of a message."""

    direction: int
    lead: object
    sent_at: datetime
    text: str | None = None
    batch: object = None
    """Of a text: by it a text is found that was not examined yet."""


def view(message: fold.Message) -> View | None:
    """Give what the rules see of a message; None when they do not look at it."""
    if not message.sources & fold.LIVE:
        return None
    if message.direction == fold.INBOUND:
        return View(message.direction, message.lead_id, message.sent_at) if message.lead_id else None
    if message.type != "text" or message.content_rank < fold.CONTENT_RANKS[fold.API]:
        return None
    return View(message.direction, message.lead_id, message.sent_at, message.body, message.batch_id)


def sees_otherwise(row: fold.Message, merged: fold.Message) -> bool:
    """Tell whether the rules see something else of a message than before."""
    # A status changes none of these, and statuses are most of what comes.
    if (
        row.lead_id == merged.lead_id
        and row.sent_at == merged.sent_at
        and row.sources & fold.LIVE == merged.sources & fold.LIVE
        and row.batch_id == merged.batch_id
        and row.content_rank == merged.content_rank
        and row.direction == merged.direction
        and row.type == merged.type
        and row.body == merged.body
    ):
        return False
    return view(row) != view(merged)


def is_late(message: fold.Message, now: datetime) -> bool:
    """Tell whether the sweeper may have passed over a text, or over the answer to what somebody wrote."""
    # An answer came after what it answers was written.
    since = message.sent_at if message.direction == fold.INBOUND else moment_of(message.batch_id)
    return since < now - _IN_TIME


def repetition(people: int) -> int:
    """Say from how many people on a text that went to `people` is marked as it is; 0 when it is not."""
    return max(least for least in (0, REPEATED_TO_MIN, SAME_TO_MIN) if least <= people)


def rule(people: int, *, answers_quickly: bool) -> str | None:
    """Say which rule a text falls under that was sent, word for word, to so many people.

    `answers_quickly`: it came within `QUICK` of something that the person wrote.
    """
    if answers_quickly and people >= REPEATED_TO_MIN:
        return QUICK_REPEAT
    return SAME_TEXT if people >= SAME_TO_MIN else None
