"""What looks automatic is the same in whatever order the webhooks come, and after a replay."""

import random
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from capture_service import merging, patterns, recovery, store
from capture_service.ingest import Ingest
from tests import wire
from tests.gateway.conftest import System

MENU = "Escolha uma opção:\n1 - Pedidos\n2 - Preços\n3 - Sair"
SENT_AT = int(wire.RECEIVED_AT.timestamp())
Told = tuple[float, bytes]
"""When Meta delivers a webhook, in seconds, and its body."""


class Live:
    """A system whose clock follows the webhooks, and whose sweeper looks now and then."""

    def __init__(self, system: System) -> None:
        self.system = system
        self.now = wire.RECEIVED_AT
        self.ingest = Ingest(system.pool, clock=lambda: self.now, on_outbox=lambda: None)

    def hear(self, told: list[Told], *, looks: Callable[[], bool]) -> None:
        for at, body in sorted(told):
            self.now = wire.RECEIVED_AT + timedelta(seconds=at)
            self.ingest.accept([(body, self.now)], timeout_s=20)
            if looks():
                self.system.run_jobs()
                self.look()
        self.end()

    def end(self) -> None:
        self.system.run_jobs()
        self.now += timedelta(minutes=1)
        self.look()

    def look(self) -> None:
        self.system.sweeper.mark_patterns(now=self.now)

    def replay(self) -> None:
        for _ in recovery.replay(self.ingest, self.system.pool, store.LedgerFilter()):
            pass
        self.end()

    def marked(self) -> dict[str, str | None]:
        rows = self.system.execute(
            "SELECT wamid, pattern FROM whatsapp_messages WHERE pattern IS NOT NULL ORDER BY wamid"
        )
        return dict(rows.fetchall())


@pytest.fixture
def live(system: System, owner: str) -> Live:
    system.register(owner)
    return Live(system)


def _forget(system: System, *, ledger: bool) -> None:
    tables = "whatsapp_messages, leads, lead_merges, outbox, whatsapp_sync_logs"
    system.execute(f"TRUNCATE {tables}{', whatsapp_webhook_logs' if ledger else ''} CASCADE")
    if ledger:
        # The clock begins anew as well.
        system.execute("UPDATE whatsapp_configs SET examined_to = NULL")


def _number(person: int) -> str:
    return f"55119{person:08}"


def _asked(person: int, at: int = 0) -> bytes:
    return wire.messages(wire.text(f"in{person}", at=SENT_AT + at, sender=_number(person)), contacts=[])


def _answered(person: int, at: int = 2) -> bytes:
    return wire.echoes(wire.echo(f"out{person}", "Já respondemos!", at=SENT_AT + at, to=_number(person)))


def _sent(person: int, at: int = 2) -> bytes:
    return wire.statuses(wire.status(f"out{person}", "sent", at=SENT_AT + at, to=_number(person)))


def _exchanges(people: range) -> list[Told]:
    return [
        told
        for person in people
        for told in ((person, _asked(person)), (person + 2, _sent(person)), (person + 2, _answered(person)))
    ]


@pytest.mark.parametrize("late", [_asked, _answered, _sent])
def test_what_comes_hours_late_counts_as_if_it_had_come_in_time(
    live: Live, late: Callable[[int], bytes]
) -> None:
    told = [(at + 3600 * (body == late(2)), body) for at, body in _exchanges(range(3))]
    told += [(at, wire.echoes(wire.echo(f"other{at}", f"outra {at}"))) for at in (100, 200)]

    live.hear(told, looks=lambda: True)

    assert live.marked() == {f"out{person}": patterns.QUICK_REPEAT for person in range(3)}


def test_a_text_whose_status_came_hours_ago_in_a_large_webhook_is_examined(live: Live) -> None:
    told = _exchanges(range(2))
    live.hear(told, looks=lambda: True)
    live.hear([(50, _asked(2, 48)), (60, wire.echoes(wire.echo("z", "outra")))], looks=lambda: True)
    # The status was kept before, and is applied after the text.
    live.now = wire.RECEIVED_AT + timedelta(seconds=300)
    live.ingest.accept([(_answered(2, 50), live.now)], timeout_s=20)
    live.ingest.accept([(_sent(2, 50), wire.RECEIVED_AT + timedelta(seconds=51))], timeout_s=20)
    live.end()

    assert live.marked() == {f"out{person}": patterns.QUICK_REPEAT for person in range(3)}


