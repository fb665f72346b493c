"""Fills a tenant with messages faster than webhooks could: rows as capture writes them, by COPY.

Half of the messages belong to one lead, the rest to leads of ordinary size; all are interleaved in
time, as they are when people write live, so that a page of one lead is spread over the whole table.
"""

import hashlib
import time
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Final

import msgspec

from capture_service import fold, ledger
from protos import ids
from recado.bench import bodies, store
from recado.bench.target import Target
from recado.sandbox import people, wire
from recado.sandbox.people import Business, Person

_TYPICAL_MESSAGES: Final = 200
_LARGEST_SHARE: Final = 0.5
_CHUNK: Final = 20_000
_SPAN: Final = timedelta(days=365)
_BILLING: Final = fold.document(
    {
        "pricing": {
            "billable": False,
            "category": "service",
            "pricing_model": "PMP",
            "type": "free_customer_service",
        }
    }
)


class Lead(msgspec.Struct, frozen=True):
    id: uuid.UUID
    messages: int


class Loaded(msgspec.Struct, frozen=True):
    tenant: str
    messages: int
    largest: Lead
    typical: list[Lead]
    """Those with pages enough to read, in no order."""
    seconds: float


class _Person(msgspec.Struct):
    person: Person
    id: uuid.UUID
    templates: bodies.Templates
    count: int = 0
    first: datetime | None = None
    last: datetime | None = None


