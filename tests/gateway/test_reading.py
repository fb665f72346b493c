"""Search, filters, jumping, exports, tickets, the stream and the rest of the read side, over REST."""

import csv
import html
import io
import json
import threading
from collections.abc import Callable
from typing import Any

import pytest

from gateway import hub
from tests import wire
from tests.gateway.conftest import API, System


@pytest.fixture
def lead(system: System, owner: str) -> str:
    """The id of a lead with 20 messages about an order."""
    system.register(owner)
    system.post_webhook(
        wire.messages(*(wire.text(f"w{n:02}", f"pedido número {n}", at=wire.NOON + n) for n in range(20)))
    )
    return system.leads(owner)[0]["id"]


def test_words_are_found_across_leads_with_the_place_to_jump_to(system: System, owner: str, lead: str):
    answer = system.get("/messages/search", owner, q="NUMERO 7").json

    [hit] = answer["messages"]
    assert hit["message"]["body"] == "pedido número 7"
    assert hit["lead"] == {"id": lead, "kind": "person", "name": "Ana Souza", "number": f"+{wire.ANA}"}
    assert [piece["text"] for piece in hit["snippet"] if piece["match"]] == ["número", "7"]
    assert answer["pagination"] == {"cursor": None, "hasMore": False, "total": 1, "totalIsMinimum": False}
    page = system.page(owner, lead, around=hit["message"]["id"], limit=5)
    assert [message["body"] for message in page["messages"]] == [f"pedido número {n}" for n in range(5, 10)]
    newer = system.page(owner, lead, cursor=page["pagination"]["cursor"], limit=5)
    assert newer["messages"][0]["body"] == "pedido número 10"
    older = system.page(owner, lead, cursor=page["pagination"]["previousCursor"], limit=5, order="desc")
    assert older["messages"][0]["body"] == "pedido número 4"
    assert [found["name"] for found in system.get("/messages/search", owner, q="ana").json["leads"]] == [
        "Ana Souza"
    ]


@pytest.mark.parametrize(
    ("query", "count"),
    [
        ({"q": "número"}, 20),
        ({"q": '"número 7"'}, 1),
        ({"direction": "OUTBOUND"}, 0),
        ({"type": "text", "status": "delivered"}, 20),
        ({"fromDate": "2026-09-21T14:13:30Z", "toDate": "2026-09-21T14:13:31Z"}, 2),
        ({"type": "image"}, 0),
    ],
)
def test_a_conversation_can_be_filtered(
    system: System, owner: str, lead: str, query: dict[str, str], count: int
):
    page = system.page(owner, lead, **query)

    assert page["pagination"]["total"] == len(page["messages"]) == count
    assert page["metadata"]["totalMessages"] == 20


@pytest.mark.parametrize(
    ("path", "query", "field"),
    [
        ("/messages/search", {}, "q"),
        ("/messages/search", {"q": " "}, "q"),
        ("/messages/search", {"q": "x" * 201}, "q"),
        ("/messages/search", {"q": "x", "limit": "101"}, "limit"),
        ("/messages/search", {"q": "x", "leadId": "7"}, "leadId"),
        ("/messages/search", {"q": "x", "status": "seen"}, "status"),
        ("/messages/search", {"q": "x", "direction": "in"}, "direction"),
        ("/messages/search", {"q": "x", "cursor": "forged"}, "cursor"),
        ("/conversations/stream", {"leadId": "7"}, "leadId"),
        ("/conversations/stream", {"lastEventId": "forged"}, "lastEventId"),
        ("/audit", {"limit": "0"}, "limit"),
        ("/audit", {"cursor": "forged"}, "cursor"),
    ],
)
def test_what_is_wrong_with_a_question_is_named(
    system: System, owner: str, lead: str, path: str, query: dict[str, str], field: str
):
    answer = system.get(path, owner, **query)

    assert answer.status_code == 400, answer.text
    assert [error["field"] for error in answer.json["errors"]] == [field]


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ({"around": "7"}, "around"),
        ({"type": "x" * 65}, "type"),
        ({"instanceId": "7"}, "instanceId"),
        ({"around": "00000000-0000-4000-8000-000000000000", "cursor": "x"}, "around"),
    ],
)
def test_what_is_wrong_with_a_page_is_named(
    system: System, owner: str, lead: str, query: dict[str, str], field: str
):
    answer = system.get("/conversations/sync", owner, leadId=lead, **query)

    assert answer.status_code == 400
    assert [error["field"] for error in answer.json["errors"]] == [field]


