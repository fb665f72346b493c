"""Ingest: webhooks become ledger rows, leads and messages, in one transaction for all of them.

The same path serves new webhooks and the replay of kept ones; only what happens to the ledger row
differs. Applying a webhook again changes nothing, so every retry is safe.
"""

import hashlib
import logging
import threading
import time
import uuid
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Final, NamedTuple, TypeAlias, cast

import msgspec

from capture_service import events, fold, identity, ids, instances, ledger, patterns, payload, store
from capture_service.events import Chunk, Event, Fault, Notice, Sighting
from plumbing import errors, postgres
from protos import jobs
from protos.ids import moment_of, uuid7

log = logging.getLogger(__name__)

# Bounds how long another capture process reads by what a number was registered with before. That a number
# is not registered is never remembered.
_ROUTE_CACHE_S: Final = 5.0

# A larger webhook is answered once it is kept, and applied by a job: a history of thousands of messages
# would hold up the live ones that came with it.
DEFERRED_BYTES: Final = 256 * 1024
# Of a smaller one, up to which what the database refuses is sought while its sender waits: some 50 items.
_SOUGHT_BYTES_MAX: Final = 8 * 1024
# Items of such a webhook that one transaction applies.
_SLICE_ITEMS: Final = 250
_SLICE_TIMEOUT_S: Final = 30.0
# Between two of them, so that live webhooks are served first.
_PAUSE_S: Final = 0.002

# Of one webhook, kept with it: 3 MB can hold a million items, and a page lists many webhooks.
_FAULTS_MAX: Final = 100

_NO_LEAD: Final = uuid.UUID(int=0)

Clock = Callable[[], datetime]


class Webhook(msgspec.Struct, frozen=True):
    """One webhook to apply."""

    id: uuid.UUID
    received_at: datetime
    body: bytes
    kept_by: int | None = None
    """The tenant whose ledger row it is already; None when it has just come."""
    takes_long: bool = False
    """Whatever its size: something in it has to be sought."""

    @property
    def is_deferred(self) -> bool:
        """It is only kept for now; once it is its tenant's, a job applies it."""
        is_long = self.takes_long or len(self.body) >= DEFERRED_BYTES
        return is_long and self.kept_by in (None, store.NO_TENANT)


class Outcome(msgspec.Struct):
    """What applying webhooks did."""

    states: dict[uuid.UUID, str] = {}
    """Of each webhook's first part, by the webhook's id."""
    inserted: list[fold.Message] = []
    has_outbox_rows: bool = False


# What a value says and is written: a fault is noted instead.
_Told: TypeAlias = Event | Sighting | Notice | Chunk


class Change(msgspec.Struct, frozen=True):
    """One `change` of a webhook, and what is needed to say whose it is."""

    entry_id: str
    entry_time: object
    field: str
    value: payload.Object
    path: str
    entry_index: int
    change_index: int
    routes: tuple[store.RouteKey, ...]
    """By what it may be routed, the surest first."""

    def route(
        self, known: Mapping[store.RouteKey, store.Route], kept_by: int | None
    ) -> tuple[store.RouteKey, store.Route] | None:
        """Say whose this is, and by what.

        What a tenant's ledger has stays the tenant's, also when it has given up the account since, and when
        another tenant has that account now.
        """
        found = ((key, known[key]) for key in self.routes if key in known)
        if not kept_by:
            return next(found, None)
        own = [(key, route) for key, route in found if route.tenant_id == kept_by]
        own += [
            (key, store.Route(kept_by, None))
            # Where both do, the value names the account and the entry a business portfolio.
            for key in reversed(self.routes)
            if key[0] == "waba"
        ]
        return own[0] if own else None


class Read(msgspec.Struct, frozen=True):
    """A webhook as far as it can be read without knowing whose it is."""

    webhook: Webhook
    changes: list[Change]
    faults: list[Fault]
    awaits: frozenset[str] = frozenset()
    """Of one that is not read while its sender waits: whose it may be."""


class _Part(msgspec.Struct):
    """What of a webhook belongs to one tenant: one ledger row."""

    tenant_id: int
    changes: list[Change] = []
    faults: list[Fault] = []
    awaits: set[str] = set()
    events_count: int = 0
    is_deferred: bool = False
    is_unread: bool = False

    def state(self) -> str:
        if self.awaits:
            return "unrouted"
        if self.is_deferred:
            return "pending"
        if self.faults:
            return "failed"
        return "processed" if self.events_count else "ignored"


