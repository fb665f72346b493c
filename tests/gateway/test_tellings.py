"""One message told by several routes, or oddly: what is shown of it, whichever telling comes first."""

from typing import Any

import pytest

from tests import wire
from tests.gateway.conftest import System
from tests.gateway.test_coexistence import chunk, history, image, messages, old, placeholder, thread


@pytest.fixture(autouse=True)
def instance_id(system: System, owner: str) -> str:
    return system.register(owner)


@pytest.fixture(params=[False, True], ids=["in order", "reversed"])
def post(system: System, request: pytest.FixtureRequest) -> Any:
    def do(*bodies: bytes) -> None:
        for body in reversed(bodies) if request.param else bodies:
            assert system.post_webhook(body).status_code == 200

    return do


def test_why_there_was_no_content_goes_when_the_content_comes(system: System, owner: str, post: Any) -> None:
    error = {"code": 131060, "title": "This message is currently unavailable."}
    unavailable = {
        **wire.text("w1"),
        "type": "unsupported",
        "errors": [error],
        "unsupported": {"type": "image"},
    }
    del unavailable["text"]
    system.post_webhook(wire.messages(unavailable))
    [message] = messages(system, owner)
    assert (message["type"], message["errors"]) == ("unsupported", [error])
    assert message["content"] == {"unsupported": {"type": "image"}}

    post(wire.messages(wire.text("w1", "oi")), wire.messages(unavailable))

    [message] = messages(system, owner)
    assert (message["type"], message["body"]) == ("text", "oi")
    assert "errors" not in message


def test_errors_of_a_delivery_stay_beside_those_of_a_missing_content(
    system: System, owner: str, post: Any
) -> None:
    hollow = {**placeholder("w1", ours=True), "type": "errors", "errors": [{"code": 131051}]}
    failed = wire.status("w1", "failed", errors=[{"code": 131026}])

    post(history(chunk(thread(hollow))), wire.statuses(failed))

    [message] = messages(system, owner)
    assert [error["code"] for error in message["errors"]] == [131051, 131026]


def test_what_a_placeholder_answers_survives_its_fill(system: System, owner: str, post: Any) -> None:
    reply = {**placeholder("w1"), "context": {"id": "w0"}}

    post(
        history(chunk(thread(reply))),
        wire.webhook(wire.entry(wire.change("history", messages=[image("w1", **{"from": wire.ANA})]))),
    )

    [message] = messages(system, owner)
    assert (message["type"], message["context"]["wamid"]) == ("image", "w0")


def test_an_edited_caption_leaves_its_picture(system: System, owner: str, post: Any) -> None:
    edit = {
        "type": "edit",
        "edit": {
            "original_message_id": "w1",
            "message": {"type": "image", "image": {"caption": "o novo cardápio"}},
        },
    }

    post(
        wire.messages(image("w1", **{"from": wire.ANA})),
        wire.messages({"id": "w2", "from": wire.ANA, "timestamp": str(wire.NOON + 9), **edit}),
    )

    [message] = messages(system, owner)
    assert message["body"] == "o novo cardápio"
    assert message["content"]["image"]["id"] == "990"
    assert message["content"]["image"]["caption"] == "o novo cardápio"
    assert message["revisions"][0]["body"] == "o cardápio"


def test_one_reaction_told_by_two_routes_is_one(system: System, owner: str, post: Any) -> None:
    reaction = {
        "type": "reaction",
        "reaction": {"message_id": "w1", "emoji": "👍"},
        "timestamp": str(wire.NOON + 5),
    }
    fill = {"id": "w2", "from": wire.ANA, **reaction}
    system.post_webhook(wire.messages(wire.text("w1")))

    post(
        wire.echoes({"id": "w2", "from": wire.BUSINESS, "to": wire.ANA, **reaction}),
        wire.webhook(wire.entry(wire.change("history", messages=[fill]))),
    )

    [message] = messages(system, owner)
    assert [found["emoji"] for found in message["reactions"]] == ["👍"]


@pytest.mark.parametrize(
    "odd",
    [{"context": "w0"}, {"context": {"id": 5}}, {"errors": {"code": 1}}, {"history_context": "READ"}],
    ids=str,
)
def test_what_a_message_says_besides_may_be_odd_and_hides_nothing(
    system: System, owner: str, odd: dict[str, Any]
) -> None:
    system.post_webhook(wire.messages({**wire.text("w1"), **odd}))

    [message] = messages(system, owner)
    assert message["body"] == "oi"
    assert message["content"]["not_understood"] == odd
    [failure] = system.get("/webhooks/failures", owner).json["failures"]
    [fault] = failure["faults"]
    assert fault["path"].startswith(f"entry[0].changes[0].value.messages[0].{next(iter(odd))}")
    assert fault["reason"].endswith("put aside")