def test_a_page_that_has_not_changed_is_not_sent_again(system: System, owner: str, lead: str):
    first = system.get("/conversations/sync", owner, leadId=lead)
    tag = first.headers["ETag"]
    asked = {"Authorization": f"Bearer {owner}", "If-None-Match": tag}

    again = system.client.get(f"{API}/conversations/sync?leadId={lead}", headers=asked)
    assert tag.startswith('W/"')
    assert (again.status_code, again.data) == (304, b"")

    system.post_webhook(wire.messages(wire.text("new", "mais uma", at=wire.NOON + 100)))
    assert system.client.get(f"{API}/conversations/sync?leadId={lead}", headers=asked).status_code == 200


def test_a_document_is_found_by_the_name_of_its_file_beside_its_caption(
    system: System, owner: str, lead: str
):
    file = {"id": "1", "filename": "orçamento-festa.pdf", "caption": "segue como combinado"}
    system.post_webhook(wire.messages({**wire.text("d1"), "type": "document", "document": file}))

    for words in ("orcamento-festa.pdf", "combinado", "orcamento combinado"):
        [hit] = system.get("/messages/search", owner, q=words).json["messages"]
        assert hit["message"]["wamid"] == "d1"


def test_a_page_says_where_the_next_one_is(system: System, owner: str, lead: str):
    first = system.get("/conversations/sync", owner, leadId=lead, limit=15)

    address = first.headers["Link"].partition(">")[0].lstrip("<")
    assert first.headers["Link"].endswith('; rel="next"')
    following = system.client.get(address, headers={"Authorization": f"Bearer {owner}"})
    assert len(following.json["messages"]) == 5
    assert "Link" not in following.headers

    within = system.get(
        "/conversations/sync", owner, leadId=lead, limit=3, around=first.json["messages"][7]["id"]
    )
    address = within.headers["Link"].partition(">")[0].lstrip("<")
    following = system.client.get(address, headers={"Authorization": f"Bearer {owner}"})
    assert following.status_code == 200
    assert not {row["id"] for row in following.json["messages"]} & {
        row["id"] for row in within.json["messages"]
    }


def test_leads_are_listed_with_their_last_message(system: System, owner: str, lead: str):
    [found] = system.leads(owner)

    assert found["lastMessage"]["body"] == "pedido número 19"
    assert found["lastMessage"]["direction"] == "INBOUND"


@pytest.mark.parametrize("file_format", ["jsonl", "csv", "html", "txt"])
def test_a_history_is_exported_in_every_format(system: System, owner: str, lead: str, file_format: str):
    answer = system.get(f"/leads/{lead}/export", owner, format=file_format, timeZone="America/Sao_Paulo")

    assert answer.status_code == 200
    assert answer.headers["Content-Disposition"] == f'attachment; filename="Ana-Souza.{file_format}"'
    for n in range(20):
        assert f"pedido número {n}" in answer.text
    if file_format == "jsonl":
        lines = [json.loads(line) for line in answer.text.splitlines()]
        assert lines == system.page(owner, lead)["messages"]
    if file_format == "csv":
        assert len(list(csv.DictReader(io.StringIO(answer.text)))) == 20


def test_an_export_may_be_of_a_time_and_its_faults_are_named(system: System, owner: str, lead: str):
    part = system.get(f"/leads/{lead}/export", owner, fromDate="2026-09-21T14:13:38Z")
    wrong = system.get(f"/leads/{lead}/export", owner, format="pdf", timeZone="Mars", bom="maybe")

    assert len(part.text.splitlines()) == 2
    assert {error["field"] for error in wrong.json["errors"]} == {"format", "bom"}
    wrong = system.get(f"/leads/{lead}/export", owner, timeZone="../../etc/passwd")
    assert [error["field"] for error in wrong.json["errors"]] == ["timeZone"]