class Ingest:
    """Applies webhooks. Safe to use from several threads."""

    def __init__(self, pool: postgres.Pool, *, clock: Clock, on_outbox: Callable[[], None]) -> None:
        """`on_outbox` is called after a commit that left rows in the outbox."""
        self._pool = pool
        self._clock = clock
        self._on_outbox = on_outbox
        self._routes = _RouteCache()

    def forget_routes(self) -> None:
        """Look up anew whose webhooks are whose: a number was registered or described anew."""
        self._routes.forget()

    def accept(
        self, bodies: Sequence[tuple[bytes, datetime]], *, timeout_s: float
    ) -> list[tuple[uuid.UUID, str]]:
        """Keep and apply webhooks that have just come; give (batch id, ledger state) of each.

        Returns after the commit. Raises errors.Unavailable or errors.DeadlineExceeded when
        PostgreSQL is away: then nothing may have been kept, and the sender must try again.
        """
        webhooks = [Webhook(uuid7(received_at), received_at, body) for body, received_at in bodies]
        outcome = Outcome()
        # As a replay will: what they begin, the first of them begins.
        reads = [read(webhook) for webhook in sorted(webhooks, key=lambda webhook: webhook.id)]
        self._apply_isolating(reads, outcome, time.monotonic() + timeout_s)
        return [(webhook.id, outcome.states[webhook.id]) for webhook in webhooks]

    def replay(
        self,
        choose: Callable[[postgres.Transaction], list[store.KeptWebhook]],
        *,
        timeout_s: float,
        route_flag: int = 0,
        then: Callable[[postgres.Transaction, Outcome], None] | None = None,
    ) -> tuple[list[store.KeptWebhook], Outcome]:
        """Apply kept webhooks again: those that `choose` locks. `then` runs in the same transaction.

        `route_flag` marks messages that only this brought (fold.MANUAL_SYNC, fold.BATCH_RECOVER).
        """

        def work(conn: postgres.Transaction) -> tuple[list[store.KeptWebhook], Outcome]:
            kept = choose(conn)
            reads = [read(Webhook(row.id, row.received_at, row.opened(), row.tenant_id)) for row in kept]
            outcome = Outcome()
            try:
                with conn.transaction():
                    self._apply(conn, reads, outcome, route_flag=route_flag)
            except _Poison:
                outcome = Outcome()
                for webhook in reads:
                    try:
                        with conn.transaction():
                            self._apply_item_by_item(conn, webhook, outcome, route_flag=route_flag)
                    except _Poison:
                        self._apply_nothing(conn, webhook, outcome)
            if then:
                then(conn, outcome)
            return kept, outcome

        kept, outcome = postgres.run_transaction(self._pool, work, timeout_s=timeout_s)
        self._told(outcome)
        return kept, outcome

    def _apply_isolating(self, reads: Sequence[Read], outcome: Outcome, deadline: float) -> None:
        """Apply in one transaction; what makes it fail is sought by halving and kept as failed.

        In a webhook of many items that would take longer than its sender waits, and the others with it: it is
        kept, and a job seeks.
        """

        def together(conn: postgres.Transaction) -> Outcome:
            attempt = Outcome()
            self._apply(conn, reads, attempt)
            return attempt

        def alone(conn: postgres.Transaction) -> Outcome:
            attempt = Outcome()
            self._apply_item_by_item(conn, reads[0], attempt)
            return attempt

        def later(conn: postgres.Transaction) -> Outcome:
            attempt = Outcome()
            webhook = msgspec.structs.replace(reads[0].webhook, takes_long=True)
            self._apply(conn, [msgspec.structs.replace(reads[0], webhook=webhook)], attempt)
            return attempt

        def kept(conn: postgres.Transaction) -> Outcome:
            attempt = Outcome()
            self._apply_nothing(conn, reads[0], attempt)
            return attempt

        timeout_s = deadline - time.monotonic()
        if timeout_s <= 0:
            raise errors.DeadlineExceeded("the webhooks were not applied in time")
        try:
            done = postgres.run_transaction(self._pool, together, timeout_s=timeout_s)
        except _Poison:
            if len(reads) > 1:
                middle = len(reads) // 2
                self._apply_isolating(reads[:middle], outcome, deadline)
                self._apply_isolating(reads[middle:], outcome, deadline)
                return
            work = alone if len(reads[0].webhook.body) < _SOUGHT_BYTES_MAX else later
            try:
                done = postgres.run_transaction(self._pool, work, timeout_s=deadline - time.monotonic())
            except _Poison:
                done = postgres.run_transaction(self._pool, kept, timeout_s=deadline - time.monotonic())
        self._told(done)
        outcome.states.update(done.states)

    def _told(self, outcome: Outcome) -> None:
        if outcome.has_outbox_rows:
            self._on_outbox()

    def _apply_item_by_item(
        self, conn: postgres.Transaction, webhook: Read, outcome: Outcome, *, route_flag: int = 0
    ) -> None:
        """Apply a webhook of which some item is poison: each item is tried alone, the bad ones noted."""
        refused: dict[str, str] = {}

        def attempt(found: list[_Told]) -> None:
            for event in found:
                try:
                    with conn.transaction(force_rollback=True):
                        self._write(conn, [event], Outcome(), route_flag=route_flag)
                except postgres.Error as error:
                    if not postgres.blames_the_data(error):
                        raise
                    refused[event.path] = f"refused by the database: {type(error).__name__}"
                except postgres.Retry:
                    raise
                except Exception as error:
                    log.exception("item_not_applied", extra={"batch_id": str(webhook.webhook.id)})
                    refused[event.path] = f"not applied: {type(error).__name__}"

        self._apply(conn, [webhook], outcome, route_flag=route_flag, trial=attempt, refused=refused)

    def _apply_nothing(self, conn: postgres.Transaction, webhook: Read, outcome: Outcome) -> None:
        """Keep a webhook of which each item can be written but not all: a bug, and no reason to lose it."""
        refused: dict[str, str] = {}
        self._apply(
            conn,
            [webhook],
            outcome,
            trial=lambda found: refused.update({event.path: "not applied" for event in found}),
            refused=refused,
        )

    def _apply(
        self,
        conn: postgres.Transaction,
        reads: Sequence[Read],
        outcome: Outcome,
        *,
        route_flag: int = 0,
        trial: Callable[[list[_Told]], None] | None = None,
        refused: Mapping[str, str] | None = None,
    ) -> None:
        routes = self._routes.find(
            conn, {key for r in reads for change in r.changes for key in change.routes}
        )
        found: list[_Told] = []
        new_rows: list[store.LedgerRow] = []
        for webhook in reads:
            try:
                parts = _parts(webhook, routes)
                events_of: dict[int, list[_Told]] = (
                    {}
                    if webhook.webhook.is_deferred
                    else {part.tenant_id: _events(webhook, part, routes) for part in parts}
                )
                bodies = _bodies(webhook, parts)
            except Exception as error:
                # A bug of ours: the webhook is kept whole, and what came with it is applied.
                log.exception("webhook_not_read", extra={"batch_id": str(webhook.webhook.id)})
                fault = Fault("", f"not read: {type(error).__name__}")
                parts = [_Part(webhook.webhook.kept_by or store.NO_TENANT, faults=[fault], is_unread=True)]
                bodies, events_of = [webhook.webhook.body], {}
            if webhook.webhook.is_deferred and not parts[0].is_unread:
                new_rows += self._defer(conn, webhook, parts, bodies, outcome)
                continue
            if trial and refused is not None:
                for part in parts:
                    told = events_of.get(part.tenant_id, [])
                    trial(told)
                    part.faults += [
                        Fault(event.path, refused[event.path]) for event in told if event.path in refused
                    ]
                    events_of[part.tenant_id] = [event for event in told if event.path not in refused]
            new_rows += _keep(conn, webhook, parts, bodies).new
            for part in parts:
                found += events_of.get(part.tenant_id, ())
            outcome.states[webhook.webhook.id] = parts[0].state()
        if new_rows:
            store.insert_ledger_rows(conn, new_rows)
        if found:
            try:
                self._write(conn, found, outcome, route_flag=route_flag)
            except postgres.Error as error:
                if not postgres.blames_the_data(error):
                    raise
                raise _Poison from error
            except postgres.Retry:
                raise
            except Exception as error:
                log.exception("batch_not_applied")
                raise _Poison from error

    def _defer(
        self,
        conn: postgres.Transaction,
        webhook: Read,
        parts: Sequence[_Part],
        bodies: Sequence[bytes],
        outcome: Outcome,
    ) -> list[store.LedgerRow]:
        """Keep a large webhook and ask for the jobs that apply it; give the ledger rows to insert."""
        for part in parts:
            part.is_deferred = part.tenant_id != store.NO_TENANT and not part.awaits
        kept = _keep(conn, webhook, parts, bodies)
        pending = [row for row in kept.every if row.state == "pending"]
        ask_to_apply(conn, [(row.tenant_id, row.id) for row in pending])
        outcome.has_outbox_rows |= bool(pending)
        outcome.states[webhook.webhook.id] = parts[0].state()
        return kept.new

    def apply_pending(
        self,
        row: store.KeptWebhook | store.BatchRow,
        *,
        on_slice: Callable[[postgres.Transaction], None],
        route_flag: int = 0,
    ) -> Outcome:
        """Apply a large webhook of a tenant, slice by slice; safe to run again, or twice at once.

        `on_slice` runs in the transaction of every slice, and of the end. `route_flag` as in `replay`.
        """
        webhook = read(Webhook(row.id, row.received_at, row.opened(), row.tenant_id))
        keys = {key for change in webhook.changes for key in change.routes}
        routes = postgres.run_read(
            self._pool, lambda conn: self._routes.find(conn, keys), timeout_s=_SLICE_TIMEOUT_S
        )
        [part] = _parts(webhook, routes)
        told = _events(webhook, part, routes)
        # Every slice counts its new messages there; how far the history has come the last one says.
        chunks = [item for item in told if isinstance(item, Chunk)]
        counting = [
            msgspec.structs.replace(chunk, phase=None, chunk_order=None, progress=None, declined=None)
            for chunk in chunks
        ]
        others = [item for item in told if not isinstance(item, Chunk)]
        outcome = Outcome()
        for start in range(0, max(len(others), 1), _SLICE_ITEMS):
            is_last = start + _SLICE_ITEMS >= len(others)
            items: list[_Told] = [
                *others[start : start + _SLICE_ITEMS],
                *(chunks if is_last else counting),
            ]

            def work(conn: postgres.Transaction, items: list[_Told] = items) -> tuple[Outcome, list[Fault]]:
                attempt = Outcome()
                faults = self._write_what_can_be(conn, items, attempt, route_flag)
                on_slice(conn)
                return attempt, faults

            done, faults = postgres.run_transaction(self._pool, work, timeout_s=_SLICE_TIMEOUT_S)
            part.faults += faults
            outcome.inserted += done.inserted
            self._told(done)
            time.sleep(_PAUSE_S)

        def end(conn: postgres.Transaction) -> None:
            _keep(conn, webhook, [part], [webhook.webhook.body])
            on_slice(conn)

        postgres.run_transaction(self._pool, end, timeout_s=_SLICE_TIMEOUT_S)
        outcome.states[row.id] = part.state()
        return outcome

    def _write_what_can_be(
        self, conn: postgres.Transaction, items: Sequence[_Told], outcome: Outcome, route_flag: int
    ) -> list[Fault]:
        """Write all items, or each alone when something among them is poison; give what was refused."""
        try:
            with conn.transaction():
                self._write(conn, items, outcome, route_flag=route_flag)
                return []
        except postgres.Retry:
            raise
        except Exception as error:
            if isinstance(error, postgres.Error) and not postgres.blames_the_data(error):
                raise
            log.exception("slice_not_applied")
        outcome.inserted = []
        refused: list[Fault] = []
        for item in items:
            try:
                with conn.transaction():
                    self._write(conn, [item], outcome, route_flag=route_flag)
            except postgres.Retry:
                raise
            except Exception as error:
                if isinstance(error, postgres.Error) and not postgres.blames_the_data(error):
                    raise
                refused.append(Fault(item.path, f"not applied: {type(error).__name__}"))
        return refused

    def _write(
        self, conn: postgres.Transaction, found: Sequence[_Told], outcome: Outcome, *, route_flag: int
    ) -> None:
        """Write what the events say: leads, conversations, tickets, messages, and the jobs that follow."""
        told = [item for item in found if isinstance(item, Event | Sighting)]
        people = _resolve(conn, told)
        messages = fold.fold(_told_apart(conn, [*_attributed(told, people, route_flag)], people))
        inserted = store.insert_messages(conn, messages)
        new = [message for message in messages if (message.tenant_id, message.id) in inserted]
        known = [message for message in messages if (message.tenant_id, message.id) not in inserted]
        shifts = _merge_into_existing(conn, known, people, route_flag) if known else _Shifts()
        if shifts.changed_hands:
            # Those that a message left are counted again below: all locks in one order.
            store.hold_leads(conn, shifts.changed_hands | people.keys(told))
        now = self._clock()
        outcome.inserted += new
        told_live = [
            message for message in shifts.changed if (message.tenant_id, message.id) in shifts.went_live
        ]
        arrived = {(message.tenant_id, message.id) for message in [*new, *told_live]}
        leads = store.upsert_leads(conn, _lead_changes(told, people, new, arrived)) if told else {}
        if any(lead.is_merged for lead in leads.values()):
            raise postgres.Retry
        if people.new_identifiers and store.insert_identifiers(conn, people.new_identifiers) < len(
            people.new_identifiers
        ):
            # Another batch has just met one of these people: see them as it left them.
            raise postgres.Retry
        changes = _conversation_changes(_openers(told, people), messages, new)
        conversations = store.upsert_conversations(conn, changes)
        # What came before its conversation, as history that could not be rendered, counts from now on, and
        # what is in none does not count.
        begun = {(tenant_id, lead) for (tenant_id, lead, _), state in conversations.items() if state.is_new}
        shifts.changed_hands |= begun - people.new
        shifts.changed_hands |= {
            (row.tenant_id, row.lead_id)
            for row in changes
            if row.message_count and (row.tenant_id, row.lead_id, row.instance_id) not in conversations
        }
        _note_to_examine(conn, [*_may_be_answered(new, conversations), *shifts.told_anew], now)
        if shifts.lost_question:
            store.note_texts_of_leads(conn, shifts.lost_question)
        _open_tickets(conn, people, leads)
        outcome.has_outbox_rows |= _start_enrichment(conn, messages, new, leads, now)
        outcome.has_outbox_rows |= _ask_for_merges(conn, people)
        outcome.has_outbox_rows |= _compare_imports_again(conn, messages)
        instances.note_facts(conn, [item for item in found if isinstance(item, Notice)])
        instances.note_histories(conn, [item for item in found if isinstance(item, Chunk)], new, now)
        for tenant_id, lead_id in sorted(shifts.changed_hands):
            store.recount_lead(conn, tenant_id=tenant_id, lead_id=lead_id)
            # Whom a weaker route named by mistake is in no conversation, as if all had been told at once.
            store.delete_empty_conversations(conn, tenant_id=tenant_id, lead_id=lead_id)
        for tenant_id, lead_id in sorted(shifts.moved_in_time - shifts.changed_hands):
            store.refresh_dates(conn, tenant_id=tenant_id, lead_id=lead_id)
        touches = _touches([*new, *shifts.changed], shifts.changed_hands, told, people)
        if touches:
            store.insert_changes(conn, touches)


