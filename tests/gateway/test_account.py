"""Facts about the account, what they do to an instance, and what one webhook did."""

from typing import Any

import pytest

from capture_service import recovery, store
from capture_service.ingest import DEFERRED_BYTES
from tests import wire
from tests.gateway.conftest import System


def fact(field: str, *, at: int | None = wire.NOON, account: str = wire.WABA_ID, **value: Any) -> bytes:
    stamp = {} if at is None else {"time": at}
    return wire.webhook({"id": account, **stamp, "changes": [{"field": field, "value": value}]})


@pytest.fixture
def instance_id(system: System, owner: str) -> str:
    return system.register(owner)


def events(system: System, token: str, instance_id: str, **query: Any) -> list[dict[str, Any]]:
    answer = system.get(f"/instances/{instance_id}/events", token, **query)
    assert answer.status_code == 200, answer.text
    return answer.json["events"]


def connection(system: System, token: str) -> str:
    [instance] = system.get("/instances", token).json["instances"]
    return instance["connection"]["state"]


def replay(system: System) -> None:
    for _ in recovery.replay(system.ingest, system.pool, store.LedgerFilter()):
        pass


def shown(system: System, *tokens: str) -> list[list[Any]]:
    return [
        [
            [fact["value"] for fact in events(system, token, instance["id"])]
            for instance in system.get("/instances", token).json["instances"]
        ]
        for token in tokens
    ]


@pytest.mark.parametrize("is_applied", [True, False])
@pytest.mark.parametrize("templates", [1, 1_500])
def test_what_came_about_an_account_stays_the_tenants_when_it_becomes_anothers(
    system: System, owner: str, stranger: str, templates: int, is_applied: bool
) -> None:
    system.register(owner)
    values = [{"event": "APPROVED", "message_template_name": "x" * 99 + str(n)} for n in range(templates)]
    changes = [{"field": "message_template_status_update", "value": value} for value in values]
    body = wire.webhook({"id": wire.WABA_ID, "time": wire.NOON, "changes": changes})
    assert (len(body) >= DEFERRED_BYTES) == (templates > 1)
    system.post_webhook(body)
    if is_applied:
        system.run_jobs()
    system.register(owner, waba_id="another")
    system.register(stranger, number_id="555", display_number="551140000009")
    system.run_jobs()

    def found() -> list[Any]:
        facts = system.execute("SELECT * FROM account_events ORDER BY id").fetchall()
        kept = system.execute("SELECT tenant_id, id, state, body FROM whatsapp_webhook_logs").fetchall()
        return [facts, kept, shown(system, owner, stranger)]

    before = found()
    assert len(before[0]) == templates
    replay(system)
    assert found() == before
    system.execute("TRUNCATE account_events")
    replay(system)
    assert found() == before
    assert shown(system, stranger) == [[[]]]


def test_what_a_business_portfolio_was_told_stays_with_the_account_that_it_names(
    system: System, owner: str
) -> None:
    system.register(owner)
    told: dict[str, Any] = {
        "event": "PARTNER_ADDED",
        "waba_info": {"waba_id": wire.WABA_ID, "owner_business_id": "7"},
    }
    system.post_webhook(fact("account_update", account="portfolio", **told))
    kept = system.execute("SELECT * FROM account_events").fetchall()
    assert len(kept) == 1

    system.register(owner, waba_id="another")
    replay(system)

    assert system.execute("SELECT * FROM account_events").fetchall() == kept


def test_what_is_about_a_number_that_leads_nowhere_any_more_is_a_failure_of_its_tenant(
    system: System, owner: str, stranger: str
) -> None:
    system.register(owner)
    system.register(stranger, number_id="555", waba_id="theirs", display_number="551140000009")
    system.post_webhook(wire.messages(wire.text("w1")))
    system.execute("DELETE FROM webhook_routes WHERE kind = 'phone_number' AND external_id <> '555'")
    system.ingest.forget_routes()

    replay(system)

    [failure] = system.get("/webhooks/failures", owner).json["failures"]
    assert "not registered any more" in failure["faults"][0]["reason"]
    assert system.get("/webhooks/failures", stranger).json["failures"] == []
    assert [lead["messageCount"] for lead in system.leads(owner)] == [1]


