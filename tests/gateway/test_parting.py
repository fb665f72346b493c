"""Parting two leads that were merged: each has what the ledger says of it."""

import random
from collections.abc import Callable
from typing import Any

import pytest

from capture_service import recovery, store
from plumbing import postgres
from tests import wire
from tests.gateway.conftest import API, System

MOVED = "5521999990000"

State = dict[str, dict[str, Any]]


@pytest.fixture(autouse=True)
def instance_id(system: System, owner: str) -> str:
    return system.register(owner)


def post(system: System, *items: dict[str, Any], **more: Any) -> None:
    assert system.post_webhook(wire.messages(*items, **{"contacts": [], **more})).status_code == 200


def by_number(
    system: System, id: str, name: str | None = None, *, at: int = 0, sender: str = wire.ANA
) -> None:
    contacts = [wire.contact(sender, name)] if name else []
    post(system, wire.text(id, at=wire.NOON + at, sender=sender), contacts=contacts)


def by_user_id(
    system: System, id: str, name: str | None = None, *, at: int = 0, user_id: str = "BR.1"
) -> None:
    contacts = [{"user_id": user_id, "profile": {"name": name}}] if name else []
    post(system, wire.text(id, at=wire.NOON + at, sender=None, from_user_id=user_id), contacts=contacts)


def prove(
    system: System, id: str = "proof", *, at: int = 2, sender: str = wire.ANA, user_id: str = "BR.1"
) -> None:
    """Name number and user id together, and let the leads become one."""
    post(system, wire.text(id, at=wire.NOON + at, sender=sender, from_user_id=user_id))
    system.run_jobs()


def state(system: System, token: str) -> State:
    shown = ("name", "number", "userId", "username", "messageCount", "firstMessageAt", "lastMessageAt")
    return {
        lead["id"]: {key: lead[key] for key in shown}
        | {"wamids": [message["wamid"] for message in system.walk(token, lead["id"])]}
        for lead in system.leads(token)
    }


def recover(system: System, token: str) -> None:
    """Recover every lead by hand."""
    for lead in system.leads(token):
        answer = system.post("/conversations/sync", token, {"leadId": lead["id"]})
        system.run_sync("padaria", answer.json["syncId"])
    system.run_jobs()


def replay(system: System) -> None:
    for _ in recovery.replay(system.ingest, system.pool, store.LedgerFilter()):
        pass
    system.run_jobs()


@pytest.fixture
def undo(system: System, owner: str) -> Callable[..., Any]:
    """Undo a merge of the only lead that has any, by default its last; the job is done as well."""

    def do(*, oldest: bool = False, runs: bool = True) -> Any:
        found = {
            lead["id"]: system.get(f"/leads/{lead['id']}/merges", owner).json["merges"]
            for lead in system.leads(owner)
        }
        [(survivor_id, merges)] = [(id, merges) for id, merges in found.items() if merges]
        undone = system.client.delete(
            f"{API}/leads/{survivor_id}/merges/{merges[-1 if oldest else 0]['id']}",
            headers={"Authorization": f"Bearer {owner}"},
        )
        assert undone.status_code == 200, undone.text
        if runs:
            system.run_sync("padaria", undone.json["syncId"])
        return undone.json

    return do


@pytest.mark.parametrize("is_number_first", [True, False])
def test_what_came_since_the_merge_goes_to_whom_it_names(
    system: System, owner: str, undo: Any, is_number_first: bool
) -> None:
    first = [by_number, by_user_id] if is_number_first else [by_user_id, by_number]
    for number, write in enumerate(first):
        write(system, f"w{number}", "before", at=number)
    prove(system)
    by_number(system, "number", "Ana Nova", at=3)
    by_user_id(system, "user", "Outra Nova", at=4)

    undo()

    parted = {lead["name"]: lead for lead in state(system, owner).values()}
    assert parted["Ana Nova"]["number"] == f"+{wire.ANA}"
    assert parted["Ana Nova"]["userId"] is None
    assert parted["Ana Nova"]["wamids"] == ["w0" if is_number_first else "w1", "number"]
    # The proof names both: it goes, as everything does, by the most trusted identifier in it.
    assert parted["Outra Nova"]["wamids"] == ["w1" if is_number_first else "w0", "proof", "user"]
    assert [lead["messageCount"] for lead in parted.values()] == [
        len(lead["wamids"]) for lead in parted.values()
    ]


