"""Webhooks as Meta sends them: conversations of a bakery, by a seed and a clock that is passed in.

The same seed and times always give the same bytes. Wamids follow from the seed alone, so a backlog
sent again on another day falls on the messages that are there.
"""

import heapq
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from random import Random
from typing import Final

from recado.sandbox import dialogues, people, wire
from recado.sandbox.dialogues import Dialogue, Line
from recado.sandbox.people import Business, Person
from recado.sandbox.wire import Object

_SAO_PAULO: Final = timezone(timedelta(hours=-3))
_PRICING: Final[Object] = {
    "pricing": {
        "billable": False,
        "pricing_model": "PMP",
        "category": "service",
        "type": "free_customer_service",
    }
}
_UNDELIVERABLE: Final[Object] = {
    "errors": [
        {
            "code": 131026,
            "title": "Message undeliverable",
            "message": "Message undeliverable",
            "error_data": {"details": "Message Undeliverable."},
            "href": "https://developers.facebook.com/docs/whatsapp/cloud-api/support/error-codes/",
        }
    ]
}


@dataclass(frozen=True, slots=True)
class Webhook:
    """A body, when Meta would have sent it, and how many messages (statuses apart) are in it."""

    due_at: datetime
    body: bytes
    messages: int


@dataclass(frozen=True, slots=True)
class _Item:
    at: datetime
    business: Business
    person: Person
    kind: str
    """The key it comes under: messages, message_echoes or statuses."""
    wire: Object


@dataclass(frozen=True, slots=True)
class Pace:
    """How long people take between two lines, and how many items Meta puts into one webhook at most."""

    pause_s_min: int
    pause_s_max: int
    batch_items_max: int


UNHURRIED: Final = Pace(15, 240, batch_items_max=12)
BRISK: Final = Pace(6, 28, batch_items_max=3)


def backlog(seed: int, now: datetime, *, days: int = 6) -> list[Webhook]:
    """Give the last days of every regular's conversations, the newest a few minutes before `now`."""
    rng = wire.seeded("backlog", seed)
    items: list[_Item] = []
    midnight = now.astimezone(_SAO_PAULO).replace(hour=0, minute=0, second=0, microsecond=0)
    for person in people.REGULARS:
        # A regular keeps to one of the numbers; some orders go to the other one.
        favourite = rng.choice(people.BUSINESSES)
        choices = _dialogues_for(person)
        rng.shuffle(choices)
        for visit, dialogue in enumerate(choices[: rng.randint(3, 5)]):
            business = favourite if rng.random() < 0.75 else rng.choice(people.BUSINESSES)
            opening_hours_s = rng.randint(7 * 3600, 19 * 3600)
            starts_at = midnight - timedelta(days=rng.randint(1, days)) + timedelta(seconds=opening_hours_s)
            is_first = visit == 0
            items += _play(rng, dialogue, person, business, starts_at, UNHURRIED, is_greeted=is_first)
    for minutes, person in enumerate(rng.sample(people.REGULARS, 3)):
        dialogue = rng.choice(_dialogues_for(person))
        business = rng.choice(people.BUSINESSES)
        played = _play(rng, dialogue, person, business, now, BRISK, is_greeted=False)
        shift = now - timedelta(minutes=2 + 9 * minutes) - max(item.at for item in played)
        items += [_moved(item, shift) for item in played]
    items.sort(key=lambda item: item.at)
    return list(_with_duplicates(rng, _packed(rng, items, UNHURRIED)))


def live(seed: int, starts_at: datetime) -> Iterator[Webhook]:
    """Give an endless trickle from `starts_at` on: a handful of messages a minute, each when it is due.

    Somebody new comes along now and then.
    """
    lanes = [_lane(seed, starts_at, number, business) for number, business in enumerate(people.BUSINESSES)]
    rng = wire.seeded("live duplicates", seed, starts_at.timestamp())
    merged = heapq.merge(*lanes, key=lambda webhook: webhook.due_at)
    return _with_duplicates(rng, merged)


def burst(seed: int, until: datetime, *, messages: int, days: int = 3) -> Iterator[Webhook]:
    """Give webhooks with this many messages in all, of as many strangers as it takes, before `until`.

    Everything is sent twice now and then and in no order, as when Meta catches up after an outage.
    """
    rng = wire.seeded("burst", seed)
    wanted = messages
    number = 0
    while wanted > 0:
        number += 1
        person = people.stranger(rng, seed % 1000 * 10_000 + number)
        items: list[_Item] = []
        for _ in range(rng.randint(1, 4)):
            starts_at = until - timedelta(seconds=rng.randint(3600, days * 86400))
            dialogue = rng.choice(_dialogues_for(person))
            business = rng.choice(people.BUSINESSES)
            items += _play(rng, dialogue, person, business, starts_at, BRISK, is_greeted=not items)
        items = _cut(items, wanted)
        wanted -= sum(item.kind != "statuses" for item in items)
        rng.shuffle(items)
        yield from _with_duplicates(rng, _packed(rng, items, UNHURRIED))


