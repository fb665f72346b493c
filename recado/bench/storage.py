"""`recado bench storage`: what 10,000 messages cost on disk, by table and index.

Messages are sent in slices, and after each an hour is taken to have passed: the feed of changes, which
keeps an hour, forgets, and VACUUM frees what nothing needs. What takes a business days comes here in
seconds, and else every version of a row that a status has since replaced would count as storage.
"""

import itertools
import tempfile
import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import click
import msgspec

from recado.bench import bodies, figures, generate, machine, store
from recado.bench.figures import Promise
from recado.bench.target import Target
from recado.sandbox import people, traffic

TENANT: Final = "bench-storage"
PER_MESSAGES: Final = 10_000
_CONNECTIONS: Final = 16
_SLICE_MESSAGES: Final = 500
# About, of the traffic that is sent: only to make the slices equal.
_WEBHOOKS_PER_MESSAGE: Final = 0.72


class Options(msgspec.Struct, frozen=True, kw_only=True):
    messages: int = 10_000
    seed: int = 7


class Part(msgspec.Struct, frozen=True):
    table: str
    name: str
    kind: str
    bytes: int
    """What it grew by."""
    bytes_per_10k: float


class Result(msgspec.Struct, frozen=True, kw_only=True):
    machine: machine.Machine
    options: Options
    messages: int
    webhooks: int
    leads: int
    body_bytes: int
    """Of all webhooks together, as they came."""
    parts: list[Part]
    """By size, the largest first."""
    bytes_per_10k: float
    is_fresh: bool
    """Whether the tables were empty before: else what is measured is their growth."""
    bench: str = "storage"

    def promises(self) -> list[Promise]:
        megabytes = self.bytes_per_10k / 1e6
        return [
            figures.at_most("10,000 messages, must", megabytes, 10, "MB"),
            figures.at_most("10,000 messages, should", megabytes, 6, "MB"),
        ]


def steps(options: Options) -> int:
    return _slices(options) + 1


def _slices(options: Options) -> int:
    return max(1, options.messages // _SLICE_MESSAGES)


def run(target: Target, options: Options, tell: Callable[[str], None]) -> Result:
    with (
        tempfile.TemporaryDirectory(prefix="recado-bodies-") as folder,
        store.connect(target.owner_url) as conn,
    ):
        numbers = [target.register(_renamed(business), tenant=TENANT) for business in people.BUSINESSES]
        tenant_id = store.find_instance(conn, _renamed(people.SHOP).phone_number_id)[0]
        store.vacuum(conn)
        before = {(part.table, part.name): part.bytes for part in store.list_relations(conn)}
        messages_before = store.count_messages(conn, tenant_id=tenant_id)
        leads_before = store.count_leads(conn, tenant_id=tenant_id)
        is_fresh = not before["whatsapp_messages", "whatsapp_messages"]

        sizes: list[int] = []
        webhooks = _bodies(options, sizes)
        slices = _slices(options)
        for slice_number in range(slices):
            tell(f"sending {options.messages:,} messages, part {slice_number + 1} of {slices}")
            requests = Path(folder) / f"{slice_number}.requests"
            is_last = slice_number == slices - 1
            share = None if is_last else int(_SLICE_MESSAGES * _WEBHOOKS_PER_MESSAGE)
            bodies.write(
                requests,
                itertools.islice(webhooks, share),
                app_secret=target.app_secret,
                # What is written beside the requests is not used here: a webhook may hold many messages.
                instance_id=numbers[0],
            )
            done = generate.all_of(target.address, requests, connections=_CONNECTIONS)
            if done.refused:
                raise click.ClickException(f"{done.refused} of {done.taken} webhooks were not acknowledged")
            store.let_an_hour_pass(conn, tenant_id=tenant_id)
        tell("adding up")
        messages = store.count_messages(conn, tenant_id=tenant_id) - messages_before
        if not messages:
            raise click.ClickException("this seed has been sent to this stack before: choose another --seed")
        parts = [
            Part(
                part.table,
                part.name,
                part.kind,
                grown,
                grown * PER_MESSAGES / messages,
            )
            for part in store.list_relations(conn)
            if (grown := part.bytes - before.get((part.table, part.name), 0)) > 0
        ]
        parts.sort(key=lambda part: -part.bytes)
        return Result(
            machine=machine.describe(store.version(conn), generator="own"),
            options=options,
            messages=messages,
            webhooks=len(sizes),
            leads=store.count_leads(conn, tenant_id=tenant_id) - leads_before,
            body_bytes=sum(sizes),
            parts=parts,
            bytes_per_10k=sum(part.bytes_per_10k for part in parts),
            is_fresh=is_fresh,
        )


def _bodies(options: Options, sizes: list[int]) -> Iterator[tuple[str, bytes]]:
    businesses = [(business, _renamed(business)) for business in people.BUSINESSES]
    for webhook in traffic.burst(options.seed, datetime.now(UTC), messages=options.messages):
        body = webhook.body
        for business, renamed in businesses:
            # The numbers of the sandbox may be connected here; these are the benchmark's own.
            for old, new in (
                (business.phone_number_id, renamed.phone_number_id),
                (business.waba_id, renamed.waba_id),
            ):
                body = body.replace(f'"{old}"'.encode(), f'"{new}"'.encode())
        sizes.append(len(body))
        yield str(uuid.uuid4()), body


def _renamed(business: people.Business) -> people.Business:
    return people.Business(
        business.name,
        "99" + business.waba_id[2:],
        "99" + business.phone_number_id[2:],
        business.display_phone_number,
    )