def test_a_replay_after_an_undo_changes_nothing(system: System, owner: str, undo: Any) -> None:
    by_number(system, "w0", "Ana")
    by_user_id(system, "w1", at=1)
    prove(system)
    by_user_id(system, "w2", "Outra", at=3)
    undo()
    parted = state(system, owner)

    replay(system)

    assert state(system, owner) == parted


def test_until_the_ledger_is_read_both_are_shown_as_before_the_merge(
    system: System, owner: str, undo: Any
) -> None:
    by_number(system, "w0", "Ana")
    by_user_id(system, "w1", "Outra", at=1)
    prove(system)

    answer = undo(runs=False)

    assert {lead["name"] for lead in system.leads(owner)} == {"Ana", "Outra"}
    sync = system.get(f"/conversations/sync/{answer['syncId']}", owner)
    assert (sync.json["syncType"], sync.json["status"]) == ("manual_recovery", "pending")


def test_a_merge_that_was_undone_before_starts_nothing(system: System, owner: str, undo: Any) -> None:
    by_number(system, "w0")
    by_user_id(system, "w1", at=1)
    prove(system)
    undone = undo()

    again = system.client.delete(
        f"{API}/leads/{undone['leadId']}/merges/{undone['id']}", headers={"Authorization": f"Bearer {owner}"}
    )

    assert again.status_code == 200
    assert again.json["syncId"] is None


def change_number(system: System, *, at: int) -> None:
    told = {"body": "Ana mudou de número", "wa_id": MOVED, "type": "user_changed_number"}
    stamp = str(wire.NOON + at)
    post(system, {"from": wire.ANA, "id": "moved", "timestamp": stamp, "type": "system", "system": told})


def test_after_an_undo_of_the_older_of_two_merges_what_the_younger_brought_is_shown(
    system: System, owner: str, undo: Any
) -> None:
    by_number(system, "w0", "Ana")
    by_user_id(system, "w1", at=1)
    by_number(system, "w2", "Ana Mudada", at=2, sender=MOVED)
    prove(system, at=3)
    change_number(system, at=5)
    system.run_jobs()

    survivor = undo(oldest=True)["leadId"]

    parted = state(system, owner)
    assert len(parted) == 2
    assert (parted[survivor]["name"], parted[survivor]["number"]) == ("Ana Mudada", f"+{MOVED}")
    assert parted[survivor]["wamids"] == ["w0", "w2", "moved"]
    replay(system)
    assert state(system, owner) == parted


def renew(system: System, *, at: int) -> None:
    renewal = {"user_id": {"previous": "BR.1", "current": "BR.2"}, "timestamp": str(wire.NOON + at)}
    system.post_webhook(wire.webhook(wire.entry(wire.change("user_id_update", user_id_update=[renewal]))))


@pytest.mark.parametrize("is_met_before_it_is_linked", [True, False])
def test_an_identifier_met_since_goes_with_whom_it_was_named_with(
    system: System, owner: str, undo: Any, is_met_before_it_is_linked: bool
) -> None:
    by_number(system, "w0", "Ana")
    by_user_id(system, "w1", at=1)
    prove(system)
    if is_met_before_it_is_linked:
        by_user_id(system, "w2", at=4, user_id="BR.2")
    renew(system, at=3)
    system.run_jobs()
    by_user_id(system, "w3", "Outra", at=5, user_id="BR.2")

    undone = undo(oldest=True)

    parted = state(system, owner)
    assert parted[undone["leadId"]]["wamids"] == ["w0"]
    came = ["w2", "w3"] if is_met_before_it_is_linked else ["w3"]
    assert parted[undone["mergedLeadId"]]["wamids"] == ["w1", "proof", *came]
    assert parted[undone["mergedLeadId"]]["userId"] == "BR.2"
    by_user_id(system, "w4", at=6, user_id="BR.2")
    assert "w4" in state(system, owner)[undone["mergedLeadId"]]["wamids"]


def test_a_merge_that_went_with_the_parted_lead_can_be_undone_there(
    system: System, owner: str, undo: Any
) -> None:
    by_number(system, "w0")
    by_user_id(system, "w1", at=1)
    prove(system)
    by_user_id(system, "w2", at=4, user_id="BR.2")
    renew(system, at=3)
    system.run_jobs()
    parted = undo(oldest=True)["mergedLeadId"]

    [merge] = system.get(f"/leads/{parted}/merges", owner).json["merges"]
    system.client.delete(
        f"{API}/leads/{parted}/merges/{merge['id']}", headers={"Authorization": f"Bearer {owner}"}
    )

    assert state(system, owner)[merge["mergedLeadId"]]["wamids"] == ["w2"]


