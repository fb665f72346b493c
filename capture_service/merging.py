"""Two leads that turn out to be one person become one, and can be parted again.

The proof is a webhook that names identifiers of both in one item. The older lead survives; everything
of the other becomes its own, and `lead_merges` remembers what moved.
"""

import uuid
from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Final, NamedTuple

import msgspec

from capture_service import fold, parting, store
from plumbing import errors, postgres
from protos import jobs
from protos.ids import uuid7

_TIMEOUT_S: Final = 60.0


def merge(
    pool: postgres.Pool,
    *,
    tenant: str,
    leads: tuple[uuid.UUID, uuid.UUID],
    outbox_id: uuid.UUID | None,
    now: datetime,
) -> uuid.UUID:
    """Make two leads one and give the id of the one that stays; safe to run again.

    Raises NotFound when the tenant has no such leads.
    """

    def work(conn: postgres.Transaction) -> uuid.UUID:
        tenant_id = _tenant(conn, tenant)
        survivor_id = _unite(conn, tenant_id, tenant, leads, now)
        # Last of all: a batch that asks for the same merge waits for this row.
        if outbox_id:
            store.delete_outbox_row(conn, tenant_id=tenant_id, id=outbox_id)
        return survivor_id

    return postgres.run_transaction(pool, work, timeout_s=_TIMEOUT_S)


def _unite(
    conn: postgres.Transaction,
    tenant_id: int,
    tenant: str,
    leads: tuple[uuid.UUID, uuid.UUID],
    now: datetime,
) -> uuid.UUID:
    # The younger one is merged, unless something has become of it meanwhile.
    store.hold_messages(conn, tenant_id=tenant_id, from_lead=max(leads))
    pair = _survivors(conn, tenant_id, leads)
    if len(pair) == 1 or store.were_parted(conn, tenant_id=tenant_id, first=pair[0].id, second=pair[1].id):
        return pair[0].id
    survivor, merged = pair
    messages = store.move_messages(conn, tenant_id=tenant_id, from_lead=merged.id, to_lead=survivor.id)
    identifiers = store.move_identifiers(conn, tenant_id=tenant_id, from_lead=merged.id, to_lead=survivor.id)
    store.move_rest(conn, tenant_id=tenant_id, from_lead=merged.id, to_lead=survivor.id, at=now)
    store.adopt_profile(conn, tenant_id=tenant_id, from_lead=merged.id, to_lead=survivor.id)
    store.set_merged_into(conn, tenant_id=tenant_id, lead_id=merged.id, survivor_id=survivor.id)
    store.settle_tickets(conn, tenant_id=tenant_id, lead_id=survivor.id)
    store.show_lead_as(conn, tenant_id=tenant_id, lead=_joined(survivor, merged))
    store.recount_lead(conn, tenant_id=tenant_id, lead_id=survivor.id)
    store.insert_lead_merge(
        conn,
        tenant_id=tenant_id,
        merge=store.LeadMergeRow(
            id=uuid7(now),
            survivor_id=survivor.id,
            merged_id=merged.id,
            identifiers=fold.document(identifiers),
            message_ids=messages,
            survivor_before=fold.document(survivor),
            merged_at=now,
            undone_at=None,
        ),
    )
    _ask_for_profiles(conn, tenant_id, tenant, [survivor.id], now)
    # What one was sent may answer what the other wrote, and of those who were sent a text both are one.
    store.note_texts_of_leads(conn, [(tenant_id, survivor.id)])
    _tell(conn, tenant_id, [survivor.id, merged.id])
    return survivor.id


class Parted(NamedTuple):
    lead_id: uuid.UUID
    """The one that has come back."""
    sync_id: uuid.UUID | None
    """Of the job that divides what came while both were one; None when they had been parted before."""


def undo(
    pool: postgres.Pool,
    *,
    tenant: str,
    survivor_id: uuid.UUID,
    merge_id: uuid.UUID,
    now: datetime,
    requested_by: str | None = None,
) -> Parted:
    """Part two leads again. The two are not merged again by themselves.

    What the merge moved goes back at once. What came since is divided by a job, as is how the two are
    shown: until then the survivor has it all and is shown as before the merge. A merge undone before is
    left as it is. Raises NotFound.
    """

    def work(conn: postgres.Transaction) -> Parted:
        tenant_id = _tenant(conn, tenant)
        merges = store.list_lead_merges(conn, tenant_id=tenant_id, survivor_id=survivor_id)
        merge = next((row for row in merges if row.id == merge_id), None)
        if merge is None:
            raise errors.NotFound("no such merge")
        if merge.undone_at:
            return Parted(merge.merged_id, None)
        _give_back(conn, tenant_id, merge)
        both = {survivor_id, merge.merged_id}
        parting.settle(conn, tenant_id=tenant_id, leads=both)
        store.mark_merge_undone(conn, tenant_id=tenant_id, id=merge_id, at=now)
        _ask_for_profiles(conn, tenant_id, tenant, both, now)
        _tell(conn, tenant_id, [*both])
        sync = store.restart_recovery(
            conn, tenant_id=tenant_id, id=uuid7(now), lead_id=survivor_id, requested_by=requested_by
        )
        arguments = {"tenant": tenant, "sync_id": str(sync.id)}
        store.insert_outbox_rows(conn, [store.OutboxRow(tenant_id, sync.id, jobs.RUN_SYNC.name, arguments)])
        return Parted(merge.merged_id, sync.id)

    return postgres.run_transaction(pool, work, timeout_s=_TIMEOUT_S)