def test_what_is_about_a_number_goes_with_it_to_another_account(
    system: System, owner: str, instance_id: str
) -> None:
    groups = [{"group_id": "g", "timestamp": "1750100300"}, {"group_id": "h", "timestamp": "1750100400"}]
    change = wire.change("group_participants_update", groups=groups)
    system.post_webhook(wire.webhook(wire.entry(change)))
    [before] = events(system, owner, instance_id)
    assert before["happenedAt"] == "2025-06-16T19:00:00Z"

    system.register(owner, waba_id="another")
    moved = [{**before, "accountId": "another"}]
    assert events(system, owner, instance_id) == moved
    replay(system)
    assert events(system, owner, instance_id) == moved
    # As of a route that is some seconds old.
    system.execute(f"UPDATE account_events SET account_id = '{wire.WABA_ID}'")
    replay(system)
    assert events(system, owner, instance_id) == moved
    system.execute("TRUNCATE account_events")
    replay(system)
    assert events(system, owner, instance_id) == moved


def test_a_fact_is_kept_once_however_often_it_comes(system: System, owner: str, instance_id: str) -> None:
    template: dict[str, Any] = {
        "event": "REJECTED",
        "message_template_id": 1234567890123456,
        "reason": "NONE",
    }
    for _ in range(3):
        system.post_webhook(fact("message_template_status_update", **template))
    system.post_webhook(fact("message_template_status_update", at=wire.NOON + 1, **template))

    newest, oldest = events(system, owner, instance_id)
    assert (newest["field"], newest["event"]) == ("message_template_status_update", "REJECTED")
    assert newest["value"] == template
    assert newest["happenedAt"] > oldest["happenedAt"]


@pytest.mark.parametrize("field", ["user_preferences", "user_id_update"])
def test_each_item_of_a_list_is_a_fact_however_they_are_spread(
    system: System, owner: str, instance_id: str, field: str
) -> None:
    one: dict[str, Any] = {"wa_id": wire.ANA, "user_id": "BR.1", "value": "stop", "timestamp": wire.NOON}
    two: dict[str, Any] = {
        "wa_id": "5521977776666",
        "user_id": "BR.2",
        "value": "resume",
        "timestamp": wire.NOON + 60,
    }
    if field == "user_id_update":
        one["user_id"] = {"previous": "BR.1", "current": "BR.3"}
        two["user_id"] = {"previous": "BR.2", "current": "BR.4"}
    people = [wire.contact(wire.ANA, "Ana"), wire.contact("5521977776666", "Bia")]
    found: list[Any] = []
    for spread in ([[one, two]], [[two], [one]], [[one, two, one], [two]]):
        system.execute("TRUNCATE account_events, leads, whatsapp_webhook_logs CASCADE")
        for items in spread:
            beside = [person for person in people if person["wa_id"] in {item["wa_id"] for item in items}]
            value = wire.change(field, **{field: items}, contacts=beside)
            assert system.post_webhook(wire.webhook(wire.entry(value))).status_code == 200
        found.append([(fact["happenedAt"], fact["value"]) for fact in events(system, owner, instance_id)])

    told = [
        {field: [item], "contacts": [person]} for item, person in zip((two, one), people[::-1], strict=True)
    ]
    assert [[value for _, value in facts] for facts in found] == [told, told, told]
    assert found[0] == found[1] == found[2]


def test_facts_are_paged_newest_first(system: System, owner: str, instance_id: str) -> None:
    for number in range(5):
        system.post_webhook(fact("account_alerts", at=wire.NOON + number, alert_type=f"{number}"))

    found: list[str] = []
    query: dict[str, Any] = {"limit": 2}
    while True:
        page = system.get(f"/instances/{instance_id}/events", owner, **query).json
        found += [event["value"]["alert_type"] for event in page["events"]]
        assert page["pagination"]["total"] == 5
        if not page["pagination"]["hasMore"]:
            break
        query["cursor"] = page["pagination"]["cursor"]
    assert found == ["4", "3", "2", "1", "0"]


@pytest.mark.parametrize(
    "cursor", ["x", "2026-01-01_x", "2026-01-01T00:00:00_00000000-0000-4000-8000-000000000000"]
)
def test_a_cursor_of_another_list_is_400(system: System, owner: str, instance_id: str, cursor: str) -> None:
    assert system.get(f"/instances/{instance_id}/events", owner, cursor=cursor).status_code == 400


