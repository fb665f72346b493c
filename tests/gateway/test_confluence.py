"""A conversation's life told in any order, repetition and division gives the same answers, byte for byte.

Left out of the comparison is only what says how things came and not what they are: ids of leads and
batches, which webhook was the first, and the time of the answer.
"""

import json
import random
from typing import Any

from hypothesis import HealthCheck, given, settings, strategies as st

from tests import wire
from tests.gateway.conftest import System

SHORT = "551188887777"
BSUID = "BR.1234567890"
Item = tuple[str, str, dict[str, Any]]

_OF_ARRIVAL = {"leadId", "batchId", "batchReceivedAt", "isSyncInitial"}
_OF_LEAD = {"name", "number", "waId", "userId", "username", "messageCount", "firstMessageAt", "lastMessageAt"}


def _inbound(draw: random.Random, wamid: str, at: int, **told: Any) -> dict[str, Any]:
    """A message of Ana's, who is known by any of her names on each route."""
    who = draw.choice(
        [
            {"from": wire.ANA},
            {"from": SHORT},
            {"from_user_id": BSUID},
            {"from": wire.ANA, "from_user_id": BSUID},
        ]
    )
    return {**who, "id": wamid, "timestamp": str(at), **told}


def _outbound(draw: random.Random, wamid: str, at: int, **told: Any) -> dict[str, Any]:
    who = draw.choice([{"to": wire.ANA}, {"to_user_id": BSUID}, {"to": SHORT, "to_user_id": BSUID}])
    return {"from": wire.BUSINESS, **who, "id": wamid, "timestamp": str(at), **told}


def _life(seed: int) -> list[Item]:
    """Items as (field, array, item), as Meta would send them."""
    draw = random.Random(seed)
    items: list[Item] = []
    wamids = [f"wamid.{number}" for number in range(draw.randrange(1, 6))]
    for number, wamid in enumerate(wamids):
        at = wire.NOON + number * 100
        is_ours = draw.random() < 0.5
        tell = _outbound if is_ours else _inbound
        route = ("smb_message_echoes", "message_echoes") if is_ours else ("messages", "messages")
        what = draw.choice(
            [
                {"type": "text", "text": {"body": f"oi {number}"}},
                {"type": "image", "image": {"id": f"m{number}", "caption": draw.choice(["", "foto"])}},
                {
                    "type": "order",
                    "order": {"product_items": [{"product_retailer_id": "pão", "quantity": 2}]},
                },
            ]
        )
        if draw.random() < 0.8:
            items.append((route[0], route[1], tell(draw, wamid, at, **what)))
        if draw.random() < 0.4:
            placeholder = draw.choice(
                [what, {"type": "media_placeholder"}, {"type": "errors", "errors": [{"code": 1}]}]
            )
            told = {"from": wire.BUSINESS if is_ours else wire.ANA, "id": wamid, "timestamp": str(at + 1)}
            context = {
                "status": draw.choice(["READ", "pending", "sent"]),
                **({"from_me": True} if is_ours else {}),
            }
            thread = {
                "id": draw.choice([wire.ANA, SHORT]),
                "context": draw.choice([{}, {"user_id": BSUID, "username": "ana"}]),
                "messages": [{**told, **placeholder, "history_context": context}],
            }
            chunk = {"metadata": {"phase": 0, "chunk_order": number, "progress": 10}, "threads": [thread]}
            items.append(("history", "history", chunk))
        for state in ("sent", "delivered", "read", "failed"):
            if is_ours and draw.random() < 0.4:
                errors: dict[str, Any] = (
                    {"errors": [{"code": 131026, "title": "x"}]} if state == "failed" else {}
                )
                found = wire.status(wamid, state, at=at + draw.randrange(5), **errors)
                items.append(("messages", "statuses", {**found, "recipient_user_id": BSUID}))
        for act in range(draw.randrange(3)):
            acted = f"{wamid}.{act}"
            match draw.choice(["reaction", "edit", "revoke"]):
                case "reaction":
                    emoji = draw.choice([{"emoji": "👍"}, {"emoji": "❤️"}, {}])
                    told = {"type": "reaction", "reaction": {"message_id": wamid, **emoji}}
                    by_us = draw.random() < 0.5
                    teller = _outbound if by_us else _inbound
                    side = ("smb_message_echoes", "message_echoes") if by_us else ("messages", "messages")
                    items.append((side[0], side[1], teller(draw, acted, at + 10 + draw.randrange(3), **told)))
                case "edit":
                    edited = {"type": "text", "text": {"body": f"editado {act}"}}
                    told = {"type": "edit", "edit": {"original_message_id": wamid, "message": edited}}
                    items.append((route[0], route[1], tell(draw, acted, at + 20 + draw.randrange(3), **told)))
                case _:
                    told = {"type": "revoke", "revoke": {"original_message_id": wamid}}
                    items.append((route[0], route[1], tell(draw, acted, at + 30, **told)))
    if draw.random() < 0.5:
        card = {
            "full_name": draw.choice(["Ana da Padaria", "Ana S."]),
            "phone_number": wire.ANA,
            "user_id": BSUID,
        }
        action = {"action": draw.choice(["add", "remove"]), "metadata": {"timestamp": str(wire.NOON + 7)}}
        items.append(("smb_app_state_sync", "state_sync", {"type": "contact", "contact": card, **action}))
    # Somebody must say that the number and the user id are one person.
    items.append(
        ("messages", "messages", {**wire.text("wamid.proof", at=wire.NOON + 900), "from_user_id": BSUID})
    )
    return items


def _webhooks(items: list[Item], draw: random.Random) -> list[bytes]:
    told = items + draw.choices(items, k=len(items) // 2)
    draw.shuffle(told)
    bodies: list[bytes] = []
    while told:
        size = draw.randrange(1, len(told) + 1)
        batch, told = told[:size], told[size:]
        changes = [wire.change(field, **{array: [item]}) for field, array, item in batch]
        if draw.random() < 0.5:
            bodies.append(wire.webhook(*(wire.entry(change) for change in changes)))
        else:
            bodies.append(wire.webhook(wire.entry(*changes)))
    return bodies


def _answers(system: System, token: str) -> bytes:
    """Everything the API says, without what says how it came."""
    told: list[Any] = []
    for lead in system.leads(token):
        messages = [
            {key: value for key, value in message.items() if key not in _OF_ARRIVAL}
            for message in system.walk(token, lead["id"], limit=3)
        ]
        told.append([{key: lead[key] for key in sorted(_OF_LEAD)}, messages])
    return json.dumps(told, ensure_ascii=False).encode()


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(life=st.integers(0, 10**9), first=st.integers(0, 10**9), second=st.integers(0, 10**9))
def test_any_telling_of_a_life_gives_the_same_answers(
    system: System, owner: str, life: int, first: int, second: int
) -> None:
    system.register(owner)
    items = _life(life)
    answers: list[bytes] = []
    for seed in (first, second):
        system.execute(
            "TRUNCATE whatsapp_messages, leads, lead_merges, whatsapp_webhook_logs, outbox,"
            " whatsapp_sync_logs CASCADE"
        )
        draw = random.Random(seed)
        for body in _webhooks(items, draw):
            assert system.post_webhook(body).status_code == 200
            if draw.random() < 0.2:
                system.run_jobs()
        system.run_jobs()
        answers.append(_answers(system, owner))

    assert answers[0] == answers[1]
    [[lead, messages]] = json.loads(answers[0])
    assert lead["messageCount"] == len(messages)
    assert lead["userId"] == BSUID
