"""The fold's laws, on messages drawn so that they collide in every field."""

import uuid
from datetime import UTC, datetime, timedelta
from itertools import permutations

import msgspec
from hypothesis import given, strategies as st

from capture_service import fold

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
TIMES = st.sampled_from([NOON + timedelta(seconds=n) for n in range(3)])
DOCUMENTS = st.none() | st.sampled_from(['{"a":1}', '{"a":2,"b":[1]}', '{"b":[2]}', "[1]", "[2,1]"])
REPORTS = st.none() | st.sampled_from(['{"1.a":[1]}', '{"1.a":[1],"2.b":[2,1]}', '{"":[3]}'])
SOURCES = st.sampled_from(
    [
        fold.STATUS,
        fold.MENTION,
        fold.HISTORY,
        fold.HISTORY_MEDIA,
        fold.ECHO,
        fold.WEBHOOK,
        fold.API,
        fold.CHAT_EXPORT,
    ]
)
EMPTY = (fold.STATUS, fold.MENTION)


@st.composite
def messages(draw: st.DrawFn) -> fold.Message:
    source = draw(SOURCES)
    kind = draw(st.sampled_from(["text", "image", "media_placeholder", "errors", "template"]))
    return fold.Message(
        tenant_id=1,
        instance_id=1,
        id=uuid.UUID(int=1),
        wamid="w",
        batch_id=uuid.UUID(int=draw(st.integers(1, 3))),
        sources=source,
        sent_at=draw(TIMES),
        type="" if source in EMPTY else kind,
        body=draw(st.none() | st.sampled_from(["a", "b"])),
        content=draw(DOCUMENTS),
        content_rank=0 if source in EMPTY else fold.content_rank(source, kind),
        content_version=draw(st.integers(1, 2)),
        direction=draw(st.sampled_from([fold.INBOUND, fold.OUTBOUND])),
        lead_id=draw(st.none() | st.sampled_from([uuid.UUID(int=5), uuid.UUID(int=6)])),
        party_rank=fold.PARTY_RANKS[source],
        party_version=draw(st.integers(1, 2)),
        party=draw(st.sampled_from(["", "2551", "3BR.1"])),
        status=draw(st.integers(1, 6)),
        errors=draw(REPORTS),
        billing=draw(DOCUMENTS),
        pattern=draw(st.none() | st.sampled_from(["bot", "auto_reply"])),
        is_sync_initial=draw(st.booleans()),
        status_sent_at=draw(st.none() | TIMES),
        status_delivered_at=draw(st.none() | TIMES),
        status_read_at=draw(st.none() | TIMES),
        status_played_at=draw(st.none() | TIMES),
        status_failed_at=draw(st.none() | TIMES),
    )


@given(messages(), messages())
def test_the_order_of_two_does_not_matter(a: fold.Message, b: fold.Message) -> None:
    assert fold.merge(a, b) == fold.merge(b, a)


@given(messages(), messages(), messages())
def test_the_grouping_of_three_does_not_matter(a: fold.Message, b: fold.Message, c: fold.Message) -> None:
    assert fold.merge(fold.merge(a, b), c) == fold.merge(a, fold.merge(b, c))


@given(messages(), messages())
def test_hearing_it_again_changes_nothing(a: fold.Message, b: fold.Message) -> None:
    once = fold.merge(a, b)

    assert fold.merge(once, a) == once
    assert fold.merge(once, b) == once
    assert fold.merge(a, a) == a


@given(st.lists(messages(), min_size=1, max_size=4))
def test_every_order_folds_into_the_same_row(told: list[fold.Message]) -> None:
    rows = [fold.fold(order) for order in permutations(told)]

    assert all(row == rows[0] for row in rows)


def plain(**told: object) -> fold.Message:
    base = {
        "tenant_id": 1,
        "instance_id": 1,
        "id": uuid.UUID(int=1),
        "wamid": "w",
        "batch_id": uuid.UUID(int=1),
        "sent_at": NOON,
    }
    return fold.Message(**{**base, **told})  # pyright: ignore[reportArgumentType]