def test_a_fact_about_one_number_is_not_shown_for_another_of_the_account(
    system: System, owner: str, instance_id: str
) -> None:
    other = system.register(owner, "222", wire.WABA_ID, "+55 11 4000-0002")
    system.post_webhook(
        fact("phone_number_quality_update", display_phone_number="551140000002", event="FLAGGED")
    )

    assert len(events(system, owner, other)) == 1
    assert events(system, owner, instance_id) == []


def test_a_fact_about_a_number_that_two_instances_show_is_told_of_both_and_holds_up_nothing(
    system: System, owner: str, instance_id: str
) -> None:
    again = system.register(owner, "222", wire.WABA_ID, "+55 (11) 4000-0000")
    removed = {"event": "PARTNER_REMOVED", "phone_number": wire.BUSINESS}
    entries = [
        {"id": wire.WABA_ID, "time": wire.NOON, "changes": [{"field": "account_update", "value": removed}]},
        wire.entry(wire.change(messages=[wire.text("w1")], contacts=[wire.contact()])),
    ]
    assert system.post_webhook(wire.webhook(*entries)).status_code == 200

    for id in (instance_id, again):
        [event] = events(system, owner, id)
        assert (event["event"], event["instanceId"]) == ("PARTNER_REMOVED", id)
    states = [row["connection"]["state"] for row in system.get("/instances", owner).json["instances"]]
    assert states == ["disconnected", "disconnected"]
    assert len(system.leads(owner)) == 1


def test_a_fact_about_a_number_that_is_registered_later_is_told_of_it_alone_from_then_on(
    system: System, owner: str, instance_id: str
) -> None:
    system.post_webhook(fact("account_update", event="PARTNER_REMOVED", phone_number="551140000002"))
    # Until then it would be found nowhere else.
    assert [event["instanceId"] for event in events(system, owner, instance_id)] == [None]

    other = system.register(owner, "222", wire.WABA_ID, "+55 11 4000-0002")
    assert events(system, owner, instance_id) == []
    assert [event["instanceId"] for event in events(system, owner, other)] == [other]
    states = {
        row["id"]: row["connection"]["state"] for row in system.get("/instances", owner).json["instances"]
    }
    assert states == {instance_id: "connected", other: "disconnected"}


def test_a_number_described_as_of_another_account_is_connected_as_that_one_is(
    system: System, owner: str, instance_id: str
) -> None:
    system.post_webhook(fact("account_update", event="ACCOUNT_OFFBOARDED"))
    assert connection(system, owner) == "offboarded"

    system.register(owner, waba_id="777")
    assert connection(system, owner) == "connected"
    system.register(owner)
    assert connection(system, owner) == "offboarded"


def test_a_fact_that_an_earlier_version_kept_disconnects_no_other_number(
    system: System, owner: str, instance_id: str
) -> None:
    body = fact("account_update", event="PARTNER_REMOVED", phone_number="551140000002")
    system.post_webhook(body)
    system.execute("UPDATE account_events SET number = NULL")

    system.post_webhook(fact("account_update", at=wire.NOON - 9, event="PARTNER_ADDED"))

    assert connection(system, owner) == "connected"
    system.post_webhook(body)
    assert system.execute("SELECT number FROM account_events WHERE number IS NOT NULL").fetchall() == [
        ("551140000002",)
    ]


@pytest.mark.parametrize(
    "told",
    [
        ("PARTNER_ADDED", "PARTNER_APP_INSTALLED"),
        ("PARTNER_REMOVED", "PARTNER_APP_UNINSTALLED"),
        ("PARTNER_REMOVED", "PARTNER_ADDED"),
    ],
)
def test_facts_of_one_second_give_one_connection_in_any_order(
    system: System, owner: str, instance_id: str, told: tuple[str, str]
) -> None:
    shown: list[Any] = []
    for order in (told, told[::-1]):
        for event in order:
            system.post_webhook(fact("account_update", event=event))
        [instance] = system.get("/instances", owner).json["instances"]
        shown.append(instance["connection"])
        system.execute("TRUNCATE account_events")
        system.execute(
            "UPDATE whatsapp_configs SET connection_state = 'connected', connection_reason = NULL,"
            " connection_changed_at = NULL"
        )

    assert shown[0] == shown[1]
    assert shown[0]["changedAt"]


