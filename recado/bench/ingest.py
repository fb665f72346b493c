"""`recado bench ingest`: how many webhooks a second are kept, how long one waits, and that none is lost."""

import functools
import itertools
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

import msgspec

from recado.bench import bodies, cpu, figures, floor, generate, listeners, machine, store
from recado.bench.figures import Latency, Promise
from recado.bench.target import Target
from recado.sandbox.people import Business

TENANT: Final = "bench"
_BUSINESS: Final = Business("Bench", "990000000000001", "990000000000101", "5511955559901")
_WARM_UP_S: Final = 2.0
_INTRODUCTION_CONNECTIONS: Final = 16
# A file must outlast the fastest round by far: a webhook sent twice would be cheaper than a new one.
_SPARE: Final = 2.0
_SPARE_MIN: Final = 3000
_ENRICHED_WITHIN_S: Final = 60.0
_SETTLES_WITHIN_S: Final = 10.0


class Options(msgspec.Struct, frozen=True, kw_only=True):
    generator: generate.Kind
    seed: int = 7
    rounds: int = 3
    seconds: float = 6.0
    """Of each round at saturation, and of each rate."""
    connections: int = 128
    contacts: int = 500
    rates: tuple[int, ...] = (90, 300, 1000)
    listeners: int = 0
    """Clients of the live feed; with some, every round is done with them and without."""


class Round(msgspec.Struct, frozen=True):
    """One turn of the floor and one of the real system."""

    floor_rate: float
    rate: float
    ratio: float
    floor_generator_cpu: float
    generator_cpu: float
    listened_rate: float | None = None
    """With clients of the live feed connected."""
    events_heard: int = 0


class AtRate(msgspec.Struct, frozen=True):
    offered_rate: int
    rate: float
    latency: Latency
    generator_cpu: float
    cpu: dict[str, float]


class Kept(msgspec.Struct, frozen=True):
    """The count at the end."""

    webhooks_acknowledged: int
    webhooks_kept: int
    webhooks_not_applied: int
    messages_checked: int
    messages_missing: int


class Result(msgspec.Struct, frozen=True, kw_only=True):
    machine: machine.Machine
    options: Options
    rounds: list[Round]
    floor_rate: float
    rate: float
    ratio: float
    saturation: Latency
    floor_saturation: Latency
    cpu: dict[str, float]
    """Share of one processor of each process of the stack, at saturation."""
    cost_ms: dict[str, float]
    """Processor milliseconds per webhook of each of them: what other users of the machine change least."""
    floor_cost_ms: float
    at_rates: list[AtRate]
    refused: int
    kept: Kept
    bench: str = "ingest"

    def promises(self) -> list[Promise]:
        found = [figures.at_least("webhooks/s, share of the floor", self.ratio, 0.4, "x")]
        for measured in self.at_rates:
            if measured.offered_rate == 1000:
                found.append(figures.at_most("p99 at 1,000/s", measured.latency.p99_ms, 250, "ms"))
                found.append(figures.at_most("median at 1,000/s", measured.latency.p50_ms, 25, "ms"))
        shares = [turn.listened_rate / turn.rate for turn in self.rounds if turn.listened_rate]
        if shares:
            what = f"rate with {self.options.listeners} listeners, share of that without"
            found.append(figures.at_least(what, figures.median(shares), 0.8, "x"))
        lost = self.kept.webhooks_acknowledged - self.kept.webhooks_kept
        found.append(figures.at_most("webhooks acknowledged and not kept", max(0, lost), 0, ""))
        found.append(figures.at_most("messages acknowledged and missing", self.kept.messages_missing, 0, ""))
        return found


def steps(options: Options) -> int:
    """Say how many times `run` will tell of its progress."""
    return 3 + (3 if options.listeners else 2) * options.rounds + len(options.rates)


def run(target: Target, options: Options, tell: Callable[[str], None]) -> Result:
    with (
        tempfile.TemporaryDirectory(prefix="recado-bodies-") as folder,
        store.connect(target.owner_url) as conn,
        floor.serve() as empty_route,
    ):
        return _Run(target, options, tell, conn, Path(folder), empty_route).run()