def test_coverage_is_said_in_both_languages(system: System, owner: str, lead: str):
    answer = system.get(f"/leads/{lead}/coverage", owner).json

    [found] = answer["conversations"]
    assert [interval["route"] for interval in found["intervals"]] == ["live"]
    assert [gap["reason"] for gap in found["gaps"]] == ["before_connection"]
    assert found["statement"]["en"].startswith("Complete since ")
    assert found["statement"]["pt-BR"].startswith("Completo desde ")


def test_a_ticket_is_closed_and_the_next_message_opens_another(system: System, owner: str, lead: str):
    [ticket] = system.get(f"/leads/{lead}/tickets", owner).json["tickets"]
    assert ticket["closedAt"] is None

    closed = system.post(f"/tickets/{ticket['id']}/close", owner, None).json
    again = system.post(f"/tickets/{ticket['id']}/close", owner, None).json
    system.post_webhook(wire.messages(wire.text("later", "de novo", at=wire.NOON + 500)))
    newest, oldest = system.get(f"/leads/{lead}/tickets", owner).json["tickets"]
    refused = system.post(f"/tickets/{ticket['id']}/reopen", owner, None)
    system.post(f"/tickets/{newest['id']}/close", owner, None)
    reopened = system.post(f"/tickets/{ticket['id']}/reopen", owner, None).json

    assert closed["closedAt"]
    assert again == closed == oldest
    assert newest["closedAt"] is None
    assert (refused.status_code, refused.json["code"]) == (422, "FAILED_PRECONDITION")
    assert reopened["closedAt"] is None


def test_recoveries_of_a_lead_are_listed(system: System, owner: str, lead: str):
    sync = system.post("/conversations/sync", owner, {"leadId": lead}).json

    answer = system.get(f"/leads/{lead}/syncs", owner).json

    assert [found["syncType"] for found in answer["syncs"]] == ["manual_recovery", "initial_contact"]
    assert answer["syncs"][0]["syncId"] == sync["syncId"]
    assert answer["pagination"]["total"] == 2


def test_recoveries_through_another_number_are_not_shown(
    system: System, owner: str, lead: str, token_for: Callable[..., str]
):
    [mine] = system.get("/instances", owner).json["instances"]
    limited = token_for("padaria", scopes=["history:read"], instances=[mine["id"]])
    system.register(owner, number_id="777", display_number="551150000000")
    [sync] = [
        row["syncId"]
        for row in system.get(f"/leads/{lead}/syncs", owner).json["syncs"]
        if row["syncType"] == "initial_contact"
    ]
    assert system.get(f"/conversations/sync/{sync}", limited).status_code == 200

    system.execute(
        "UPDATE whatsapp_sync_logs SET instance_id = "
        "(SELECT id FROM whatsapp_configs WHERE phone_number_id = '777')"
    )

    assert system.get(f"/conversations/sync/{sync}", limited).status_code == 404
    assert system.get(f"/leads/{lead}/syncs", limited).json["pagination"]["total"] == 0
    assert system.get(f"/leads/{lead}/syncs", owner).json["pagination"]["total"] == 1


def test_who_read_and_changed_what_can_be_asked(system: System, owner: str, colleague: str, lead: str):
    system.page(colleague, lead)
    system.post("/conversations/sync", owner, {"leadId": lead})

    entries = system.get("/audit", owner, leadId=lead).json["entries"]

    assert [(entry["subject"], entry["action"], entry["count"]) for entry in entries[:2]] == [
        ("olivia", "sync.start", 1),
        ("caio", "messages.read", 20),
    ]
    assert system.get("/audit", owner, subject="nobody").json["entries"] == []


def test_whatever_shows_something_of_a_lead_is_on_record(
    system: System, owner: str, colleague: str, lead: str
):
    batch = system.page(owner, lead)["messages"][0]["batchId"]
    for path, action in (
        (f"/leads/{lead}", "lead.read"),
        (f"/leads/{lead}/coverage", "coverage.read"),
        (f"/leads/{lead}/tickets", "tickets.read"),
        (f"/leads/{lead}/merges", "merges.read"),
        (f"/leads/{lead}/syncs", "syncs.read"),
        (f"/batches/{batch}", "batch.read"),
    ):
        assert system.get(path, colleague).status_code == 200
        latest = system.get("/audit", owner, subject="caio").json["entries"][0]
        assert (latest["action"], latest["leadId"]) == (action, None if action == "batch.read" else lead)


