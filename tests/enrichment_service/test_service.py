import logging
import uuid
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import psycopg
import pytest

from plumbing import errors
from plumbing.rpc import client
from protos import enrichment_pb2 as pb
from tests.enrichment_service.conftest import KEYS, Time
from tests.enrichment_service.fake_graph import FakeGraph, Reply, answered, refused

INSTANCE = "0193a2b0-0000-7000-8000-000000000001"
OTHER_INSTANCE = "0193a2b0-0000-7000-8000-000000000002"
ANA = "5511988887777"
BIA = "5511977776666"
SECRET = "EAAsecret"
NEW_KEY = "k2:" + "B" * 42 + "A="


def store(
    stub: Any, token: str, *, access_token: str = SECRET, instance_id: str = INSTANCE
) -> pb.StoreAccessTokenResponse:
    return client.call(
        stub.StoreAccessToken,
        pb.StoreAccessTokenRequest(instance_id=instance_id, access_token=access_token),
        token=token,
        timeout_s=10,
    )


def fetch(
    stub: Any,
    token: str,
    *,
    timeout_s: float = 30,
    last_message_at: datetime | None = None,
    **request: Any,
) -> pb.ContactProfile:
    fields: dict[str, Any] = {
        "tenant": "padaria",
        "instance_id": INSTANCE,
        "phone_number_id": "106540352242922",
        "wa_id": ANA,
        "known_name": "ana",
        **request,
    }
    message = pb.FetchContactProfileRequest(**fields)
    if last_message_at:
        message.known_last_message_at.FromDatetime(last_message_at)
    return client.call(stub.FetchContactProfile, message, token=token, timeout_s=timeout_s)


def test_the_profile_comes_from_the_graph_api_where_it_answers(
    stub: Any, meta: FakeGraph, owner: str, worker_token: str, time: Time
):
    store(stub, owner)
    meta.will(
        answered(
            {
                "data": [
                    {
                        "wa_id": ANA,
                        "name": "Ana Souza",
                        "profile_picture_url": "https://pps.example/a.jpg",
                        "verified": True,
                    }
                ]
            }
        )
    )

    profile = fetch(stub, worker_token, last_message_at=time.now - timedelta(days=40))

    assert profile.name == "Ana Souza"
    assert profile.profile_picture_url == "https://pps.example/a.jpg"
    assert profile.is_verified
    assert profile.status == "INACTIVE"
    assert profile.graph_outcome == "answered"
    assert dict(profile.sources) == {
        "name": "graph",
        "profile_picture_url": "graph",
        "is_verified": "graph",
        "last_seen_at": "webhook",
        "status": "webhook",
    }
    assert meta.asked[0].authorization == "Bearer EAAsecret"
    assert meta.asked[0].parameters == {"wa_id": [ANA]}


def test_a_refusal_is_remembered_for_a_day_and_the_known_profile_served(
    stub: Any, meta: FakeGraph, owner: str, worker_token: str, time: Time
):
    store(stub, owner)
    meta.will(refused(100))

    first = fetch(stub, worker_token, last_message_at=time.now)
    time.now += timedelta(hours=23, minutes=59)
    second = fetch(stub, worker_token, wa_id=BIA, known_name="Bia")

    assert (first.name, first.status, first.graph_outcome) == ("ana", "ACTIVE", "refused")
    assert first.last_seen_at.ToDatetime() == time.now.replace(tzinfo=None) - timedelta(hours=23, minutes=59)
    assert not first.HasField("is_verified")
    assert dict(first.sources) == {"name": "webhook", "last_seen_at": "webhook", "status": "webhook"}
    assert (second.name, second.graph_outcome, dict(second.sources)) == (
        "Bia",
        "refused",
        {"name": "webhook"},
    )
    assert (second.status, second.HasField("last_seen_at")) == ("", False)
    assert len(meta.asked) == 1

    time.now += timedelta(minutes=2)
    fetch(stub, worker_token)
    assert len(meta.asked) == 2


def test_a_refusal_is_one_numbers_and_not_the_others(
    stub: Any, meta: FakeGraph, owner: str, worker_token: str
):
    store(stub, owner)
    store(stub, owner, instance_id=OTHER_INSTANCE)
    meta.will(refused(100), answered({"data": [{"name": "Ana Souza"}]}))

    assert fetch(stub, worker_token).graph_outcome == "refused"
    assert fetch(stub, worker_token, instance_id=OTHER_INSTANCE).name == "Ana Souza"


@pytest.mark.parametrize("reply", [refused(368), refused(10), Reply(status=404), answered({"success": True})])
def test_whatever_will_not_change_by_itself_is_a_refusal(
    stub: Any, meta: FakeGraph, owner: str, worker_token: str, reply: Reply
):
    store(stub, owner)
    meta.will(reply)

    assert fetch(stub, worker_token).graph_outcome == "refused"
    assert fetch(stub, worker_token).graph_outcome == "refused"
    assert len(meta.asked) == 1