class _Poison(Exception):
    """Something in the batch cannot be written, now or ever."""


class _RouteCache:
    def __init__(self) -> None:
        self._routes: dict[store.RouteKey, tuple[store.Route, float]] = {}
        self._lock = threading.Lock()

    def find(
        self, conn: postgres.Transaction, keys: Collection[store.RouteKey]
    ) -> dict[store.RouteKey, store.Route]:
        now = time.monotonic()
        with self._lock:
            found = {key: known[0] for key in keys if (known := self._routes.get(key)) and known[1] > now}
        missing = keys - found.keys()
        if missing:
            fresh = store.find_routes(conn, missing)
            with self._lock:
                for key, route in fresh.items():
                    self._routes[key] = (route, now + _ROUTE_CACHE_S)
            found.update(fresh)
        return found

    def forget(self) -> None:
        with self._lock:
            self._routes.clear()


# Reading


def read(webhook: Webhook) -> Read:
    """Take a webhook apart into its changes. Whatever is wrong with it is noted, never raised."""
    if webhook.kept_by is None and payload.is_slow_to_read(webhook.body):
        # Nothing that Meta sends is like it. It is kept as it is, and read by the sweeper as what waits for
        # its number is; what names no number only on demand.
        awaits = frozenset(":".join(key) for key in payload.routes_named(webhook.body))
        unread = [] if awaits else [Fault("", "not read: millions of parts, and no number or account named")]
        return Read(webhook, [], unread, awaits)
    changes: list[Change] = []
    faults: list[Fault] = []
    try:
        envelope = payload.decode(webhook.body)
        if "entry" not in envelope and ("metadata" in envelope or "value" in envelope):
            # A value or a change without its envelope, as Meta prints a declined history.
            change = envelope if "value" in envelope else {"value": envelope}
            return Read(webhook, [_change({}, change, "", 0, 0)], [])
        if "entry" not in envelope:
            raise payload.Malformed("entry", "missing")
        entries = payload.as_array(envelope["entry"], "entry")
    except payload.Malformed as error:
        return Read(webhook, [], [Fault(error.path, error.reason)])
    for entry_index, entry in enumerate(entries):
        path = f"entry[{entry_index}]"
        try:
            holder = payload.as_object(entry, path)
            for change_index, change in enumerate(payload.array_in(holder, "changes", path)):
                at = f"{path}.changes[{change_index}]"
                try:
                    changes.append(_change(holder, change, at, entry_index, change_index))
                except payload.Malformed as error:
                    faults.append(Fault(error.path, error.reason))
        except payload.Malformed as error:
            faults.append(Fault(error.path, error.reason))
    return Read(webhook, changes, faults)