def test_whom_a_search_shows_by_name_is_on_record(system: System, owner: str, colleague: str, lead: str):
    found = system.get("/messages/search", colleague, q="ana souza").json

    assert ([person["id"] for person in found["leads"]], found["messages"]) == ([lead], [])
    recorded = system.get("/audit", owner, subject="caio").json["entries"]
    assert {(entry["action"], entry["leadId"], entry["count"]) for entry in recorded} == {
        ("messages.search", None, 0),
        ("leads.list", lead, 1),
    }


# The stream


class Stream:
    """Reads server-sent events in a thread of its own."""

    def __init__(self, system: System, token: str, **how: Any) -> None:
        headers = {"Authorization": f"Bearer {token}", **how.pop("headers", {})}
        self.answer = system.client.get(f"{API}/conversations/stream", query_string=how, headers=headers)
        assert self.answer.status_code == 200, self.answer.text
        self.events: list[dict[str, Any]] = []
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        held = ""
        for chunk in self.answer.response:
            held += chunk.decode()
            while "\n\n" in held:
                block, _, held = held.partition("\n\n")
                fields = dict(line.split(": ", 1) for line in block.splitlines() if ": " in line)
                if "event" in fields:
                    with self._changed:
                        self.events.append({**fields, "data": json.loads(fields["data"])})
                        self._changed.notify_all()

    def wait_for(self, event: str, count: int = 1) -> list[dict[str, Any]]:
        def found() -> list[dict[str, Any]]:
            return [told for told in self.events if told["event"] == event]

        with self._changed:
            assert self._changed.wait_for(lambda: len(found()) >= count, timeout=10), self.events
        return found()

    @property
    def last_id(self) -> str:
        return [told["id"] for told in self.events if "id" in told][-1]


@pytest.fixture
def listen(system: System) -> Callable[..., Stream]:
    opened: list[Stream] = []

    def make(token: str, **how: Any) -> Stream:
        opened.append(Stream(system, token, **how))
        return opened[-1]

    return make