def test_what_a_field_of_conversations_says_beside_them_is_a_fact(
    system: System, owner: str, instance_id: str
) -> None:
    error = {"code": 131000, "title": "Unsupported webhook payload"}
    system.post_webhook(wire.messages(wire.text("w1"), errors=[error]))

    [event] = events(system, owner, instance_id)
    assert event["value"] == {"errors": [error]}
    assert len(system.leads(owner)) == 1


def test_what_another_app_is_told_beside_its_messages_is_a_fact(
    system: System, owner: str, instance_id: str
) -> None:
    told = {
        "errors": [{"code": 131000}],
        "conversation_context": {"type": "summary", "summary": {"text": "quer bolo"}},
    }
    standby = {"messages": [wire.text("w1")], "contacts": [wire.contact()], **told}
    system.post_webhook(wire.webhook(wire.entry(wire.change("standby", standby=standby))))

    [event] = events(system, owner, instance_id)
    assert (event["field"], event["value"]) == ("standby", told)
    assert len(system.leads(owner)) == 1


def test_a_standby_of_another_shape_is_a_failure_that_names_it(
    system: System, owner: str, instance_id: str
) -> None:
    system.post_webhook(
        wire.webhook(
            wire.entry(wire.change("standby", standby=[wire.text("w1")], messages=[wire.text("w2")]))
        )
    )

    [failure] = system.get("/webhooks/failures", owner).json["failures"]
    assert failure["faults"] == [{"path": "entry[0].changes[0].value.standby", "reason": "must be an object"}]
    assert len(system.leads(owner)) == 1


def test_a_number_can_be_described_anew(system: System, owner: str, stranger: str, instance_id: str) -> None:
    body = {"wabaId": "777", "phoneNumberId": wire.NUMBER_ID, "displayPhoneNumber": "551130000000"}
    answer = system.post("/instances", owner, body)
    assert answer.status_code == 201
    assert answer.json["id"] == instance_id

    [instance] = system.get("/instances", owner).json["instances"]
    assert (instance["wabaId"], instance["displayPhoneNumber"]) == ("777", "551130000000")
    assert instance["name"] == "Padaria Aurora"
    system.post_webhook(fact("account_alerts", account="777"))
    assert len(events(system, owner, instance_id)) == 1
    # The account named by mistake is free for the one whose it is.
    system.register(stranger, "222", wire.WABA_ID)


def test_a_number_is_not_moved_to_the_account_of_another(
    system: System, owner: str, stranger: str, instance_id: str
) -> None:
    system.register(stranger, "222", "333")
    body = {"wabaId": "333", "phoneNumberId": wire.NUMBER_ID, "displayPhoneNumber": "551130000000"}

    assert system.post("/instances", owner, body).status_code == 409

    [instance] = system.get("/instances", owner).json["instances"]
    assert (instance["wabaId"], instance["displayPhoneNumber"]) == (wire.WABA_ID, wire.BUSINESS)


def test_an_entry_of_the_address_book_that_is_no_contact_is_a_fact(
    system: System, owner: str, instance_id: str
) -> None:
    label = {"type": "label", "label": {"name": "VIP"}, "action": "add"}
    system.post_webhook(wire.webhook(wire.entry(wire.change("smb_app_state_sync", state_sync=[label]))))

    [event] = events(system, owner, instance_id)
    assert (event["field"], event["value"]) == ("smb_app_state_sync", {"state_sync": [label]})
    assert system.get("/webhooks/failures", owner).json["failures"] == []


def test_an_unknown_field_is_kept_as_it_is(system: System, owner: str, instance_id: str) -> None:
    system.post_webhook(fact("astrology", at=None, stars=[1, {"x": None}]))

    [event] = events(system, owner, instance_id)
    assert (event["field"], event["event"], event["value"]) == (
        "astrology",
        None,
        {"stars": [1, {"x": None}]},
    )