def test_a_thread_of_one_who_changed_number_is_theirs(system: System, owner: str) -> None:
    theirs = thread(old("w1"), old("w2", ours=True), context={"wa_id": "5521977776666"})

    system.post_webhook(history(chunk(theirs)))

    sides = {message["wamid"]: message["direction"] for message in messages(system, owner)}
    assert sides == {"w1": "INBOUND", "w2": "OUTBOUND"}
    system.post_webhook(wire.messages(wire.text("w3", at=wire.NOON + 9)))
    assert len(messages(system, owner)) == 3


def test_words_without_a_type_are_a_text(system: System, owner: str) -> None:
    said = wire.text("w1", "oi")
    del said["type"]

    system.post_webhook(wire.messages(said))

    [message] = messages(system, owner)
    assert (message["type"], message["body"]) == ("text", "oi")


def test_whom_two_tellings_name_otherwise_is_shown_alike_in_any_order(
    system: System, owner: str, post: Any
) -> None:
    by_number = wire.status("w1", "sent")
    by_user_id = wire.status("w1", "read", to=None, recipient_user_id="BR.77")

    post(wire.statuses(by_number), wire.statuses(by_user_id))

    [lead] = system.leads(owner)
    assert (lead["userId"], lead["number"], lead["messageCount"]) == ("BR.77", None, 1)


def test_a_contact_is_whose_number_it_is_however_it_is_written_and_whoever_stands_beside(
    system: System, owner: str, post: Any
) -> None:
    ana = wire.text("w1", sender="551188887777")
    bia = wire.text("w2", at=wire.NOON + 1, sender="5521977776666")
    people = [
        wire.contact(wire.ANA, "Ana", user_id="BR.1"),
        wire.contact("5521977776666", "Bia", user_id="BR.2"),
    ]

    post(wire.messages(ana, bia, contacts=people))

    found = {(lead["name"], lead["userId"]) for lead in system.leads(owner)}
    assert found == {("Ana", "BR.1"), ("Bia", "BR.2")}


def test_who_stands_beside_a_history_is_known_by_it(system: System, owner: str, post: Any) -> None:
    value = wire.change(
        "history",
        history=[chunk(thread(old("w1")))],
        contacts=[wire.contact(wire.ANA, "Ana", user_id="BR.1")],
    )
    post(wire.webhook(wire.entry(value)))

    [lead] = system.leads(owner)
    assert (lead["name"], lead["userId"]) == ("Ana", "BR.1")


@pytest.mark.parametrize("is_together", [False, True])
def test_the_name_of_one_who_writes_to_a_group_is_of_then(
    system: System, owner: str, post: Any, is_together: bool
) -> None:
    def in_group(id: str, sender: str, at: int) -> dict[str, Any]:
        return {**wire.text(id, at=wire.NOON + at, sender=sender), "group_id": "G1"}

    ana, bob = wire.contact(wire.ANA, "Ana"), wire.contact("5511977776666", "Bob")
    first, second = in_group("g1", wire.ANA, 10), in_group("g2", "5511977776666", 500)
    told = (
        [wire.messages(first, second, contacts=[ana, bob])]
        if is_together
        else [wire.messages(first, contacts=[ana]), wire.messages(second, contacts=[bob])]
    )
    named_since = wire.text("w1", at=wire.NOON + 100)

    post(*told, wire.messages(named_since, contacts=[wire.contact(wire.ANA, "Ana Casada")]))

    names = {lead["number"]: lead["name"] for lead in system.leads(owner)}
    assert names["+" + wire.ANA] == "Ana Casada"


def test_a_preference_that_is_told_again_brings_no_old_name_back(
    system: System, owner: str, post: Any
) -> None:
    preference = {"wa_id": wire.ANA, "value": "stop", "timestamp": wire.NOON}
    told = wire.change(
        "user_preferences", user_preferences=[preference], contacts=[wire.contact(wire.ANA, "Ana")]
    )
    preferred = wire.webhook(wire.entry(told))
    since = wire.messages(wire.text("w1", at=wire.NOON + 9), contacts=[wire.contact(wire.ANA, "Ana Casada")])

    post(preferred, since, preferred)

    assert [lead["name"] for lead in system.leads(owner)] == ["Ana Casada"]


def test_two_attempts_to_pay_are_not_mixed(system: System, owner: str, post: Any) -> None:
    def attempt(status: str, at: int, **told: Any) -> bytes:
        transaction = {"id": f"T{at}", "status": status, **told}
        paid = {"reference_id": "R", "transaction": transaction}
        return wire.statuses(wire.status("w1", status, at=wire.NOON + at, type="payment", payment=paid))

    post(attempt("pending", 1), attempt("failed", 2, error={"code": "x"}))

    [message] = messages(system, owner)
    assert message["billing"]["payment"]["transaction"] == {
        "id": "T2",
        "status": "failed",
        "error": {"code": "x"},
    }
    assert [attempt["status"] for attempt in message["billing"]["payments"]] == ["pending", "failed"]


