from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from enrichment_service import service
from enrichment_service.graph import Graph
from plumbing import postgres, tokens
from plumbing.crypto import Keyring
from plumbing.rpc import client, server
from protos import enrichment_pb2_grpc
from tests.enrichment_service.fake_graph import FakeGraph

KEYS = "k1:" + "A" * 43 + "="


@dataclass
class Time:
    """Time as a test makes it pass: sleeping takes none, and is noted."""

    now: datetime = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
    slept_s: list[float] = field(default_factory=lambda: list[float]())

    def clock(self) -> datetime:
        return self.now

    def monotonic(self) -> float:
        return self.now.timestamp()

    def sleep(self, seconds: float) -> None:
        self.slept_s.append(seconds)
        self.now += timedelta(seconds=seconds)


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture
def meta() -> Iterator[FakeGraph]:
    fake = FakeGraph()
    yield fake
    fake.close()


@pytest.fixture
def graph(meta: FakeGraph, time: Time) -> Iterator[Graph]:
    found = Graph(
        meta.url,
        "v25.0",
        sleep=time.sleep,
        monotonic=time.monotonic,
        clock=time.clock,
        jitter=lambda _low, high: high,
    )
    yield found
    found.close()


@pytest.fixture
def pool(database_url_for: Callable[[str], str]) -> Iterator[Any]:
    with postgres.open_pool(
        database_url_for("recado_enrichment"),
        role="recado_enrichment",
        application_name="test-enrichment",
        size_max=2,
        statement_timeout_s=10,
        lock_timeout_s=5,
        idle_timeout_s=10,
        acquire_timeout_s=5,
    ) as found:
        yield found


@pytest.fixture
def serve(
    pool: Any, graph: Graph, time: Time, auth_secret: str
) -> Iterator[Callable[..., enrichment_pb2_grpc.EnrichmentServiceStub]]:
    """Start the service in this process with this ring of keys and give a stub."""
    opened: list[Any] = []

    def start(keys: str = KEYS) -> enrichment_pb2_grpc.EnrichmentServiceStub:
        servicer = service.EnrichmentServicer(pool, graph, Keyring.parse(keys), clock=time.clock)
        running = server.start(
            "enrichment",
            address="127.0.0.1:0",
            register=lambda grpc_server: service.register(grpc_server, servicer),
            full_names=[service.FULL_NAME],
            verifier=tokens.Verifier(auth_secret),
            workers=4,
        )
        channel = client.open_channel(running.address)
        opened.append((running, channel))
        return enrichment_pb2_grpc.EnrichmentServiceStub(channel)

    yield start
    for running, channel in opened:
        channel.close()
        running.stop()


@pytest.fixture
def stub(serve: Callable[..., Any]) -> Any:
    return serve()


@pytest.fixture
def worker_token(auth_secret: str) -> str:
    return tokens.issue(auth_secret, subject="worker", tenant="", scopes=["service"], ttl_s=3600)
