"""`recado bench search`: words among a million messages, pages with filters, the export of a long history."""

import http.client
import itertools
import json
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlencode

import click
import msgspec

from plumbing import tokens
from recado.bench import bulk, cpu, figures, machine, store
from recado.bench.figures import Latency, Promise
from recado.bench.target import Target
from recado.sandbox import wire

_PREFIX: Final = "/api/v1/whatsapp"
_TIMEOUT_S: Final = 120.0
_REQUESTS_PER_USER: Final = 50
_PAGE_BYTES: Final = 4096
# What is sought, from the words that the benches write: in one message of a million, and in most.
_QUERIES: Final = {
    "a number": "{n}",
    "two words": "cupom aurora{n}",
    "a beginning": "aurora{n2}",
    "a phrase": '"kit {n}"',
    "a frequent word": "pedido",
    "a very frequent word": "obrigado",
    "one word without another": "bolo -sábado",
    "nothing": "inexistente{n}",
}
_WORDS: Final = "words"
_FILTERS: Final[dict[str, dict[str, str]]] = {
    "direction": {"direction": "INBOUND"},
    "time": {"fromDate": "2000-01-01", "toDate": "2100-01-01"},
    "direction and type": {"direction": "OUTBOUND", "type": "text"},
    _WORDS: {"q": "pedido"},
}


class Options(msgspec.Struct, frozen=True, kw_only=True):
    messages: int = 1_000_000
    searches: int = 100
    """Of each kind."""
    seed: int = 7


class Case(msgspec.Struct, frozen=True):
    kind: str
    found: int
    """By the last search of this kind."""
    latency: Latency


class Export(msgspec.Struct, frozen=True):
    file_format: str
    messages: int
    bytes: int
    per_second: float
    gateway_growth_mb: float
    """Of the processes that make it, over what they held before."""


class Result(msgspec.Struct, frozen=True, kw_only=True):
    machine: machine.Machine
    options: Options
    searches: list[Case]
    pages: list[Case]
    """Of a large lead, with filters, at any depth."""
    exports: list[Export]
    cpu: dict[str, float]
    bench: str = "search"

    def _all_searches(self) -> list[Case]:
        """Words within one lead are a search like any other."""
        return [*self.searches, *(case for case in self.pages if case.kind == _WORDS)]

    def promises(self) -> list[Promise]:
        return [
            figures.at_most(
                f"p50 of a search in {self.options.messages:,} messages, slowest kind",
                max(case.latency.p50_ms for case in self._all_searches()),
                50,
                "ms",
            ),
            figures.at_most(
                "p50 of a page with filters, slowest kind",
                max(case.latency.p50_ms for case in self.pages if case.kind != _WORDS),
                10,
                "ms",
            ),
            figures.at_most(
                "p99 of a page with filters, slowest kind",
                max(case.latency.p99_ms for case in self.pages if case.kind != _WORDS),
                50,
                "ms",
            ),
            figures.at_most(
                "growth of the processes during an export",
                max(export.gateway_growth_mb for export in self.exports),
                64,
                "MB",
            ),
        ]


def steps(options: Options) -> int:
    return 1 + len(_QUERIES) + len(_FILTERS) + 2


def run(target: Target, options: Options, tell: Callable[[str], None]) -> Result:
    rng = wire.seeded("search", options.seed)
    with store.connect(target.owner_url) as conn:
        tell(f"loading {options.messages:,} messages")
        tenant = bulk.load(target, conn, messages=options.messages, seed=options.seed)
        store.vacuum(conn)
        version = store.version(conn)
    with _Client(target, tenant.tenant) as client:
        before, started = cpu.used_s(target.pids), time.monotonic()
        searches: list[Case] = []
        for kind, template in _QUERIES.items():
            tell(f"searching for {kind}")
            spent: list[float] = []
            found = 0
            for _ in range(options.searches):
                query = template.format(n=rng.randrange(1, 10_000), n2=rng.randrange(1, 100))
                answer, seconds = client.get("/messages/search", {"q": query})
                spent.append(seconds)
                found = answer["pagination"]["total"]
            searches.append(Case(kind, found, figures.latency(spent)))
        pages: list[Case] = []
        for kind, asked in _FILTERS.items():
            tell(f"pages by {kind}")
            pages.append(_pages(client, tenant.largest, kind, asked, options))
        exports = [_export(client, target, tenant.largest, name, tell) for name in ("jsonl", "csv")]
        share = cpu.between(before, cpu.used_s(target.pids), per=time.monotonic() - started)
    return Result(
        machine=machine.describe(version, generator="one connection, one request at a time"),
        options=options,
        searches=searches,
        pages=pages,
        exports=exports,
        cpu=share,
    )