def test_errors_that_an_earlier_version_kept_are_shown_and_stay_beside_later_ones(
    system: System, owner: str
) -> None:
    system.post_webhook(wire.statuses(wire.status("w1", "failed", errors=[{"code": 7}])))
    system.execute("""UPDATE whatsapp_messages SET errors = '[{"code":7}]'""")
    assert [error["code"] for error in messages(system, owner)[0]["errors"]] == [7]

    system.post_webhook(wire.statuses(wire.status("w1", "failed", at=wire.NOON + 1, errors=[{"code": 1}])))

    assert [error["code"] for error in messages(system, owner)[0]["errors"]] == [7, 1]


def test_a_replay_finds_the_order_of_errors_that_an_earlier_version_kept_as_a_set(
    system: System, owner: str
) -> None:
    system.post_webhook(wire.statuses(wire.status("w1", "failed", errors=[{"code": 2}, {"code": 1}])))
    system.execute("""UPDATE whatsapp_messages SET errors = '[{"code":1},{"code":2}]'""")

    system.post("/webhooks/replay", owner, {"states": ["processed"]})

    assert [error["code"] for error in messages(system, owner)[0]["errors"]] == [2, 1]


def test_errors_of_a_failure_stay_in_their_order(system: System, owner: str, post: Any) -> None:
    errors = [{"code": 131049}, {"code": 131026}, {"code": 131049}]

    post(wire.statuses(wire.status("w1", "failed", errors=errors, extra=[3, 1, 2, 1])))

    [message] = messages(system, owner)
    assert message["errors"] == errors
    assert message["billing"]["extra"] == [3, 1, 2, 1]


@pytest.mark.parametrize(
    "act",
    [
        {"type": "revoke", "revoke": {"original_message_id": "w1"}},
        {"type": "reaction", "reaction": {"message_id": "w1", "emoji": "👍"}},
        {"type": "system", "system": {"type": "customer_identity_changed", "body": "x"}},
    ],
)
def test_what_nobody_wrote_opens_no_ticket(
    system: System, owner: str, post: Any, act: dict[str, Any]
) -> None:
    told = {**wire.text("w2"), **act}
    del told["text"]

    post(wire.messages(told))

    assert system.execute("SELECT count(*) FROM tickets").fetchall() == [(0,)]


def test_the_address_book_says_what_a_contact_is_called_and_not_what_its_id_is(
    system: System, owner: str, post: Any
) -> None:
    card = {"full_name": "Ana S.", "phone_number": "+55 11 98888-7777", "user_id": "BR.1"}
    entry = {
        "type": "contact",
        "contact": card,
        "action": "add",
        "metadata": {"timestamp": str(wire.NOON + 9)},
    }
    post(
        wire.messages(wire.text("w1", sender="551188887777"), contacts=[]),
        wire.webhook(wire.entry(wire.change("smb_app_state_sync", state_sync=[entry]))),
    )

    [lead] = system.leads(owner)
    assert (lead["name"], lead["waId"], lead["userId"]) == ("Ana S.", "551188887777", "BR.1")


@pytest.mark.parametrize("taken_back_by", [{"from": wire.ANA}, {"from_user_id": "BR.1"}])
def test_a_member_of_a_group_takes_a_reaction_back_under_either_of_their_ids(
    system: System, owner: str, post: Any, taken_back_by: dict[str, str]
) -> None:
    def reaction(wamid: str, at: int, emoji: str | None, **who: str) -> dict[str, Any]:
        act = {"message_id": "w1", **({"emoji": emoji} if emoji else {})}
        told = {"id": wamid, "timestamp": str(wire.NOON + at), "type": "reaction", "reaction": act}
        return {**told, **who, "group_id": "G"}

    bia = {"from": "5521977776666", "from_user_id": "BR.2"}
    post(
        wire.messages({**wire.text("w1"), "group_id": "G"}, contacts=[]),
        wire.messages(reaction("r1", 1, "👍", **{"from": wire.ANA, "from_user_id": "BR.1"}), contacts=[]),
        wire.messages(reaction("r2", 2, "❤️", **bia), contacts=[]),
        wire.messages(reaction("r3", 3, None, **taken_back_by), contacts=[]),
    )

    [group] = system.leads(owner)
    [message] = system.walk(owner, group["id"])
    [found] = message["reactions"]
    assert (found["emoji"], found["from"]["userId"]) == ("❤️", "BR.2")
