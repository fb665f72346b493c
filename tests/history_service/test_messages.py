"""ListMessages: pages, filters, what a message says, and who may see it."""

import json
import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from plumbing import errors
from protos import history_pb2 as pb, ids
from tests.history_service.archive import START, Archive


def walk(history: Any, token: str, lead: uuid.UUID, **query: Any) -> Iterator[pb.ListMessagesResponse]:
    page_token = ""
    while True:
        page = history.ListMessages(
            pb.ListMessagesRequest(lead_id=str(lead), page_token=page_token, **query), token
        )
        yield page
        page_token = page.next_page_token
        if not page_token:
            return


def read(history: Any, token: str, lead: uuid.UUID, **query: Any) -> pb.ListMessagesResponse:
    return history.ListMessages(pb.ListMessagesRequest(lead_id=str(lead), **query), token)


@pytest.mark.parametrize("page_size", [1, 2, 5, 6, 1000])
@pytest.mark.parametrize("order", [pb.ORDER_ASC, pb.ORDER_DESC])
def test_a_walk_gives_every_message_once_in_the_order_of_time_and_id(
    history: Any, archive: Archive, owner: str, page_size: int, order: pb.Order
):
    instance, lead = archive.instance(), archive.lead()
    # Three of the five at the same moment: between those the id decides.
    written = [
        (sent_at, archive.message(lead, instance, sent_at=sent_at))
        for sent_at in (START + timedelta(seconds=second) for second in (9, 5, 5, 5, 1))
    ]

    pages = list(walk(history, owner, lead, page_size=page_size, order=order))

    found = [message.id for page in pages for message in page.messages]
    assert found == [id for _, id in sorted(written, reverse=order == pb.ORDER_DESC)]
    assert {page.total_size for page in pages} == {5}
    assert all(len(page.messages) == page_size for page in pages[:-1])


def test_the_summary_is_of_the_whole_history_whatever_the_filters(history: Any, archive: Archive, owner: str):
    instance, lead = archive.instance(), archive.lead()
    for day in range(4):
        archive.message(lead, instance, sent_at=START + timedelta(days=day))
    before = datetime.now(UTC)

    page = read(history, owner, lead, from_time=START + timedelta(days=1), to_time=START + timedelta(days=2))

    assert [message.sent_at.ToDatetime(UTC) for message in page.messages] == [
        START + timedelta(days=1),
        START + timedelta(days=2),
    ]
    assert page.total_size == 2
    assert page.summary.total_messages == 4
    assert page.summary.first_message_at.ToDatetime(UTC) == START
    assert page.summary.last_message_at.ToDatetime(UTC) == START + timedelta(days=3)
    assert before <= page.summary.synced_up_to.ToDatetime(UTC) <= datetime.now(UTC)


def test_the_total_of_a_filtered_walk_is_counted_once_and_carried_along(
    history: Any, archive: Archive, owner: str
):
    instance, lead = archive.instance(), archive.lead()
    for _ in range(3):
        archive.message(lead, instance)
    pages = walk(history, owner, lead, page_size=1, from_time=START)

    totals = [next(pages).total_size]
    archive.message(lead, instance)
    totals += [page.total_size for page in pages]

    assert totals == [3, 3, 3, 3]


def test_a_lead_who_has_written_nothing_has_an_empty_history(history: Any, archive: Archive, owner: str):
    instance, lead = archive.instance(), archive.lead()
    archive.conversation(lead, instance)

    page = read(history, owner, lead)

    assert not page.messages
    assert not page.next_page_token
    assert page.total_size == 0
    assert not page.summary.HasField("first_message_at")