def test_undoing_a_merge_that_went_with_the_parted_lead_leaves_the_first_as_it_is(
    system: System, owner: str, undo: Any
) -> None:
    by_number(system, "w0", "Ana")
    by_user_id(system, "w1", at=1)
    prove(system)
    by_user_id(system, "w2", at=4, user_id="BR.2")
    renew(system, at=3)
    system.run_jobs()
    undone = undo(oldest=True)
    by_number(system, "w3", "Ana Nova", at=10)
    before = state(system, owner)[undone["leadId"]]

    [merge] = system.get(f"/leads/{undone['mergedLeadId']}/merges", owner).json["merges"]
    again = system.client.delete(
        f"{API}/leads/{undone['mergedLeadId']}/merges/{merge['id']}",
        headers={"Authorization": f"Bearer {owner}"},
    )
    system.run_sync("padaria", again.json["syncId"])

    assert state(system, owner)[undone["leadId"]] == before
    by_number(system, "w4", "Ana Nova", at=20)
    assert state(system, owner)[undone["leadId"]]["wamids"][-1] == "w4"
    assert system.get("/webhooks/failures", owner).json["failures"] == []


def test_a_name_of_the_address_book_stays_however_the_book_writes_the_number(
    system: System, owner: str, undo: Any
) -> None:
    by_number(system, "w0", "Ana")
    by_user_id(system, "w1", at=1)
    card = {"full_name": "Ana da Padaria", "phone_number": "+55 (11) 98888-7777"}
    entry = {"type": "contact", "contact": card, "action": "add", "metadata": {"timestamp": str(wire.NOON)}}
    system.post_webhook(wire.webhook(wire.entry(wire.change("smb_app_state_sync", state_sync=[entry]))))
    prove(system)

    survivor = undo()["leadId"]

    assert state(system, owner)[survivor]["name"] == "Ana da Padaria"


def bring(system: System, token: str, lead_id: str, line: str) -> None:
    """Import an exported chat of one line."""
    answer = system.client.post(
        f"{API}/leads/{lead_id}/import",
        query_string={"businessParticipant": "Padaria", "timeZone": "America/Sao_Paulo"},
        data=f"12/09/2026 09:15 - Padaria: bom dia\n12/09/2026 09:16 - Ana: {line}\n",
        content_type="application/octet-stream",
        headers={"Authorization": f"Bearer {token}"},
    )
    assert answer.status_code == 202, answer.text
    system.run_sync("padaria", answer.json["syncId"])


def test_of_exported_chats_that_goes_back_which_the_parted_lead_had_before(
    system: System, owner: str, undo: Any
) -> None:
    by_number(system, "w0", "Ana")
    by_user_id(system, "w1", "Outra", at=1)
    ids = {lead["name"]: lead["id"] for lead in system.leads(owner)}
    bring(system, owner, ids["Outra"], "antes")
    prove(system)
    bring(system, owner, ids["Ana"], "depois")

    undo()

    bodies = {
        name: {message["body"] for message in system.walk(owner, lead_id)} for name, lead_id in ids.items()
    }
    assert ("antes" in bodies["Outra"], "antes" in bodies["Ana"]) == (True, False)
    assert ("depois" in bodies["Outra"], "depois" in bodies["Ana"]) == (False, True)


def test_a_recovery_that_waits_is_the_one_that_divides(system: System, owner: str, undo: Any) -> None:
    by_number(system, "w0")
    by_user_id(system, "w1", at=1)
    prove(system)
    by_user_id(system, "w2", at=3)
    [survivor] = system.leads(owner)
    waiting = system.post("/conversations/sync", owner, {"leadId": survivor["id"]}).json["syncId"]

    undone = undo()

    assert undone["syncId"] == waiting
    assert state(system, owner)[undone["mergedLeadId"]]["wamids"] == ["w1", "proof", "w2"]
    assert system.get(f"/conversations/sync/{waiting}", owner).json["status"] == "completed"


def test_should_the_job_fail_the_next_recovery_divides(system: System, owner: str, undo: Any) -> None:
    by_number(system, "w0")
    by_user_id(system, "w1", at=1)
    prove(system)
    by_user_id(system, "w2", at=3)
    undone = undo(runs=False)
    system.execute(f"UPDATE whatsapp_sync_logs SET status = 'failed' WHERE id = '{undone['syncId']}'")

    again = system.post("/conversations/sync", owner, {"leadId": undone["leadId"]}).json["syncId"]
    system.run_sync("padaria", again)

    assert state(system, owner)[undone["mergedLeadId"]]["wamids"] == ["w1", "proof", "w2"]