def _change(entry: payload.Object, raw: object, path: str, entry_index: int, change_index: int) -> Change:
    change = payload.as_object(raw, path)
    at = f"{path}.value".lstrip(".")
    if "value" not in change:
        raise payload.Malformed(at, "missing")
    value = payload.as_object(change["value"], at)
    field = change.get("field")
    return Change(
        str(told) if isinstance(told := entry.get("id"), str | int) else "",
        entry.get("time"),
        field if isinstance(field, str) else "",
        value,
        at,
        entry_index,
        change_index,
        tuple(
            (kind, external_id)
            for kind, told in _addresses(entry, value)
            # A number is as good as its digits.
            if isinstance(external_id := str(told) if type(told) is int else told, str)
            and len(external_id) <= identity.IDENTIFIER_CHARS_MAX
        ),
    )


def _addresses(entry: payload.Object, value: payload.Object) -> list[tuple[str, object]]:
    metadata = value.get("metadata")
    number = cast("payload.Object", metadata).get("phone_number_id") if isinstance(metadata, dict) else None
    if number is not None:
        return [("phone_number", number)]
    # Fields about the account carry no metadata. The entry's id is the WABA's; of a few events it is the
    # business portfolio's, and the value names the WABA (Meta, "account_update webhook reference").
    account_info = value.get("waba_info")
    named = cast("payload.Object", account_info).get("waba_id") if isinstance(account_info, dict) else None
    return [("waba", entry.get("id")), *([("waba", named)] if named is not None else [])]