def test_a_message_says_all_that_is_known_of_it(history: Any, archive: Archive, owner: str):
    instance, lead = archive.instance(), archive.lead(saved_name="Ana (vizinha)", user_id="BR.7")
    batch = archive.batch(received_at=START)
    moments = {
        f"status_{name}_at": START + timedelta(seconds=second)
        for second, name in enumerate(("sent", "delivered", "read", "played", "failed"))
    }
    archive.message(
        lead,
        instance,
        wamid="wamid.A",
        batch_id=batch,
        type="image",
        body="olha só",
        content='{"image":{"caption":"olha só","id":"7"}}',
        errors='{"":[{"code":131051}]}',
        billing='{"pricing":{"billable":true}}',
        context='{"forwarded":true,"id":"wamid.B"}',
        pattern="auto_reply",
        is_sync_initial=True,
        status=6,
        **moments,
    )

    [message] = read(history, owner, lead).messages

    assert message.id == str(ids.message_id(instance, "wamid.A"))
    assert message.wamid == "wamid.A"
    assert (message.type, message.body, message.status) == ("image", "olha só", "played")
    assert message.direction == pb.INBOUND
    assert message.sender == pb.Party(name="Ana (vizinha)", number="5511987654321", user_id="BR.7")
    assert message.content_json == '{"image":{"caption":"olha só","id":"7"}}'
    assert message.errors_json == '[{"code":131051}]'
    assert message.billing_json == '{"pricing":{"billable":true}}'
    assert message.context_json == '{"forwarded":true,"id":"wamid.B"}'
    assert message.reply_to_wamid == "wamid.B"
    assert message.reply_to_id == str(ids.message_id(instance, "wamid.B"))
    assert message.instance_id == str(instance)
    assert message.batch_id == str(batch)
    assert message.batch_received_at.ToDatetime(UTC) == START
    assert message.is_sync_initial
    assert message.pattern == "auto_reply"
    assert message.timeline == pb.Timeline(
        **{name.removeprefix("status_"): moment for name, moment in moments.items()}
    )


@pytest.mark.parametrize(
    ("direction", "rank", "status"),
    [
        (1, 1, "delivered"),
        (1, 3, "delivered"),
        (1, 4, "delivered"),
        (1, 5, "read"),
        (1, 6, "played"),
        (2, 1, "pending"),
        (2, 2, "sent"),
        (2, 3, "failed"),
        (2, 4, "delivered"),
        (2, 5, "read"),
        (2, 6, "played"),
    ],
)
def test_what_a_person_wrote_is_delivered_until_it_is_read(
    history: Any, archive: Archive, owner: str, direction: int, rank: int, status: str
):
    instance, lead = archive.instance(), archive.lead()
    archive.message(lead, instance, direction=direction, status=rank)

    [message] = read(history, owner, lead).messages

    assert message.status == status


def test_what_is_not_known_of_a_message_is_empty(history: Any, archive: Archive, owner: str):
    instance, lead = archive.instance(), archive.lead()
    archive.message(lead, instance, type="", body=None)

    [message] = read(history, owner, lead).messages

    assert (message.type, message.body, message.content_json, message.context_json) == ("", "", "", "")
    assert (message.reply_to_id, message.errors_json, message.pattern) == ("", "", "")
    assert not message.HasField("batch_received_at")
    assert message.timeline == pb.Timeline()


@pytest.mark.parametrize(
    "context", [{"id": "M0"}, {"id": None}, {"id": 7}, {"forwarded": True}, {"id": ""}, {}]
)
def test_a_context_without_a_message_in_it_is_no_reply(
    history: Any, archive: Archive, owner: str, context: dict[str, Any]
):
    instance, lead = archive.instance(), archive.lead()
    archive.message(lead, instance, context=json.dumps(context))

    [message] = read(history, owner, lead).messages

    assert (message.reply_to_id, message.reply_to_wamid) == ("", "")
    assert json.loads(message.context_json) == context


def test_the_sender_is_the_person_the_business_or_whom_a_group_names(
    history: Any, archive: Archive, owner: str
):
    instance, lead = archive.instance(name="Padaria", number="+55 11 4000-0001"), archive.lead()
    archive.message(lead, instance, direction=1)
    archive.message(lead, instance, direction=2, status=2)
    archive.message(lead, instance, sender='{"name":"Bia","number":"5521988880000","user_id":"BR.9"}')
    archive.message(lead, instance, sender='{"number":"5521977770000"}')

    senders = [message.sender for message in read(history, owner, lead).messages]

    assert senders == [
        pb.Party(name="Ana Souza", number="5511987654321"),
        pb.Party(name="Padaria", number="551140000001"),
        pb.Party(name="Bia", number="5521988880000", user_id="BR.9"),
        pb.Party(number="5521977770000"),
    ]


@pytest.mark.parametrize(
    ("sources", "told"),
    [
        (16, "webhook"),
        (16 | 1, "webhook"),
        (1, "webhook"),
        (32 | 8, "api"),
        (8 | 2, "echo"),
        (2, "history"),
        (4, "history"),
        (64, "chat_export"),
        (128 | 16, "manual_sync"),
        (256 | 16 | 2, "batch_recover"),
    ],
)
def test_the_source_is_the_most_telling_of_the_routes(
    history: Any, archive: Archive, owner: str, sources: int, told: str
):
    instance, lead = archive.instance(), archive.lead()
    archive.message(lead, instance, sources=sources)

    [message] = read(history, owner, lead).messages

    assert message.sync_source == told


