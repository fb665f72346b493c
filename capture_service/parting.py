"""What belongs to whom once two merged leads are parted: the ledger says, read again.

A row does not keep the identifiers it was told with, so what came while two leads were one is divided by
a job (recovery.run_sync) that hears what the webhooks say of them.
"""

import functools
import uuid
from collections.abc import Iterator, Mapping, Sequence, Set as AbstractSet
from typing import TypeAlias

import msgspec

from capture_service import events, fold, ingest, store
from plumbing import postgres
from protos.ids import moment_of

# The identifiers with which an item names someone, the most trusted first.
_Named: TypeAlias = tuple[store.IdentifierKey, ...]
# Who comes to somebody as a whole: a lead, or an identifier that was none's before.
_Member: TypeAlias = uuid.UUID | store.IdentifierKey


class Told(msgspec.Struct):
    """What webhooks say of some people, by the identifiers with which they say it."""

    shown: dict[_Named, store.LeadChange] = {}
    """In the order in which each naming came first."""
    messages: dict[uuid.UUID, dict[_Named, fold.Message]] = {}
    """Of each message its parties alone."""

    def hear(self, item: events.Event | events.Sighting) -> None:
        if item.person is None:
            return
        tenant_id = item.message.tenant_id if isinstance(item, events.Event) else item.tenant_id
        named = tuple((tenant_id, kind, value) for kind, value in item.person.identifiers())
        shown = self.shown.setdefault(named, store.LeadChange(tenant_id=tenant_id, id=uuid.UUID(int=0)))
        shown.hear(item.person)
        if isinstance(item, events.Event):
            # Words are decided by no identifier, and a lead may have very many.
            parties = msgspec.structs.replace(
                item.message, body=None, content=None, context=None, errors=None, billing=None, mentions=None
            )
            tellings = self.messages.setdefault(parties.id, {})
            tellings[named] = fold.merge(tellings[named], parties) if named in tellings else parties

    def identifiers(self) -> set[store.IdentifierKey]:
        return {key for named in self.shown for key in named}

    def whose(
        self,
        known: Mapping[store.IdentifierKey, uuid.UUID],
        since: Mapping[store.IdentifierKey, uuid.UUID | None],
        *,
        group: AbstractSet[uuid.UUID],
        parted: AbstractSet[tuple[uuid.UUID, uuid.UUID]],
    ) -> dict[store.IdentifierKey, uuid.UUID]:
        """Say whose each identifier is: one got `since` the merge is with whom of `group` it was first named.

        Those that came with one lead go together, as do those that were named together before that. Nobody
        comes to a lead that they were `parted` from.
        """
        members: dict[store.IdentifierKey, _Member] = {**known, **{key: since[key] or key for key in since}}
        owners = {known[key] for key in known.keys() - since.keys()} & group
        wholes: dict[_Member, set[_Member]] = {member: {member} for member in members.values()}
        for named in self.shown:
            hosts: list[set[_Member]] = []
            whom = [members[key] for key in named if key in members]
            # Whoever is decided comes first, in the order of trust: the others go with them.
            for member in sorted(whom, key=lambda member: wholes[member].isdisjoint(owners)):
                whole = wholes[member]
                if whole in hosts:
                    continue
                host = next((host for host in hosts if not _are_apart(host, whole, parted)), None)
                if host is None or not whole.isdisjoint(owners):
                    hosts.append(whole)
                else:
                    host |= whole
                    wholes.update(dict.fromkeys(whole, host))
        theirs = {member: owner for owner in owners for member in wholes[owner]}
        return {**known, **{key: theirs[members[key]] for key in since if members[key] in theirs}}

    def party(self, id: uuid.UUID, owners: Mapping[store.IdentifierKey, uuid.UUID]) -> fold.Message | None:
        """Give the parties of a message as ingest would write them; None when no webhook names them."""
        placed = [
            msgspec.structs.replace(message, lead_id=_named(named, owners))
            for named, message in self.messages.get(id, {}).items()
        ]
        return functools.reduce(fold.merge, placed) if placed else None


def _are_apart(
    one: AbstractSet[_Member], other: AbstractSet[_Member], parted: AbstractSet[tuple[uuid.UUID, uuid.UUID]]
) -> bool:
    return any(first in one and second in other for first, second in parted)


def _named(named: _Named, owners: Mapping[store.IdentifierKey, uuid.UUID]) -> uuid.UUID | None:
    return next((owners[key] for key in named if key in owners), None)


def listen(conn: postgres.Transaction, told: Told, rows: Sequence[store.KeptWebhook]) -> None:
    """Hear kept webhooks, which must come in the order of the ledger."""
    reads = [
        ingest.read(ingest.Webhook(row.id, row.received_at, row.opened(), row.tenant_id)) for row in rows
    ]
    routes = store.find_routes(
        conn, {key for read in reads for change in read.changes for key in change.routes}
    )
    for read in reads:
        for item in _items(read, routes):
            told.hear(item)


def _items(
    read: ingest.Read, routes: Mapping[store.RouteKey, store.Route]
) -> Iterator[events.Event | events.Sighting]:
    for change in read.changes:
        batch = ingest.batch_of(read.webhook, change, routes)
        if batch is None or batch.tenant_id != read.webhook.kept_by:
            continue
        for item in events.normalise(batch, change.field, change.value, change.path):
            if isinstance(item, events.Event | events.Sighting):
                yield item