def _lane(seed: int, starts_at: datetime, number: int, business: Business) -> Iterator[Webhook]:
    """Play one conversation after another with one of the numbers."""
    # Not the seed alone: a second run must go on with new messages, not repeat those of the first.
    rng = wire.seeded("live", seed, starts_at.timestamp(), number)
    at = starts_at + timedelta(seconds=rng.uniform(1, 10))
    while True:
        if rng.random() < 0.15:
            person = people.stranger(rng, rng.randrange(1_000_000, 9_000_000))
        else:
            person = rng.choice(people.REGULARS)
        dialogue = rng.choice(_dialogues_for(person))
        items = _play(rng, dialogue, person, business, at, BRISK, is_greeted=person not in people.REGULARS)
        items.sort(key=lambda item: item.at)
        yield from _packed(rng, items, BRISK)
        at = items[-1].at + timedelta(seconds=rng.uniform(4, 25))


def _dialogues_for(person: Person) -> list[Dialogue]:
    return [dialogue for dialogue in dialogues.DIALOGUES if dialogue.language == person.language]


def _cut(items: Sequence[_Item], messages: int) -> list[_Item]:
    """Leave out the messages after number `messages`, and the statuses that belong to those."""
    told = sorted((item for item in items if item.kind != "statuses"), key=lambda item: item.at)
    left_out = {item.wire["id"] for item in told[messages:]}
    return [item for item in items if item.wire["id"] not in left_out]


# Playing


def _play(
    rng: Random,
    dialogue: Dialogue,
    person: Person,
    business: Business,
    starts_at: datetime,
    pace: Pace,
    *,
    is_greeted: bool,
) -> list[_Item]:
    """Give all that Meta would report of this conversation, in no particular order."""
    slots = {slot: rng.choice(words) for slot, words in dialogues.SLOTS[dialogue.language].items()}
    slots["name"] = person.first_name
    items: list[_Item] = []
    at = starts_at
    said: list[tuple[Line, str]] = []
    for line in dialogue.lines:
        wamid = wire.new_wamid(rng, person, is_from_business=line.speaker == "us")
        if line.kind not in ("api", "api_failed"):
            kind = "messages" if line.speaker == "them" else "message_echoes"
            told = _message(rng, line, slots, said, (business, person), wamid, at)
            items.append(_item(at, business, person, kind, told))
        if line.speaker == "us" and line.kind != "reaction":
            items += _statuses(rng, business, person, wamid, at, pace, is_failing=line.kind == "api_failed")
        if is_greeted and not said and line.speaker == "them":
            hello = Line("us", "text", dialogues.GREETINGS[dialogue.language])
            hello_id = wire.new_wamid(rng, person, is_from_business=True)
            soon = at + timedelta(seconds=rng.randint(1, 2))
            told = _message(rng, hello, slots, said, (business, person), hello_id, soon)
            items.append(_item(soon, business, person, "message_echoes", told))
            items += _statuses(rng, business, person, hello_id, soon, pace, is_failing=False)
        said.append((line, wamid))
        at += timedelta(seconds=rng.randint(pace.pause_s_min, pace.pause_s_max))
    return items


def _item(at: datetime, business: Business, person: Person, kind: str, told: Object) -> _Item:
    return _Item(at.astimezone(UTC), business, person, kind, told)


def _moved(item: _Item, shift: timedelta) -> _Item:
    at = item.at + shift
    told = {**item.wire, "timestamp": str(int(at.timestamp()))}
    return _Item(at, item.business, item.person, item.kind, told)


def _message(
    rng: Random,
    line: Line,
    slots: dict[str, str],
    said: Sequence[tuple[Line, str]],
    parties: tuple[Business, Person],
    wamid: str,
    at: datetime,
) -> Object:
    business, person = parties
    kind, content = _content(rng, line, line.text.format_map(slots), said)
    if line.quotes and said:
        quoted, quoted_id = said[-1]
        author = business.display_phone_number if quoted.speaker == "us" else person.wa_id
        context: Object = {"from": author} if author else {}
        content = {"context": {**context, "id": quoted_id}, **content}
    timestamp_s = int(at.timestamp())
    if line.speaker == "them":
        return wire.inbound(person, wamid=wamid, timestamp_s=timestamp_s, kind=kind, content=content)
    return wire.echo(business, person, wamid=wamid, timestamp_s=timestamp_s, kind=kind, content=content)