def test_a_partner_event_of_a_portfolio_is_routed_by_the_account_it_names(
    system: System, owner: str, instance_id: str
) -> None:
    system.post_webhook(
        fact("account_update", account="999", event="PARTNER_ADDED", waba_info={"waba_id": wire.WABA_ID})
    )

    assert [event["event"] for event in events(system, owner, instance_id)] == ["PARTNER_ADDED"]


LIFE: list[tuple[int, dict[str, Any], str]] = [
    (0, {"event": "PARTNER_ADDED", "waba_info": {"waba_id": wire.WABA_ID}}, "connected"),
    (1, {"event": "ACCOUNT_OFFBOARDED"}, "offboarded"),
    (2, {"event": "ACCOUNT_RECONNECTED"}, "connected"),
    (3, {"event": "DISABLED_UPDATE", "ban_info": {"waba_ban_state": "DISABLE"}}, "disabled"),
    (4, {"event": "DISABLED_UPDATE", "ban_info": {"waba_ban_state": ["REINSTATE"]}}, "connected"),
    (5, {"event": "VERIFIED_ACCOUNT"}, "connected"),
    (
        6,
        {
            "event": "PARTNER_REMOVED",
            "phone_number": wire.BUSINESS,
            "disconnection_info": {"reason": "PRIMARY_INACTIVITY", "initiated_by": "SYSTEM"},
        },
        "disconnected",
    ),
]


def test_an_account_update_says_whether_an_instance_is_connected(
    system: System, owner: str, instance_id: str
) -> None:
    for after, value, state in LIFE:
        system.post_webhook(fact("account_update", at=wire.NOON + after, **value))
        assert connection(system, owner) == state
    [instance] = system.get("/instances", owner).json["instances"]
    assert instance["connection"]["reason"] == "PRIMARY_INACTIVITY"


def test_an_account_update_may_write_the_number_without_its_ninth_digit(system: System, owner: str) -> None:
    system.register(owner, display_number="+55 11 98888-0000")
    system.register(owner, "222", display_number="+55 11 97777-0000")
    system.post_webhook(fact("account_update", event="PARTNER_REMOVED", phone_number="551188880000"))

    found = system.get("/instances", owner).json["instances"]
    states = {row["phoneNumberId"]: row["connection"]["state"] for row in found}
    assert states == {wire.NUMBER_ID: "disconnected", "222": "connected"}


def test_what_was_described_wrongly_is_right_from_the_next_webhook_on(
    system: System, owner: str, stranger: str
) -> None:
    system.register(owner, display_number="551140000001")
    system.post_webhook(fact("account_alerts"))
    instance_id = system.register(owner, waba_id="777")
    theirs = system.register(stranger, "222", wire.WABA_ID)
    system.post_webhook(fact("account_alerts", at=wire.NOON + 1))
    ours = {"id": "w1", "from": wire.BUSINESS, "timestamp": str(wire.NOON), "type": "text"}
    said = {**ours, "text": {"body": "oi"}, "history_context": {"status": "READ"}}
    system.post_webhook(wire.history({"context": {"user_id": "BR.1"}, "messages": [said]}))

    assert len(events(system, stranger, theirs)) == 1
    assert events(system, owner, instance_id) == []
    [lead] = system.leads(owner)
    assert [message["direction"] for message in system.walk(owner, lead["id"])] == ["OUTBOUND"]


def test_an_older_account_update_that_comes_late_changes_nothing(
    system: System, owner: str, instance_id: str
) -> None:
    for after, value, _ in reversed(LIFE):
        system.post_webhook(fact("account_update", at=wire.NOON + after, **value))

    assert connection(system, owner) == "disconnected"
    assert len(events(system, owner, instance_id)) == len(LIFE)