def test_a_status_never_regresses() -> None:
    read = plain(sources=fold.STATUS, status=fold.READ)
    sent = plain(sources=fold.STATUS, status=fold.SENT)

    assert fold.merge(read, sent).status == fold.READ


def test_a_failure_stays_visible_until_a_delivery_is_reported() -> None:
    failed = plain(sources=fold.STATUS, status=fold.FAILED, errors='[{"code":131026}]')

    still = fold.merge(failed, plain(sources=fold.STATUS, status=fold.SENT))
    delivered = fold.merge(still, plain(sources=fold.STATUS, status=fold.DELIVERED))

    assert still.status == fold.FAILED
    assert delivered.status == fold.DELIVERED
    assert delivered.errors == failed.errors


def test_a_media_fill_replaces_the_placeholder_but_not_its_direction() -> None:
    placeholder = plain(
        sources=fold.HISTORY,
        type="media_placeholder",
        content_rank=fold.HOLLOW_RANK,
        direction=fold.OUTBOUND,
        party_rank=fold.PARTY_RANKS[fold.HISTORY],
    )
    fill = plain(
        sources=fold.HISTORY_MEDIA,
        type="image",
        content='{"image":{"id":"1"}}',
        content_rank=fold.CONTENT_RANKS[fold.HISTORY_MEDIA],
        direction=fold.INBOUND,
        party_rank=fold.PARTY_RANKS[fold.HISTORY_MEDIA],
    )

    merged = fold.merge(fill, placeholder)

    assert (merged.type, merged.content, merged.direction) == ("image", fill.content, fold.OUTBOUND)


def _told(**how: object) -> fold.Message:
    first = {
        "tenant_id": 1,
        "instance_id": 1,
        "id": uuid.UUID(int=1),
        "wamid": "w",
        "batch_id": uuid.UUID(int=1),
        "sources": fold.WEBHOOK,
        "sent_at": NOON,
        "type": "button",
        "content_rank": fold.content_rank(fold.WEBHOOK, "button"),
        "party_rank": fold.PARTY_RANKS[fold.WEBHOOK],
    }
    return fold.Message(**(first | how))  # type: ignore[arg-type]


def test_a_newer_reading_of_a_route_takes_the_place_of_an_older_one_and_of_no_surer_route() -> None:
    older = _told(body="❔ button", content_version=1, direction=fold.OUTBOUND, party_version=1)
    newer = _told(body="Sim", content_version=2, direction=fold.INBOUND, party_version=2)
    history = {"sources": fold.HISTORY, "content_rank": 3, "party_rank": 2}
    weaker = _told(body="?", content_version=3, direction=fold.OUTBOUND, party_version=3, **history)

    for told in permutations([older, newer, weaker]):
        [row] = fold.fold(told)
        assert (row.body, row.direction, row.content_version) == ("Sim", fold.INBOUND, 2)


def test_errors_stay_as_each_report_brought_them_in_the_order_of_time() -> None:
    first = _told(errors=fold.reported(NOON, [{"code": 2}, {"code": 1}, {"code": 2}]))
    second = _told(errors=fold.reported(NOON + timedelta(seconds=1), [{"code": 1}]))

    for told in permutations([first, second, first]):
        [row] = fold.fold(told)
        reports = msgspec.json.decode(row.errors or "", type=dict[str, list[dict[str, int]]])
        assert [[error["code"] for error in reports[key]] for key in sorted(reports)] == [[2, 1, 2], [1]]


def test_who_only_speaks_of_a_message_does_not_move_it_by_being_read_anew() -> None:
    nothing = {"sources": fold.STATUS, "type": "", "content_rank": 0}
    first = _told(content_version=0, **nothing)
    later = _told(content_version=9, **(nothing | {"sent_at": NOON + timedelta(days=1)}))

    for told in permutations([first, later]):
        assert fold.fold(told)[0].sent_at == NOON
