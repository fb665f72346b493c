"""Recovery: the kept ledger applied again, for one lead, for a filter, or for a number just registered."""

import logging
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timedelta
from typing import Final, NamedTuple

import msgspec

from capture_service import fold, identity, imports, parting, store
from capture_service.ingest import DEFERRED_BYTES, Ingest, Outcome, Webhook, read
from plumbing import errors, postgres

log = logging.getLogger(__name__)

# One transaction each: long enough to be worth its commit, short enough not to hold up live traffic.
_CHUNK_ROWS: Final = 200
_CHUNK_BYTES: Final = 2 * 1024 * 1024
# A scan only reads and compares.
_SCAN_ROWS: Final = 2_000
_SCAN_BYTES: Final = 8 * 1024 * 1024
_CHUNK_TIMEOUT_S: Final = 30.0
# It counts and places all messages of several leads.
_PART_TIMEOUT_S: Final = 120.0
_ADDRESS_BOOK: Final = b'"state_sync"'
_NO_DIGITS: Final = bytes(set(range(256)) - set(b"0123456789"))
# While a recovery is at work its outbox row is not handed over again.
_LEASE: Final = timedelta(minutes=2)


class Progress(msgspec.Struct):
    webhooks_total: int = 0
    webhooks_done: int = 0
    """Looked at; of these, `webhooks_replayed` named the number that was asked for."""
    webhooks_replayed: int = 0
    webhooks_failed: int = 0
    messages_imported: int = 0


class _Needles(NamedTuple):
    """How webhooks name a lead."""

    strings: list[bytes]
    numbers: list[bytes]
    """Digits alone: an address book writes a number as people do."""

    def are_in(self, row: store.KeptWebhook) -> bool:
        body = row.opened()
        if any(string in body for string in self.strings):
            return True
        digits = body.translate(None, _NO_DIGITS) if _ADDRESS_BOOK in body else b""
        return any(number in digits for number in self.numbers)


def replay(
    ingest: Ingest, pool: postgres.Pool, rows: store.LedgerFilter, *, route_flag: int = 0
) -> Iterator[Progress]:
    """Apply the kept webhooks that `rows` names, oldest first; yield after every chunk.

    `rows.to_time` should be set: what comes meanwhile would be replayed as well.
    """
    progress = Progress(
        webhooks_total=postgres.run_read(
            pool, lambda conn: store.count_ledger_rows(conn, rows), timeout_s=_CHUNK_TIMEOUT_S
        )
    )
    after = (rows.tenant_id, uuid.UUID(int=0)) if rows.tenant_id is not None else None
    while True:
        chunk: list[store.KeptWebhook] = []

        def choose(
            conn: postgres.Transaction,
            after: store.LeadKey | None = after,
            chunk: list[store.KeptWebhook] = chunk,
        ) -> list[store.KeptWebhook]:
            chunk[:] = _in_turn(
                store.list_ledger_rows(
                    conn, rows, after=after, count_max=_CHUNK_ROWS, bytes_max=_CHUNK_BYTES, is_locking=True
                )
            )
            return [row for row in chunk if not _is_sliced(row) and _is_asked_for(row, rows)]

        replayed, outcome = ingest.replay(choose, route_flag=route_flag, timeout_s=_CHUNK_TIMEOUT_S)
        if not chunk:
            return
        progress.webhooks_replayed += len(replayed)
        outcomes = [outcome]
        for row in chunk:
            if _is_sliced(row) and _is_asked_for(row, rows):
                outcomes.append(ingest.apply_pending(row, on_slice=_nothing, route_flag=route_flag))
                progress.webhooks_replayed += 1
        after = (chunk[-1].tenant_id, chunk[-1].id)
        progress.webhooks_done += len(chunk)
        progress.webhooks_total = max(progress.webhooks_total, progress.webhooks_done)
        for outcome in outcomes:
            progress.messages_imported += len(outcome.inserted)
            progress.webhooks_failed += sum(state == "failed" for state in outcome.states.values())
        yield progress


def _is_asked_for(row: store.KeptWebhook, rows: store.LedgerFilter) -> bool:
    """Tell whether a webhook is of the number that is asked for, or of its account as a whole."""
    if rows.mentions is None:
        return True
    body = row.opened()
    # Without quotes: it may be written as a number.
    if rows.mentions.encode() in body:
        return True
    if rows.account is None or rows.account.encode() not in body:
        return False
    # Every webhook names its account: what is about it names no number.
    changes = read(Webhook(row.id, row.received_at, body)).changes
    return any(("waba", rows.account) in change.routes for change in changes)


