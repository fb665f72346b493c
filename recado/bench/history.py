"""`recado bench history`: how long a page of 100 messages takes, among few messages and among many."""

import http.client
import itertools
import time
import uuid
from collections.abc import Callable, Iterator
from typing import Final, Literal, TypeAlias
from urllib.parse import urlencode

import click
import msgspec

from plumbing import tokens
from recado.bench import bulk, cpu, figures, machine, store
from recado.bench.figures import Latency, Promise
from recado.bench.target import Target
from recado.sandbox import wire

PAGE_MESSAGES: Final = 100
_PATH: Final = "/api/v1/whatsapp/conversations/sync"
# A user may read 100 pages a minute: take turns between users rather than ask for other limits.
_REQUESTS_PER_USER: Final = 50
_WALK_PAGE: Final = 1000
_WALK_S_MAX: Final = 10.0
_TYPICAL_LEADS: Final = 50
_TIMEOUT_S: Final = 30.0

Order: TypeAlias = Literal["asc", "desc"]
Lead: TypeAlias = Literal["typical", "large"]
_ORDERS: Final[tuple[Order, ...]] = ("asc", "desc")
_LEADS: Final[tuple[Lead, ...]] = ("typical", "large")


class Options(msgspec.Struct, frozen=True, kw_only=True):
    sizes: tuple[int, int] = (10_000, 1_000_000)
    pages: int = 300
    """Of each kind: size x lead x order."""
    seed: int = 7


class Case(msgspec.Struct, frozen=True):
    """Pages of one kind."""

    messages: int
    """Of the tenant."""
    lead: Lead
    lead_messages: int
    order: Order
    depth_max: int
    """How deep into the history the deepest page was."""
    latency: Latency


class Ratio(msgspec.Struct, frozen=True):
    lead: Lead
    order: Order
    p50: float
    p99: float


class Result(msgspec.Struct, frozen=True, kw_only=True):
    machine: machine.Machine
    options: Options
    cases: list[Case]
    ratios: list[Ratio]
    """The larger tenant against the smaller one."""
    cpu: dict[str, float]
    load_s: dict[str, float]
    bench: str = "history"

    def promises(self) -> list[Promise]:
        slowest = max(case.latency.p50_ms for case in self.cases)
        tail = max(case.latency.p99_ms for case in self.cases)
        growth = max(ratio.p50 for ratio in self.ratios)
        small, large = self.options.sizes
        return [
            figures.at_most(f"p50 of {PAGE_MESSAGES} messages, slowest kind", slowest, 15, "ms"),
            figures.at_most(f"p99 of {PAGE_MESSAGES} messages, slowest kind", tail, 50, "ms"),
            figures.at_most(f"p50 at {large:,} against {small:,}, worst kind", growth, 1.3, "x"),
        ]


def steps(options: Options) -> int:
    return len(options.sizes) * 2 + 1


def run(target: Target, options: Options, tell: Callable[[str], None]) -> Result:
    rng = wire.seeded("bench history", options.seed)
    with store.connect(target.owner_url) as conn:
        loaded: list[bulk.Loaded] = []
        for size in options.sizes:
            tell(f"loading {size:,} messages")
            loaded.append(bulk.load(target, conn, messages=size, seed=options.seed))
        store.vacuum(conn)
        version = store.version(conn)
    with _Reader(target) as reader:
        kinds: list[_Kind] = []
        for tenant in loaded:
            tell(f"walking through {tenant.messages:,} messages")
            kinds += _kinds(reader, tenant)
        tell("reading pages")
        pids = target.pids
        before, started = cpu.used_s(pids), time.monotonic()
        # In turn, so that what the machine does meanwhile hits every kind alike.
        for _ in range(options.pages):
            for kind in kinds:
                kind.latencies_s.append(reader.page(kind.tenant, rng.choice(kind.pages)).seconds)
        share = cpu.between(before, cpu.used_s(pids), per=time.monotonic() - started)
    cases = [kind.case() for kind in kinds]
    return Result(
        machine=machine.describe(version, generator="one connection, one request at a time"),
        options=options,
        cases=cases,
        ratios=_ratios(cases, options.sizes),
        cpu=share,
        load_s={f"{tenant.messages}": round(tenant.seconds, 1) for tenant in loaded},
    )


