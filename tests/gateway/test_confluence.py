"""A conversation's life told in any order, repetition and division gives the same answers, byte for byte.

Left out of the comparison is only what says how things came and not what they are: ids of leads and
batches, which webhook was the first, and the time of the answer.
"""

import json
import random
from typing import Any

from hypothesis import HealthCheck, given, settings, strategies as st

from capture_service import recovery, store
from tests import wire
from tests.gateway.conftest import System

SHORT = "551188887777"
BSUID = "BR.1234567890"
NEW = "5521977776666"
Item = tuple[str, str, dict[str, Any]]
Told = tuple[dict[str, Any], list[dict[str, Any]], list[dict[str, Any]]]
"""A lead, its messages and its tickets, as the API gives them."""

_OF_ARRIVAL = {"leadId", "batchId", "batchReceivedAt", "isSyncInitial"}
_OF_LEAD = {
    "kind",
    "name",
    "number",
    "waId",
    "userId",
    "username",
    "messageCount",
    "firstMessageAt",
    "lastMessageAt",
    "status",
}


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
            answers = draw.choice([{}, {"context": {"id": "wamid.0"}}, {"context": {"from": wire.ANA}}])
            thread = {
                "id": draw.choice([wire.ANA, SHORT]),
                "context": draw.choice([{}, {"user_id": BSUID, "username": "ana"}]),
                "messages": [{**told, **placeholder, **answers, "history_context": context}],
            }
            chunk = {"metadata": {"phase": 0, "chunk_order": number, "progress": 10}, "threads": [thread]}
            items.append(("history", "history", chunk))
        for state in ("sent", "delivered", "read", "failed"):
            if is_ours and draw.random() < 0.4:
                errors: dict[str, Any] = (
                    {"errors": [{"code": 131026, "title": "x"}]} if state == "failed" else {}
                )
                told = {"id": wamid, "status": state, "timestamp": str(at + draw.randrange(5))}
                to = draw.choice(
                    [
                        {"recipient_id": wire.ANA},
                        {"recipient_user_id": BSUID},
                        {"recipient_id": SHORT, "recipient_user_id": BSUID},
                    ]
                )
                items.append(("messages", "statuses", {**told, **to, **errors}))
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
    items += _extras(draw, wamids)
    # Mostly somebody says that the number and the user id are one person.
    if draw.random() < 0.7:
        items.append(
            ("messages", "messages", {**wire.text("wamid.proof", at=wire.NOON + 900), "from_user_id": BSUID})
        )
    return items


def _extras(draw: random.Random, wamids: list[str]) -> list[Item]:
    """What else a life may hold: calls, a group, fills that name the wrong side, renewed names and ids."""
    found: list[Item] = []
    contact = {"wa_id": wire.ANA, "user_id": BSUID}
    for number, wamid in enumerate(wamids):
        at = wire.NOON + number * 100
        if draw.random() < 0.3:
            fill = {"from": wire.ANA, "id": wamid, "timestamp": str(at + 2), "type": "image"}
            found.append(("history", "messages", {**fill, "image": {"id": f"m{number}", "sha256": "ab"}}))
        if draw.random() < 0.3:
            money = {"pricing": {"billable": draw.random() < 0.5, "category": "service"}}
            window = {"conversation": {"id": "c", "origin": {"type": "service"}}}
            state = wire.status(wamid, draw.choice(["sent", "played", "warning"]), at=at + 3)
            found.append(("messages", "statuses", {**state, **draw.choice([money, window, money | window])}))
        if draw.random() < 0.3:
            reply = {"context": {"id": wamid, "from": wire.ANA}, "type": "text", "text": {"body": "re"}}
            found.append(("messages", "messages", _inbound(draw, f"{wamid}.re", at + 50, **reply)))
        if draw.random() < 0.2:
            broken = {"type": "unsupported", "errors": [{"code": 131051, "title": "?"}]}
            found.append(("messages", "messages", _inbound(draw, wamid, at, **broken)))
    for event in ("connect", "terminate"):
        if draw.random() < 0.4:
            call = {"id": "wacid.1", "from": wire.ANA, "to": wire.BUSINESS, "event": event}
            more = {"direction": "USER_INITIATED", "timestamp": str(wire.NOON + 400 + len(event))}
            found.append(("calls", "calls", call | more))
    if draw.random() < 0.3:
        for number in range(2):
            said = wire.text(f"wamid.group.{number}", at=wire.NOON + 500 + number)
            found.append(("messages", "messages", {**said, "group_id": "G1", "from_user_id": BSUID}))
            seen = wire.status("wamid.to.group", draw.choice(["delivered", "read"]), at=wire.NOON + 510)
            to = {"recipient_id": "G1", "recipient_type": "group", "recipient_participant_user_id": BSUID}
            found.append(("messages", "statuses", seen | to))
    if draw.random() < 0.4:
        system = {"type": "user_changed_number", "wa_id": NEW, "body": "mudou de número"}
        told = {"from": wire.ANA, "id": "wamid.system", "timestamp": str(wire.NOON + 950), "type": "system"}
        found.append(("messages", "messages", {**told, "system": system}))
        found.append(("messages", "messages", {**wire.text("wamid.new", at=wire.NOON + 960), "from": NEW}))
    if draw.random() < 0.4:
        renewal = {"user_id": {"previous": "BR.OLD", "current": BSUID}, "timestamp": str(wire.NOON + 1)}
        found.append(("user_id_update", "user_id_update", contact | renewal))
        earlier = {"id": "wamid.old", "timestamp": str(wire.NOON - 5), "type": "text", "text": {"body": "x"}}
        found.append(("messages", "messages", {**earlier, "from_user_id": "BR.OLD"}))
    for at in draw.sample([10, 20, 30], draw.randrange(3)):
        named = {"profile": {"name": f"Ana {at}", "username": f"ana{at}"}, **contact}
        item = _inbound(
            draw, f"wamid.named.{at}", wire.NOON + at, type="sticker", sticker={}, __contact=named
        )
        found.append(("messages", "messages", item))
    return found