def _is_sliced(row: store.KeptWebhook) -> bool:
    """Tell a large webhook: it is applied in slices, so that live webhooks of its people do not wait for it.

    While it is nobody's, it is only handed to its owner, whose job applies it.
    """
    return row.body_bytes >= DEFERRED_BYTES and row.tenant_id != store.NO_TENANT


def _in_turn(rows: Sequence[store.KeptWebhook]) -> Sequence[store.KeptWebhook]:
    """Give a large webhook by itself, and otherwise what stands before the next one.

    What begins with a webhook begins with the same one when the ledger is replayed.
    """
    first = next((number for number, row in enumerate(rows) if _is_sliced(row)), len(rows))
    return rows[: max(first, 1)]


def _nothing(_conn: postgres.Transaction) -> None:
    pass


def apply_unrouted(ingest: Ingest, pool: postgres.Pool, tenant: str) -> Progress:
    """Apply the webhooks that came for a tenant's numbers before they were registered."""

    def waiting(conn: postgres.Transaction) -> store.LedgerFilter:
        tenant_id = store.find_tenant(conn, tenant)
        routes = store.routes_of_tenant(conn, tenant_id=tenant_id) if tenant_id is not None else []
        return store.LedgerFilter(
            tenant_id=store.NO_TENANT,
            states=["unrouted"],
            awaits=[f"{kind}:{external_id}" for kind, external_id in routes],
        )

    rows = postgres.run_read(pool, waiting, timeout_s=_CHUNK_TIMEOUT_S)
    progress = Progress()
    for progress in replay(ingest, pool, rows):
        log.info("unrouted_applied", extra={"webhooks": progress.webhooks_done})
    return progress


def apply_webhook(
    ingest: Ingest, pool: postgres.Pool, *, tenant: str, batch_id: uuid.UUID
) -> tuple[str, int]:
    """Apply a webhook that was only kept; give its state and how many messages were not there before.

    Raises NotFound when the tenant has no such webhook.
    """

    def find(conn: postgres.Transaction) -> store.BatchRow:
        tenant_id = store.find_tenant(conn, tenant)
        row = store.find_batch(conn, tenant_id=tenant_id, id=batch_id) if tenant_id is not None else None
        if row is None:
            raise errors.NotFound("no such webhook")
        return row

    row = postgres.run_read(pool, find, timeout_s=_CHUNK_TIMEOUT_S)

    def at_work(conn: postgres.Transaction) -> None:
        store.postpone_outbox_row(conn, tenant_id=row.tenant_id, id=row.id, by=_LEASE)

    def settle(conn: postgres.Transaction) -> None:
        store.delete_outbox_row(conn, tenant_id=row.tenant_id, id=row.id)

    state, imported = row.state, 0
    if state == "pending":
        outcome = ingest.apply_pending(row, on_slice=at_work)
        state, imported = outcome.states[row.id], len(outcome.inserted)
    postgres.run_transaction(pool, settle, timeout_s=_CHUNK_TIMEOUT_S)
    return state, imported


def run_sync(
    ingest: Ingest,
    pool: postgres.Pool,
    *,
    tenant: str,
    sync_id: uuid.UUID,
    clock: Callable[[], datetime],
) -> store.SyncLogRow:
    """Do the work of a manual recovery and give its sync log at the end.

    The lead's webhooks are found by reading the tenant's ledger for the lead's identifiers: no index
    by participant is kept, which every webhook would pay for and hardly a recovery would use. Safe to
    run again, or twice at once: applying a webhook again changes nothing.

    Raises NotFound when there is no such sync log. An outage passes through and leaves the sync
    in progress, for the next attempt; any other fault ends it as failed, with the reason.
    """

    def begin(conn: postgres.Transaction) -> tuple[store.SyncLogRow, _Needles]:
        tenant_id = store.find_tenant(conn, tenant)
        sync = store.find_sync(conn, tenant_id=tenant_id, id=sync_id) if tenant_id is not None else None
        if sync is None or sync.lead_id is None:
            raise errors.NotFound("no such sync")
        if sync.status in ("completed", "failed"):
            store.delete_outbox_row(conn, tenant_id=sync.tenant_id, id=sync.id)
            return sync, _needles([])
        store.update_sync(
            conn,
            tenant_id=sync.tenant_id,
            id=sync.id,
            status="in_progress",
            step=_step(sync),
            percent=0,
        )
        store.postpone_outbox_row(conn, tenant_id=sync.tenant_id, id=sync.id, by=_LEASE)
        return sync, _needles(store.identifiers_of_lead(conn, tenant_id=sync.tenant_id, lead_id=sync.lead_id))

    def at_work(conn: postgres.Transaction) -> None:
        store.postpone_outbox_row(conn, tenant_id=sync.tenant_id, id=sync.id, by=_LEASE)

    sync, needles = postgres.run_transaction(pool, begin, timeout_s=_CHUNK_TIMEOUT_S)
    if sync.status in ("completed", "failed"):
        return sync
    try:
        detail = None
        if sync.sync_type == "chat_export":
            detail = imports.run(pool, sync, on_chunk=at_work)
        else:
            apply_unrouted(ingest, pool, tenant)
            # Leads that were parted may be proven to be one with others.
            needles = _part(pool, sync, clock=clock, at_work=at_work) or needles
            _replay_lead(ingest, pool, sync, needles, before=clock(), at_work=at_work)
        _finish(pool, sync, status="completed", now=clock(), detail=detail)
    except errors.RecadoError as error:
        if error.is_retryable:
            raise
        _finish(pool, sync, status="failed", now=clock(), error_message=error.detail)
    except Exception as error:
        log.exception("sync_failed", extra={"sync_id": str(sync_id)})
        _finish(
            pool, sync, status="failed", now=clock(), error_message=f"internal error: {type(error).__name__}"
        )

    def reread(conn: postgres.Transaction) -> store.SyncLogRow:
        row = store.find_sync(conn, tenant_id=sync.tenant_id, id=sync.id)
        if row is None:
            raise errors.NotFound("no such sync")
        return row

    return postgres.run_read(pool, reread, timeout_s=_CHUNK_TIMEOUT_S)