@pytest.mark.parametrize("is_divided_before", [True, False])
def test_what_came_since_follows_the_parted_lead_into_another(
    system: System, owner: str, undo: Any, is_divided_before: bool
) -> None:
    by_number(system, "w0", "Velha", sender=MOVED)
    by_number(system, "w1", "Ana")
    by_user_id(system, "w2", at=1)
    prove(system, at=2)
    renew(system, at=3)
    by_user_id(system, "w3", at=4, user_id="BR.2")
    undone = undo(runs=is_divided_before)
    prove(system, "older", at=5, sender=MOVED)

    if not is_divided_before:
        system.run_sync("padaria", undone["syncId"])

    assert sorted(lead["wamids"] for lead in state(system, owner).values()) == [
        ["w0", "w2", "proof", "w3", "older"],
        ["w1"],
    ]


def _live(system: System, draw: random.Random) -> None:
    """Let two leads become one, with much said of either before and after, in any order."""

    def anything(number: int) -> None:
        at = draw.randrange(1000)
        body = draw.choice(
            [
                wire.messages(
                    wire.text(f"m{number}", at=wire.NOON + at), contacts=[wire.contact(name=f"Ana {at}")]
                ),
                wire.messages(
                    wire.text(f"m{number}", at=wire.NOON + at, sender=None, from_user_id="BR.1"),
                    contacts=[{"user_id": "BR.1", "profile": {"name": f"Outra {at}", "username": f"u{at}"}}],
                ),
                wire.echoes(wire.echo(f"m{number}", at=wire.NOON + at)),
                wire.statuses(wire.status(f"m{draw.randrange(number + 1)}", "read", at=wire.NOON + at)),
                wire.statuses(
                    wire.status(f"e{number}", "sent", to=None, recipient_user_id="BR.1", at=wire.NOON + at)
                ),
                wire.messages(
                    {
                        "from": wire.ANA,
                        "id": f"r{number}",
                        "timestamp": str(wire.NOON + at),
                        "type": "reaction",
                        "reaction": {"message_id": f"m{draw.randrange(number + 1)}", "emoji": "👍"},
                    },
                    contacts=[],
                ),
            ]
        )
        assert system.post_webhook(body).status_code == 200

    by_number(system, "w0", "Ana")
    by_user_id(system, "w1", "Outra", at=1)
    for number in range(6):
        anything(number)
    prove(system)
    for number in range(6, 18):
        anything(number)
        if number == 12 and draw.random() < 0.5:
            renew(system, at=12)
            by_user_id(system, "renewed", at=13, user_id="BR.2")
    system.run_jobs()


@pytest.mark.parametrize("seed", range(8))
def test_parted_leads_are_as_if_the_ledger_were_replayed_into_empty_tables(
    system: System, owner: str, undo: Any, seed: int
) -> None:
    _live(system, random.Random(seed))
    undo()
    parted = state(system, owner)
    replay(system)
    replayed = state(system, owner)
    # That the two were parted is kept: only what the ledger says is made anew.
    system.execute("CREATE TABLE kept AS SELECT * FROM lead_merges")
    system.execute("TRUNCATE whatsapp_messages, leads, outbox, whatsapp_sync_logs CASCADE")
    system.execute("INSERT INTO lead_merges SELECT * FROM kept ON CONFLICT DO NOTHING")
    replay(system)

    assert len(parted) == 2
    assert replayed == parted
    assert state(system, owner) == parted


@pytest.mark.parametrize("is_replayed", [True, False])
def test_whoever_was_parted_stays_so_when_one_of_them_becomes_part_of_a_third(
    system: System, owner: str, undo: Callable[..., Any], is_replayed: bool
) -> None:
    by_number(system, "w0", "Velha", sender=MOVED)
    by_number(system, "w1", "Ana")
    by_user_id(system, "w2", "Estranha", at=1)
    prove(system)
    undo()
    moved = {"type": "system", "system": {"type": "user_changed_number", "wa_id": MOVED, "body": "x"}}
    post(system, {**wire.text("w3", at=wire.NOON + 5), **moved})
    system.run_jobs()
    assert len(system.leads(owner)) == 2
    before = state(system, owner)

    if is_replayed:
        replay(system)
    else:
        prove(system)

    assert state(system, owner) == before


