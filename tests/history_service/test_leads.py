"""ListLeads and GetLead: order, search, and who may see whom."""

import uuid
from collections.abc import Callable
from datetime import UTC, timedelta
from typing import Any

import pytest
from psycopg.types.json import Jsonb

from plumbing import errors
from protos import history_pb2 as pb
from tests.history_service.archive import START, Archive


def names(history: Any, token: str, query: str = "") -> list[str]:
    return [lead.name for lead in history.ListLeads(pb.ListLeadsRequest(query=query), token).leads]


def person(
    archive: Archive, instance: uuid.UUID, name: str, wa_id: str | None = None, **values: Any
) -> uuid.UUID:
    lead = archive.lead(profile_name=name, wa_id=wa_id, **values)
    if wa_id:
        archive.identifier(lead, "wa_id", wa_id)
    archive.conversation(lead, instance)
    return lead


@pytest.mark.parametrize("page_size", [1, 2, 3, 4, 5, 6])
def test_a_walk_gives_every_lead_once_the_latest_first_and_the_silent_last(
    history: Any, archive: Archive, owner: str, page_size: int
):
    instance = archive.instance()
    for name, hour in (("b", 2), ("c", 2), ("a", 1)):
        archive.message(person(archive, instance, name), instance, sent_at=START + timedelta(hours=hour))
    for name in ("x", "y"):
        person(archive, instance, name)

    found: list[pb.Lead] = []
    page_token = ""
    while True:
        page = history.ListLeads(pb.ListLeadsRequest(page_size=page_size, page_token=page_token), owner)
        found += page.leads
        assert page.total_size == 5
        page_token = page.next_page_token
        if not page_token:
            break

    spoken, silent = found[:3], found[3:]
    assert [lead.name for lead in spoken] == [*sorted("bc", key=_id_of(found), reverse=True), "a"]
    assert [lead.name for lead in silent] == sorted("xy", key=_id_of(found), reverse=True)


def _id_of(leads: list[pb.Lead]) -> Callable[[str], str]:
    ids = {lead.name: lead.id for lead in leads}
    return lambda name: ids[name]


def test_people_are_found_by_what_they_are_called_now(history: Any, archive: Archive, owner: str):
    instance = archive.instance()
    lead = person(archive, instance, "Antes")
    person(archive, instance, "100% Mel_ \\o/")
    person(archive, instance, "")
    archive.conn.execute(
        "UPDATE leads SET saved_name = 'Padaria Açaí', profile_name = NULL WHERE id = %s", (lead,)
    )

    assert names(history, owner, "acai") == ["Padaria Açaí"]
    assert names(history, owner, "antes") == []
    assert names(history, owner, "0% mel_ \\") == ["100% Mel_ \\o/"]
    assert names(history, owner, "mel%") == []
    assert names(history, owner, "m_l") == []


def test_a_name_that_only_the_profile_gives_is_found(history: Any, archive: Archive, owner: str):
    lead = archive.lead(profile_name=None, profile=Jsonb({"name": "Bia do Perfil"}))
    archive.conversation(lead, archive.instance())

    assert names(history, owner, "perfil") == ["Bia do Perfil"]


def test_a_lead_says_all_that_is_known_of_it(history: Any, archive: Archive, owner: str):
    sales, support = archive.instance(), archive.instance()
    lead = archive.lead(
        user_id="BR.7",
        username="anas",
        profile=Jsonb({"profilePictureUrl": "https://e.com/p", "status": "ACTIVE", "verified": False}),
    )
    archive.message(lead, sales, sent_at=START)
    archive.message(lead, sales, sent_at=START + timedelta(hours=1))
    archive.message(lead, support, sent_at=START + timedelta(hours=2))

    found = history.GetLead(pb.GetLeadRequest(lead_id=str(lead)), owner)

    [listed] = history.ListLeads(pb.ListLeadsRequest(), owner).leads
    newest = history.ListMessages(pb.ListMessagesRequest(lead_id=str(lead)), owner).messages[-1]
    assert listed.last_message == newest
    listed.ClearField("last_message")
    assert found == listed
    assert (found.id, found.kind, found.name) == (str(lead), "person", "Ana Souza")
    assert (found.number, found.wa_id) == ("+5511987654321", "5511987654321")
    assert (found.user_id, found.username) == ("BR.7", "anas")
    assert found.profile_picture_url == "https://e.com/p"
    assert found.status == "ACTIVE"
    assert found.HasField("is_verified")
    assert not found.is_verified
    assert found.message_count == 3
    assert found.first_message_at.ToDatetime(UTC) == START
    assert found.last_message_at.ToDatetime(UTC) == START + timedelta(hours=2)
    assert [(c.instance_id, c.message_count) for c in found.conversations] == [
        (str(support), 1),
        (str(sales), 2),
    ]


def test_a_lead_without_a_number_or_a_profile_is_shown_without(history: Any, archive: Archive, owner: str):
    lead = person(archive, archive.instance(), "Ana", None)

    found = history.GetLead(pb.GetLeadRequest(lead_id=str(lead)), owner)

    assert (found.number, found.wa_id, found.status) == ("", "", "")
    assert not found.HasField("is_verified")