def _step(sync: store.SyncLogRow) -> str:
    if sync.sync_type != "chat_export":
        return "replay"
    return "compare" if sync.step == "compare" else "import"


def _part(
    pool: postgres.Pool,
    sync: store.SyncLogRow,
    *,
    clock: Callable[[], datetime],
    at_work: Callable[[postgres.Transaction], None],
) -> _Needles | None:
    """Divide what a lead has with those that were parted from it, by what the ledger says of each.

    Give how webhooks name any of them; None when nobody was parted from it.
    """
    tenant_id, survivor_id = sync.tenant_id, sync.lead_id
    assert survivor_id

    def find(conn: postgres.Transaction) -> list[tuple[str, str]]:
        parted = store.list_parted(conn, tenant_id=tenant_id, survivor_id=survivor_id)
        return [
            identifier
            for lead_id in ([survivor_id, *parted] if parted else [])
            for identifier in store.identifiers_of_lead(conn, tenant_id=tenant_id, lead_id=lead_id)
        ]

    identifiers = postgres.run_read(pool, find, timeout_s=_CHUNK_TIMEOUT_S)
    if not identifiers:
        return None
    needles = _needles(identifiers)
    told = parting.Told()
    for rows, _ in _scan(pool, sync, needles, before=clock(), percent_max=45, at_work=at_work):
        postgres.run_read(
            pool, lambda conn, rows=rows: parting.listen(conn, told, rows), timeout_s=_CHUNK_TIMEOUT_S
        )
    postgres.run_transaction(
        pool,
        lambda conn: parting.divide(conn, tenant_id=tenant_id, survivor_id=survivor_id, told=told),
        timeout_s=_PART_TIMEOUT_S,
    )
    return needles


def _replay_lead(
    ingest: Ingest,
    pool: postgres.Pool,
    sync: store.SyncLogRow,
    needles: _Needles,
    *,
    before: datetime,
    at_work: Callable[[postgres.Transaction], None],
) -> None:
    for matching, percent in _scan(pool, sync, needles, before=before, percent_max=95, at_work=at_work):

        def note(conn: postgres.Transaction, outcome: Outcome, percent: int = percent) -> None:
            store.add_to_sync(
                conn,
                tenant_id=sync.tenant_id,
                id=sync.id,
                percent=percent,
                messages=sum(message.lead_id == sync.lead_id for message in outcome.inserted),
            )

        for ids in _in_chunks([row for row in matching if not _is_sliced(row)]):
            chosen = store.LedgerFilter(tenant_id=sync.tenant_id, ids=ids)
            ingest.replay(
                lambda conn, chosen=chosen: store.list_ledger_rows(
                    conn,
                    chosen,
                    after=None,
                    count_max=_CHUNK_ROWS,
                    bytes_max=2 * _CHUNK_BYTES,
                    is_locking=True,
                ),
                route_flag=fold.MANUAL_SYNC,
                timeout_s=_CHUNK_TIMEOUT_S,
                then=note,
            )
        for row in matching:
            if _is_sliced(row):
                outcome = ingest.apply_pending(row, on_slice=at_work, route_flag=fold.MANUAL_SYNC)
                postgres.run_transaction(
                    pool, lambda conn, outcome=outcome: note(conn, outcome), timeout_s=_CHUNK_TIMEOUT_S
                )


