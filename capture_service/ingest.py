"""Ingest: webhooks become ledger rows, leads and messages, in one transaction for all of them.

The same path serves new webhooks and the replay of kept ones; only what happens to the ledger row
differs. Applying a webhook again changes nothing, so every retry is safe.
"""

import hashlib
import logging
import threading
import time
import uuid
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Final, cast

import msgspec

from capture_service import events, fold, identity, ledger, payload, store
from capture_service.events import Event, Fault
from capture_service.ids import uuid7
from plumbing import errors, postgres
from protos import jobs

log = logging.getLogger(__name__)

# A number's registration never moves to another tenant; this bounds how long a changed display
# number goes unnoticed. That a number is not registered is never remembered.
_ROUTE_CACHE_S: Final = 60.0

Clock = Callable[[], datetime]


class Webhook(msgspec.Struct, frozen=True):
    """One webhook to apply."""

    id: uuid.UUID
    received_at: datetime
    body: bytes
    kept_by: int | None = None
    """The tenant whose ledger row it is already; None when it has just come."""


class Outcome(msgspec.Struct):
    """What applying webhooks did."""

    states: dict[uuid.UUID, str] = {}
    """Of each webhook's first part, by the webhook's id."""
    inserted: list[fold.Message] = []
    has_outbox_rows: bool = False


class _Change(msgspec.Struct, frozen=True):
    field: str
    value: payload.Object
    path: str
    entry_index: int
    change_index: int
    route: store.RouteKey | None


class _Read(msgspec.Struct, frozen=True):
    """A webhook as far as it can be read without knowing whose it is."""

    webhook: Webhook
    changes: list[_Change]
    faults: list[Fault]


class _Part(msgspec.Struct):
    """What of a webhook belongs to one tenant: one ledger row."""

    tenant_id: int
    changes: list[_Change] = []
    faults: list[Fault] = []
    awaits: set[str] = set()
    events_count: int = 0

    def state(self) -> str:
        if self.awaits:
            return "unrouted"
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

    def accept(
        self, bodies: Sequence[tuple[bytes, datetime]], *, timeout_s: float
    ) -> list[tuple[uuid.UUID, str]]:
        """Keep and apply webhooks that have just come; give (batch id, ledger state) of each.

        Returns after the commit. Raises errors.Unavailable or errors.DeadlineExceeded when
        PostgreSQL is away: then nothing may have been kept, and the sender must try again.
        """
        webhooks = [Webhook(uuid7(received_at), received_at, body) for body, received_at in bodies]
        outcome = Outcome()
        self._apply_isolating([read(webhook) for webhook in webhooks], outcome, time.monotonic() + timeout_s)
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
                    self._apply_item_by_item(conn, webhook, outcome, route_flag=route_flag)
            if then:
                then(conn, outcome)
            return kept, outcome

        kept, outcome = postgres.run_transaction(self._pool, work, timeout_s=timeout_s)
        self._told(outcome)
        return kept, outcome

    def _apply_isolating(self, reads: Sequence[_Read], outcome: Outcome, deadline: float) -> None:
        """Apply in one transaction; what makes it fail is sought by halving and kept as failed."""

        def together(conn: postgres.Transaction) -> Outcome:
            attempt = Outcome()
            self._apply(conn, reads, attempt)
            return attempt

        def alone(conn: postgres.Transaction) -> Outcome:
            attempt = Outcome()
            self._apply_item_by_item(conn, reads[0], attempt)
            return attempt

        def kept(conn: postgres.Transaction) -> Outcome:
            # Each item can be written, all of them cannot: a bug, and no reason to lose the webhook.
            attempt = Outcome()
            refused: dict[str, str] = {}
            self._apply(
                conn,
                reads,
                attempt,
                trial=lambda found: refused.update({event.path: "not applied" for event in found}),
                refused=refused,
            )
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
            try:
                done = postgres.run_transaction(self._pool, alone, timeout_s=deadline - time.monotonic())
            except _Poison:
                done = postgres.run_transaction(self._pool, kept, timeout_s=deadline - time.monotonic())
        self._told(done)
        outcome.states.update(done.states)

    def _told(self, outcome: Outcome) -> None:
        if outcome.has_outbox_rows:
            self._on_outbox()

    def _apply_item_by_item(
        self, conn: postgres.Transaction, webhook: _Read, outcome: Outcome, *, route_flag: int = 0
    ) -> None:
        """Apply a webhook of which some item is poison: each item is tried alone, the bad ones noted."""
        refused: dict[str, str] = {}

        def attempt(found: list[Event]) -> None:
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

    def _apply(
        self,
        conn: postgres.Transaction,
        reads: Sequence[_Read],
        outcome: Outcome,
        *,
        route_flag: int = 0,
        trial: Callable[[list[Event]], None] | None = None,
        refused: Mapping[str, str] | None = None,
    ) -> None:
        routes = self._routes.find(
            conn, {change.route for r in reads for change in r.changes if change.route}
        )
        found: list[Event] = []
        new_rows: list[store.LedgerRow] = []
        for webhook in reads:
            parts = _parts(webhook, routes)
            events_of: dict[int, list[Event]] = {
                part.tenant_id: _events(webhook, part, routes) for part in parts
            }
            if trial and refused is not None:
                for part in parts:
                    trial(events_of[part.tenant_id])
                    kept = [event for event in events_of[part.tenant_id] if event.path not in refused]
                    part.faults += [
                        Fault(event.path, refused[event.path])
                        for event in events_of[part.tenant_id]
                        if event.path in refused
                    ]
                    events_of[part.tenant_id] = kept
            new_rows += _keep(conn, webhook, parts)
            for part in parts:
                found += events_of[part.tenant_id]
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

    def _write(
        self, conn: postgres.Transaction, found: Sequence[Event], outcome: Outcome, *, route_flag: int
    ) -> None:
        """Write what the events say: leads, conversations, tickets, messages, and the jobs that follow."""
        people = _resolve(conn, found, self._clock)
        messages = fold.fold(_attributed(found, people, route_flag))
        inserted = store.insert_messages(conn, messages)
        new = [message for message in messages if (message.tenant_id, message.id) in inserted]
        known = [message for message in messages if (message.tenant_id, message.id) not in inserted]
        shifts = _merge_into_existing(conn, known, route_flag) if known else _Shifts()
        now = self._clock()
        outcome.inserted += new
        tickets = store.upsert_leads(conn, _lead_changes(found, people, new, now))
        if people.new_identifiers and store.insert_identifiers(conn, people.new_identifiers) < len(
            people.new_identifiers
        ):
            # Another batch has just met one of these people: see them as it left them.
            raise postgres.Retry
        store.upsert_conversations(conn, _conversation_changes(people, messages, new, now))
        _open_tickets(conn, people, tickets, now)
        outcome.has_outbox_rows |= _start_enrichment(conn, people, new, now)
        for tenant_id, lead_id in sorted(shifts.changed_hands):
            store.recount_lead(conn, tenant_id=tenant_id, lead_id=lead_id)
        for tenant_id, lead_id in sorted(shifts.moved_in_time - shifts.changed_hands):
            store.refresh_dates(conn, tenant_id=tenant_id, lead_id=lead_id)


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