def _content(rng: Random, line: Line, text: str, said: Sequence[tuple[Line, str]]) -> tuple[str, Object]:
    """Give Meta's type and the object under it."""
    caption: Object = {"caption": text} if text else {}
    match line.kind:
        case "image":
            return "image", {"image": wire.media(rng, **caption, mime_type="image/jpeg")}
        case "audio":
            return "audio", {"audio": wire.media(rng, mime_type="audio/ogg; codecs=opus", voice=True)}
        case "document":
            is_pdf = str(line.details["filename"]).endswith(".pdf")
            mime_type = "application/pdf" if is_pdf else "application/msword"
            return "document", {"document": wire.media(rng, **caption, **line.details, mime_type=mime_type)}
        case "location":
            return "location", {"location": {"name": text, **line.details}}
        case "reaction":
            of_other = (wamid for spoken, wamid in reversed(said) if spoken.speaker != line.speaker)
            target = next(of_other, said[-1][1])
            return "reaction", {"reaction": {"message_id": target, "emoji": text}}
        case "contacts":
            phone = str(line.details["phone"])
            digits = "".join(character for character in phone if character.isdigit())
            card: Object = {
                "name": {"formatted_name": text, "first_name": text.split()[0]},
                "phones": [{"phone": phone, "wa_id": digits, "type": "CELL"}],
                "origin": "other",
            }
            return "contacts", {"contacts": [card]}
        case "button_reply" | "list_reply":
            reply: Object = {"id": text.lower().replace(" ", "_"), "title": text, **line.details}
            return "interactive", {"interactive": {"type": line.kind, line.kind: reply}}
        case "button":
            return "button", {"button": {"payload": text, "text": text}}
        case "order":
            order: Object = {"catalog_id": "1843920017452980", "text": text}
            return "order", {"order": {**order, **line.details}}
        case _:
            return line.kind, {line.kind: {"body": text}}


def _statuses(
    rng: Random,
    business: Business,
    person: Person,
    wamid: str,
    at: datetime,
    pace: Pace,
    *,
    is_failing: bool,
) -> Iterator[_Item]:
    """Give what becomes of a message of the business: mostly sent, delivered, read."""
    # "sent" and "delivered" of one message may carry the same second; "delivered" may be left out.
    sent_s = rng.randint(0, 1)
    steps: list[tuple[str, int]] = [("sent", sent_s)]
    if is_failing:
        steps.append(("failed", sent_s + 1))
    else:
        if rng.random() < 0.92:
            steps.append(("delivered", sent_s + rng.randint(0, 2)))
        if rng.random() < 0.85:
            steps.append(("read", sent_s + 2 + rng.randint(0, pace.pause_s_max)))
    for state, after_s in steps:
        moment = at + timedelta(seconds=after_s)
        details: Object = {}
        if state == "failed":
            details = _UNDELIVERABLE
        elif state == "delivered" or (state == "sent" and rng.random() < 0.93):
            details = _PRICING
        told = wire.status(
            person, wamid=wamid, timestamp_s=int(moment.timestamp()), state=state, details=details
        )
        yield _item(moment, business, person, "statuses", told)


# Packing


def _packed(rng: Random, items: Sequence[_Item], pace: Pace) -> Iterator[Webhook]:
    """Put neighbouring items into webhooks of varying size."""
    start = 0
    while start < len(items):
        # Mostly one by one, now and then a batch, and the odd status before its message.
        size = 1 if rng.random() < 0.6 else rng.randint(2, pace.batch_items_max)
        batch = list(items[start : start + size])
        due_at = max(item.at for item in batch)
        rng.shuffle(batch)
        yield Webhook(due_at, _body(rng, batch), sum(item.kind != "statuses" for item in batch))
        start += size


def _body(rng: Random, items: Sequence[_Item]) -> bytes:
    accounts: dict[str, dict[tuple[str, str], list[_Item]]] = {}
    for item in items:
        changes = accounts.setdefault(item.business.waba_id, {})
        changes.setdefault((item.business.phone_number_id, item.kind), []).append(item)
    entries = [
        (waba_id, [_change(rng, group) for group in changes.values()])
        for waba_id, changes in accounts.items()
    ]
    return wire.encode(wire.envelope(entries, is_object_last=rng.random() < 0.1))


def _change(rng: Random, group: Sequence[_Item]) -> Object:
    kind = group[0].kind
    # Nobody is introduced beside a failure: Meta leaves `contacts` out there.
    seen = {
        item.person.user_id: wire.contact(item.person)
        for item in group
        if item.wire.get("status") != "failed"
    }
    value = wire.value(
        group[0].business, kind=kind, contacts=list(seen.values()), items=[item.wire for item in group]
    )
    field = wire.field_of(kind)
    return {"field": field, "value": value} if rng.random() < 0.5 else {"value": value, "field": field}


def _with_duplicates(rng: Random, webhooks: Iterable[Webhook]) -> Iterator[Webhook]:
    """Send about one in thirty again, as Meta does when another subscriber of the account was away."""
    for webhook in webhooks:
        yield webhook
        if rng.random() < 0.03:
            yield Webhook(webhook.due_at, webhook.body, messages=0)
