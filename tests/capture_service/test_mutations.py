"""Whatever a signed webhook holds, it is kept and answered, and the good item beside it is applied."""

import copy
import itertools
import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, example, given, settings, strategies as st

from capture_service import recovery
from capture_service.ingest import Ingest
from plumbing import postgres
from tests import wire

EXAMPLES = sorted((Path(__file__).parents[1] / "wire_examples").glob("*.json"))
ODD: list[Any] = [
    None,
    True,
    -1,
    0,
    2**63,
    2**200,
    1.5,
    1e300,
    "",
    "\0",
    "\ud800",
    "\u202e",
    "x" * 5000,
    "wamid.example.target",
    [],
    {},
    [None],
    [[[[[]]]]],
    {"": {"\0": []}},
    "1790000000",
    wire.ANA,
    "NaN",
    float("nan"),
    float("-inf"),
]
# Stand for values nested 10, 200 and 3,000 levels deep.
DEEP = ["deep 10", "deep 200", "deep 3000"]
_numbers = itertools.count()


def _places(value: Any) -> list[tuple[Any, Any]]:
    """Every (holder, key) of a document."""
    found: list[tuple[Any, Any]] = []
    if isinstance(value, dict):
        keys: Any = list(value)
    elif isinstance(value, list):
        keys = range(len(value))
    else:
        return found
    for key in keys:
        found.append((value, key))
        found += _places(value[key])
    return found


def _mutated(document: Any, draw: random.Random) -> Any:
    told = copy.deepcopy(document)
    # What says whose it is stays: a webhook of nobody is kept as well, but never applied.
    change = told["entry"][0]["changes"][0]
    for _ in range(draw.randrange(1, 5)):
        places = [
            place for place in _places(change["value"]) if place[1] not in ("metadata", "phone_number_id")
        ]
        if not places:
            break
        holder, key = draw.choice(places)
        match draw.randrange(5):
            case 0:
                del holder[key]
            case 1:
                holder[key] = copy.deepcopy(draw.choice(ODD))
            case 2:
                holder[key] = [copy.deepcopy(holder[key]) for _ in range(draw.choice([1, 2, 300]))]
            case 3:
                holder[key] = {"inner": holder[key]}
            case _:
                holder[key] = draw.choice(DEEP)
    return change


def _encoded(change: Any) -> bytes:
    """Write it as Meta could: lone surrogates and U+0000 as escapes."""
    text = json.dumps(change)
    for mark, levels in zip(DEEP, (10, 200, 3_000), strict=True):
        text = text.replace(json.dumps(mark), '{"a":[' * levels + "]}" * levels)
    return text.encode()


@pytest.mark.timeout(180)
@example(example=1, seed=1233)
@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(example=st.integers(0, len(EXAMPLES) - 1), seed=st.integers(0, 10**9))
def test_what_is_mutated_costs_nothing_beside_it(
    ingest: Ingest,
    pool: postgres.Pool,
    register: Callable[..., None],
    database: str,
    example: int,
    seed: int,
) -> None:
    register()
    mutated = _mutated(json.loads(EXAMPLES[example].read_text("utf-8")), random.Random(seed))
    good = f"wamid.good.{next(_numbers)}"
    changes = [json.dumps(wire.change(messages=[wire.text(good)])).encode(), _encoded(mutated)]
    random.Random(seed).shuffle(changes)
    body = b'{"entry":[{"id":"%s","changes":[%s]}]}' % (wire.WABA_ID.encode(), b",".join(changes))

    [(batch_id, state)] = ingest.accept([(body, wire.RECEIVED_AT)], timeout_s=20)
    # What has more parts than a sender waits for is read by the sweeper, what is large applied by a job.
    if state == "unrouted":
        recovery.apply_unrouted(ingest, pool, "padaria")
    recovery.apply_webhook(ingest, pool, tenant="padaria", batch_id=batch_id)

    with psycopg.connect(database, autocommit=True) as conn:
        kept = conn.execute("SELECT 1 FROM whatsapp_messages WHERE wamid = %s", [good]).fetchall()
        states = conn.execute("SELECT state FROM whatsapp_webhook_logs WHERE id = %s", [batch_id]).fetchall()
        assert kept == [(1,)], body
        assert states in ([("processed",)], [("failed",)]), body
        wrong = conn.execute(
            """
            SELECT c.lead_id, c.message_count, count(m.id)
            FROM conversations c LEFT JOIN whatsapp_messages m ON m.tenant_id = c.tenant_id
              AND m.lead_id = c.lead_id AND m.instance_id = c.instance_id
            GROUP BY c.lead_id, c.message_count HAVING c.message_count <> count(m.id)
            """
        ).fetchall()
        assert wrong == [], body