def _parts(webhook: Read, routes: Mapping[store.RouteKey, store.Route]) -> list[_Part]:
    """Divide the changes among the tenants they belong to; at least one part, the first takes the faults."""
    parts: dict[int, _Part] = {}
    for change in webhook.changes:
        found_route = change.route(routes, webhook.webhook.kept_by)
        owner = found_route[1].tenant_id if found_route else webhook.webhook.kept_by or store.NO_TENANT
        part = parts.setdefault(owner, _Part(owner, [], [], set()))
        part.changes.append(change)
        if not change.routes:
            part.faults.append(Fault(change.path, "says neither a phone_number_id nor an account id"))
        elif found_route is None and owner != store.NO_TENANT:
            part.faults.append(Fault(change.path, "about a number that is not registered any more"))
        elif found_route is None:
            part.awaits |= {":".join(key) for key in change.routes}
    if not parts:
        owner = webhook.webhook.kept_by or store.NO_TENANT
        parts[store.NO_TENANT] = _Part(owner, [], [], set(webhook.awaits))
    found = list(parts.values())
    found[0].faults += webhook.faults
    return found


def batch_of(
    webhook: Webhook, change: Change, routes: Mapping[store.RouteKey, store.Route]
) -> events.Batch | None:
    """Say as whose webhook a change is read; None while that is not known."""
    found = change.route(routes, webhook.kept_by)
    if found is None:
        return None
    (_, external_id), route = found
    return events.Batch(
        webhook.id,
        webhook.received_at,
        route.tenant_id,
        account_id=route.instance.waba_id if route.instance else external_id,
        # A number may be another account's by now: what an entry says of itself does not change.
        sender_id=change.entry_id or route.instance.waba_id if route.instance else external_id,
        instance=route.instance,
        entry_time=change.entry_time,
    )


def _events(webhook: Read, part: _Part, routes: Mapping[store.RouteKey, store.Route]) -> list[_Told]:
    found: list[_Told] = []
    for change in part.changes:
        batch = batch_of(webhook.webhook, change, routes)
        if batch is None:
            continue
        for item in events.normalise(batch, change.field, change.value, change.path):
            if isinstance(item, Fault):
                part.faults.append(item)
            else:
                found.append(item)
    part.events_count = len(found)
    return found


class _Kept(NamedTuple):
    """The ledger rows of a webhook, and which of them are to be inserted."""

    every: list[store.LedgerRow]
    new: list[store.LedgerRow]


def ask_to_apply(conn: postgres.Transaction, pending: Sequence[store.LeadKey]) -> None:
    """Ask for the webhooks that are only kept, by (tenant, batch), to be applied, each by a job."""
    names = store.tenant_names(conn, {tenant_id for tenant_id, _ in pending})
    store.insert_outbox_rows(
        conn,
        [
            store.OutboxRow(
                tenant_id,
                batch_id,
                jobs.APPLY_WEBHOOK.name,
                {"tenant": names[tenant_id], "batch_id": str(batch_id)},
            )
            for tenant_id, batch_id in pending
        ],
    )


def _keep(
    conn: postgres.Transaction, webhook: Read, parts: Sequence[_Part], bodies: Sequence[bytes]
) -> _Kept:
    """Make the ledger rows, one per part and tenant: those that are somebody's have the webhook's id.

    A row that is kept already is updated here, or removed when its parts take its place.
    """
    source = webhook.webhook
    rows: list[store.LedgerRow] = []
    for part, body in zip(parts, bodies, strict=True):
        dictionary, compressed = ledger.compress(body)
        # What is nobody's yet may become a tenant's that has another part of it: it is a batch of its own.
        is_whole = len(parts) == 1 or part.tenant_id != store.NO_TENANT
        rows.append(
            store.LedgerRow(
                tenant_id=part.tenant_id,
                id=source.id if is_whole else uuid7(source.received_at),
                received_at=source.received_at,
                state=part.state(),
                dictionary_id=dictionary,
                body_bytes=len(body),
                sha256=hashlib.sha256(body).digest(),
                body=compressed,
                parser_version=ledger.PARSER_VERSION,
                awaits=sorted(part.awaits) or None,
                error=_error(part.faults),
            )
        )
    if source.kept_by is None:
        return _Kept(rows, rows)
    if len(rows) == 1 and rows[0].tenant_id == source.kept_by:
        store.update_ledger_row(conn, rows[0])
        return _Kept(rows, [])
    store.delete_ledger_row(conn, tenant_id=source.kept_by, id=source.id)
    return _Kept(rows, rows)


def _bodies(webhook: Read, parts: Sequence[_Part]) -> list[bytes]:
    body = webhook.webhook.body
    if len(parts) == 1:
        return [body]
    owners = {
        (change.entry_index, change.change_index): number
        for number, part in enumerate(parts)
        for change in part.changes
    }
    # A change that could not be read stays with the first part, which lists it.
    shares = ledger.divide(payload.readable(body), lambda entry, change: owners.get((entry, change), 0))
    return [shares[number] for number in range(len(parts))]