def test_the_name_is_the_businesss_own_then_the_persons_then_the_profiles(
    history: Any, archive: Archive, owner: str
):
    instance = archive.instance()
    person(archive, instance, "ana", saved_name="Ana da esquina")
    person(archive, instance, "bia", saved_name="")
    lead = archive.lead(profile_name=None, profile=Jsonb({"name": "Carla"}))
    archive.conversation(lead, instance)

    assert sorted(names(history, owner)) == ["Ana da esquina", "Carla", "bia"]


@pytest.mark.parametrize(
    ("typed", "found"),
    [
        ("joão", ["João Conceição"]),
        ("JOAO", ["João Conceição"]),
        ("conceicao", ["João Conceição"]),
        ("oão c", ["João Conceição"]),
        ("conceição joão", ["João Conceição"]),
        ("joão maria", []),
        ("@anas", ["Ana"]),
        ("ivan", []),
        ("иван", ["ИВАН"]),
        ("anas", ["Ana"]),  # the username
        ("987654321", ["Ana"]),
        ("+55 (11) 98765-4321", ["Ana"]),
        ("551187654321", ["Ana"]),
        ("11 8765-4321", ["Ana"]),
        ("5521987650000", ["Bia"]),
        ("552187650000", ["Bia"]),
        ("21 98765-0000", ["Bia"]),
        ("%", []),
        ("_", []),
        ("'", []),
        ("\\", []),
    ],
)
def test_a_lead_is_found_by_part_of_a_name_username_or_number(
    history: Any, archive: Archive, owner: str, typed: str, found: list[str]
):
    instance = archive.instance()
    ana = person(archive, instance, "Ana", "5511987654321", username="Anas")
    archive.identifier(ana, "phone_alias", "5511987654321")
    bia = person(archive, instance, "Bia", "552187650000")
    archive.identifier(bia, "phone_alias", "5521987650000")
    person(archive, instance, "João Conceição", "351912000111")
    person(archive, instance, "ИВАН", "79120001113")

    assert names(history, owner, typed) == found


def test_the_total_is_of_those_found(history: Any, archive: Archive, owner: str):
    instance = archive.instance()
    for name in ("Ana", "Mariana", "Bia"):
        person(archive, instance, name)

    page = history.ListLeads(pb.ListLeadsRequest(query="ana", page_size=1), owner)

    assert page.total_size == 2
    assert page.next_page_token
    with pytest.raises(errors.InvalidArgument):
        history.ListLeads(pb.ListLeadsRequest(query="bia", page_token=page.next_page_token), owner)


def test_a_caller_limited_to_an_instance_sees_its_leads_and_its_part_of_them(
    history: Any, archive: Archive, token_for: Callable[..., str]
):
    sales, support = archive.instance(), archive.instance()
    both = person(archive, sales, "both")
    archive.message(both, sales, sent_at=START)
    archive.message(both, support, sent_at=START + timedelta(days=1))
    hidden = person(archive, support, "hidden")
    seller = token_for("padaria", scopes=["history:read"], instances=[str(sales)])

    page = history.ListLeads(pb.ListLeadsRequest(), seller)

    assert [lead.name for lead in page.leads] == ["both"]
    assert page.total_size == 1
    assert page.leads[0].message_count == 1
    assert page.leads[0].last_message_at.ToDatetime(UTC) == START
    assert [c.instance_id for c in page.leads[0].conversations] == [str(sales)]
    with pytest.raises(errors.NotFound):
        history.GetLead(pb.GetLeadRequest(lead_id=str(hidden)), seller)


def test_the_owner_and_a_colleague_see_leads_that_a_stranger_does_not(
    history: Any, archive: Archive, database: str, owner: str, colleague: str, stranger: str
):
    lead = person(archive, archive.instance(), "Ana")
    assert names(history, stranger) == []  # a business that has registered nothing yet
    elsewhere = Archive(database, tenant="outra")
    person(elsewhere, elsewhere.instance(), "Zé")
    elsewhere.conn.close()

    assert names(history, owner) == names(history, colleague) == ["Ana"]
    assert names(history, stranger) == ["Zé"]
    with pytest.raises(errors.NotFound):
        history.GetLead(pb.GetLeadRequest(lead_id=str(lead)), stranger)


def test_a_caller_without_the_scope_is_refused(history: Any, archive: Archive, token_for: Callable[..., str]):
    token = token_for("padaria", scopes=["leads:write"])

    with pytest.raises(errors.PermissionDenied):
        history.ListLeads(pb.ListLeadsRequest(), token)
    with pytest.raises(errors.PermissionDenied):
        history.GetLead(pb.GetLeadRequest(lead_id=str(archive.lead())), token)


@pytest.mark.parametrize(
    ("field", "query"),
    [
        ("page_token", {"page_token": "?"}),
        ("query", {"query": "a" * 201}),
        ("query", {"query": "\0"}),
    ],
)
def test_a_bad_field_is_named(history: Any, owner: str, field: str, query: dict[str, Any]):
    with pytest.raises(errors.InvalidArgument) as caught:
        history.ListLeads(pb.ListLeadsRequest(**query), owner)

    assert [fault.name for fault in caught.value.fields] == [field]