class _Page(msgspec.Struct, frozen=True):
    """A page that can be asked for."""

    lead_id: uuid.UUID
    order: Order
    cursor: str | None
    depth: int


class _Kind(msgspec.Struct):
    tenant: bulk.Loaded
    lead: Lead
    lead_messages: int
    order: Order
    pages: list[_Page]
    latencies_s: list[float] = []

    def case(self) -> Case:
        return Case(
            self.tenant.messages,
            self.lead,
            self.lead_messages,
            self.order,
            max(page.depth for page in self.pages),
            figures.latency(self.latencies_s),
        )


class _Pagination(msgspec.Struct, rename="camel"):
    cursor: str | None
    has_more: bool


class _Answer(msgspec.Struct):
    messages: list[msgspec.Raw]
    pagination: _Pagination


class _Read(msgspec.Struct, frozen=True):
    seconds: float
    answer: _Answer


class _Reader:
    """Reads pages as a browser would: over HTTP, one kept-alive connection, a token."""

    def __init__(self, target: Target) -> None:
        self._connection = http.client.HTTPConnection(*target.address, timeout=_TIMEOUT_S)
        self._secret = target.connection.auth_secret()
        self._users = itertools.count()
        self._tokens: dict[str, tuple[str, int]] = {}

    def __enter__(self) -> "_Reader":
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def page(self, tenant: bulk.Loaded, page: _Page, *, limit: int = PAGE_MESSAGES) -> _Read:
        parameters = {"leadId": str(page.lead_id), "limit": str(limit), "order": page.order}
        if page.cursor:
            parameters["cursor"] = page.cursor
        headers = {"Authorization": f"Bearer {self._token(tenant.tenant)}"}
        path = f"{_PATH}?{urlencode(parameters)}"
        started = time.monotonic()
        self._connection.request("GET", path, headers=headers)
        response = self._connection.getresponse()
        body = response.read()
        seconds = time.monotonic() - started
        if response.status != 200:
            raise click.ClickException(f"a page was answered with {response.status}")
        return _Read(seconds, msgspec.json.decode(body, type=_Answer))

    def _token(self, tenant: str) -> str:
        token, left = self._tokens.get(tenant, ("", 0))
        if not left:
            token = tokens.issue(
                self._secret,
                subject=f"bench-{next(self._users)}-{uuid.uuid4().hex[:8]}",
                tenant=tenant,
                scopes=["history:read"],
                ttl_s=3600,
            )
            left = _REQUESTS_PER_USER
        self._tokens[tenant] = (token, left - 1)
        return token


def _kinds(reader: _Reader, tenant: bulk.Loaded) -> Iterator[_Kind]:
    for lead in _LEADS:
        chosen = tenant.typical[:_TYPICAL_LEADS] if lead == "typical" else [tenant.largest]
        for order in _ORDERS:
            pages = [page for one in chosen for page in _walk(reader, tenant, one, order)]
            yield _Kind(tenant, lead, chosen[0].messages, order, pages)


def _walk(reader: _Reader, tenant: bulk.Loaded, lead: bulk.Lead, order: Order) -> Iterator[_Page]:
    """Yield full pages of a lead at every depth that a walk reaches in the time it has."""
    gives_up_at = time.monotonic() + _WALK_S_MAX
    page = _Page(lead.id, order, None, 0)
    # A large lead is walked in large steps: cursors hold whatever the page size.
    limit = _WALK_PAGE if lead.messages > 2 * _WALK_PAGE else PAGE_MESSAGES
    while lead.messages - page.depth >= PAGE_MESSAGES:
        yield page
        answer = reader.page(tenant, page, limit=limit).answer
        if not answer.pagination.has_more or time.monotonic() > gives_up_at:
            return
        page = _Page(lead.id, order, answer.pagination.cursor, page.depth + len(answer.messages))


def _ratios(cases: list[Case], sizes: tuple[int, int]) -> list[Ratio]:
    by_kind = {(case.messages, case.lead, case.order): case.latency for case in cases}
    return [
        Ratio(
            lead,
            order,
            figures.ratio(by_kind[sizes[1], lead, order].p50_ms, by_kind[sizes[0], lead, order].p50_ms),
            figures.ratio(by_kind[sizes[1], lead, order].p99_ms, by_kind[sizes[0], lead, order].p99_ms),
        )
        for lead in _LEADS
        for order in _ORDERS
    ]
