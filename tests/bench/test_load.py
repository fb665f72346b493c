"""The generator sends what it was told to, knows what was acknowledged, and forgives no waiting."""

import itertools
import shutil
import uuid
from pathlib import Path

import pytest

from recado.bench import bodies, generate, load, wrk
from recado.sandbox import people, wire
from tests.bench.conftest import Server


@pytest.fixture
def requests(tmp_path: Path) -> Path:
    path = tmp_path / "some.requests"
    stream = bodies.Webhooks(people.SHOP, seed=7, salt="load", contacts=5, starts_at_s=1_795_000_000)
    bodies.write(path, itertools.islice(stream, 60), app_secret="s", instance_id=uuid.UUID(int=1))
    return path


def plan(server: Server, requests: Path, **more: object) -> load.Plan:
    told = {"connections": 4, "seconds": None, **more}
    return load.Plan(host=server.address[0], port=server.address[1], requests=str(requests), **told)  # pyright: ignore[reportArgumentType]


def sent(requests: Path) -> list[bytes]:
    return [request.partition(b"\r\n\r\n")[2] for request in bodies.read(requests)]


def test_a_whole_file_is_sent_once(server: Server, requests: Path):
    outcome = load.Generator(plan(server, requests)).run()

    assert sorted(server.bodies) == sorted(sent(requests))
    assert (outcome.taken, outcome.acknowledged, outcome.unacknowledged) == (60, 60, [])
    assert len(outcome.latencies_s) == 60
    assert outcome.statuses == {200: 60}


def test_the_first_requests_can_be_left_out_and_the_file_begun_again(server: Server, requests: Path):
    skipping = load.Generator(plan(server, requests, skip=50)).run()
    wrapping = load.Generator(plan(server, requests, seconds=0.3, wraps=True)).run()

    assert skipping.acknowledged == 10
    assert set(server.bodies[:10]) == set(sent(requests)[50:])
    assert wrapping.acknowledged == wrapping.taken


def test_a_refusal_is_no_acknowledgement_and_has_its_number(server: Server, requests: Path):
    server.statuses = {3: 503, 7: 401, 8: 202}

    outcome = load.Generator(plan(server, requests, connections=1)).run()

    assert outcome.acknowledged == 57
    assert outcome.unacknowledged == [3, 7, 8]


def test_a_connection_that_closes_without_an_answer_is_tried_once_more(server: Server, requests: Path):
    server.hangs_up_after = {5, 20}

    outcome = load.Generator(plan(server, requests, connections=1)).run()

    assert outcome.acknowledged == 60
    assert len(server.bodies) == 62


def test_what_is_never_answered_is_not_counted(server: Server, requests: Path):
    server.hangs_up_after = {5, 6}

    outcome = load.Generator(plan(server, requests, connections=1)).run()

    assert outcome.unacknowledged == [5]
    assert outcome.acknowledged == 59


def test_an_open_plan_sends_at_its_rate_whatever_the_connections(server: Server, requests: Path):
    outcome = load.Generator(plan(server, requests, rate=400.0, seconds=5.0, connections=2)).run()

    # 60 requests are due long before the five seconds are over; then the file ends, and with it the run.
    assert (outcome.taken, outcome.acknowledged) == (60, 60)
    assert sorted(server.bodies) == sorted(sent(requests))


def test_arrivals_come_at_their_own_times_however_late_one_asks():
    prompt = load.Arrivals(wire.seeded("x"), 100)
    late = load.Arrivals(wire.seeded("x"), 100)

    asked_often = [due for step in range(200) for due in prompt.due(step / 100)]
    asked_once = list(late.due(1.99))

    assert asked_once == asked_often
    assert asked_once == sorted(asked_once)
    assert 150 < len(asked_once) < 250
    assert not list(late.due(1.99))


def test_latency_counts_from_when_a_request_was_due():
    job = load.Job(0, b"", due_at=10.0)

    assert job.latency_s(at=10.5) == 0.5


def test_a_request_that_waits_for_a_connection_waits_on_the_clock(server: Server, requests: Path):
    # All are due at once and there is one connection: those behind cannot be as fast as the first.
    outcome = load.Generator(plan(server, requests, rate=1e6, seconds=5.0, connections=1)).run()

    assert outcome.acknowledged == 60
    assert outcome.latencies_s == sorted(outcome.latencies_s)


@pytest.mark.parametrize(
    ("received", "status"),
    [
        (b"", None),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n", None),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\no", None),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok", 200),
        (b"HTTP/1.1 503 Unavailable\r\nContent-Length: 0\r\n\r\n", 503),
    ],
)
def test_an_answer_counts_once_it_is_there_in_full(received: bytes, status: int | None):
    assert load.status_of(received) == status


def test_the_generator_runs_as_a_process_of_its_own(server: Server, requests: Path):
    done = generate.all_of(server.address, requests, connections=3)

    assert (done.taken, done.acknowledged, done.refused) == (60, 60, 0)
    assert generate.count(requests) == 60


@pytest.mark.skipif(not shutil.which("wrk"), reason="wrk is not installed")
def test_wrk_reads_the_same_file(server: Server, requests: Path):
    done = generate.saturate("wrk", server.address, requests, connections=2, seconds=1, wraps=True)

    assert done.acknowledged > 0
    assert done.refused == 0
    assert done.unacknowledged is None
    assert len(server.bodies) >= done.acknowledged
    assert set(server.bodies) <= set(sent(requests))


@pytest.mark.skipif(not shutil.which("wrk"), reason="wrk is not installed")
def test_wrk_counts_refusals_apart(server: Server, requests: Path):
    server.statuses = {0: 503, 1: 503}

    done = wrk.run(
        f"http://127.0.0.1:{server.address[1]}/webhooks/whatsapp",
        requests,
        connections=1,
        seconds=1,
        quantiles=(0.5,),
    )

    assert done.refused == 2
    assert done.acknowledged == done.requests - 2