def test_a_refusal_about_one_person_leaves_the_next_one_asked_for(
    stub: Any, meta: FakeGraph, owner: str, worker_token: str
):
    store(stub, owner)
    meta.will(refused(131026), answered({"data": [{"name": "Bia Lima"}]}))

    assert fetch(stub, worker_token).graph_outcome == "refused"
    assert fetch(stub, worker_token, wa_id=BIA).name == "Bia Lima"


def test_somebody_the_graph_api_does_not_know_is_an_answer(
    stub: Any, meta: FakeGraph, owner: str, worker_token: str
):
    store(stub, owner)
    meta.will(answered({"data": []}))

    profile = fetch(stub, worker_token)

    assert (profile.name, profile.graph_outcome) == ("ana", "answered")
    assert dict(profile.sources) == {"name": "webhook"}


@pytest.mark.parametrize(
    "reply", [refused(190, status=401, error_subcode=463), refused(0), Reply(status=401)]
)
def test_a_dead_token_is_not_used_again_until_there_is_a_new_one(
    stub: Any, meta: FakeGraph, owner: str, worker_token: str, reply: Reply
):
    store(stub, owner)
    meta.will(reply)
    assert fetch(stub, worker_token).graph_outcome == "token_invalid"
    assert fetch(stub, worker_token).graph_outcome == "token_invalid"
    assert len(meta.asked) == 1

    store(stub, owner, access_token="EAAnew")
    meta.will(answered({"data": [{"name": "Ana Souza"}]}))

    assert fetch(stub, worker_token).graph_outcome == "answered"
    assert meta.asked[-1].authorization == "Bearer EAAnew"


def test_a_dead_token_is_tried_again_after_a_while(
    stub: Any, meta: FakeGraph, owner: str, worker_token: str, time: Time
):
    store(stub, owner)
    meta.will(refused(190))
    fetch(stub, worker_token)

    time.now += timedelta(minutes=16)
    fetch(stub, worker_token)

    assert len(meta.asked) == 2


def test_a_rate_limit_holds_for_as_long_as_meta_says(
    stub: Any, meta: FakeGraph, owner: str, worker_token: str, time: Time
):
    store(stub, owner)
    meta.will(Reply(status=429, headers={"Retry-After": "600"}), answered({"data": []}))

    assert fetch(stub, worker_token).graph_outcome == "rate_limited"
    time.now += timedelta(seconds=590)
    assert fetch(stub, worker_token).graph_outcome == "rate_limited"
    assert len(meta.asked) == 1

    time.now += timedelta(seconds=20)
    assert fetch(stub, worker_token).graph_outcome == "answered"


def test_a_limit_that_is_near_is_not_run_into(
    stub: Any, meta: FakeGraph, owner: str, worker_token: str, time: Time
):
    store(stub, owner)
    usage = '{"call_count":96,"total_cputime":1,"total_time":1}'
    meta.will(answered({"data": [{"name": "Ana Souza"}]}, headers={"X-App-Usage": usage}))

    assert fetch(stub, worker_token).name == "Ana Souza"
    assert fetch(stub, worker_token).graph_outcome == "rate_limited"
    assert len(meta.asked) == 1


@pytest.mark.parametrize(
    "reply",
    [
        refused(2, status=503),
        Reply(status=500, body=b"<html>"),
        Reply(body=b"\xff garbage"),
        Reply(drops_connection=True),
    ],
)
def test_trouble_that_passes_is_not_remembered(
    stub: Any, meta: FakeGraph, owner: str, worker_token: str, time: Time, reply: Reply
):
    store(stub, owner)
    meta.will(reply, reply, reply, reply, answered({"data": [{"name": "Ana Souza"}]}))

    profile = fetch(stub, worker_token)

    assert (profile.name, profile.graph_outcome) == ("ana", "unavailable")
    assert len(time.slept_s) == 3
    assert fetch(stub, worker_token).name == "Ana Souza"


def test_people_who_hide_their_number_are_not_asked_for(
    stub: Any, meta: FakeGraph, owner: str, worker_token: str
):
    store(stub, owner)

    assert fetch(stub, worker_token, wa_id="").graph_outcome == "no_number"
    assert fetch(stub, worker_token, wa_id="BR.1A2B").graph_outcome == "no_number"
    assert meta.asked == []


def test_a_number_that_meta_never_named_so_is_not_asked_for(
    stub: Any, meta: FakeGraph, owner: str, worker_token: str
):
    store(stub, owner)

    for id in ("../me", "<PHONE_NUMBER_ID>"):
        profile = fetch(stub, worker_token, phone_number_id=id)
        assert (profile.name, profile.graph_outcome) == ("ana", "no_such_number")
    assert meta.asked == []