def _scan(
    pool: postgres.Pool,
    sync: store.SyncLogRow,
    needles: _Needles,
    *,
    before: datetime,
    percent_max: int,
    at_work: Callable[[postgres.Transaction], None],
) -> Iterator[tuple[list[store.KeptWebhook], int]]:
    """Read the tenant's ledger in its order; yield the webhooks that name the lead, and the percentage."""
    scope = store.LedgerFilter(tenant_id=sync.tenant_id, to_time=before)
    total = postgres.run_read(pool, lambda c: store.count_ledger_rows(c, scope), timeout_s=_CHUNK_TIMEOUT_S)
    after: store.LeadKey = (sync.tenant_id, uuid.UUID(int=0))
    done = 0
    lease_until = time.monotonic()
    while True:
        rows = postgres.run_read(
            pool,
            lambda conn, after=after: store.list_ledger_rows(
                conn, scope, after=after, count_max=_SCAN_ROWS, bytes_max=_SCAN_BYTES, is_locking=False
            ),
            timeout_s=_CHUNK_TIMEOUT_S,
        )
        if not rows:
            return
        after = (rows[-1].tenant_id, rows[-1].id)
        done += len(rows)
        percent = min(percent_max, percent_max * done // max(total, 1))
        yield [row for row in rows if needles.are_in(row)], percent
        if time.monotonic() >= lease_until:
            lease_until = time.monotonic() + 10

            def beat(conn: postgres.Transaction, percent: int = percent) -> None:
                store.add_to_sync(conn, tenant_id=sync.tenant_id, id=sync.id, percent=percent, messages=0)
                at_work(conn)

            postgres.run_transaction(pool, beat, timeout_s=_CHUNK_TIMEOUT_S)


def _in_chunks(rows: Sequence[store.KeptWebhook]) -> Iterator[list[uuid.UUID]]:
    """Divide webhooks among transactions, each of which gets at most so many, and so many bytes."""
    chunk: list[uuid.UUID] = []
    held_bytes = 0
    for row in rows:
        if chunk and (len(chunk) == _CHUNK_ROWS or held_bytes + row.body_bytes > _CHUNK_BYTES):
            yield chunk
            chunk, held_bytes = [], 0
        chunk.append(row.id)
        held_bytes += row.body_bytes
    if chunk:
        yield chunk


def _finish(
    pool: postgres.Pool,
    sync: store.SyncLogRow,
    *,
    status: str,
    now: datetime,
    error_message: str | None = None,
    detail: str | None = None,
) -> None:
    def work(conn: postgres.Transaction) -> None:
        # Which lead it is now: it may have become part of another meanwhile.
        lead_id = sync.lead_id and store.lock_survivor(conn, tenant_id=sync.tenant_id, lead_id=sync.lead_id)
        if status == "completed" and lead_id:
            store.open_missing_conversations(
                conn,
                tenant_id=sync.tenant_id,
                lead_id=lead_id,
                instances=[sync.instance_id] if sync.instance_id else [],
            )
            store.recount_lead(conn, tenant_id=sync.tenant_id, lead_id=lead_id)
        has_ended = store.update_sync(
            conn,
            tenant_id=sync.tenant_id,
            id=sync.id,
            status=status,
            percent=100 if status == "completed" else sync.percent,
            error_message=error_message,
            detail=detail,
            is_end=True,
        )
        if not has_ended:
            # A history that came while a chat was compared with it: once more, with all of it.
            store.postpone_outbox_row(conn, tenant_id=sync.tenant_id, id=sync.id, by=timedelta())
            return
        if lead_id:
            store.note_sync_of_instances(
                conn, tenant_id=sync.tenant_id, lead_id=lead_id, status=status, error=error_message
            )
        store.delete_outbox_row(conn, tenant_id=sync.tenant_id, id=sync.id)

    postgres.run_transaction(pool, work, timeout_s=_CHUNK_TIMEOUT_S)


def _needles(identifiers: list[tuple[str, str]]) -> _Needles:
    """Give the JSON strings by which a webhook names the lead, every form of a number included."""
    values = {value for _, value in identifiers}
    numbers = {form for value in values if value.isdigit() for form in identity.written_forms(value)}
    values |= numbers | {f"+{number}" for number in numbers}
    # Some who write JSON escape the slash.
    values |= {value.replace("/", "\\/") for value in values}
    return _Needles(
        [b'"%b"' % value.encode() for value in sorted(values)], [n.encode() for n in sorted(numbers)]
    )