def test_a_recovery_tears_nobody_who_was_merged_later(system: System, owner: str, undo: Any) -> None:
    by_number(system, "w0")
    by_user_id(system, "w1", at=1)
    prove(system)
    undo()
    by_number(system, "w2", "Outra", at=2, sender=MOVED)
    prove(system, "third", at=3, sender=MOVED, user_id="BR.2")
    prove(system, "hers", at=4, user_id="BR.2")
    # Refused: with Ana's number comes whom it was parted from.
    prove(system, "refused", at=5, sender=MOVED)
    before = state(system, owner)

    recover(system, owner)

    assert state(system, owner) == before


def test_a_recovery_gives_nobody_to_whom_they_were_parted_from(system: System, owner: str, undo: Any) -> None:
    by_number(system, "w0")
    by_user_id(system, "w1", at=1)
    by_user_id(system, "w2", at=2, user_id="BR.2")
    renew(system, at=3)
    system.run_jobs()
    undo()
    prove(system, at=4)
    undo()
    prove(system, "hers", at=5, user_id="BR.2")
    before = state(system, owner)

    recover(system, owner)

    assert [lead["wamids"] for lead in before.values()] == [["w0", "w2", "hers"], ["w1", "proof"]]
    assert state(system, owner) == before


def test_two_that_were_parted_from_a_third_become_one_where_they_are_named_together(
    system: System, owner: str, undo: Any
) -> None:
    by_user_id(system, "w0")
    by_number(system, "w1", at=1)
    prove(system, at=2)
    by_user_id(system, "w2", at=3, user_id="BR.2")
    prove(system, "both", at=4, user_id="BR.2")

    undo()
    undo(oldest=True)
    system.run_jobs()

    parted = state(system, owner)
    assert sorted(lead["wamids"] for lead in parted.values()) == [["w0", "proof"], ["w1", "w2", "both"]]
    replay(system)
    assert state(system, owner) == parted


def _meet(system: System, undo: Callable[[], None], draw: random.Random) -> list[tuple[str, str]]:
    """Let people be named together in any way, and parted; give (number, user id) that were."""
    named: list[tuple[str, str]] = []
    for at in range(18):
        number = draw.choice([wire.ANA, MOVED, "5531977770000"])
        user_id = draw.choice(["BR.1", "BR.2", "BR.3"])
        match draw.choice(["number", "user_id", "both", "both", "both"]):
            case "number":
                by_number(system, f"m{at}", at=at, sender=number)
            case "user_id":
                by_user_id(system, f"m{at}", at=at, user_id=user_id)
            case _:
                post(system, wire.text(f"m{at}", at=wire.NOON + at, sender=number, from_user_id=user_id))
                named.append((number, user_id))
        if draw.random() < 0.35:
            system.run_jobs()
            undo()
    system.run_jobs()
    return named


@pytest.mark.parametrize("seed", range(7))
def test_who_is_named_together_is_one_unless_they_were_parted_whatever_is_read_again(
    system: System, owner: str, seed: int
) -> None:
    draw = random.Random(seed)

    def undo() -> None:
        merges = [
            (merge["mergedAt"], f"/leads/{lead['id']}/merges/{merge['id']}")
            for lead in system.leads(owner)
            for merge in system.get(f"/leads/{lead['id']}/merges", owner).json["merges"]
            if not merge["undoneAt"]
        ]
        if merges:
            _, path = draw.choice(sorted(merges))
            answer = system.client.delete(f"{API}{path}", headers={"Authorization": f"Bearer {owner}"})
            system.run_sync("padaria", answer.json["syncId"])

    named = _meet(system, undo, draw)
    before = state(system, owner)
    recover(system, owner)
    recovered = state(system, owner)
    replay(system)
    replayed = state(system, owner)
    rows = system.execute(
        "SELECT value, tenant_id, lead_id FROM lead_identifiers WHERE kind <> 'phone_alias'"
    )
    leads = {value: (tenant_id, lead_id) for value, tenant_id, lead_id in rows}

    def are_parted(conn: postgres.Transaction, number: str, user_id: str) -> bool:
        (tenant_id, first), (_, second) = leads[number], leads[user_id]
        return store.were_parted(conn, tenant_id=tenant_id, first=first, second=second)

    with system.pool.connection() as conn:
        apart = [pair for pair in named if leads[pair[0]] != leads[pair[1]] and not are_parted(conn, *pair)]
    assert recovered == before
    assert replayed == before
    assert apart == []
