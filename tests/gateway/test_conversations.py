"""GET and POST /conversations/sync: the contract, its refusals, and who may see what."""

import threading
from collections.abc import Callable
from typing import Any

import pytest

from tests import wire
from tests.gateway.conftest import API, System

NOBODY = "00000000-0000-7000-8000-000000000000"


@pytest.fixture
def lead(system: System, owner: str) -> str:
    """The id of a lead with 25 messages, two of them in the same second."""
    system.register(owner)
    system.post_webhook(
        wire.messages(*(wire.text(f"w{n:02}", f"oi {n}", at=wire.NOON + min(n, 23)) for n in range(25)))
    )
    return system.leads(owner)[0]["id"]


def test_the_answer_has_exactly_the_promised_form(system: System, owner: str, lead: str) -> None:
    page = system.page(owner, lead, limit=1)

    [message] = page["messages"]
    assert message["wamid"] == "w00"
    assert message["type"] == "text"
    assert message["body"] == "oi 0"
    assert message["direction"] == "INBOUND"
    assert message["timestamp"] == "2026-09-21T14:13:20Z"
    assert message["status"] == "delivered"
    assert message["from"] == {"name": "Ana Souza", "number": f"+{wire.ANA}", "userId": None}
    assert message["mediaUrl"] is None
    assert "context" not in message
    assert page["pagination"]["hasMore"] is True
    assert page["pagination"]["total"] == 25
    assert page["metadata"]["firstMessageAt"] == "2026-09-21T14:13:20Z"
    assert page["metadata"]["lastMessageAt"] == "2026-09-21T14:13:43Z"
    assert page["metadata"]["totalMessages"] == 25
    assert page["metadata"]["syncedUpTo"].endswith("Z")


@pytest.mark.parametrize("limit", [1, 3, 7, 25, 1000])
@pytest.mark.parametrize("order", ["asc", "desc"])
def test_a_walk_gives_every_message_once_in_order(
    system: System, owner: str, lead: str, limit: int, order: str
) -> None:
    keys = [
        (message["timestamp"], message["id"])
        for message in system.walk(owner, lead, limit=limit, order=order)
    ]

    assert len(keys) == 25
    assert keys == sorted(keys, reverse=order == "desc")


@pytest.mark.parametrize("order", ["asc", "desc"])
def test_a_walk_is_complete_while_messages_arrive(system: System, owner: str, lead: str, order: str) -> None:
    before = {message["wamid"] for message in system.walk(owner, lead)}
    is_done = threading.Event()

    def arrive() -> None:
        for batch in range(20):
            if is_done.is_set():
                return
            system.post_webhook(
                wire.messages(*(wire.text(f"n{batch}-{n}", at=wire.NOON - 50 + n) for n in range(100)))
            )

    sender = threading.Thread(target=arrive)
    sender.start()
    found = [message["wamid"] for message in system.walk(owner, lead, limit=7, order=order)]
    is_done.set()
    sender.join()

    assert len(found) == len(set(found))
    assert before <= set(found)


def test_dates_restrict_and_total_counts_what_they_leave(system: System, owner: str, lead: str) -> None:
    asked = {"fromDate": "2026-09-21T14:13:25Z", "toDate": "2026-09-21T11:13:30-03:00", "limit": 2}

    first = system.page(owner, lead, **asked)
    second = system.page(owner, lead, **asked, cursor=first["pagination"]["cursor"])

    assert first["pagination"]["total"] == second["pagination"]["total"] == 6
    assert [message["body"] for message in first["messages"]] == ["oi 5", "oi 6"]
    assert first["metadata"]["totalMessages"] == 25
    assert system.page(owner, lead, toDate="2026-09-20")["messages"] == []
    assert system.page(owner, lead, toDate="2026-09-21")["pagination"]["total"] == 25


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ({"limit": "0"}, "limit"),
        ({"limit": "1001"}, "limit"),
        ({"limit": "-1"}, "limit"),
        ({"limit": "abc"}, "limit"),
        ({"limit": "1.5"}, "limit"),
        ({"limit": ""}, "limit"),
        ({"limit": "\uff19"}, "limit"),
        ({"cursor": "x"}, "cursor"),
        ({"cursor": ""}, "cursor"),
        ({"cursor": "A" * 600}, "cursor"),
        ({"fromDate": "yesterday"}, "fromDate"),
        ({"fromDate": "2026-13-01"}, "fromDate"),
        ({"toDate": "2026-09-21T14:13:25"}, "toDate"),
        ({"toDate": "9999-12-31"}, "toDate"),
        ({"order": "up"}, "order"),
        ({"surprise": "1"}, "surprise"),
        ({"leadId": "7"}, "leadId"),
    ],
)
def test_a_bad_parameter_is_400_and_named(
    system: System, owner: str, lead: str, query: dict[str, str], field: str
) -> None:
    answer = system.get("/conversations/sync", owner, **{"leadId": lead, **query})

    assert answer.status_code == 400
    assert answer.mimetype == "application/problem+json"
    assert [fault["field"] for fault in answer.json["errors"]] == [field]
    assert answer.json["requestId"] == answer.headers["X-Request-Id"]


def test_every_bad_parameter_is_named_at_once(system: System, owner: str) -> None:
    path = f"{API}/conversations/sync?limit=0&limit=1&order=up&surprise=1"

    answer = system.client.get(path, headers={"Authorization": f"Bearer {owner}"})

    assert {fault["field"] for fault in answer.json["errors"]} == {"limit", "order", "surprise", "leadId"}


