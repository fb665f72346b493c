"""What one webhook did: its ledger row read again and compared with what is kept."""

import uuid
from collections.abc import Collection, Iterator
from typing import Final

import msgspec

from capture_service import events, fold, ids, ingest, kinds, store
from capture_service.events import Chunk, Event, Fault, Notice, Sighting
from plumbing import postgres

APPLIED: Final = "applied"
MERGED: Final = "merged"
DUPLICATE: Final = "duplicate"
PENDING: Final = "pending"
# Of the names of a rank the first: a failed message is "failed" everywhere.
_STATES: Final = {rank: name for name, rank in reversed([*fold.STATUS_RANKS.items()])}
_FIRST_BATCHES_MAX: Final = 100
# Of a message whose first webhook is not looked up: its content counts as known.
_ALL: Final = max(fold.CONTENT_RANKS.values())


class Item(msgspec.Struct, kw_only=True):
    """One item of the webhook; what the fields mean stands in protos/capture.proto."""

    path: str
    kind: str
    outcome: str = PENDING
    message_id: uuid.UUID | None = None
    wamid: str = ""
    type: str = ""
    row_id: uuid.UUID | None = None
    """The row by which the outcome is known: of a message, or of an account event."""
    content_rank: int = 0


def describe(
    conn: postgres.Transaction, row: store.BatchRow, *, instances: Collection[uuid.UUID] | None
) -> list[Item]:
    """List what the webhook holds and what became of each, in its order; `instances` None is all."""
    found = [item for told in _told(conn, row, instances) if (item := _item(told))]
    messages = store.batches_of_messages(
        conn, tenant_id=row.tenant_id, ids=[item.row_id for item in found if item.row_id and item.wamid]
    )
    facts = store.batches_of_account_events(
        conn, tenant_id=row.tenant_id, ids=[item.row_id for item in found if item.row_id and not item.wamid]
    )
    before = _content_before(conn, row, messages)
    seen: dict[uuid.UUID, int] = {}
    for item in found:
        if item.row_id is None:
            item.outcome = PENDING if row.state in ("pending", "unrouted") else APPLIED
            continue
        first_batch = (messages if item.wamid else facts).get(item.row_id)
        if first_batch is None:
            continue
        known = seen.get(item.row_id, before.get(item.row_id, _ALL) if first_batch != row.id else None)
        if known is None:
            item.outcome = APPLIED
        else:
            # Of a message that was there, its words may be new: a status or a placeholder has none.
            item.outcome = MERGED if item.kind == "status" or item.content_rank > known else DUPLICATE
        seen[item.row_id] = max(known or 0, item.content_rank)
    return found


def _content_before(
    conn: postgres.Transaction, row: store.BatchRow, first_batches: dict[uuid.UUID, uuid.UUID]
) -> dict[uuid.UUID, int]:
    """Give how far the content of these messages was known by the webhooks that brought them.

    Of the first _FIRST_BATCHES_MAX of them: a history may repeat what came in thousands.
    """
    others = sorted(set(first_batches.values()) - {row.id})[:_FIRST_BATCHES_MAX]
    known = {id: 0 for id, batch in first_batches.items() if batch in others}
    for id in others:
        other = store.find_batch(conn, tenant_id=row.tenant_id, id=id)
        for told in _told(conn, other, None) if other else ():
            if isinstance(told, Event) and told.message.id in known:
                known[told.message.id] = max(known[told.message.id], told.message.content_rank)
    return known


def _told(
    conn: postgres.Transaction, row: store.BatchRow, instances: Collection[uuid.UUID] | None
) -> Iterator[events.Item]:
    webhook = ingest.Webhook(row.id, row.received_at, row.opened(), row.tenant_id)
    changes = ingest.read(webhook).changes
    routes = store.find_routes(conn, {key for change in changes for key in change.routes})
    for change in changes:
        batch = ingest.batch_of(webhook, change, routes)
        if batch is None or batch.tenant_id != webhook.kept_by:
            continue
        if instances is not None and (batch.instance is None or batch.instance.public_id not in instances):
            continue
        yield from events.normalise(batch, change.field, change.value, change.path)


def _item(told: events.Item) -> Item | None:
    match told:
        case Event(message=message) if message.sources & fold.MENTION:
            return None  # its act is listed
        case Event(message=message, path=path):
            if message.sources & fold.STATUS:
                return Item(
                    path=path,
                    kind="status",
                    message_id=message.id,
                    row_id=message.id,
                    wamid=message.wamid,
                    type=_STATES[message.status],
                )
            is_call = message.type == "call"
            return Item(
                path=path,
                kind=message.type if message.type in kinds.ACTS or is_call else "message",
                message_id=message.id,
                row_id=message.id,
                wamid=message.wamid,
                type=message.type,
                content_rank=message.content_rank,
            )
        case Sighting(path=path):
            return Item(path=path, kind="contact")
        case Chunk(path=path):
            return Item(path=path, kind="history_chunk")
        case Notice(path=path, field=field):
            return Item(
                path=path, kind="account_event", row_id=ids.account_event_id(told.digest()), type=field
            )
        case Fault():
            return None