# Reading


def read(webhook: Webhook) -> _Read:
    """Take a webhook apart into its changes. Whatever is wrong with it is noted, never raised."""
    changes: list[_Change] = []
    faults: list[Fault] = []
    try:
        envelope = payload.decode(webhook.body)
        if "entry" not in envelope:
            raise payload.Malformed("entry", "missing")
        entries = payload.as_array(envelope["entry"], "entry")
    except payload.Malformed as error:
        return _Read(webhook, [], [Fault(error.path, error.reason)])
    for entry_index, entry in enumerate(entries):
        path = f"entry[{entry_index}]"
        try:
            account = payload.as_object(entry, path)
            for change_index, change in enumerate(payload.array_in(account, "changes", path)):
                try:
                    changes.append(_change(account, change, entry_index, change_index))
                except payload.Malformed as error:
                    faults.append(Fault(error.path, error.reason))
        except payload.Malformed as error:
            faults.append(Fault(error.path, error.reason))
    return _Read(webhook, changes, faults)


def _change(entry: payload.Object, raw: object, entry_index: int, change_index: int) -> _Change:
    path = f"entry[{entry_index}].changes[{change_index}]"
    change = payload.as_object(raw, path)
    if "value" not in change:
        raise payload.Malformed(f"{path}.value", "missing")
    value = payload.as_object(change["value"], f"{path}.value")
    field = change.get("field")
    metadata = value.get("metadata")
    number = cast("payload.Object", metadata).get("phone_number_id") if isinstance(metadata, dict) else None
    # Fields about the account carry no metadata: the entry's id is all there is to route by.
    kind, external_id = ("phone_number", number) if number is not None else ("waba", entry.get("id"))
    return _Change(
        field if isinstance(field, str) else "",
        value,
        f"{path}.value",
        entry_index,
        change_index,
        (kind, external_id)
        if isinstance(external_id, str) and len(external_id) <= identity.IDENTIFIER_CHARS_MAX
        else None,
    )