def _pages(client: "_Client", lead: bulk.Lead, kind: str, asked: dict[str, str], options: Options) -> Case:
    """Read pages in both orders, each from where the one before ended; the first, which counts, apart."""
    spent: list[float] = []
    found = 0
    for order in ("asc", "desc"):
        cursor: dict[str, str] = {}
        for number in range(options.searches // 2):
            answer, seconds = client.get(
                "/conversations/sync",
                {"leadId": str(lead.id), "limit": "100", "order": order, **asked, **cursor},
            )
            found = answer["pagination"]["total"]
            if number:
                spent.append(seconds)
            if not answer["pagination"]["hasMore"]:
                break
            cursor = {"cursor": answer["pagination"]["cursor"]}
    return Case(kind, found, figures.latency(spent))


def _export(
    client: "_Client", target: Target, lead: bulk.Lead, file_format: str, tell: Callable[[str], None]
) -> Export:
    tell(f"exporting as {file_format}")
    watched = [pid for name, pid in target.pids.items() if name in ("gateway", "history")]
    pids = [child for pid in watched for child in (pid, *_children(pid))]
    before = peak = _resident_mb(pids)
    started = time.monotonic()
    size = 0
    for number, chunk in enumerate(client.stream(f"/leads/{lead.id}/export", {"format": file_format})):
        size += chunk
        if number % 64 == 0:
            peak = max(peak, _resident_mb(pids))
    seconds = time.monotonic() - started
    return Export(file_format, lead.messages, size, lead.messages / seconds, max(0.0, peak - before))


def _children(pid: int) -> Iterator[int]:
    try:
        for task in Path(f"/proc/{pid}/task").iterdir():
            yield from map(int, (task / "children").read_text().split())
    except OSError:
        return


def _resident_mb(pids: list[int]) -> float:
    """Give what these processes hold in memory together; 0 where the system does not say."""
    pages = 0
    for pid in pids:
        try:
            pages += int(Path(f"/proc/{pid}/statm").read_text().split()[1])
        except (OSError, IndexError, ValueError):
            continue
    return pages * 4096 / 1e6


class _Client:
    """Asks over one kept-alive connection, as one user after another: a user may ask 100 times a minute."""

    def __init__(self, target: Target, tenant: str) -> None:
        self._connection = http.client.HTTPConnection(*target.address, timeout=_TIMEOUT_S)
        self._secret = target.connection.auth_secret()
        self._tenant = tenant
        self._users = itertools.count()
        self._token, self._left = "", 0

    def __enter__(self) -> "_Client":
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def get(self, path: str, query: dict[str, str]) -> tuple[Any, float]:
        started = time.monotonic()
        body = self._ask(path, query).read()
        return json.loads(body), time.monotonic() - started

    def stream(self, path: str, query: dict[str, str]) -> Iterator[int]:
        """Yield the sizes of what comes."""
        response = self._ask(path, query)
        while chunk := response.read(16 * _PAGE_BYTES):
            yield len(chunk)

    def _ask(self, path: str, query: dict[str, str]) -> http.client.HTTPResponse:
        if not self._left:
            self._token = tokens.issue(
                self._secret,
                subject=f"bench-{next(self._users)}-{uuid.uuid4().hex[:8]}",
                tenant=self._tenant,
                scopes=["history:read"],
                ttl_s=3600,
            )
            self._left = _REQUESTS_PER_USER
        self._left -= 1
        headers = {"Authorization": f"Bearer {self._token}"}
        self._connection.request("GET", f"{_PREFIX}{path}?{urlencode(query)}", headers=headers)
        response = self._connection.getresponse()
        if response.status != 200:
            raise click.ClickException(f"{path} was answered with {response.status}")
        return response