def test_a_cursor_of_another_query_is_400(system: System, owner: str, lead: str) -> None:
    cursor = system.page(owner, lead, limit=2)["pagination"]["cursor"]

    for other in ({"order": "desc"}, {"fromDate": "2026-09-21"}, {"leadId": NOBODY}):
        answer = system.get("/conversations/sync", owner, **{"leadId": lead, "cursor": cursor, **other})
        assert answer.status_code == 400
        assert answer.json["errors"][0]["field"] == "cursor"
    assert len(system.page(owner, lead, limit=5, cursor=cursor)["messages"]) == 5


def test_without_a_token_401_without_the_scope_403_of_another_tenant_404(
    system: System, owner: str, stranger: str, lead: str, token_for: Callable[..., str]
) -> None:
    for path, query in (("/conversations/sync", {"leadId": lead}), ("/leads", {}), (f"/leads/{lead}", {})):
        anonymous = system.get(path, None, **query)
        assert anonymous.status_code == 401
        assert anonymous.headers["WWW-Authenticate"].startswith("Bearer")
        assert system.get(path, "not.a.token", **query).status_code == 401
        assert system.get(path, token_for("padaria", scopes=["messages:send"]), **query).status_code == 403
    assert system.get("/conversations/sync", stranger, leadId=lead).status_code == 404
    assert system.get(f"/leads/{lead}", stranger).status_code == 404
    assert system.leads(stranger) == []
    assert system.post("/conversations/sync", stranger, {"leadId": lead}).status_code == 404
    assert system.get("/conversations/sync", owner, leadId=NOBODY).status_code == 404


def test_a_token_for_one_number_sees_only_what_that_number_wrote(
    system: System, owner: str, lead: str, token_for: Callable[..., str]
) -> None:
    other = system.register(owner, number_id="777")
    limited = token_for("padaria", scopes=["history:read", "history:sync"], instances=[other])
    assert system.get("/conversations/sync", limited, leadId=lead).status_code == 404
    assert system.leads(limited) == []

    system.post_webhook(wire.webhook(wire.entry(wire.change(number_id="777", messages=[wire.text("there")]))))

    page = system.page(limited, lead)
    assert [message["wamid"] for message in page["messages"]] == ["there"]
    assert page["pagination"]["total"] == page["metadata"]["totalMessages"] == 1
    assert [found["messageCount"] for found in system.leads(limited)] == [1]
    assert system.page(owner, lead)["pagination"]["total"] == 26
    assert [row["id"] for row in system.get("/instances", limited).json["instances"]] == [other]


def test_a_reply_names_its_target_even_before_the_target_is_there(system: System, owner: str) -> None:
    system.register(owner)
    system.post_webhook(wire.messages(wire.text("answer", at=wire.NOON + 9, context={"id": "question"})))
    [lead] = system.leads(owner)
    [answer] = system.page(owner, lead["id"])["messages"]

    system.post_webhook(wire.messages(wire.text("question")))

    question = system.page(owner, lead["id"])["messages"][0]
    assert answer["context"] == {"messageId": question["id"], "wamid": "question"}


def test_a_failed_message_says_why(system: System, owner: str) -> None:
    system.register(owner)
    fault = {"code": 131026, "title": "Message Undeliverable"}
    system.post_webhook(
        wire.statuses(wire.status("w1", "failed", errors=[fault], pricing={"billable": False}))
    )
    [lead] = system.leads(owner)

    [message] = system.page(owner, lead["id"])["messages"]

    assert (message["status"], message["errors"], message["type"]) == ("failed", [fault], "unknown")
    assert message["billing"] == {"pricing": {"billable": False}}
    assert message["timeline"]["failedAt"] == message["timestamp"]
    assert message["from"]["number"] == f"+{wire.BUSINESS}"


def test_a_recovery_brings_back_what_was_lost_and_says_how_much(
    system: System, owner: str, lead: str
) -> None:
    system.execute("DELETE FROM whatsapp_messages WHERE wamid > 'w19'")

    started = system.post("/conversations/sync", owner, {"leadId": lead})
    again = system.post("/conversations/sync", owner, {"leadId": lead})
    sync_id = started.json["syncId"]
    system.run_sync("padaria", sync_id)

    assert (started.status_code, started.json["status"]) == (202, "pending")
    assert again.json["syncId"] == sync_id
    done = system.get(f"/conversations/sync/{sync_id}", owner).json
    assert (done["status"], done["percent"], done["messagesImported"]) == ("completed", 100, 5)
    messages = list(system.walk(owner, lead))
    assert len(messages) == 25
    assert [message["syncSource"] for message in messages].count("manual_sync") == 5
    assert system.execute("SELECT count(*) FROM outbox WHERE job = 'run_sync'").fetchone() == (0,)


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"leadId": "7"}, 400),
        ({}, 400),
        ({"leadId": NOBODY, "x": 1}, 400),
        ([], 400),
        ({"leadId": NOBODY}, 404),
    ],
)
def test_a_bad_recovery_request_is_refused(system: System, owner: str, body: Any, status: int) -> None:
    assert system.post("/conversations/sync", owner, body).status_code == status


def test_a_body_that_is_no_json_is_refused(system: System, owner: str) -> None:
    headers = {"Authorization": f"Bearer {owner}"}
    path = f"{API}/conversations/sync"

    assert system.client.post(path, data="{", headers=headers).status_code == 415
    assert (
        system.client.post(path, data="{", headers=headers, content_type="application/json").status_code
        == 400
    )


def test_a_sync_of_another_tenant_is_not_there(system: System, owner: str, stranger: str, lead: str) -> None:
    sync_id = system.post("/conversations/sync", owner, {"leadId": lead}).json["syncId"]

    assert system.get(f"/conversations/sync/{sync_id}", stranger).status_code == 404
    assert system.get("/conversations/sync/7", owner).status_code == 404
