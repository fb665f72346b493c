"""What enrichment finds of people, whatever comes between its question and the answer."""

import random
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from plumbing import errors, tokens
from plumbing.rpc import client
from protos import capture_pb2_grpc, enrichment_pb2
from recado import exporting, worker
from tests import wire
from tests.gateway.conftest import System

BSUID = "BR.1234567890"
BY_NUMBER = wire.text("w1", "pelo número", at=wire.NOON)
BY_USER_ID = {**wire.text("w2", "pelo usuário", at=wire.NOON + 10, sender=None), "from_user_id": BSUID}
BY_BOTH = {**wire.text("w3", "por ambos", at=wire.NOON + 20), "from_user_id": BSUID}


class Meta:
    """An enrichment that finds a picture of whoever has a number."""

    def __init__(self) -> None:
        self.meanwhile: Callable[[], None] = lambda: None

    def FetchContactProfile(self, request: Any, **_: Any) -> enrichment_pb2.ContactProfile:
        found = enrichment_pb2.ContactProfile(name=request.known_name, sources={"name": "webhook"})
        if request.wa_id and request.phone_number_id == wire.NUMBER_ID:
            found.profile_picture_url = f"https://example.com/{request.wa_id}"
        self.meanwhile()
        return found


Enrich = Callable[[], None]


@pytest.fixture
def meta() -> Meta:
    return Meta()


@pytest.fixture
def enrich(system: System, meta: Meta, auth_secret: str) -> Iterator[Enrich]:
    """Perform the jobs that ask for profiles; one that fails stays for the next time."""
    own = tokens.OwnToken(auth_secret, subject="worker")
    with client.open_channel(system.capture.address) as channel:
        capture: Any = capture_pb2_grpc.CaptureServiceStub(channel)
        nothing: Any = exporting.Exporter(capture, capture, own, auth_secret=auth_secret, folder=None)
        work = worker.Jobs(capture, meta, own, nothing)

        def do() -> None:
            asked = "SELECT arguments FROM outbox WHERE job = 'enrich_lead' ORDER BY id"
            for (arguments,) in system.execute(asked).fetchall():
                try:
                    work.enrich_lead(**arguments)
                except errors.FailedPrecondition:
                    continue

        yield do


def _is_asked(system: System) -> bool:
    return bool(system.execute("SELECT FROM outbox WHERE job = 'enrich_lead'").fetchall())


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(order=st.permutations([BY_NUMBER, BY_USER_ID, BY_BOTH]), seed=st.integers(0, 10**9))
def test_whoever_is_asked_for_before_amid_or_after_a_merge_is_shown_the_same(
    system: System, owner: str, meta: Meta, enrich: Enrich, order: list[dict[str, Any]], seed: int
) -> None:
    system.execute("TRUNCATE whatsapp_messages, leads, lead_merges, outbox, whatsapp_sync_logs CASCADE")
    system.register(owner)
    draw = random.Random(seed)
    waiting = [wire.messages(message, contacts=[]) for message in order]

    def something() -> None:
        match draw.randrange(3):
            case 0 if waiting:
                system.post_webhook(waiting.pop(0))
            case 1:
                system.run_jobs()
            case _:
                pass

    meta.meanwhile = something
    while waiting:
        draw.choice([something, enrich])()
    meta.meanwhile = lambda: None
    system.run_jobs()
    while _is_asked(system):
        enrich()

    [lead] = system.leads(owner)
    assert lead["profilePicUrl"] == f"https://example.com/{wire.ANA}"
    assert lead["messageCount"] == 3


def test_how_a_lead_stands_follows_its_messages_and_not_the_moment_at_which_it_was_asked_for(
    system: System, owner: str, enrich: Enrich
) -> None:
    system.register(owner)
    long_ago = {"id": wire.ANA, "messages": [{**wire.text("w1"), "history_context": {}}]}
    system.post_webhook(wire.history(long_ago))
    [before] = system.leads(owner)
    enrich()
    now = int(time.time())
    system.post_webhook(wire.messages(wire.text("w2", at=now)))
    [after] = system.leads(owner)

    assert (before["status"], after["status"]) == ("INACTIVE", "ACTIVE")


@pytest.mark.parametrize("is_late", [True, False])
@pytest.mark.parametrize(
    ("kind", "act"),
    [
        ("reaction", {"message_id": "w1", "emoji": "👍"}),
        ("edit", {"original_message_id": "w1", "message": {"type": "text", "text": {"body": "x"}}}),
        ("revoke", {"original_message_id": "w1"}),
    ],
)
def test_whoever_does_something_to_a_message_of_a_history_is_asked_for(
    system: System, owner: str, enrich: Enrich, kind: str, act: dict[str, Any], is_late: bool
) -> None:
    system.register(owner)
    thread = {"id": wire.ANA, "messages": [{**wire.text("w1"), "history_context": {}}]}
    told = {"from": wire.ANA, "id": "w2", "timestamp": str(wire.NOON + 60), "type": kind, kind: act}
    bodies = [wire.history(thread), wire.messages(told)]

    for body in reversed(bodies) if is_late else bodies:
        system.post_webhook(body)
        enrich()

    [lead] = system.leads(owner)
    assert (lead["messageCount"], lead["profilePicUrl"]) == (1, f"https://example.com/{wire.ANA}")
