from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, strategies as st

from enrichment_service import profiles
from protos import enrichment_pb2 as pb

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
ANA = "5511988887777"

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters()),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=10,
)
fields = st.sampled_from(
    ["wa_id", "name", "profile", "profile_picture_url", "verified", "is_verified", "last_seen", "lastSeen"]
)


@pytest.mark.parametrize(
    ("ago", "status"),
    [
        (timedelta(0), "ACTIVE"),
        (timedelta(days=30), "ACTIVE"),
        (timedelta(days=30, seconds=1), "INACTIVE"),
        (timedelta(hours=-1), "ACTIVE"),
    ],
)
def test_somebody_who_wrote_within_30_days_is_active(ago: timedelta, status: str):
    profile = profiles.known(name="Ana", last_message_at=NOW - ago, now=NOW)

    assert profile == profiles.Profile(
        name="Ana",
        last_seen_at=NOW - ago,
        status=status,
        sources={"name": "webhook", "last_seen_at": "webhook", "status": "webhook"},
    )


def test_of_somebody_unknown_nothing_is_said():
    assert profiles.known(name="", last_message_at=None, now=NOW) == profiles.Profile()


@pytest.mark.parametrize("key", ["data", "contacts"])
def test_a_contact_is_found_by_its_number(key: str):
    body = {key: ["x", {"wa_id": "1", "name": "Bia"}, {"wa_id": ANA, "profile": {"name": "Ana"}}]}

    contact = profiles.find_contact(body, ANA)

    assert contact is not None
    assert contact["name"] == "Ana"


def test_an_empty_list_knows_nobody():
    assert profiles.find_contact({"data": []}, ANA) == {}
    assert profiles.find_contact({"data": [{"wa_id": "1"}]}, ANA) == {}


@pytest.mark.parametrize("body", [{}, {"success": True}, {"data": None}, {"data": {"name": "Ana"}}])
def test_without_a_list_it_is_no_answer_about_contacts(body: dict[str, Any]):
    assert profiles.find_contact(body, ANA) is None


def test_what_the_graph_api_says_goes_over_what_is_known():
    known = profiles.known(name="ana 🌻", last_message_at=NOW, now=NOW)

    profile = profiles.enrich(
        known,
        {
            "name": "Ana Souza",
            "profile_picture_url": "https://pps.example/a.jpg",
            "verified": False,
            "last_seen": "1795435200",
        },
    )

    assert profile == profiles.Profile(
        name="Ana Souza",
        profile_picture_url="https://pps.example/a.jpg",
        is_verified=False,
        last_seen_at=datetime.fromtimestamp(1795435200, UTC),
        status="ACTIVE",
        sources={
            "name": "graph",
            "profile_picture_url": "graph",
            "is_verified": "graph",
            "last_seen_at": "graph",
            "status": "webhook",
        },
    )
    assert known.sources["name"] == "webhook"


@pytest.mark.parametrize(
    "contact",
    [
        {"name": 7},
        {"name": " \0 "},
        {"profile_picture_url": "javascript:alert(1)"},
        {"profile_picture_url": "http://plain.example/a.jpg"},
        {"profile_picture_url": 'https://x.example/" onload='},
        {"profile_picture_url": "https://x.example/" + "a" * 3000},
        {"is_verified": "true"},
        {"is_verified": 1},
        {"last_seen": True},
        {"last_seen": 10**40},
        {"last_seen": "yesterday"},
        {"last_seen": "2026-11-23T10:00:00"},
        {"last_seen": float("nan")},
    ],
)
def test_what_is_malformed_is_left_out(contact: dict[str, Any]):
    known = profiles.known(name="Ana", last_message_at=NOW, now=NOW)

    assert profiles.enrich(known, contact) == known


@given(st.dictionaries(fields, json_values) | st.dictionaries(st.text(), json_values))
def test_any_answer_makes_a_profile_that_can_be_sent(contact: dict[str, Any]):
    known = profiles.known(name="Ana", last_message_at=NOW, now=NOW)
    found = profiles.find_contact({"data": [contact]}, ANA)
    assert found is not None

    profile = profiles.enrich(known, found)

    message = pb.ContactProfile(name=profile.name, profile_picture_url=profile.profile_picture_url)
    assert profile.last_seen_at
    message.last_seen_at.FromDatetime(profile.last_seen_at)
    assert message.SerializeToString()
    assert profile.name