def _error(faults: Sequence[Fault]) -> str | None:
    listed = [*faults[:_FAULTS_MAX]]
    if len(faults) > _FAULTS_MAX:
        listed.append(Fault("", f"and {len(faults) - _FAULTS_MAX} more"))
    return msgspec.json.encode(listed).decode() if listed else None


# Who


class _People(msgspec.Struct):
    leads: list[uuid.UUID | None]
    """Of each item, in their order."""
    new: set[store.LeadKey]
    unmet: set[store.LeadKey]
    """Those without a conversation so far: what they write is a first contact."""
    new_identifiers: dict[store.IdentifierKey, uuid.UUID]
    same: set[tuple[int, uuid.UUID, uuid.UUID]]
    """Leads that one item names together: they are one person."""
    ticket_candidates: dict[store.LeadKey, uuid.UUID] = {}

    def keys(self, told: Sequence[Event | Sighting]) -> set[store.LeadKey]:
        return {(_tenant_of(item), lead) for item, lead in zip(told, self.leads, strict=True) if lead}


def _tenant_of(item: Event | Sighting) -> int:
    return item.message.tenant_id if isinstance(item, Event) else item.tenant_id


def _batch_of(item: Event | Sighting) -> uuid.UUID:
    return item.message.batch_id if isinstance(item, Event) else item.batch_id


def _resolve(conn: postgres.Transaction, told: Sequence[Event | Sighting]) -> _People:
    """Say which lead each item speaks of. The most trusted identifier that is known decides."""
    keys: list[list[store.IdentifierKey]] = []
    for item in told:
        tenant_id = _tenant_of(item)
        identifiers = item.person.identifiers() if item.person else ()
        keys.append([(tenant_id, kind, value) for kind, value in identifiers])
    wanted = {key for of_item in keys for key in of_item}
    kept = store.find_leads(conn, wanted) if wanted else {}
    known = {key: lead.id for key, lead in kept.items()}
    people = _People(
        [], set(), {(key[0], lead.id) for key, lead in kept.items() if not lead.is_met}, {}, set()
    )
    for item, of_item in zip(told, keys, strict=True):
        if not of_item:
            people.leads.append(None)
            continue
        tenant_id, kind, value = of_item[0]
        named = list(dict.fromkeys(known[key] for key in of_item if key in known))
        lead = named[0] if named else ids.begun_by(_batch_of(item), "lead", kind, value)
        if not named:
            people.new.add((tenant_id, lead))
            people.unmet.add((tenant_id, lead))
        people.same |= {(tenant_id, lead, other) for other in named[1:]}
        for key in of_item:
            if key not in known:
                known[key] = people.new_identifiers[key] = lead
        people.leads.append(lead)
    return people


def _attributed(told: Sequence[Event | Sighting], people: _People, route_flag: int) -> Iterable[fold.Message]:
    first_batches = _first_batches(told, people)
    for item, lead_id in zip(told, people.leads, strict=True):
        if isinstance(item, Sighting):
            continue
        message = item.message
        is_act = fold.is_act(message)
        yield msgspec.structs.replace(
            message,
            **fold.placed(is_act, lead_id),
            sources=message.sources | route_flag,
            content_version=ledger.PARSER_VERSION,
            party_version=ledger.PARSER_VERSION,
            # A status that comes before its message meets the person just as well.
            is_sync_initial=bool(message.sources & (fold.LIVE | fold.STATUS))
            and not is_act
            and lead_id is not None
            and first_batches.get((message.tenant_id, lead_id)) == message.batch_id,
        )


def _told_apart(
    conn: postgres.Transaction, messages: Sequence[fold.Message], people: _People
) -> Sequence[fold.Message]:
    """Where one message is said to be of two leads, give the means to choose that depend on no order.

    That is what the leads are known by; their ids are of the time at which they came.
    """
    named: dict[store.LeadKey, set[uuid.UUID]] = {}
    for message in messages:
        if lead_id := message.lead_id or message.act_lead_id:
            named.setdefault((message.tenant_id, message.id), set()).add(lead_id)
    disputed = {(key[0], lead) for key, leads in named.items() if len(leads) > 1 for lead in leads}
    if not disputed:
        return messages
    known = store.identifiers_of_leads(conn, disputed)
    for (tenant_id, kind, value), lead in people.new_identifiers.items():
        known.setdefault((tenant_id, lead), []).append((kind, value))
    return [
        msgspec.structs.replace(
            message,
            party=identity.surest(
                known.get((message.tenant_id, message.lead_id or message.act_lead_id or _NO_LEAD), ())
            ),
        )
        for message in messages
    ]


def _first_batches(told: Sequence[Event | Sighting], people: _People) -> dict[store.LeadKey, uuid.UUID]:
    """Say by which webhook each person without a conversation is met: the first, of many applied at once."""
    first: dict[store.LeadKey, uuid.UUID] = {}
    if not people.unmet:
        return first
    for item, lead_id in zip(told, people.leads, strict=True):
        if isinstance(item, Event) and lead_id and item.opens_conversation:
            key = (item.message.tenant_id, lead_id)
            if key in people.unmet and not fold.is_act(item.message):
                first[key] = min(first.get(key, item.message.batch_id), item.message.batch_id)
    return first


_ConversationKey: TypeAlias = tuple[int, uuid.UUID, int]
"""(tenant, lead, instance)"""


def _openers(told: Sequence[Event | Sighting], people: _People) -> set[_ConversationKey]:
    """Say which conversations there is reason to open."""
    return {
        (item.message.tenant_id, lead_id, item.message.instance_id)
        for item, lead_id in zip(told, people.leads, strict=True)
        if isinstance(item, Event)
        and lead_id is not None
        and item.opens_conversation
        and not fold.is_act(item.message)
    }