def test_a_question_that_only_an_import_brought_makes_no_answer_quick(live: Live) -> None:
    told = _exchanges(range(2))
    asked = {**wire.text("in2", at=SENT_AT, sender=_number(2)), "history_context": {}}
    told += [(1, wire.history({"id": _number(2), "messages": [asked]})), (4, _answered(2))]

    live.hear(told, looks=lambda: True)

    assert live.marked() == {f"out{person}": patterns.QUICK_REPEAT for person in range(2)}


def test_people_who_turn_out_to_be_one_are_counted_once_until_they_are_parted(
    live: Live, system: System
) -> None:
    live.hear(_exchanges(range(3)), looks=lambda: True)
    assert len(live.marked()) == 3
    same = wire.text("proof", at=SENT_AT + 90, sender=_number(1)) | {"from_user_id": "BR.1"}
    other = wire.text("proof2", at=SENT_AT + 91, sender=_number(2)) | {"from_user_id": "BR.1"}
    live.hear([(91, wire.messages(same, contacts=[])), (92, wire.messages(other, contacts=[]))], looks=bool)
    assert live.marked() == {}

    [(survivor, merge)] = system.execute("SELECT survivor_id, id FROM lead_merges").fetchall()
    parted = merging.undo(
        system.pool, tenant="padaria", survivor_id=survivor, merge_id=merge, now=datetime.now(UTC)
    )
    system.run_sync("padaria", str(parted.sync_id))
    live.end()

    assert live.marked() == {f"out{person}": patterns.QUICK_REPEAT for person in range(3)}


def test_an_old_text_to_few_is_marked_with_the_third_of_them_however_often_it_was_sent(live: Live) -> None:
    first = _exchanges(range(2))
    often = [wire.echo(f"more{n}", "Já respondemos!", at=SENT_AT + 60 + n, to=_number(1)) for n in range(700)]
    live.hear([*first, (800, wire.echoes(*often))], looks=lambda: True)
    assert live.marked() == {}

    live.hear([(900, _asked(2, 899)), (902, _answered(2, 901))], looks=lambda: True)

    assert live.marked() == {f"out{person}": patterns.QUICK_REPEAT for person in range(3)}


def test_many_texts_that_are_repeated_all_at_once_are_all_marked(live: Live) -> None:
    echoes = [
        wire.echo(f"out{text}.{person}", f"Resposta {text}", at=SENT_AT + 60, to=_number(person))
        for text in range(25)
        for person in range(patterns.SAME_TO_MIN)
    ]

    live.hear([(60, wire.echoes(*echoes))], looks=bool)

    assert live.marked() == {str(echo["id"]): patterns.SAME_TEXT for echo in echoes}


def test_messages_that_come_in_time_are_noted_nowhere(live: Live, monkeypatch: pytest.MonkeyPatch) -> None:
    noted: list[Any] = []
    monkeypatch.setattr(store, "note_to_examine", lambda _, messages: noted.append(messages))
    monkeypatch.setattr(store, "note_texts_of_leads", lambda _, leads: noted.append(leads))

    live.hear(
        [(at + number, body) for number, (at, body) in enumerate(_exchanges(range(1)))]
        + [(3600, wire.statuses(wire.status("out0", "read", at=SENT_AT + 3600, to=_number(0))))],
        looks=lambda: False,
    )

    assert noted == []
    assert live.system.execute("SELECT count(*) FROM whatsapp_messages").fetchone() == (2,)


def test_of_what_comes_long_after_only_what_may_be_answered_already_is_noted(
    live: Live, monkeypatch: pytest.MonkeyPatch
) -> None:
    noted: list[Any] = []
    monkeypatch.setattr(store, "note_to_examine", lambda _, messages: noted.append(messages))

    def ask(wamid: str, at: int) -> tuple[float, bytes]:
        return 3600 + at, wire.messages(wire.text(wamid, at=SENT_AT + at, sender=_number(0)))

    live.hear([ask("first", 0)], looks=lambda: False)
    begins_a_conversation = noted.copy()
    noted.clear()
    live.hear([ask("second", 1), ask("third", 2)], looks=lambda: False)
    in_turn = noted.copy()
    live.hear([ask("same second", 2)], looks=lambda: False)
    live.hear([ask("before", 1)], looks=lambda: False)

    assert len(begins_a_conversation) == 1
    assert in_turn == []
    assert len(noted) == 2


