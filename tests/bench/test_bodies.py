"""The webhooks of the benchmarks are different, signed, understood, and found again by their ids."""

import itertools
import json
import uuid
from datetime import UTC, datetime
from pathlib import Path

from capture_service import events, ingest
from protos.ids import message_id, uuid7
from recado.bench import bodies
from recado.sandbox import people, wire

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
SECRET = "test_app_secret"
INSTANCE = uuid.UUID("018f0000-0000-8000-8000-000000000001")


def webhooks(salt: str = "a") -> bodies.Webhooks:
    return bodies.Webhooks(people.SHOP, seed=7, salt=salt, contacts=20, starts_at_s=int(NOW.timestamp()))


def test_every_body_is_different_and_the_same_for_a_seed_and_salt():
    first = list(itertools.islice(webhooks(), 500))
    again = list(itertools.islice(webhooks(), 500))
    other = list(itertools.islice(webhooks("b"), 500))

    assert first == again
    assert len({body for _, body in first}) == 500
    assert not {wamid for wamid, _ in first} & {wamid for wamid, _ in other}


def test_a_mixture_of_texts_echoes_and_statuses_of_known_people():
    values = [
        json.loads(body)["entry"][0]["changes"][0]["value"] for _, body in itertools.islice(webhooks(), 1000)
    ]

    texts = sum("messages" in value for value in values)
    statuses = sum("statuses" in value for value in values)
    assert texts > 500
    assert statuses > 100
    assert texts + statuses + sum("message_echoes" in value for value in values) == 1000
    assert len({value["contacts"][0]["user_id"] for value in values}) == 20


def test_capture_reads_from_each_the_message_it_was_counted_as():
    instance = events.Instance(1, 1, INSTANCE, people.SHOP.phone_number_id, people.SHOP.display_phone_number)
    stream = webhooks()

    for wamid, body in itertools.chain(stream.introductions(), itertools.islice(stream, 300)):
        read = ingest.read(ingest.Webhook(uuid7(NOW), NOW, body))
        (change,) = read.changes
        batch = events.Batch(read.webhook.id, NOW, 1, "", instance)
        (event,) = events.normalise(batch, change.field, change.value, change.path)

        assert isinstance(event, events.Event)
        assert event.message.id == message_id(INSTANCE, wamid)
        assert event.person is not None
        assert event.person.bsuid


def test_a_file_gives_back_whole_requests_with_their_signatures_and_ids(tmp_path: Path):
    path = tmp_path / "some.requests"
    written = list(itertools.islice(webhooks(), 30))

    count = bodies.write(path, iter(written), app_secret=SECRET, instance_id=INSTANCE)

    assert count == 30
    assert bodies.read_ids(path) == [message_id(INSTANCE, wamid) for wamid, _ in written]
    for request, (_, body) in zip(bodies.read(path), written, strict=True):
        head, _, sent = request.partition(b"\r\n\r\n")
        assert sent == body
        assert head.startswith(b"POST /webhooks/whatsapp HTTP/1.1\r\n")
        assert f"Content-Length: {len(body)}".encode() in head
        assert f"X-Hub-Signature-256: {wire.signature(SECRET.encode(), body)}".encode() in head