def _webhooks(items: list[Item], draw: random.Random) -> list[bytes]:
    told = items + draw.choices(items, k=len(items) // 2)
    draw.shuffle(told)
    bodies: list[bytes] = []
    while told:
        size = draw.randrange(1, len(told) + 1)
        batch, told = told[:size], told[size:]
        changes = _together(batch) if draw.random() < 0.5 else [_change(*item) for item in batch]
        if draw.random() < 0.5:
            bodies.append(wire.webhook(*(wire.entry(change) for change in changes)))
        else:
            bodies.append(wire.webhook(wire.entry(*changes)))
    return bodies


def _change(field: str, array: str, *items: dict[str, Any]) -> dict[str, Any]:
    told = [{key: value for key, value in item.items() if key != "__contact"} for item in items]
    contacts = {"contacts": found} if (found := [i["__contact"] for i in items if "__contact" in i]) else {}
    return wire.change(field, **{array: told, **contacts})


def _together(items: list[Item]) -> list[dict[str, Any]]:
    """Put all items of a field into one value, but those with contacts of their own."""
    values: dict[Any, list[Item]] = {}
    for number, item in enumerate(items):
        values.setdefault(number if "__contact" in item[2] else item[:2], []).append(item)
    return [_change(*found[0][:2], *(item for _, _, item in found)) for found in values.values()]


def _everything(system: System, token: str) -> list[Told]:
    """Everything the API says of leads, messages and tickets."""
    return [
        (
            lead,
            [*system.walk(token, lead["id"], limit=3)],
            system.get(f"/leads/{lead['id']}/tickets", token).json["tickets"],
        )
        for lead in system.leads(token)
    ]


def _answers(system: System, token: str) -> bytes:
    """Everything the API says, without what says how it came."""
    told = [
        [
            {key: lead[key] for key in sorted(_OF_LEAD)},
            [{key: told for key, told in message.items() if key not in _OF_ARRIVAL} for message in messages],
            [ticket["closedAt"] for ticket in tickets],
        ]
        for lead, messages, tickets in _everything(system, token)
    ]
    return json.dumps(told, ensure_ascii=False).encode()


def _tell(system: System, items: list[Item], draw: random.Random) -> None:
    for body in _webhooks(items, draw):
        assert system.post_webhook(body).status_code == 200
        if draw.random() < 0.2:
            system.run_jobs()
    system.run_jobs()


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
        _tell(system, items, random.Random(seed))
        answers.append(_answers(system, owner))

    assert answers[0] == answers[1]
    told = json.loads(answers[0])
    assert all(lead["messageCount"] == len(messages) for lead, messages, _ in told)
    if any(item.get("id") == "wamid.proof" for _, _, item in items):
        assert [lead["userId"] for lead, *_ in told if lead["kind"] == "person"] == [BSUID]


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(life=st.integers(0, 10**9), telling=st.integers(0, 10**9))
def test_the_ledger_replayed_into_empty_tables_gives_the_answers_of_the_live_run_with_all_ids(
    system: System, owner: str, life: int, telling: int
) -> None:
    system.register(owner)
    system.execute(
        "TRUNCATE whatsapp_messages, leads, lead_merges, whatsapp_webhook_logs, outbox,"
        " whatsapp_sync_logs CASCADE"
    )
    _tell(system, _life(life), random.Random(telling))
    live = _without_first_contacts(_everything(system, owner))

    system.execute("TRUNCATE whatsapp_messages, leads, lead_merges, outbox, whatsapp_sync_logs CASCADE")
    for _ in recovery.replay(system.ingest, system.pool, store.LedgerFilter()):
        pass
    system.run_jobs()

    assert _without_first_contacts(_everything(system, owner)) == live


def _without_first_contacts(told: list[Told]) -> list[Any]:
    """Leave out which message was the first contact: of two leads that became one each had its own."""
    return [
        (lead, [{**message, "isSyncInitial": None} for message in messages], tickets)
        for lead, messages, tickets in told
    ]
