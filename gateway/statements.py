"""What is known of a conversation, said for a person to read, in both languages."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final, Literal, TypeAlias

from protos import history_pb2

Language: TypeAlias = Literal["en", "pt-BR"]
LANGUAGES: Final[tuple[Language, ...]] = ("en", "pt-BR")

_LIVE: Final[Mapping[Language, str]] = {
    "en": "Complete since {start}",
    "pt-BR": "Completo desde {start}",
}
_LIVE_UNTIL: Final[Mapping[Language, str]] = {
    "en": "Complete from {start} to {end}",
    "pt-BR": "Completo de {start} a {end}",
}
_ROUTES: Final[Mapping[str, Mapping[Language, str]]] = {
    "history": {
        "en": "history shared by the business app from {start}",
        "pt-BR": "histórico compartilhado pelo aplicativo desde {start}",
    },
    "chat_export": {
        "en": "imported chat from {start} to {end}",
        "pt-BR": "conversa importada de {start} a {end}",
    },
}
_REASONS: Final[Mapping[str, Mapping[Language, str]]] = {
    "before_connection": {
        "en": "what was written before {end} is not known",
        "pt-BR": "o que foi escrito antes de {end} não é conhecido",
    },
    "history_declined": {
        "en": "the business declined to share what was written before {end}",
        "pt-BR": "a empresa recusou compartilhar o que foi escrito antes de {end}",
    },
    "history_incomplete": {
        "en": "the history before {end} has not arrived in full",
        "pt-BR": "o histórico anterior a {end} não chegou por completo",
    },
    "disconnected": {
        "en": "nothing arrives since the number was disconnected on {start}",
        "pt-BR": "nada chega desde que o número foi desconectado em {start}",
    },
}
_BETWEEN: Final[Mapping[Language, str]] = {
    "en": "nothing is known from {start} to {end}",
    "pt-BR": "nada se sabe de {start} a {end}",
}


def of_coverage(row: history_pb2.ConversationCoverage, language: Language) -> str:
    """Say it in one sentence, such as "Complete since 2026-05-12; what was written before is not known."."""
    parts: list[str] = []
    for interval in sorted(row.intervals, key=lambda found: found.route != "live"):
        if interval.route == "live":
            template = (_LIVE_UNTIL if interval.HasField("to_time") else _LIVE)[language]
        else:
            template = _ROUTES[interval.route][language]
        parts.append(_filled(template, interval, language))
    for gap in row.gaps:
        is_between = gap.HasField("from_time") and gap.HasField("to_time")
        template = _BETWEEN[language] if is_between else _REASONS[gap.reason][language]
        parts.append(_filled(template, gap, language))
    return "; ".join(parts) + "."


def _filled(template: str, holder: Any, language: Language) -> str:
    return template.format(
        start=_day(holder.from_time.ToDatetime(UTC), language),
        end=_day(holder.to_time.ToDatetime(UTC), language),
    )


def _day(moment: datetime, language: Language) -> str:
    return moment.strftime("%d/%m/%Y" if language == "pt-BR" else "%Y-%m-%d")
