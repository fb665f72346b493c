"""The same events in any order, repetition and division are the same rows: against PostgreSQL itself."""

import random
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import psycopg
from hypothesis import HealthCheck, given, settings, strategies as st

from capture_service.ingest import Ingest
from tests import wire
from tests.capture_service.test_ingest import ROWS

Item = tuple[str, str, dict[str, Any]]


def _life(seed: int) -> list[Item]:
    """A conversation's life, as items for (field, array)."""
    draw = random.Random(seed)
    items: list[Item] = []
    for number in range(draw.randrange(1, 6)):
        at, wamid = wire.NOON + number * 10, f"w{number}"
        if draw.random() < 0.5:
            items.append(("messages", "messages", wire.text(wamid, f"oi {number}", at=at)))
            continue
        if draw.random() < 0.8:
            items.append(("smb_message_echoes", "message_echoes", wire.echo(wamid, f"pois {number}", at=at)))
        for state in ("sent", "delivered", "read", "failed"):
            if draw.random() < 0.5:
                found = wire.status(wamid, state, at=at + draw.randrange(5))
                if state == "failed":
                    found["errors"] = [{"code": 131026}]
                items.append(("messages", "statuses", found))
    return items


def _webhooks(items: list[Item], draw: random.Random) -> list[bytes]:
    told = items + draw.choices(items, k=len(items) // 2)
    draw.shuffle(told)
    bodies: list[bytes] = []
    while told:
        size = draw.randrange(1, len(told) + 1)
        batch, told = told[:size], told[size:]
        bodies.append(
            wire.webhook(wire.entry(*(wire.change(field, **{array: [item]}) for field, array, item in batch)))
        )
    return bodies


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(life=st.integers(0, 10**6), first=st.integers(0, 10**6), second=st.integers(0, 10**6))
def test_any_telling_of_a_conversation_gives_the_same_rows(
    ingest: Ingest,
    register: Callable[..., None],
    database: str,
    life: int,
    first: int,
    second: int,
) -> None:
    register()
    items = _life(life)
    if not items:
        return
    results: list[Any] = []
    for seed in (first, second):
        with psycopg.connect(database, autocommit=True) as conn:
            conn.execute("TRUNCATE whatsapp_messages, leads, whatsapp_webhook_logs, outbox CASCADE")
            draw = random.Random(seed)
            bodies = _webhooks(items, draw)
            while bodies:
                size = draw.randrange(1, len(bodies) + 1)
                batch, bodies = bodies[:size], bodies[size:]
                ingest.accept([(body, datetime.now(UTC)) for body in batch], timeout_s=20)
            rows = conn.execute(ROWS.encode()).fetchall()
            counters = conn.execute(
                "SELECT message_count, first_message_at, last_message_at FROM leads"
                " UNION ALL SELECT message_count, first_message_at, last_message_at FROM conversations"
            ).fetchall()
            truth = conn.execute(
                "SELECT count(*), min(sent_at), max(sent_at) FROM whatsapp_messages"
            ).fetchone()
            assert counters == [truth, truth]
            results.append(rows)

    assert results[0] == results[1]
