"""What webhooks say about an instance: facts about its account, its connection, its history."""

import functools
from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from typing import Final

from capture_service import account, fold, identity, ids, store
from capture_service.events import Chunk, Notice
from plumbing import postgres
from protos.ids import uuid7

# A history of which nothing has come for so long is over; what comes later is that of a reconnection.
HISTORY_IDLE: Final = timedelta(hours=6)


def note_facts(conn: postgres.Transaction, notices: Sequence[Notice]) -> None:
    """Keep the facts that are new, and what they do to the connection of the account's numbers."""
    rows: dict[store.LeadKey, store.AccountEventRow] = {}
    for notice in notices:
        id = ids.account_event_id(notice.digest())
        known = rows.get((notice.tenant_id, id))
        rows[notice.tenant_id, id] = store.AccountEventRow(
            tenant_id=notice.tenant_id,
            id=id,
            instance_id=notice.instance_id,
            account_id=notice.account_id,
            field=notice.field,
            event=notice.event,
            happened_at=min(notice.happened_at, known.happened_at) if known else notice.happened_at,
            batch_id=min(notice.batch_id, known.batch_id) if known else notice.batch_id,
            told=notice.told,
            number=None if notice.instance_id else account.number_of(notice.told),
        )
    if not rows:
        return
    changed = store.insert_account_events(conn, [rows[key] for key in sorted(rows)])
    accounts = {
        (rows[key].tenant_id, rows[key].account_id)
        for key in changed
        if rows[key].field in account.CONNECTION_FIELDS and rows[key].event in account.CONNECTION_EVENTS
    }
    for tenant_id, account_id in sorted(accounts):
        settle_connections(conn, tenant_id=tenant_id, account_id=account_id)


def settle_connections(conn: postgres.Transaction, *, tenant_id: int, account_id: str) -> None:
    """Set whether each number of an account is connected to what the latest fact about it says."""
    # Locked first: facts that came at once are then seen by the one that settles last.
    instances = store.lock_instances(conn, tenant_id=tenant_id, account_id=account_id)
    facts = _connection_facts(conn, tenant_id, account_id)
    for instance in instances:
        settled = account.connection_by(_about(instance, facts))
        if settled != (
            instance.connection_changed_at,
            instance.connection_state,
            instance.connection_reason,
        ):
            store.update_connection(conn, tenant_id=tenant_id, id=instance.id, connection=settled)


def _connected_at(conn: postgres.Transaction, tenant_id: int, instance_id: int) -> list[datetime]:
    """Give when a number was connected, or was again."""
    [instance] = [row for row in store.list_instances(conn, tenant_id=tenant_id) if row.id == instance_id]
    return account.connected_at(_about(instance, _connection_facts(conn, tenant_id, instance.waba_id)))


def _connection_facts(
    conn: postgres.Transaction, tenant_id: int, account_id: str
) -> list[store.AccountEventRow]:
    return store.list_facts(
        conn,
        tenant_id=tenant_id,
        account_id=account_id,
        fields=account.CONNECTION_FIELDS,
        events=account.CONNECTION_EVENTS,
    )


def _about(
    instance: store.InstanceRow, facts: Sequence[store.AccountEventRow]
) -> list[tuple[datetime, str, str]]:
    """Give those facts that concern an instance, as `account` reads them."""
    forms = forms_of(instance)
    return [(fact.happened_at, fact.event, fact.told) for fact in facts if _concerns(fact, instance, forms)]


def _concerns(fact: store.AccountEventRow, instance: store.InstanceRow, forms: Collection[str]) -> bool:
    if fact.instance_id is not None:
        return fact.instance_id == instance.id
    # Not the row's own column: an earlier version has left it empty.
    number = account.number_of(fact.told)
    return number is None or number in forms


def forms_of(instance: store.InstanceRow) -> list[str]:
    """List every way in which a fact may write the number of an instance."""
    return identity.written_forms(identity.digits(instance.display_phone_number))


def note_histories(
    conn: postgres.Transaction, chunks: Sequence[Chunk], new: Collection[fold.Message], now: datetime
) -> None:
    """Note how far the histories have come that these chunks are part of.

    Webhook by webhook: a replay applies those of a year at once, and they may be of several histories.
    """
    by_webhook: dict[tuple[int, int, datetime], list[Chunk]] = {}
    for chunk in chunks:
        by_webhook.setdefault((chunk.tenant_id, chunk.instance_id, chunk.came_at), []).append(chunk)
    connected_at: dict[tuple[int, int], list[datetime]] = {}
    for (tenant_id, instance_id, came_at), of_webhook in sorted(by_webhook.items()):
        batches = {chunk.batch_id for chunk in of_webhook}
        messages = sum(
            (message.tenant_id, message.instance_id) == (tenant_id, instance_id)
            and message.batch_id in batches
            and bool(message.sources & fold.HISTORY)
            for message in new
        )
        owner = (tenant_id, instance_id)
        if owner not in connected_at:
            connected_at[owner] = _connected_at(conn, tenant_id, instance_id)
        row = _history_of(conn, of_webhook, connected_at[owner], messages, now)
        if row is None:
            continue
        history = account.read_history(row.detail)
        is_told_again = not messages and row.started_at <= came_at <= row.updated_at
        if is_told_again and all(history.has(chunk) for chunk in of_webhook):
            continue  # The history may be over by now, and stays so.
        for chunk in of_webhook:
            history.add(chunk)
        state = account.history_state(history)
        store.update_history(
            conn,
            tenant_id=tenant_id,
            id=row.id,
            status=state.status,
            percent=state.percent,
            error=state.error,
            detail=history.document(),
            messages=messages,
            came_at=came_at,
        )


def _history_of(
    conn: postgres.Transaction,
    chunks: Sequence[Chunk],
    connected_at: Sequence[datetime],
    messages: int,
    now: datetime,
) -> store.HistoryRow | None:
    """Give the history that a webhook's chunks are part of, begun if need be; None for a mere repetition."""
    tenant_id, instance_id, came_at = chunks[0].tenant_id, chunks[0].instance_id, chunks[0].came_at
    find = functools.partial(
        store.find_history,
        conn,
        tenant_id=tenant_id,
        instance_id=instance_id,
        came_at=came_at,
        connected_at=connected_at,
        idle=HISTORY_IDLE,
    )
    row = find()
    if row is None:
        # Two chunks that come at once begin one history, also when the other is complete by now.
        store.hold_instance(conn, tenant_id=tenant_id, id=instance_id)
        row = find()
    is_told_before = row is None or came_at < row.started_at
    if is_told_before and not messages and _is_told_already(conn, chunks, connected_at):
        return None
    if row:
        return row
    store.end_idle_histories(conn, before=came_at - HISTORY_IDLE)
    store.insert_history(conn, tenant_id=tenant_id, id=uuid7(now), instance_id=instance_id, came_at=came_at)
    if row := find():
        return row
    raise postgres.Retry


def _is_told_already(
    conn: postgres.Transaction, chunks: Sequence[Chunk], connected_at: Sequence[datetime]
) -> bool:
    """Tell whether histories that are over had all these chunks of a webhook: Meta repeats for days.

    Not those from before the number was connected again: that history comes once more as it was.
    """
    over = store.list_histories_over(
        conn,
        tenant_id=chunks[0].tenant_id,
        instance_id=chunks[0].instance_id,
        came_at=chunks[0].came_at,
        connected_at=connected_at,
    )
    histories = [account.read_history(detail) for detail in over]
    return all(any(history.has(chunk) for history in histories) for chunk in chunks)
