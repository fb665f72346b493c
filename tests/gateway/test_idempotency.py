"""The same request under the same key is done once, whichever gateway it reaches."""

import io
import threading
from typing import Any

import pytest

from plumbing import replies
from tests import wire
from tests.gateway.conftest import API, System


@pytest.fixture
def lead(system: System, owner: str) -> str:
    system.register(owner)
    system.post_webhook(wire.messages(wire.text("w1", "oi")))
    return system.leads(owner)[0]["id"]


def start(gateway: Any, token: str, key: str, lead: str) -> Any:
    headers = {"Authorization": f"Bearer {token}", "Idempotency-Key": key}
    return gateway.post(f"{API}/conversations/sync", json={"leadId": lead}, headers=headers)


def test_a_repeated_request_is_answered_as_the_first_was(system: System, owner: str, lead: str, valkey: str):
    first, second = (system.another(redis_url=valkey) for _ in range(2))

    begun = start(first, owner, "k1", lead)
    system.run_sync("padaria", begun.json["syncId"])
    again = start(second, owner, "k1", lead)
    other = start(second, owner, "k2", lead)

    assert begun.status_code == again.status_code == other.status_code == 202
    assert (again.json, again.headers["Location"]) == (begun.json, begun.headers["Location"])
    assert other.json["syncId"] != begun.json["syncId"]


def test_a_key_is_its_users_own(system: System, owner: str, stranger: str, lead: str, valkey: str):
    gateway = system.another(redis_url=valkey)
    start(gateway, owner, "k1", lead)

    assert start(gateway, stranger, "k1", lead).status_code == 404


def test_a_key_with_another_request_is_refused(system: System, owner: str, lead: str, valkey: str):
    gateway = system.another(redis_url=valkey)
    start(gateway, owner, "k1", lead)

    answer = start(gateway, owner, "k1", "00000000-0000-4000-8000-000000000000")

    assert (answer.status_code, answer.json["code"]) == (422, "FAILED_PRECONDITION")


def test_a_form_is_the_same_whatever_parts_it(system: System, owner: str, lead: str, valkey: str):
    gateway = system.another(redis_url=valkey)

    def bring(chat: str) -> Any:
        return gateway.post(
            f"{API}/leads/{lead}/import?businessParticipant=Padaria&timeZone=UTC",
            data={"file": (io.BytesIO(chat.encode()), "chat.txt")},  # parted by what is drawn each time
            headers={"Authorization": f"Bearer {owner}", "Idempotency-Key": "k1"},
        )

    begun = bring("12/03/2026 10:00 - Ana: oi\n12/03/2026 10:01 - Padaria: bom dia\n")
    again = bring("12/03/2026 10:00 - Ana: oi\n12/03/2026 10:01 - Padaria: bom dia\n")
    another = bring("12/03/2026 10:00 - Ana: outra coisa\n12/03/2026 10:01 - Padaria: bom dia\n")

    assert (begun.status_code, again.json) == (202, begun.json)
    assert another.status_code == 422


def test_what_failed_may_be_tried_again(system: System, owner: str, lead: str, valkey: str):
    gateway = system.another(redis_url=valkey)
    nobody = "00000000-0000-4000-8000-000000000000"

    assert [start(gateway, owner, "k1", nobody).status_code for _ in range(2)] == [404, 404]


def test_while_the_first_is_being_served_others_are_told_so(
    system: System, owner: str, lead: str, valkey: str, monkeypatch: pytest.MonkeyPatch
):
    gateway = system.another(redis_url=valkey)
    begun, go_on = threading.Event(), threading.Event()
    kept = replies.Replies.end

    def slowly(self: Any, *told: Any) -> None:
        begun.set()
        go_on.wait(10)
        kept(self, *told)

    monkeypatch.setattr(replies.Replies, "end", slowly)
    first = threading.Thread(target=start, args=(system.another(redis_url=valkey), owner, "k1", lead))
    first.start()
    assert begun.wait(10)

    answer = start(gateway, owner, "k1", lead)
    go_on.set()
    first.join(10)

    assert (answer.status_code, answer.json["code"]) == (409, "ALREADY_EXISTS")
    assert start(gateway, owner, "k1", lead).status_code == 202


@pytest.mark.parametrize("key", ["x" * 256, "two words", "cl\u00e9"])
def test_a_key_that_is_none_is_refused_by_name(system: System, owner: str, lead: str, key: str):
    answer = start(system.client, owner, key, lead)

    assert answer.status_code == 400
    assert [error["field"] for error in answer.json["errors"]] == ["Idempotency-Key"]


def test_without_redis_nothing_is_promised(system: System, owner: str, lead: str):
    answer = start(system.another(redis_url=""), owner, "k1", lead)

    assert answer.status_code == 503
    assert "without Idempotency-Key" in answer.json["detail"]