class _Item(NamedTuple):
    sent_at: int
    body: bytes


def _life(draw: random.Random) -> list[_Item]:
    """Exchanges with people of whom some are known by two names, and texts that are repeated."""
    found: list[_Item] = []
    texts = draw.choices(["Já respondemos!", "Promoção!", MENU], weights=[4, 4, 1], k=2)
    for person in range(draw.randrange(3, 14)):
        number, user_id = _number(person), f"BR.{person}"
        for turn in range(draw.choice([1, 1, 2])):
            at = SENT_AT + 30 * person + 300 * turn
            asked = {**wire.text(f"in{person}.{turn}", at=at, sender=None)}
            asked |= draw.choice([{"from": number}, {"from": number}, {"from_user_id": user_id}])
            if draw.random() < 0.7:
                found.append(_Item(at, wire.messages(asked, contacts=[])))
            if draw.random() < 0.2:
                thread = {**wire.text(f"in{person}.{turn}", at=at, sender=number), "history_context": {}}
                found.append(_Item(at + 60, wire.history({"id": number, "messages": [thread]})))
            at += draw.choice([0, 2, 10, 11, 120])
            wamid = f"out{person}.{turn}"
            answer: dict[str, Any] = wire.echo(wamid, draw.choice(texts), at=at, to=number)
            if draw.random() < 0.3:
                del answer["to"]
                answer["to_user_id"] = user_id
            if draw.random() < 0.9:
                found.append(_Item(at, wire.echoes(answer)))
            found += [
                _Item(at + later, wire.statuses(wire.status(wamid, state, at=at + later, to=number)))
                for later, state in enumerate(("sent", "delivered", "read"))
                if draw.random() < 0.4
            ]
        if draw.random() < 0.5:
            proof = wire.text(f"proof{person}", at=SENT_AT + 1000 + person, sender=number)
            found.append(
                _Item(SENT_AT + 1000 + person, wire.messages(proof | {"from_user_id": user_id}, contacts=[]))
            )
    return found


def _tell(live: Live, items: list[_Item], draw: random.Random) -> None:
    """Most webhooks come within seconds; some late, some once more."""
    told = [
        (item.sent_at - SENT_AT + draw.choice([0.3, 0.6, 0.9, 1.2, draw.uniform(0, 40), 5000]), item.body)
        for item in [*items, *draw.choices(items, k=len(items) // 4)]
    ]
    live.hear(told, looks=lambda: draw.random() < 0.1)


def _by_the_rules(system: System) -> dict[str, str]:
    """Say what the rules make of all messages together."""
    rows = system.execute(
        "SELECT wamid, direction, type, body, content_rank >= 5, sources & 56 <> 0, lead_id, sent_at"
        " FROM whatsapp_messages"
    ).fetchall()
    wrote: list[tuple[Any, datetime]] = [
        (row[6], row[7]) for row in rows if row[1] == 1 and row[5] and row[6] is not None
    ]
    sent = [row for row in rows if row[1] == 2 and row[2] == "text" and row[4]]
    found: dict[str, str] = {}
    for wamid, _, _, body, _, _, lead, at in sent:
        people = {row[6] for row in sent if row[3] == body}
        is_quick = any(lead == who and at - patterns.QUICK <= asked_at <= at for who, asked_at in wrote)
        if body == MENU:
            found[wamid] = patterns.MENU
        elif is_quick and len(people) >= patterns.REPEATED_TO_MIN:
            found[wamid] = patterns.QUICK_REPEAT
        elif len(people) >= patterns.SAME_TO_MIN:
            found[wamid] = patterns.SAME_TEXT
    return found


@settings(max_examples=3, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(life=st.integers(0, 10**9), first=st.integers(0, 10**9), second=st.integers(0, 10**9))
def test_any_telling_and_any_replay_marks_the_same_messages(
    live: Live, life: int, first: int, second: int
) -> None:
    items = _life(random.Random(life))
    marked: list[dict[str, str | None]] = []
    for seed in (first, second):
        _forget(live.system, ledger=True)
        live.now = wire.RECEIVED_AT
        _tell(live, items, random.Random(seed))
        marked.append(live.marked())
        assert marked[-1] == _by_the_rules(live.system)
    live.replay()
    marked.append(live.marked())
    _forget(live.system, ledger=False)
    live.replay()
    marked.append(live.marked())

    assert marked == [marked[0]] * 4
