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


def describe(
    conn: postgres.Transaction, row: store.BatchRow, *, instances: Collection[uuid.UUID] | None
) -> list[Item]:
    """List what the webhook holds and what became of each, in its order; `instances` None is all."""
    webhook = ingest.Webhook(row.id, row.received_at, row.opened(), row.tenant_id)
    found = list(_items(conn, webhook, instances))
    messages = store.batches_of_messages(
        conn, tenant_id=row.tenant_id, ids=[item.row_id for item in found if item.row_id and item.wamid]
    )
    facts = store.batches_of_account_events(
        conn, tenant_id=row.tenant_id, ids=[item.row_id for item in found if item.row_id and not item.wamid]
    )
    seen: set[uuid.UUID] = set()
    for item in found:
        if item.row_id is None:
            item.outcome = PENDING if row.state in ("pending", "unrouted") else APPLIED
            continue
        first_batch = (messages if item.wamid else facts).get(item.row_id)
        if first_batch is None:
            continue
        is_first = first_batch == row.id and item.row_id not in seen
        item.outcome = APPLIED if is_first else MERGED if item.kind == "status" else DUPLICATE
        seen.add(item.row_id)
    return found


def _items(
    conn: postgres.Transaction, webhook: ingest.Webhook, instances: Collection[uuid.UUID] | None
) -> Iterator[Item]:
    changes = ingest.read(webhook).changes
    routes = store.find_routes(conn, {key for change in changes for key in change.routes})
    for change in changes:
        batch = ingest.batch_of(webhook, change, routes)
        if batch is None or batch.tenant_id != webhook.kept_by:
            continue
        if instances is not None and (batch.instance is None or batch.instance.public_id not in instances):
            continue
        for told in events.normalise(batch, change.field, change.value, change.path):
            item = _item(told)
            if item:
                yield item


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