def test_a_caller_limited_to_an_instance_sees_that_part_of_the_history_alone(
    history: Any, archive: Archive, owner: str, token_for: Callable[..., str]
):
    sales, support, lead = archive.instance(), archive.instance(), archive.lead()
    first = archive.message(lead, sales)
    archive.message(lead, support)
    last = archive.message(lead, sales)
    seller = token_for("padaria", scopes=["history:read"], instances=[str(sales)])

    pages = list(walk(history, seller, lead, page_size=1))
    filtered = read(history, seller, lead, from_time=START)

    assert [message.id for page in pages for message in page.messages] == [first, last]
    assert {page.total_size for page in pages} == {2}
    assert pages[0].summary.total_messages == 2
    assert filtered.total_size == 2
    assert read(history, owner, lead).total_size == 3


def test_the_owner_and_a_colleague_see_a_lead_that_a_stranger_does_not(
    history: Any,
    archive: Archive,
    database: str,
    owner: str,
    colleague: str,
    stranger: str,
    token_for: Callable[..., str],
):
    instance, lead = archive.instance(), archive.lead()
    archive.message(lead, instance)
    elsewhere = Archive(database, tenant="outra")
    elsewhere_instance = elsewhere.instance()
    elsewhere.conn.close()

    assert read(history, owner, lead).total_size == 1
    assert read(history, colleague, lead).total_size == 1
    refused = [
        stranger,
        token_for("nobody's"),
        token_for(""),
        token_for("padaria", instances=[str(elsewhere_instance)]),
        token_for("padaria", instances=["not an id"]),
        token_for("padaria", instances=[]),
    ]
    details: set[str] = set()
    for token in refused:
        with pytest.raises(errors.NotFound) as caught:
            read(history, token, lead)
        details.add(caught.value.detail)
    with pytest.raises(errors.NotFound) as caught:
        read(history, owner, uuid.uuid4())
    # What is there and what is not must not be told apart.
    assert details == {caught.value.detail}


def test_a_caller_without_the_scope_is_refused(history: Any, archive: Archive, token_for: Callable[..., str]):
    with pytest.raises(errors.PermissionDenied):
        read(history, token_for("padaria", scopes=["history:sync"]), archive.lead())


@pytest.mark.parametrize(
    ("field", "query"),
    [
        ("lead_id", {"lead_id": "7"}),
        ("lead_id", {"lead_id": ""}),
        ("page_size", {"page_size": -1}),
        ("page_token", {"page_token": "A" * 40}),
        ("from_time", {"from_time": Timestamp(seconds=2**40)}),
        ("to_time", {"to_time": Timestamp(nanos=-1)}),
        ("from_time", {"from_time": START, "to_time": START - timedelta(seconds=1)}),
        ("order", {"order": 9}),
    ],
)
def test_a_bad_field_is_named(history: Any, archive: Archive, owner: str, field: str, query: dict[str, Any]):
    fields: dict[str, Any] = {"lead_id": str(archive.lead()), **query}
    request = pb.ListMessagesRequest(**fields)

    with pytest.raises(errors.InvalidArgument) as caught:
        history.ListMessages(request, owner)

    assert [fault.name for fault in caught.value.fields] == [field]


def test_a_page_token_of_another_query_is_refused(history: Any, archive: Archive, owner: str):
    instance, lead, other = archive.instance(), archive.lead(), archive.lead()
    for _ in range(2):
        archive.message(lead, instance)
        archive.message(other, instance)
    page_token = read(history, owner, lead, page_size=1).next_page_token

    others: list[dict[str, Any]] = [
        {"order": pb.ORDER_DESC},
        {"from_time": START},
        {"to_time": START + timedelta(days=9)},
    ]
    for query in others:
        with pytest.raises(errors.InvalidArgument) as caught:
            read(history, owner, lead, page_token=page_token, **query)
        assert caught.value.fields[0].name == "page_token"
    with pytest.raises(errors.InvalidArgument):
        read(history, owner, other, page_token=page_token)
    # A page may have another size than the one before it.
    assert len(read(history, owner, lead, page_token=page_token, page_size=9).messages) == 1