def _parts(webhook: _Read, routes: Mapping[store.RouteKey, store.Route]) -> list[_Part]:
    """Divide the changes among the tenants they belong to; at least one part, the first takes the faults."""
    parts: dict[int, _Part] = {}
    for change in webhook.changes:
        route = routes.get(change.route) if change.route else None
        owner = route.tenant_id if route else store.NO_TENANT
        part = parts.setdefault(owner, _Part(owner, [], [], set()))
        part.changes.append(change)
        if change.route is None:
            part.faults.append(Fault(change.path, "says neither a phone_number_id nor an account id"))
        elif route is None:
            part.awaits.add(":".join(change.route))
    if not parts:
        parts[store.NO_TENANT] = _Part(webhook.webhook.kept_by or store.NO_TENANT, [], [], set())
    found = list(parts.values())
    found[0].faults += webhook.faults
    return found


def _events(webhook: _Read, part: _Part, routes: Mapping[store.RouteKey, store.Route]) -> list[Event]:
    found: list[Event] = []
    for change in part.changes:
        route = routes.get(change.route) if change.route else None
        if route is None or route.instance is None:
            continue
        batch = events.Batch(webhook.webhook.id, webhook.webhook.received_at, route.instance)
        for item in events.normalise(batch, change.field, change.value, change.path):
            if isinstance(item, Event):
                found.append(item)
            else:
                part.faults.append(item)
    part.events_count = len(found)
    return found