def test_one_user_does_not_take_all_the_places(
    system: System,
    owner: str,
    colleague: str,
    lead: str,
    listen: Callable[..., Stream],
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setattr(hub, "_LISTENERS_OF_ONE_MAX", 1)
    listen(owner, leadId=lead).wait_for("ready")

    refused = system.get("/conversations/stream", owner)

    assert (refused.status_code, refused.json["code"]) == (429, "RESOURCE_EXHAUSTED")
    listen(colleague, leadId=lead).wait_for("ready")


def test_a_deleted_message_is_told_in_the_list(system: System, owner: str, lead: str):
    revoke = {"id": "r1", "timestamp": str(wire.NOON + 900), "type": "revoke", "from": wire.ANA}
    told = wire.text("last", "segredo", at=wire.NOON + 800)
    revoke |= {"revoke": {"original_message_id": "last"}}
    system.post_webhook(wire.messages(told, revoke))

    [found] = [row for row in system.get("/leads", owner).json["leads"] if row["id"] == lead]

    assert (found["lastMessage"]["body"], found["lastMessage"]["revokedAt"]) == (None, "2026-09-21T14:28:20Z")


def test_a_new_message_and_a_status_are_heard_as_they_come(
    system: System, owner: str, lead: str, listen: Callable[..., Stream]
):
    stream = listen(owner, leadId=lead)
    stream.wait_for("ready")

    system.post_webhook(wire.messages(wire.text("live", "agora", at=wire.NOON + 60)))

    [event] = stream.wait_for("message")
    assert event["data"]["leadId"] == lead
    assert event["data"]["message"]["body"] == "agora"


def test_who_was_away_is_told_what_was_missed_and_nothing_twice(
    system: System, owner: str, lead: str, listen: Callable[..., Stream]
):
    first = listen(owner, leadId=lead)
    first.wait_for("ready")
    last_id = first.last_id
    for n in range(3):
        system.post_webhook(wire.messages(wire.text(f"away{n}", f"longe {n}", at=wire.NOON + 60 + n)))

    by_header = listen(owner, leadId=lead, headers={"Last-Event-ID": last_id})
    by_query = listen(owner, leadId=lead, lastEventId=last_id)

    for stream in (by_header, by_query):
        events = stream.wait_for("message", 3)
        assert [event["data"]["message"]["body"] for event in events] == ["longe 0", "longe 1", "longe 2"]
    seen = by_header.last_id
    resumed = listen(owner, leadId=lead, headers={"Last-Event-ID": seen})
    resumed.wait_for("ready")
    system.post_webhook(wire.messages(wire.text("after", "depois", at=wire.NOON + 90)))
    assert [event["data"]["message"]["body"] for event in resumed.wait_for("message")] == ["depois"]


def test_all_leads_of_a_token_can_be_listened_to_and_no_others(
    system: System, owner: str, stranger: str, lead: str, listen: Callable[..., Stream]
):
    mine, theirs = listen(owner), listen(stranger)
    mine.wait_for("ready")
    theirs.wait_for("ready")

    other = wire.contact("5511900001111", "Bia")
    system.post_webhook(
        wire.messages(wire.text("bia", "nova pessoa", sender="5511900001111"), contacts=[other])
    )

    assert [event["data"]["message"]["body"] for event in mine.wait_for("message")] == ["nova pessoa"]
    assert [told["event"] for told in theirs.events] == ["ready"]


# The inbox's session, the documents


def test_a_token_that_no_browser_would_keep_is_refused_by_name(
    system: System, lead: str, token_for: Callable[..., str]
):
    token = token_for("padaria", scopes=["history:read", "o" * 4000])

    refused = system.client.post("/session", json={"token": token})

    assert (refused.status_code, refused.json["errors"][0]["field"]) == (400, "token")


def test_a_session_is_a_cookie_that_no_script_reads(system: System, owner: str, lead: str):
    refused = system.client.post("/session", json={"token": "not.a.token"})
    signed_in = system.client.post("/session", json={"token": owner})

    assert refused.status_code == 401
    assert signed_in.status_code == 204
    cookie = signed_in.headers["Set-Cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=Strict" in cookie
    assert system.client.get("/session").json["subject"] == "olivia"
    assert system.client.get(f"{API}/leads").status_code == 200
    # A form of another site cannot send the header.
    body = {"leadId": lead}
    assert system.client.post(f"{API}/conversations/sync", json=body).status_code == 403
    asked = {"X-Recado-Request": "1"}
    assert system.client.post(f"{API}/conversations/sync", json=body, headers=asked).status_code == 202
    assert system.client.delete("/session").status_code == 204
    assert system.client.get("/session").status_code == 401
    assert system.client.get(f"{API}/leads").status_code == 401


def test_the_api_is_documented_for_programs_and_for_people(system: System):
    document = system.client.get("/api/v1/openapi.json").json
    page = system.client.get("/docs")

    assert document["openapi"] == "3.1.0"
    assert f"{API}/conversations/sync" in document["paths"]
    assert page.status_code == 200
    assert "<script" not in page.text
    for path, operations in document["paths"].items():
        assert path in page.text
        for operation in operations.values():
            assert operation["summary"] in html.unescape(page.text)


def test_every_header_that_is_sent_is_documented(system: System, owner: str, lead: str):
    paths = system.client.get("/api/v1/openapi.json").json["paths"]
    described = paths[f"{API}/conversations/sync"]["get"]
    answer = system.get("/conversations/sync", owner, leadId=lead, limit=1)

    told = {name for name, _ in answer.headers if name in described["responses"]["200"]["headers"]}
    assert told == set(described["responses"]["200"]["headers"])
    assert "Retry-After" in described["responses"]["429"]["headers"]
    assert "If-None-Match" in {parameter["name"] for parameter in described["parameters"]}
    stream = paths[f"{API}/conversations/stream"]["get"]["parameters"]
    assert "Last-Event-ID" in {parameter["name"] for parameter in stream}