def _compare_imports_again(conn: postgres.Transaction, messages: Sequence[fold.Message]) -> bool:
    """Have exported chats compared with a history that came after them: what both have is there once."""
    leads = {
        (message.tenant_id, message.lead_id)
        for message in messages
        if message.lead_id and message.sources & fold.HISTORY
    }
    reopened = store.reopen_imports(conn, sorted(leads)) if leads else []
    if not reopened:
        return False
    names = store.tenant_names(conn, {tenant_id for tenant_id, _ in reopened})
    store.insert_outbox_rows(
        conn,
        [
            store.OutboxRow(
                tenant_id,
                sync_id,
                jobs.RUN_SYNC.name,
                {"tenant": names[tenant_id], "sync_id": str(sync_id)},
            )
            for tenant_id, sync_id in reopened
        ],
    )
    return True


def _ask_for_merges(conn: postgres.Transaction, people: _People) -> bool:
    """Ask for the leads that are proven to be one person to be merged, as a job."""
    pairs = [
        pair
        for pair in sorted(people.same)
        if not store.were_parted(conn, tenant_id=pair[0], first=pair[1], second=pair[2])
    ]
    if not pairs:
        return False
    names = store.tenant_names(conn, {tenant_id for tenant_id, _, _ in pairs})
    store.insert_outbox_rows(
        conn,
        [
            store.OutboxRow(
                tenant_id,
                ids.merge_id(first, second),
                jobs.MERGE_LEADS.name,
                {
                    "tenant": names[tenant_id],
                    "lead_id": str(first),
                    "other_lead_id": str(second),
                    "outbox_id": str(ids.merge_id(first, second)),
                },
            )
            for tenant_id, first, second in pairs
        ],
    )
    return True


# Writing


class _Shifts(msgspec.Struct):
    """Leads whose counters a merge has made untrue."""

    moved_in_time: set[store.LeadKey] = set()
    changed_hands: set[store.LeadKey] = set()
    changed: list[fold.Message] = []
    """The merged rows."""
    went_live: set[store.LeadKey] = set()
    """Messages of which only others had spoken so far."""
    told_anew: list[fold.Message] = []
    """Those of which the rules for patterns see something else now."""
    lost_question: set[store.LeadKey] = set()
    """Leads that did not write, or not then, what texts may answer."""


def _merge_into_existing(
    conn: postgres.Transaction, messages: Sequence[fold.Message], people: _People, route_flag: int
) -> _Shifts:
    """Merge into rows that exist.

    `route_flag` marks what only a recovery brought; these rows were there before it.
    """
    existing = {
        (row.tenant_id, row.id): row
        for row in store.lock_messages(conn, [(message.tenant_id, message.id) for message in messages])
    }
    # Nothing here is only a recovery's, nor the first of its person.
    told_again = [
        msgspec.structs.replace(message, sources=message.sources & ~route_flag, is_sync_initial=False)
        for message in messages
    ]
    folded = fold.fold(_told_apart(conn, [*existing.values(), *told_again], people))
    shifts = _Shifts()
    for told, merged in zip(told_again, folded, strict=True):
        row = existing[told.tenant_id, told.id]
        if told.lead_id and told.lead_id != merged.lead_id:
            # Whom it names is believed of another route: this message is no reason to list them.
            shifts.changed_hands.add((row.tenant_id, told.lead_id))
        if merged == row:
            continue
        shifts.changed.append(merged)
        if patterns.sees_otherwise(row, merged):
            shifts.told_anew.append(merged)
            if patterns.view(row) and row.lead_id and row.direction == fold.INBOUND:
                shifts.lost_question.add((row.tenant_id, row.lead_id))
        if merged.sources & fold.LIVE and not row.sources & fold.LIVE:
            shifts.went_live.add((row.tenant_id, row.id))
        if merged.lead_id != row.lead_id:
            shifts.changed_hands |= {(row.tenant_id, lead) for lead in (row.lead_id, merged.lead_id) if lead}
        elif merged.sent_at != row.sent_at and merged.lead_id:
            shifts.moved_in_time.add((row.tenant_id, merged.lead_id))
    if shifts.changed:
        store.update_messages(conn, shifts.changed)
    return shifts


def _may_be_answered(
    new: Sequence[fold.Message], conversations: Mapping[_ConversationKey, store.ConversationState]
) -> Iterator[fold.Message]:
    """Leave out what somebody wrote after all that is known of the conversation: nothing answers it yet."""
    for message in new:
        if message.direction == fold.INBOUND and message.lead_id:
            state = conversations.get((message.tenant_id, message.lead_id, message.instance_id))
            last_at = state and state.last_message_at_before
            if last_at and last_at < message.sent_at:
                continue
        yield message


def _note_to_examine(conn: postgres.Transaction, told: Sequence[fold.Message], now: datetime) -> None:
    """Have those examined for patterns that are told too late for the sweeper to come by them."""
    late = [message for message in told if patterns.is_late(message, now) and patterns.view(message)]
    if late:
        store.note_to_examine(
            conn, [(message.tenant_id, message.instance_id, message.id) for message in late]
        )


def _touches(
    messages: Iterable[fold.Message],
    changed_hands: Collection[store.LeadKey],
    told: Sequence[Event | Sighting],
    people: _People,
) -> list[store.LeadTouch]:
    """Say what to tell those who watch: messages by their lead, and the leads that changed themselves."""
    of_leads: dict[store.LeadKey, list[uuid.UUID]] = {}
    for message in messages:
        if message.lead_id:
            of_leads.setdefault((message.tenant_id, message.lead_id), []).append(message.id)
    themselves = {*changed_hands} | {
        (_tenant_of(item), lead_id)
        for item, lead_id in zip(told, people.leads, strict=True)
        if lead_id and isinstance(item, Sighting)
    }
    return [
        store.LeadTouch(*key, of_leads.get(key, []), key in themselves)
        for key in sorted(of_leads.keys() | themselves)
    ]


