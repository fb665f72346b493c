"""What looks automatic is marked with the rule that says so, and nothing else is."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest

from capture_service import patterns
from capture_service.ingest import Ingest
from capture_service.sweep import Sweeper
from plumbing import postgres
from tests import wire

Accept = Callable[..., list[str]]
Query = Callable[..., list[dict[str, Any]]]

MENU = """Olá! Digite o número da opção desejada:
1 - Pedidos
2 - Preços
3 - Falar com atendente"""


@pytest.fixture
def examine(pool: postgres.Pool, ingest: Ingest) -> Callable[[], None]:
    sweeper = Sweeper(pool, ingest, lambda job, job_id, arguments: None)

    def do(now: datetime = wire.RECEIVED_AT + timedelta(minutes=5)) -> None:
        sweeper.mark_patterns(now=now)

    return do


def contact(number: int) -> str:
    return f"55119{number:08}"


def exchange(number: int, *, answered_after: int | None, text: str = "Já respondemos!") -> list[bytes]:
    """What one contact wrote, and what the business answered."""
    asked = wire.text(f"in{number}", at=wire.NOON, sender=contact(number))
    answer = wire.echo(f"out{number}", text, at=wire.NOON + (answered_after or 0), to=contact(number))
    bodies = [] if answered_after is None else [wire.messages(asked, contacts=[])]
    return [*bodies, wire.echoes(answer)]


def marked(query: Query) -> dict[str, str]:
    rows = query("SELECT wamid, pattern FROM whatsapp_messages WHERE pattern IS NOT NULL ORDER BY wamid")
    return {row["wamid"]: row["pattern"] for row in rows}


@pytest.mark.parametrize(
    "text",
    [
        MENU,
        "Choose an option:\n1) Orders\n2) Prices\n3) Exit",
        "Elige una opción\n*1* Pedidos\n*2* Precios\n*3* Salir",
        "Selecione:\n1️⃣ Pedidos\n2️⃣ Preços\n3️⃣ Sair",
    ],
)
def test_a_menu_of_numbered_options_is_one(text: str) -> None:
    assert patterns.is_menu(text)


@pytest.mark.parametrize(
    "text",
    [
        "Digite o número da opção",
        "1 - arroz\n2 - feijão\n3 - café",
        "Escolha:\n1 - só uma\n2 - ou duas",
        "responda 1 ou 2 ou 3, por favor",
        "x" * 10_000,
        "",
    ],
)
def test_a_list_or_a_question_alone_is_none(text: str) -> None:
    assert not patterns.is_menu(text)


def test_a_menu_is_marked_when_it_comes_from_either_side(accept: Accept, query: Query) -> None:
    accept(wire.messages(wire.text("w1", MENU), wire.text("w2", "2")), wire.echoes(wire.echo("w3", MENU)))

    assert marked(query) == {"w1": patterns.MENU, "w3": patterns.MENU}


def test_an_imported_menu_is_not_marked(accept: Accept, query: Query) -> None:
    accept(wire.history({"id": wire.ANA, "messages": [{**wire.text("w1", MENU), "history_context": {}}]}))

    assert marked(query) == {}


def test_quick_answers_with_one_text_to_several_people_are_auto_replies(
    accept: Accept, query: Query, examine: Callable[[], None]
) -> None:
    for number in range(patterns.REPEATED_TO_MIN):
        accept(*exchange(number, answered_after=4))
    accept(*exchange(50, answered_after=3600))

    examine()

    assert marked(query) == {f"out{n}": patterns.QUICK_REPEAT for n in range(patterns.REPEATED_TO_MIN)}


def test_the_order_in_which_they_came_does_not_matter(
    accept: Accept, query: Query, examine: Callable[[], None]
) -> None:
    bodies = [
        body for number in range(patterns.REPEATED_TO_MIN) for body in exchange(number, answered_after=4)
    ]
    accept(*reversed(bodies))

    examine()

    assert len(marked(query)) == patterns.REPEATED_TO_MIN


def test_quick_answers_to_fewer_people_or_with_other_texts_are_not(
    accept: Accept, query: Query, examine: Callable[[], None]
) -> None:
    for number in range(patterns.REPEATED_TO_MIN - 1):
        accept(*exchange(number, answered_after=4))
    for number in range(20, 25):
        accept(*exchange(number, answered_after=4, text=f"Oi, cliente {number}"))

    examine()

    assert marked(query) == {}


def test_one_text_to_many_people_is_a_bots(
    accept: Accept, ingest: Ingest, query: Query, examine: Callable[[], None]
) -> None:
    for number in range(patterns.SAME_TO_MIN - 1):
        accept(*exchange(number, answered_after=None, text="Promoção!"))
    examine()
    assert marked(query) == {}

    [last] = exchange(99, answered_after=None, text="Promoção!")
    ingest.accept([(last, wire.RECEIVED_AT + timedelta(seconds=1))], timeout_s=20)
    examine()

    assert set(marked(query).values()) == {patterns.SAME_TEXT}
    assert len(marked(query)) == patterns.SAME_TO_MIN


@pytest.mark.parametrize("per_webhook", [1, 250])
def test_none_of_many_is_passed_over(
    accept: Accept, query: Query, examine: Callable[[], None], per_webhook: int
) -> None:
    told = [wire.echo(f"out{number}", "Promoção!", to=contact(number)) for number in range(500)]
    accept(*(wire.echoes(*told[start : start + per_webhook]) for start in range(0, 500, per_webhook)))

    examine()

    assert len(marked(query)) == 500


def test_what_has_just_come_waits_for_what_it_may_answer(
    accept: Accept, query: Query, examine: Callable[..., None]
) -> None:
    for number in range(patterns.REPEATED_TO_MIN):
        accept(*exchange(number, answered_after=4))

    examine(wire.RECEIVED_AT)
    assert marked(query) == {}

    examine()
    assert len(marked(query)) == patterns.REPEATED_TO_MIN