def divide(conn: postgres.Transaction, *, tenant_id: int, survivor_id: uuid.UUID, told: Told) -> None:
    """Give a lead and those that were parted from it what was told of each: safe to run again.

    What no webhook brought, such as an exported chat, stays where it is.
    """
    group = {survivor_id, *store.list_parted(conn, tenant_id=tenant_id, survivor_id=survivor_id)}
    known = {key: lead.id for key, lead in store.find_leads(conn, told.identifiers()).items()}
    since = store.identifiers_since_merge(conn, tenant_id=tenant_id, survivor_id=survivor_id)
    leads = {*group, *known.values(), *filter(None, since.values())}
    partings = store.list_partings(conn, tenant_id=tenant_id, leads=leads)
    owners = told.whose(known, since, group=group, parted=partings)
    moved = _move_messages(conn, tenant_id, group, told, owners)
    leads = group | moved.keys()
    if any(row.merged_into for row in store.lock_leads(conn, tenant_id=tenant_id, ids=leads)):
        raise postgres.Retry
    for key in sorted(since):
        owner = owners.get(key, survivor_id)
        if owner != survivor_id:
            store.move_identifiers(
                conn, tenant_id=tenant_id, from_lead=survivor_id, to_lead=owner, only=[key[1:]]
            )
    _hand_over_merges(conn, tenant_id, survivor_id, since.keys(), owners)
    store.upsert_leads(conn, _shown(tenant_id, group, told, owners))
    store.forget_unsaid(conn, tenant_id=tenant_id, ids=group)
    settle(conn, tenant_id=tenant_id, leads=leads)
    store.insert_changes(
        conn, [store.LeadTouch(tenant_id, lead, moved.get(lead, []), True) for lead in sorted(leads)]
    )


def _hand_over_merges(
    conn: postgres.Transaction,
    tenant_id: int,
    survivor_id: uuid.UUID,
    since: AbstractSet[store.IdentifierKey],
    owners: Mapping[store.IdentifierKey, uuid.UUID],
) -> None:
    """Let a lead that was proven to be the parted one, while that was part of the survivor, go with it."""
    for merge in store.list_lead_merges(conn, tenant_id=tenant_id, survivor_id=survivor_id):
        brought = msgspec.json.decode(merge.identifiers, type=list[tuple[str, str]])
        keys = since & {(tenant_id, kind, value) for kind, value in brought}
        heirs = {owners.get(key, survivor_id) for key in keys}
        if merge.undone_at or len(heirs) != 1 or survivor_id in heirs:
            continue
        [heir] = heirs
        store.move_messages(
            conn, tenant_id=tenant_id, from_lead=survivor_id, to_lead=heir, only=merge.message_ids
        )
        [row] = store.lock_leads(conn, tenant_id=tenant_id, ids=[heir])
        store.hand_over_merge(
            conn, tenant_id=tenant_id, merge=merge, heir_id=heir, heir_before=fold.document(row)
        )


def _move_messages(
    conn: postgres.Transaction,
    tenant_id: int,
    group: AbstractSet[uuid.UUID],
    told: Told,
    owners: Mapping[store.IdentifierKey, uuid.UUID],
) -> dict[uuid.UUID, list[uuid.UUID]]:
    """Place the messages of `group` anew; give the ids of those that moved, by the lead they came to."""
    strays = {
        id
        for id, lead_id in store.leads_of_messages(conn, tenant_id=tenant_id, leads=group)
        if (party := told.party(id, owners)) and party.lead_id not in (None, lead_id)
    }
    placed: list[fold.Message] = []
    moved: dict[uuid.UUID, list[uuid.UUID]] = {}
    for row in store.lock_messages(conn, [(tenant_id, id) for id in sorted(strays)]):
        party, lead_id = told.party(row.id, owners), row.lead_id or row.act_lead_id
        # Of what has come meanwhile another route may have said more.
        if (
            party is None
            or party.lead_id is None
            or lead_id not in group
            or row.party_rank > party.party_rank
        ):
            continue
        placed.append(
            msgspec.structs.replace(
                row,
                **fold.placed(fold.is_act(row), party.lead_id),
                direction=party.direction,
                sender=party.sender,
                party_rank=party.party_rank,
            )
        )
        moved.setdefault(party.lead_id, []).append(row.id)
    if placed:
        store.update_messages(conn, placed)
    return moved


def _shown(
    tenant_id: int,
    group: AbstractSet[uuid.UUID],
    told: Told,
    owners: Mapping[store.IdentifierKey, uuid.UUID],
) -> list[store.LeadChange]:
    changes = {
        lead: store.LeadChange(tenant_id=tenant_id, id=lead, created_at=moment_of(lead))
        for lead in sorted(group)
    }
    for named, shown in told.shown.items():
        lead = _named(named, owners)
        if lead and lead in changes:
            changes[lead].adopt(shown)
    return list(changes.values())


def settle(conn: postgres.Transaction, *, tenant_id: int, leads: AbstractSet[uuid.UUID]) -> None:
    """Open the conversations that these leads lack, drop empty ones, count anew, say which ticket is open.

    What they were sent is examined for patterns again: what it answers may be somebody else's now.
    """
    for lead_id in sorted(leads):
        instances = store.instances_of_messages(conn, tenant_id=tenant_id, lead_id=lead_id)
        store.open_missing_conversations(conn, tenant_id=tenant_id, lead_id=lead_id, instances=instances)
        store.recount_lead(conn, tenant_id=tenant_id, lead_id=lead_id)
        store.delete_empty_conversations(conn, tenant_id=tenant_id, lead_id=lead_id)
        store.settle_tickets(conn, tenant_id=tenant_id, lead_id=lead_id)
    store.note_texts_of_leads(conn, [(tenant_id, lead_id) for lead_id in sorted(leads)])