def test_without_an_access_token_meta_is_not_asked(stub: Any, meta: FakeGraph, worker_token: str):
    assert fetch(stub, worker_token).graph_outcome == "no_access_token"
    assert fetch(stub, worker_token, instance_id="", phone_number_id="").graph_outcome == "no_access_token"
    assert meta.asked == []


def test_a_strangers_token_never_speaks_for_somebody_elses_number(
    stub: Any, meta: FakeGraph, stranger: str, worker_token: str
):
    store(stub, stranger)

    assert fetch(stub, worker_token).graph_outcome == "no_access_token"
    assert fetch(stub, worker_token, tenant="outra").graph_outcome == "answered"


def test_a_colleague_may_not_store_a_token(stub: Any, colleague: str, meta: FakeGraph, worker_token: str):
    with pytest.raises(errors.PermissionDenied):
        store(stub, colleague)

    assert fetch(stub, worker_token).graph_outcome == "no_access_token"


def test_an_owner_limited_to_some_numbers_stores_tokens_for_those_only(
    stub: Any, token_for: Callable[..., str]
):
    limited = token_for("padaria", scopes=["instances:admin"], instances=[INSTANCE])

    store(stub, limited)
    with pytest.raises(errors.NotFound):
        store(stub, limited, instance_id=OTHER_INSTANCE)


def test_only_services_fetch_profiles(stub: Any, owner: str):
    with pytest.raises(errors.PermissionDenied):
        fetch(stub, owner)


def test_without_a_token_nothing_is_answered(stub: Any):
    with pytest.raises(errors.Unauthenticated):
        fetch(stub, "")


@pytest.mark.parametrize("access_token", ["", "x" * 4097, "a\nb", "ação", "a\0"])
def test_an_access_token_that_cannot_be_one_is_refused(stub: Any, owner: str, access_token: str):
    with pytest.raises(errors.InvalidArgument) as caught:
        store(stub, owner, access_token=access_token)

    assert [fault.name for fault in caught.value.fields] == ["access_token"]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("tenant", ""),
        ("tenant", "a\0"),
        ("tenant", "x" * 300),
        ("instance_id", "7"),
    ],
)
def test_a_faulty_field_is_named(stub: Any, worker_token: str, field: str, value: str):
    faulty: dict[str, Any] = {field: value}

    with pytest.raises(errors.InvalidArgument) as caught:
        fetch(stub, worker_token, **faulty)

    assert [fault.name for fault in caught.value.fields] == [field]


def test_a_token_is_kept_sealed_for_its_tenant_and_number(stub: Any, owner: str, database: str):
    store(stub, owner)

    with psycopg.connect(database) as conn:
        rows = conn.execute(
            "SELECT tenant_id, instance_id, key_id, sealed_token FROM enrichment.credentials"
        ).fetchall()
    assert [row[:3] for row in rows] == [("padaria", uuid.UUID(INSTANCE), "k1")]
    assert b"EAAsecret" not in rows[0][3]


def test_a_token_copied_to_another_number_does_not_open(
    stub: Any, owner: str, worker_token: str, meta: FakeGraph, database: str
):
    store(stub, owner)
    with psycopg.connect(database) as conn:
        conn.execute("UPDATE enrichment.credentials SET instance_id = %s", (OTHER_INSTANCE,))

    profile = fetch(stub, worker_token, instance_id=OTHER_INSTANCE)

    assert profile.graph_outcome == "token_invalid"
    assert meta.asked == []


def test_a_token_sealed_by_an_older_key_opens_while_the_key_is_on_the_ring(
    serve: Callable[..., Any], owner: str, worker_token: str, meta: FakeGraph
):
    store(serve(KEYS), owner)

    assert fetch(serve(f"{NEW_KEY},{KEYS}"), worker_token).graph_outcome == "answered"
    assert fetch(serve(NEW_KEY), worker_token).graph_outcome == "token_invalid"


def test_logs_tell_neither_token_nor_number(
    stub: Any, owner: str, worker_token: str, meta: FakeGraph, caplog: pytest.LogCaptureFixture
):
    caplog.set_level(logging.DEBUG)
    meta.will(refused(100, message=f"{ANA} EAAsecret"))

    store(stub, owner)
    fetch(stub, worker_token)

    # What the HTTP library says below WARNING is switched off in telemetry.
    ours = [record for record in caplog.records if not record.name.startswith("urllib3")]
    told = " ".join(f"{record.getMessage()} {record.__dict__}" for record in ours)
    assert "graph_refused" in told
    assert ANA not in told
    assert "EAAsecret" not in told