def test_a_batch_says_what_its_webhook_did(system: System, owner: str, instance_id: str) -> None:
    system.post_webhook(wire.messages(wire.text("w1")))
    bad = {"id": "w3", "timestamp": str(wire.NOON), "type": "text", "text": "no object", "from": wire.ANA}
    reaction = {"type": "reaction", "reaction": {"message_id": "w1", "emoji": "👍"}}
    system.post_webhook(
        wire.messages(
            wire.text("w1"),
            wire.text("w2"),
            bad,
            {**wire.text("w4"), **reaction},
            statuses=[wire.status("w5", "sent"), wire.status("w5", "failed")],
        )
    )
    [lead] = system.leads(owner)
    by_wamid = {message["wamid"]: message for message in system.walk(owner, lead["id"])}

    batch = system.get(f"/batches/{by_wamid['w2']['batchId']}", owner).json

    assert [(item["wamid"], item["kind"], item["outcome"]) for item in batch["items"]] == [
        ("w1", "message", "duplicate"),
        ("w2", "message", "applied"),
        ("w4", "reaction", "applied"),
        ("w5", "status", "applied"),
        ("w5", "status", "merged"),
    ]
    assert [item["type"] for item in batch["items"][-2:]] == ["sent", "failed"]
    assert batch["state"] == "failed"
    assert batch["counts"] == {"applied": 3, "merged": 1, "duplicate": 1, "pending": 0}
    [fault] = batch["faults"]
    assert fault["path"] == "entry[0].changes[0].value.messages[2].text"
    assert {item["messageId"] for item in batch["items"]} >= {by_wamid["w1"]["id"], by_wamid["w2"]["id"]}


def test_a_batch_says_what_gave_a_known_message_its_content(
    system: System, owner: str, instance_id: str
) -> None:
    for body in (
        wire.statuses(wire.status("w1", "sent")),
        wire.echoes(wire.echo("w1")),
        wire.echoes(wire.echo("w2")),
        wire.echoes(wire.echo("w2")),
    ):
        system.post_webhook(body)

    batches = [str(id) for (id,) in system.execute("SELECT id FROM whatsapp_webhook_logs ORDER BY id")]
    items = [system.get(f"/batches/{id}", owner).json["items"] for id in batches]
    assert [(item["wamid"], item["outcome"]) for [item] in items] == [
        ("w1", "applied"),
        ("w1", "merged"),
        ("w2", "applied"),
        ("w2", "duplicate"),
    ]


def test_a_batch_of_two_businesses_tells_each_its_own(
    system: System, owner: str, stranger: str, instance_id: str
) -> None:
    system.register(stranger, "222", "333")
    theirs = wire.change(number_id="222", messages=[wire.text("w2", "segredo")], contacts=[wire.contact()])
    ours = wire.change(messages=[wire.text("w1")], contacts=[wire.contact()])
    system.post_webhook(wire.webhook(wire.entry(ours), wire.entry(theirs, id="333")))

    for token, wamid in ((owner, "w1"), (stranger, "w2")):
        [lead] = system.leads(token)
        [message] = system.walk(token, lead["id"])
        assert message["batchReceivedAt"]
        answer = system.get(f"/batches/{message['batchId']}", token)
        assert [item["wamid"] for item in answer.json["items"]] == [wamid]
        assert (token == owner) == ("segredo" not in system.page(token, lead["id"])["messages"][0]["body"])


def test_a_part_whose_number_is_registered_later_is_a_batch_of_its_own(
    system: System, owner: str, instance_id: str
) -> None:
    later = [
        wire.change(number_id=number, messages=[wire.text(f"w{number}")], contacts=[wire.contact()])
        for number in ("222", "333")
    ]
    ours = wire.change(messages=[wire.text("w1")], contacts=[wire.contact()])
    system.post_webhook(wire.webhook(wire.entry(ours, *later)))
    for number in ("222", "333"):
        system.register(owner, number)
        system.sweeper.apply_unrouted()

    [lead] = system.leads(owner)
    for message in system.walk(owner, lead["id"]):
        items = system.get(f"/batches/{message['batchId']}", owner).json["items"]
        assert [(item["wamid"], item["outcome"]) for item in items] == [(message["wamid"], "applied")]
    assert system.execute("SELECT count(*) FROM whatsapp_webhook_logs").fetchall() == [(3,)]


def test_a_token_for_another_number_does_not_see_a_batch(
    system: System, owner: str, instance_id: str, token_for: Any
) -> None:
    system.post_webhook(wire.messages(wire.text("w1")))
    [lead] = system.leads(owner)
    [message] = system.walk(owner, lead["id"])
    other = token_for("padaria", instances=["00000000-0000-4000-8000-000000000000"])

    assert system.get(f"/batches/{message['batchId']}", other).status_code == 404
    assert system.get(f"/instances/{instance_id}/events", other).status_code == 404