class _Run:
    def __init__(
        self,
        target: Target,
        options: Options,
        tell: Callable[[str], None],
        conn: store.Conn,
        folder: Path,
        empty_route: floor.Floor,
    ) -> None:
        self._target = target
        self._options = options
        self._tell = tell
        self._conn = conn
        self._folder = folder
        self._floor = empty_route
        self._secret = target.app_secret
        self._instance_id = target.register(_BUSINESS, tenant=TENANT)
        self._tenant_id = store.find_instance(conn, _BUSINESS.phone_number_id)[0]
        self._webhooks = bodies.Webhooks(
            _BUSINESS,
            seed=options.seed,
            salt=uuid.uuid4().hex,
            contacts=options.contacts,
            starts_at_s=int(time.time()) - 86_400,
        )
        self._stream = iter(self._webhooks)
        self._files = itertools.count()
        self._acknowledged = self._refused = self._checked = self._missing = 0

    def run(self) -> Result:
        options = self._options
        kept_before, failed_before = store.count_webhooks(self._conn, tenant_id=self._tenant_id)
        self._tell("introducing the contacts")
        self._introduce()
        self._tell("warming up")
        fastest = self._warm_up()
        rounds: list[Round] = []
        floors: list[_Measured] = []
        reals: list[_Measured] = []
        for number in range(options.rounds):
            requests = self._write(int(_SPARE * fastest * options.seconds) + _SPARE_MIN)
            # In turn, and each first in turn: what the machine does meanwhile hits both alike.
            for is_floor in (True, False) if number % 2 == 0 else (False, True):
                name = "floor" if is_floor else "recado"
                self._tell(f"round {number + 1} of {options.rounds}: {name}")
                if is_floor:
                    work = functools.partial(self._saturate, self._floor.address, requests, wraps=True)
                    floors.append(_measure({"floor": self._floor.pid}, work))
                else:
                    work = functools.partial(self._saturate, self._target.address, requests, wraps=False)
                    reals.append(_measure(self._target.pids, work))
                    self._settle(requests, reals[-1].run)
                    fastest = max(fastest, reals[-1].run.rate)
            _delete(requests)
            listened_rate, events = self._listened(number, fastest) if options.listeners else (None, 0)
            rounds.append(
                Round(
                    floors[-1].run.rate,
                    reals[-1].run.rate,
                    figures.ratio(reals[-1].run.rate, floors[-1].run.rate),
                    floors[-1].run.generator_cpu,
                    reals[-1].run.generator_cpu,
                    listened_rate,
                    events,
                )
            )
        at_rates = [self._at_rate(rate) for rate in options.rates]
        self._tell("counting what was kept")
        kept_after, failed_after = self._count_kept(kept_before)
        floor_rate = figures.median([turn.floor_rate for turn in rounds])
        rate = figures.median([turn.rate for turn in rounds])
        floor_middle, middle = _middle(floors), _middle(reals)
        return Result(
            machine=machine.describe(store.version(self._conn), generator=options.generator),
            options=options,
            rounds=rounds,
            floor_rate=floor_rate,
            rate=rate,
            ratio=figures.ratio(rate, floor_rate),
            saturation=middle.run.latency,
            floor_saturation=floor_middle.run.latency,
            cpu=middle.cpu,
            cost_ms=middle.cost_ms,
            floor_cost_ms=sum(floor_middle.cost_ms.values()),
            at_rates=at_rates,
            refused=self._refused,
            kept=Kept(
                webhooks_acknowledged=self._acknowledged,
                webhooks_kept=kept_after - kept_before,
                webhooks_not_applied=failed_after - failed_before,
                messages_checked=self._checked,
                messages_missing=self._missing,
            ),
        )

    def _listened(self, number: int, fastest: float) -> tuple[float, int]:
        """Do a round while clients listen; give its rate and how many messages they heard of."""
        options = self._options
        self._tell(f"round {number + 1} of {options.rounds}: recado, {options.listeners} listen")
        requests = self._write(int(_SPARE * fastest * options.seconds) + _SPARE_MIN)
        token = self._target.token(tenant=TENANT, scopes=("history:read",))
        leads = store.list_leads_of(self._conn, tenant_id=self._tenant_id, user_ids=self._webhooks.user_ids)
        with listeners.listening(self._target.address, token, leads, options.listeners) as heard:
            done = self._saturate(self._target.address, requests, wraps=False)
        self._settle(requests, done)
        _delete(requests)
        return done.rate, heard.events

    def _introduce(self) -> None:
        """Let every contact write once, so that what is measured is ingest and not first contacts."""
        requests = self._write_all(self._webhooks.introductions())
        done = generate.all_of(self._target.address, requests, connections=_INTRODUCTION_CONNECTIONS)
        self._settle(requests, done)
        _delete(requests)
        deadline = time.monotonic() + _ENRICHED_WITHIN_S
        # Their enrichment runs in the worker and would share the processors with the first round.
        while time.monotonic() < deadline and store.count_outbox(self._conn, tenant_id=self._tenant_id):
            time.sleep(0.5)

    def _warm_up(self) -> float:
        """Run both for a moment; give what the real system did, from which files are sized."""
        requests = self._write(_SPARE_MIN * 8)
        self._saturate(self._floor.address, requests, wraps=True, seconds=_WARM_UP_S)
        done = self._saturate(self._target.address, requests, wraps=False, seconds=_WARM_UP_S)
        self._settle(requests, done)
        _delete(requests)
        return done.rate

    def _at_rate(self, rate: int) -> AtRate:
        options = self._options
        self._tell(f"{rate} webhooks/s")
        requests = self._write(int(1.3 * rate * options.seconds) + 200)
        work = functools.partial(
            generate.at_rate,
            self._target.address,
            requests,
            rate=rate,
            connections=options.connections,
            seconds=options.seconds,
            seed=options.seed,
        )
        done = _measure(self._target.pids, work)
        self._settle(requests, done.run)
        _delete(requests)
        return AtRate(rate, done.run.rate, done.run.latency, done.run.generator_cpu, done.cpu)

    def _saturate(
        self, address: tuple[str, int], requests: Path, *, wraps: bool, seconds: float | None = None
    ) -> generate.Run:
        return generate.saturate(
            self._options.generator,
            address,
            requests,
            connections=self._options.connections,
            seconds=seconds or self._options.seconds,
            wraps=wraps,
        )

    def _settle(self, requests: Path, done: generate.Run) -> None:
        """Add to the account, and look for the messages of what was acknowledged."""
        self._acknowledged += done.acknowledged
        self._refused += done.refused
        message_ids = bodies.read_ids(requests)[: done.taken]
        if done.unacknowledged is None:
            # wrk does not say which of the last requests went unanswered: so many may be missing.
            doubtful = done.taken - done.acknowledged
        else:
            doubtful = 0
            refused = set(done.unacknowledged)
            message_ids = [id for number, id in enumerate(message_ids) if number not in refused]
        missing = store.count_missing(self._conn, tenant_id=self._tenant_id, message_ids=message_ids)
        self._checked += len(message_ids)
        self._missing += max(0, missing - doubtful)

    def _count_kept(self, kept_before: int) -> tuple[int, int]:
        """Count the ledger; what was sent last may be on its way into it without an answer."""
        deadline = time.monotonic() + _SETTLES_WITHIN_S
        while True:
            kept, failed = store.count_webhooks(self._conn, tenant_id=self._tenant_id)
            if kept - kept_before >= self._acknowledged or time.monotonic() > deadline:
                return kept, failed
            time.sleep(0.5)

    def _write(self, count: int) -> Path:
        return self._write_all(itertools.islice(self._stream, count))

    def _write_all(self, webhooks: Iterator[tuple[str, bytes]]) -> Path:
        path = self._folder / f"{next(self._files)}.requests"
        bodies.write(path, webhooks, app_secret=self._secret, instance_id=self._instance_id)
        return path


class _Measured(msgspec.Struct, frozen=True):
    """A run, and what it cost those who served it."""

    run: generate.Run
    cpu: dict[str, float]
    cost_ms: dict[str, float]


def _measure(pids: Mapping[str, int], work: Callable[[], generate.Run]) -> _Measured:
    before, started = cpu.used_s(pids), time.monotonic()
    run = work()
    after, ended = cpu.used_s(pids), time.monotonic()
    return _Measured(
        run,
        cpu.between(before, after, per=ended - started),
        cpu.between(before, after, per=max(1, run.acknowledged) / 1000),
    )


def _middle(runs: Sequence[_Measured]) -> _Measured:
    """Give the run with the median rate."""
    return sorted(runs, key=lambda measured: measured.run.rate)[len(runs) // 2]


def _delete(requests: Path) -> None:
    requests.unlink()
    bodies.ids_path(requests).unlink()