def _lead_changes(
    told: Sequence[Event | Sighting],
    people: _People,
    new: Sequence[fold.Message],
    arrived: Collection[store.LeadKey],
) -> list[store.LeadChange]:
    """`arrived` names the messages that nobody had told live."""
    changes: dict[store.LeadKey, store.LeadChange] = {}
    openers = _openers_of_tickets(told, arrived)
    for item, lead_id in zip(told, people.leads, strict=True):
        if lead_id is None or item.person is None:
            continue
        tenant_id, person = _tenant_of(item), item.person
        change = changes.get((tenant_id, lead_id))
        if change is None:
            change = changes[tenant_id, lead_id] = store.LeadChange(
                tenant_id=tenant_id,
                id=lead_id,
                kind="group" if person.group else "person",
                created_at=moment_of(lead_id),
            )
        change.hear(person)
        if isinstance(item, Event) and item is openers.get((tenant_id, item.message.id)):
            # By the message: whether its lead has become part of another by then is chance.
            ticket = ids.begun_by(item.message.batch_id, "ticket", str(item.message.id))
            change.open_ticket_id = min(change.open_ticket_id or ticket, ticket)
            people.ticket_candidates[tenant_id, lead_id] = change.open_ticket_id
    for message in new:
        if message.lead_id:
            _count(changes[message.tenant_id, message.lead_id], message)
    return [changes[key] for key in sorted(changes)]


def _openers_of_tickets(
    told: Sequence[Event | Sighting], arrived: Collection[store.LeadKey]
) -> dict[store.LeadKey, Event]:
    """Give of each message that `arrived` how it was told live first, when that opens a ticket.

    What is told again opens nothing: its ticket may have been closed since. What is told together is told
    again as well: which webhooks are applied at once is chance, and other in a replay.
    """
    first: dict[store.LeadKey, Event] = {}
    for item in told:
        if isinstance(item, Event) and item.message.sources & fold.LIVE:
            key = (item.message.tenant_id, item.message.id)
            if key in arrived:
                first.setdefault(key, item)
    return {key: item for key, item in first.items() if _asks_for_service(item.message)}


def _asks_for_service(message: fold.Message) -> bool:
    """Tell whether somebody wrote: not what WhatsApp says of them, nor what they did to another message."""
    is_live = message.direction == fold.INBOUND and bool(message.sources & fold.LIVE)
    return is_live and message.type != "system" and not fold.is_act(message)


def _conversation_changes(
    openers: Collection[_ConversationKey],
    messages: Sequence[fold.Message],
    new: Sequence[fold.Message],
) -> list[store.ConversationChange]:
    changes: dict[_ConversationKey, store.ConversationChange] = {}
    for message in messages:
        if message.lead_id is None:
            continue
        key = (message.tenant_id, message.lead_id, message.instance_id)
        if key not in changes:
            changes[key] = store.ConversationChange(
                tenant_id=message.tenant_id,
                lead_id=message.lead_id,
                instance_id=message.instance_id,
                id=ids.conversation_id(message.lead_id, message.instance_id),
                is_opened=key in openers,
            )
    for message in new:
        if message.lead_id:
            _count(changes[message.tenant_id, message.lead_id, message.instance_id], message)
    return [changes[key] for key in sorted(changes)]


def _count(change: store.LeadChange | store.ConversationChange, message: fold.Message) -> None:
    change.message_count += 1
    first, last = change.first_message_at, change.last_message_at
    change.first_message_at = min(first, message.sent_at) if first else message.sent_at
    change.last_message_at = max(last, message.sent_at) if last else message.sent_at


def _open_tickets(
    conn: postgres.Transaction,
    people: _People,
    leads: Mapping[store.LeadKey, store.LeadState],
) -> None:
    """Insert the tickets whose candidates became the open ones of their leads."""
    opened = [
        (key, ticket)
        for key, ticket in people.ticket_candidates.items()
        if leads[key].open_ticket_id == ticket
    ]
    if opened:
        store.insert_tickets(conn, opened)


def _start_enrichment(
    conn: postgres.Transaction,
    messages: Sequence[fold.Message],
    new: Sequence[fold.Message],
    leads: Mapping[store.LeadKey, store.LeadState],
    now: datetime,
) -> bool:
    """Note the first contact of everyone who was met live, if by a reaction, and ask for their profile.

    Also of one whom a history brought before: which of the two came first is chance. Of one who was asked
    for without a number, and has one by now, it is asked for again: it is by numbers that Meta is asked.
    """
    counts = {
        (message.tenant_id, lead_id): 0
        for message in messages
        if (lead_id := message.lead_id or message.act_lead_id)
        and message.sources & (fold.LIVE | fold.STATUS)
        and not leads[message.tenant_id, lead_id].is_asked_for
    }
    for message in new:
        if message.lead_id and message.is_sync_initial and (message.tenant_id, message.lead_id) in counts:
            counts[message.tenant_id, message.lead_id] += 1
    if not counts:
        return False
    asked = [store.NewSync(tenant_id, uuid7(now), lead_id, n) for (tenant_id, lead_id), n in counts.items()]
    begun = store.insert_initial_syncs(conn, asked)
    names = store.tenant_names(conn, {sync.tenant_id for sync in asked})
    rows: list[store.OutboxRow] = []
    for sync in asked:
        id = sync.id if sync.id in begun else ids.begun_by(sync.lead_id, "profile")
        arguments = {"tenant": names[sync.tenant_id], "lead_id": str(sync.lead_id), "outbox_id": str(id)}
        rows.append(store.OutboxRow(sync.tenant_id, id, jobs.ENRICH_LEAD.name, arguments))
    store.insert_outbox_rows(conn, rows)
    return True
