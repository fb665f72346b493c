"""The traffic is the same for a seed, and reads like Meta's."""

import itertools
import json
from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from capture_service import events, ids, ingest
from protos.ids import uuid7
from recado.sandbox import people, traffic
from recado.sandbox.traffic import Webhook

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)


def values(webhooks: Iterable[Webhook]) -> Iterator[dict[str, Any]]:
    for webhook in webhooks:
        for entry in json.loads(webhook.body)["entry"]:
            for change in entry["changes"]:
                yield change["value"]


def messages(webhooks: Iterable[Webhook]) -> dict[str, dict[str, Any]]:
    return {
        item["id"]: item
        for value in values(webhooks)
        for item in (*value.get("messages", ()), *value.get("message_echoes", ()))
    }


@pytest.fixture(scope="module")
def backlog() -> list[Webhook]:
    return traffic.backlog(7, NOW)


@pytest.fixture(scope="module")
def many() -> list[Webhook]:
    return list(traffic.burst(3, NOW, messages=1500))


def test_the_same_seed_and_time_give_the_same_bytes(backlog: list[Webhook]):
    again = traffic.backlog(7, NOW)
    live = [list(itertools.islice(traffic.live(7, NOW), 50)) for _ in range(2)]

    assert again == backlog
    assert live[0] == live[1]


def test_another_seed_gives_other_messages(backlog: list[Webhook]):
    other = traffic.backlog(8, NOW)

    assert not messages(other).keys() & messages(backlog).keys()


def test_a_backlog_of_another_day_falls_on_the_same_messages(backlog: list[Webhook]):
    later = traffic.backlog(7, NOW + timedelta(days=1, hours=5))

    assert messages(later).keys() == messages(backlog).keys()


def test_a_live_run_never_repeats_the_messages_of_an_earlier_one():
    first = messages(itertools.islice(traffic.live(7, NOW), 100))
    second = messages(itertools.islice(traffic.live(7, NOW + timedelta(minutes=5)), 100))

    assert not first.keys() & second.keys()


def test_a_live_run_is_in_the_order_of_its_times_and_a_few_messages_a_minute():
    webhooks = list(itertools.islice(traffic.live(7, NOW), 300))

    assert [webhook.due_at for webhook in webhooks] == sorted(webhook.due_at for webhook in webhooks)
    minutes = (webhooks[-1].due_at - NOW).total_seconds() / 60
    assert 2 < sum(webhook.messages for webhook in webhooks) / minutes < 15


def test_the_backlog_is_of_the_last_days_and_of_every_regular(backlog: list[Webhook]):
    times = [datetime.fromtimestamp(int(item["timestamp"]), UTC) for item in messages(backlog).values()]
    numbers = {value["metadata"]["phone_number_id"] for value in values(backlog)}
    users = {contact["user_id"] for value in values(backlog) for contact in value.get("contacts", ())}

    assert max(times) < NOW
    assert max(times) > NOW - timedelta(hours=1)
    assert min(times) > NOW - timedelta(days=8)
    assert max(times) - min(times) > timedelta(days=3)
    assert numbers == {business.phone_number_id for business in people.BUSINESSES}
    assert users == {person.user_id for person in people.REGULARS}


def test_a_burst_has_as_many_messages_as_were_asked_for(many: list[Webhook]):
    assert len(messages(many)) == 1500
    assert sum(webhook.messages for webhook in many) == 1500


def test_every_kind_of_message_and_status_occurs(many: list[Webhook]):
    types = {item["type"] for item in messages(many).values()}
    statuses = Counter(item["status"] for value in values(many) for item in value.get("statuses", ()))

    assert types == {
        "audio", "button", "contacts", "document", "image", "interactive", "location", "order",
        "reaction", "text",
    }  # fmt: skip
    assert statuses.keys() == {"sent", "delivered", "read", "failed"}
    assert statuses["sent"] > statuses["read"] > statuses["failed"] > 0


def test_the_people_are_as_varied_as_those_of_2026(many: list[Webhook]):
    contacts = {
        contact["user_id"]: contact for value in values(many) for contact in value.get("contacts", ())
    }

    hidden = [contact for contact in contacts.values() if "wa_id" not in contact]
    short = [contact for contact in contacts.values() if len(contact.get("wa_id", "")) == 12]

    assert hidden
    assert all("username" in contact["profile"] for contact in hidden)
    assert short
    assert {user_id[:3] for user_id in contacts} == {"BR.", "US."}


def test_webhooks_come_in_batches_and_twice_and_across_accounts(many: list[Webhook], backlog: list[Webhook]):
    decoded = [json.loads(webhook.body) for webhook in (*many, *backlog)]

    assert any(len(body["entry"]) > 1 for body in decoded)
    assert any(len(entry["changes"]) > 1 for body in decoded for entry in body["entry"])
    assert any(len(value.get("messages", ())) > 1 for value in values(many))
    assert len({webhook.body for webhook in many}) < len(many)
    assert any(next(iter(body)) == "entry" for body in decoded)


def test_replies_and_reactions_point_to_messages_that_exist(many: list[Webhook]):
    known = messages(many)
    status_ids = {item["id"] for value in values(many) for item in value.get("statuses", ())}

    replies = [item["context"]["id"] for item in known.values() if "context" in item]
    reactions = [item["reaction"]["message_id"] for item in known.values() if item["type"] == "reaction"]

    assert replies
    assert reactions
    # A template that another program sent is known by its statuses alone.
    assert {*replies, *reactions} <= known.keys() | status_ids


def test_no_slot_is_left_unfilled(many: list[Webhook], backlog: list[Webhook]):
    texts = [json.dumps(item, ensure_ascii=False) for item in messages([*many, *backlog]).values()]

    assert not [text for text in texts if "{name}" in text or "{price}" in text or "{weekday}" in text]


def test_capture_understands_every_item(many: list[Webhook], backlog: list[Webhook]):
    instances = {
        business.phone_number_id: events.Instance(
            1,
            1,
            ids.instance_id(business.phone_number_id),
            business.phone_number_id,
            business.display_phone_number,
        )
        for business in people.BUSINESSES
    }
    faults: list[events.Fault] = []
    understood: set[str] = set()

    for number, webhook in enumerate((*many, *backlog)):
        batch_id = uuid7(NOW)
        read = ingest.read(ingest.Webhook(batch_id, NOW, webhook.body))
        faults += read.faults
        for change in read.changes:
            [(_, number_id)] = change.routes
            batch = events.Batch(batch_id, NOW, 1, "", instances[number_id])
            for item in events.normalise(batch, change.field, change.value, change.path):
                if isinstance(item, events.Fault):
                    faults.append(item)
                else:
                    assert isinstance(item, events.Event), number
                    assert item.person is not None
                    understood.add(item.message.wamid)

    assert not faults
    assert understood >= messages([*many, *backlog]).keys()