def _keep(conn: postgres.Transaction, webhook: _Read, parts: Sequence[_Part]) -> list[store.LedgerRow]:
    """Make the ledger rows, one per part, and give those to insert. The first keeps the webhook's id.

    A row that is kept already is updated here, or removed when its parts take its place.
    """
    source = webhook.webhook
    bodies = _bodies(webhook, parts)
    rows: list[store.LedgerRow] = []
    for number, (part, body) in enumerate(zip(parts, bodies, strict=True)):
        dictionary, compressed = ledger.compress(body)
        rows.append(
            store.LedgerRow(
                tenant_id=part.tenant_id,
                id=source.id if number == 0 else uuid7(source.received_at),
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
        return rows
    if len(rows) == 1 and rows[0].tenant_id == source.kept_by:
        store.update_ledger_row(conn, rows[0])
        return []
    store.delete_ledger_row(conn, tenant_id=source.kept_by, id=source.id)
    return rows


def _bodies(webhook: _Read, parts: Sequence[_Part]) -> list[bytes]:
    body = webhook.webhook.body
    if len(parts) == 1:
        return [body]
    owners = {
        (change.entry_index, change.change_index): number
        for number, part in enumerate(parts)
        for change in part.changes
    }
    # A change that could not be read stays with the first part, which lists it.
    shares = ledger.divide(body, lambda entry, change: owners.get((entry, change), 0))
    return [shares[number] for number in range(len(parts))]


def _error(faults: Sequence[Fault]) -> str | None:
    return msgspec.json.encode(faults).decode() if faults else None


# Who


class _People(msgspec.Struct):
    leads: list[uuid.UUID | None]
    """Of each event, in their order."""
    new: set[store.LeadKey]
    new_identifiers: dict[store.IdentifierKey, uuid.UUID]
    ticket_candidates: dict[store.LeadKey, uuid.UUID] = {}


def _resolve(conn: postgres.Transaction, found: Sequence[Event], clock: Clock) -> _People:
    """Say which lead each event speaks of. The most trusted identifier that is known decides."""
    keys: list[list[store.IdentifierKey]] = []
    for event in found:
        tenant_id = event.message.tenant_id
        identifiers = event.person.identifiers() if event.person else ()
        keys.append([(tenant_id, kind, value) for kind, value in identifiers])
    wanted = {key for of_event in keys for key in of_event}
    known = store.find_leads(conn, wanted) if wanted else {}
    people = _People([], set(), {})
    for of_event in keys:
        if not of_event:
            people.leads.append(None)
            continue
        lead = next((known[key] for key in of_event if key in known), None)
        if lead is None:
            lead = uuid7(clock())
            people.new.add((of_event[0][0], lead))
        for key in of_event:
            if key not in known:
                known[key] = people.new_identifiers[key] = lead
        people.leads.append(lead)
    return people


def _attributed(found: Sequence[Event], people: _People, route_flag: int) -> Iterable[fold.Message]:
    for event, lead_id in zip(found, people.leads, strict=True):
        message = event.message
        if lead_id is None:
            yield msgspec.structs.replace(message, sources=message.sources | route_flag)
            continue
        yield msgspec.structs.replace(
            message,
            lead_id=lead_id,
            sources=message.sources | route_flag,
            is_sync_initial=bool(message.sources & fold.LIVE) and (message.tenant_id, lead_id) in people.new,
        )


# Writing


class _Shifts(msgspec.Struct):
    """Leads whose counters a merge has made untrue."""

    moved_in_time: set[store.LeadKey] = set()
    changed_hands: set[store.LeadKey] = set()


def _merge_into_existing(
    conn: postgres.Transaction, messages: Sequence[fold.Message], route_flag: int
) -> _Shifts:
    """Merge into rows that exist.

    `route_flag` marks what only a recovery brought; these rows were there before it.
    """
    existing = {
        (row.tenant_id, row.id): row
        for row in store.lock_messages(conn, [(message.tenant_id, message.id) for message in messages])
    }
    changed: list[fold.Message] = []
    shifts = _Shifts()
    for message in messages:
        row = existing[message.tenant_id, message.id]
        told = msgspec.structs.replace(message, sources=message.sources & ~route_flag, is_sync_initial=False)
        merged = fold.merge(row, told)
        if merged == row:
            continue
        changed.append(merged)
        if merged.lead_id != row.lead_id:
            shifts.changed_hands |= {(row.tenant_id, lead) for lead in (row.lead_id, merged.lead_id) if lead}
        elif merged.sent_at != row.sent_at and merged.lead_id:
            shifts.moved_in_time.add((row.tenant_id, merged.lead_id))
    if changed:
        store.update_messages(conn, changed)
    return shifts


def _lead_changes(
    found: Sequence[Event], people: _People, new: Sequence[fold.Message], now: datetime
) -> list[store.LeadChange]:
    changes: dict[store.LeadKey, store.LeadChange] = {}
    for event, lead_id in zip(found, people.leads, strict=True):
        if lead_id is None or event.person is None:
            continue
        tenant_id, person = event.message.tenant_id, event.person
        change = changes.get((tenant_id, lead_id))
        if change is None:
            change = changes[tenant_id, lead_id] = store.LeadChange(
                tenant_id=tenant_id, id=lead_id, kind="group" if person.group else "person"
            )
        change.wa_id = change.wa_id or person.wa_id
        change.user_id = change.user_id or person.bsuid
        if person.name and person.name_at:
            said = (person.name_at, person.name)
            if not (change.profile_name and change.profile_name_at) or said > (
                change.profile_name_at,
                change.profile_name,
            ):
                change.profile_name_at, change.profile_name = said
        change.username = person.username or change.username
        if event.message.direction == fold.INBOUND and event.message.sources & fold.LIVE:
            change.open_ticket_id = change.open_ticket_id or uuid7(now)
    for message in new:
        if message.lead_id:
            _count(changes[message.tenant_id, message.lead_id], message)
    people.ticket_candidates = {
        key: change.open_ticket_id for key, change in changes.items() if change.open_ticket_id
    }
    return [changes[key] for key in sorted(changes)]


def _conversation_changes(
    people: _People, messages: Sequence[fold.Message], new: Sequence[fold.Message], now: datetime
) -> list[store.ConversationChange]:
    changes: dict[tuple[int, uuid.UUID, int], store.ConversationChange] = {}
    for message in messages:
        if message.lead_id and (message.tenant_id, message.lead_id, message.instance_id) not in changes:
            changes[message.tenant_id, message.lead_id, message.instance_id] = store.ConversationChange(
                tenant_id=message.tenant_id,
                lead_id=message.lead_id,
                instance_id=message.instance_id,
                id=uuid7(now),
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
    open_tickets: Mapping[store.LeadKey, uuid.UUID | None],
    now: datetime,
) -> None:
    """Insert the tickets whose candidates became the open ones of their leads."""
    opened = [
        (key, ticket) for key, ticket in people.ticket_candidates.items() if open_tickets[key] == ticket
    ]
    if opened:
        store.insert_tickets(conn, opened, opened_at=now)


def _start_enrichment(
    conn: postgres.Transaction, people: _People, new: Sequence[fold.Message], now: datetime
) -> bool:
    """Note the first contact of every new person who was met live, and ask for their profile."""
    counts: dict[store.LeadKey, int] = {}
    for message in new:
        if message.lead_id and message.is_sync_initial:
            key = (message.tenant_id, message.lead_id)
            counts[key] = counts.get(key, 0) + 1
    if not counts:
        return False
    syncs = [store.NewSync(tenant_id, uuid7(now), lead_id, n) for (tenant_id, lead_id), n in counts.items()]
    store.insert_initial_syncs(conn, syncs)
    names = store.tenant_names(conn, {sync.tenant_id for sync in syncs})
    store.insert_outbox_rows(
        conn,
        [
            store.OutboxRow(
                sync.tenant_id,
                sync.id,
                jobs.ENRICH_LEAD.name,
                {"tenant": names[sync.tenant_id], "lead_id": str(sync.lead_id), "outbox_id": str(sync.id)},
            )
            for sync in syncs
        ],
    )
    return True