def _give_back(conn: postgres.Transaction, tenant_id: int, merge: store.LeadMergeRow) -> None:
    """Give the merged lead what moved, and show both by what is theirs for certain."""
    survivor_id, back = merge.survivor_id, merge.merged_id
    store.hold_messages(conn, tenant_id=tenant_id, from_lead=survivor_id, only=merge.message_ids)
    rows = {row.id: row for row in store.lock_leads(conn, tenant_id=tenant_id, ids=[survivor_id, back])}
    if rows[survivor_id].merged_into:
        raise errors.FailedPrecondition("the lead became part of another since: undo that merge first")
    store.set_merged_into(conn, tenant_id=tenant_id, lead_id=back, survivor_id=None)
    store.give_back_merged(conn, tenant_id=tenant_id, lead_id=back, survivor_id=survivor_id)
    store.move_messages(
        conn, tenant_id=tenant_id, from_lead=survivor_id, to_lead=back, only=merge.message_ids
    )
    identifiers = msgspec.json.decode(merge.identifiers, type=list[tuple[str, str]])
    store.move_identifiers(conn, tenant_id=tenant_id, from_lead=survivor_id, to_lead=back, only=identifiers)
    before = msgspec.json.decode(merge.survivor_before, type=store.LeadRow)
    store.show_lead_as(conn, tenant_id=tenant_id, lead=_for_now(before))
    store.show_lead_as(conn, tenant_id=tenant_id, lead=_for_now(rows[back]))


def _for_now(row: store.LeadRow) -> store.LeadRow:
    """Show a lead thus until something is said of it, however long ago.

    Who was the survivor before may be somebody whom another merge brought, undone or made since.
    """
    return msgspec.structs.replace(
        row,
        profile_name_at=None,
        saved_name_at=None,
        username_at=None,
        wa_id_at=None,
        user_id_at=None,
    )


def _ask_for_profiles(
    conn: postgres.Transaction, tenant_id: int, tenant: str, leads: Collection[uuid.UUID], now: datetime
) -> None:
    """Ask anew for the profiles of those that had been asked for: each may have another number by now."""
    jobs_of = {lead_id: uuid7(now) for lead_id in store.list_asked_for(conn, tenant_id=tenant_id, ids=leads)}
    store.insert_outbox_rows(
        conn,
        [
            store.OutboxRow(
                tenant_id,
                job_id,
                jobs.ENRICH_LEAD.name,
                {"tenant": tenant, "lead_id": str(lead_id), "outbox_id": str(job_id)},
            )
            for lead_id, job_id in jobs_of.items()
        ],
    )


def _tell(conn: postgres.Transaction, tenant_id: int, leads: Sequence[uuid.UUID]) -> None:
    store.insert_changes(conn, [store.LeadTouch(tenant_id, lead_id, [], True) for lead_id in sorted(leads)])


def _tenant(conn: postgres.Transaction, name: str) -> int:
    tenant_id = store.find_tenant(conn, name)
    if tenant_id is None:
        raise errors.NotFound("no such tenant")
    return tenant_id


def _survivors(
    conn: postgres.Transaction, tenant_id: int, leads: Collection[uuid.UUID]
) -> list[store.LeadRow]:
    """Lock what the leads have become by now, the oldest first: one or two rows."""
    while True:
        rows = store.lock_leads(conn, tenant_id=tenant_id, ids=leads)
        if len(rows) != len(set(leads)):
            raise errors.NotFound("no such lead")
        became = {row.merged_into or row.id for row in rows}
        if became == {row.id for row in rows}:
            return rows
        leads = became


def _joined(survivor: store.LeadRow, merged: store.LeadRow) -> store.LeadRow:
    """Show the survivor by what was said last of either."""
    shown = store.LeadChange(tenant_id=0, id=survivor.id)
    for row in (survivor, merged):
        shown.adopt(row)
    return store.LeadRow(
        id=survivor.id,
        profile_name=shown.profile_name,
        profile_name_at=shown.profile_name_at,
        saved_name=shown.saved_name,
        saved_name_at=shown.saved_name_at,
        username=shown.username,
        username_at=shown.username_at,
        wa_id=shown.wa_id,
        wa_id_at=shown.wa_id_at,
        user_id=shown.user_id,
        user_id_at=shown.user_id_at,
        merged_into=None,
    )