def load(target: Target, conn: store.Conn, *, messages: int, seed: int) -> Loaded:
    """Fill the tenant of this size and seed; one that is full already is used as it is."""
    tenant = f"bench-history-{messages}-{seed}"
    number = f"98{seed % 1000:03d}{messages:010d}"
    business = Business("Bench", f"1{number}", number, "5511955559902")
    instance_id = target.register(business, tenant=tenant)
    tenant_id, instance_key = store.find_instance(conn, business.phone_number_id)
    started = time.monotonic()
    if not store.count_messages(conn, tenant_id=tenant_id):
        # All or nothing: a load that is interrupted leaves no tenant that only looks full.
        with conn.transaction():
            _Loader(conn, business, tenant_id, instance_key, instance_id, seed).fill(messages)
    leads = [Lead(*row) for row in store.list_leads_by_size(conn, tenant_id=tenant_id)]
    return Loaded(
        tenant,
        messages,
        largest=leads[0],
        typical=[lead for lead in leads[1:] if lead.messages >= _TYPICAL_MESSAGES // 2],
        seconds=time.monotonic() - started,
    )


class _Loader:
    def __init__(
        self,
        conn: store.Conn,
        business: Business,
        tenant_id: int,
        instance_key: int,
        instance_id: uuid.UUID,
        seed: int,
    ) -> None:
        self._conn = conn
        self._business = business
        self._tenant_id = tenant_id
        self._instance_key = instance_key
        self._instance_id = instance_id
        self._rng = wire.seeded("bulk", seed, business.phone_number_id)

    def fill(self, messages: int) -> None:
        others = max(1, round(messages * (1 - _LARGEST_SHARE) / _TYPICAL_MESSAGES))
        starts_at = datetime.now(UTC) - _SPAN
        cast = [self._meet(number, starts_at) for number in range(others + 1)]
        for start in range(0, messages, _CHUNK):
            rows: list[bytes] = []
            logs: list[bytes] = []
            for number in range(start, min(start + _CHUNK, messages)):
                which = 0 if self._rng.random() < _LARGEST_SHARE else self._rng.randint(1, others)
                sent_at = (starts_at + number * _SPAN / messages).replace(microsecond=0)
                message, log = self._message(cast[which], sent_at)
                rows.append(message)
                logs.append(log)
            store.copy(self._conn, "whatsapp_messages", rows)
            store.copy(self._conn, "whatsapp_webhook_logs", logs)
        met = [person for person in cast if person.count]
        for table, lines in (
            ("leads", map(self._lead, met)),
            ("lead_identifiers", (line for person in met for line in self._identifiers(person))),
            ("conversations", map(self._conversation, met)),
            ("tickets", map(self._ticket, met)),
        ):
            store.copy(self._conn, table, lines)
        # What stands for years was examined for patterns long ago, not while pages are measured.
        store.note_examined(self._conn, tenant_id=self._tenant_id, to=ids.uuid7(datetime.now(UTC)))

    def _meet(self, number: int, at: datetime) -> _Person:
        person = people.stranger(self._rng, number)
        return _Person(person, ids.uuid7(at), bodies.Templates(self._business, person))

    def _message(self, to: _Person, sent_at: datetime) -> tuple[bytes, bytes]:
        """Give a row of whatsapp_messages and the ledger row it came by."""
        to.count += 1
        to.first, to.last = to.first or sent_at, sent_at
        is_echo = self._rng.random() < 0.45
        wamid = wire.new_wamid(self._rng, to.person, is_from_business=is_echo)
        text = bodies.sentence(self._rng)
        template = to.templates.echo if is_echo else to.templates.inbound
        body = template.fill(wamid, int(sent_at.timestamp()), text)
        received_at = sent_at + timedelta(milliseconds=self._rng.randint(200, 2500))
        batch_id = ids.uuid7(received_at)
        route = fold.ECHO | fold.STATUS if is_echo else fold.WEBHOOK
        message = (
            self._tenant_id,
            self._instance_key,
            ids.message_id(self._instance_id, wamid),
            to.id,
            batch_id,
            sent_at,
            fold.OUTBOUND if is_echo else fold.INBOUND,
            fold.READ if is_echo else fold.DELIVERED,
            route,
            fold.CONTENT_RANKS[fold.ECHO if is_echo else fold.WEBHOOK],
            fold.PARTY_RANKS[fold.WEBHOOK],
            to.count == 1,
            wamid,
            "text",
            text,
            _BILLING if is_echo else None,
            sent_at if is_echo else None,
            sent_at + timedelta(seconds=1) if is_echo else None,
            sent_at + timedelta(seconds=40) if is_echo else None,
        )
        dictionary, compressed = ledger.compress(body)
        log = (
            self._tenant_id,
            batch_id,
            received_at,
            "processed",
            ledger.PARSER_VERSION,
            dictionary,
            len(body),
            hashlib.sha256(body).digest(),
            compressed,
        )
        return _line(*message), _line(*log)

    def _lead(self, person: _Person) -> bytes:
        known = person.person
        return _line(
            self._tenant_id,
            person.id,
            known.name,
            person.last,
            known.wa_id,
            known.user_id,
            known.username,
            _ticket_id(person),
            person.count,
            person.first,
            person.last,
        )

    def _identifiers(self, person: _Person) -> Iterator[bytes]:
        yield _line(self._tenant_id, "bsuid", person.person.user_id, person.id)
        if person.person.wa_id:
            yield _line(self._tenant_id, "wa_id", person.person.wa_id, person.id)

    def _conversation(self, person: _Person) -> bytes:
        return _line(
            self._tenant_id,
            person.id,
            self._instance_key,
            uuid.uuid5(person.id, "conversation"),
            person.count,
            person.first,
            person.last,
        )

    def _ticket(self, person: _Person) -> bytes:
        return _line(self._tenant_id, _ticket_id(person), person.id, person.first)


def _ticket_id(person: _Person) -> uuid.UUID:
    return uuid.uuid5(person.id, "ticket")


def _line(*values: object) -> bytes:
    """Write a row in COPY's text form."""
    return ("\t".join(map(_field, values)) + "\n").encode()


def _field(value: object) -> str:
    match value:
        case None:
            return r"\N"
        case bytes():
            return r"\\x" + value.hex()
        case datetime():
            return value.isoformat()
        case str():
            return value.replace("\\", "\\\\").replace("\t", "\\t").replace("\n", "\\n").replace("\r", "\\r")
        case _:
            return str(value)
