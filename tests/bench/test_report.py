"""A report stands on its own, and says what was measured."""

import re
from pathlib import Path

import msgspec
import pytest

from recado.bench import figures, history, ingest, report, storage
from recado.bench.commands import Output
from recado.bench.machine import Machine

MACHINE = Machine(
    measured_at="2026-11-23T08:00:00Z",
    processor="<Fast & Furious>",
    cores=2,
    system="Linux x86_64",
    python="3.11.7",
    postgres="18.6",
    shared_buffers="128MB",
    synchronous_commit="on",
    gunicorn="27.0.1",
    generator="wrk",
)
LATENCY = figures.latency([number / 10_000 for number in range(1, 200)])
INGEST = ingest.Result(
    machine=MACHINE,
    options=ingest.Options(generator="wrk"),
    rounds=[ingest.Round(7000, 3500, 0.5, 0.1, 0.1), ingest.Round(7200, 3600, 0.5, 0.1, 0.1)],
    floor_rate=7100,
    rate=3550,
    ratio=0.5,
    saturation=LATENCY,
    floor_saturation=LATENCY,
    cpu={"gateway": 1.1, "capture": 0.4},
    cost_ms={"gateway": 0.4, "capture": 0.1},
    floor_cost_ms=0.25,
    at_rates=[ingest.AtRate(1000, 998.0, LATENCY, 0.1, {})],
    refused=0,
    kept=ingest.Kept(1000, 1001, 0, 990, 0),
)
HISTORY = history.Result(
    machine=MACHINE,
    options=history.Options(),
    cases=[
        history.Case(size, "typical", 200, order, 100, LATENCY)
        for size in (10_000, 1_000_000)
        for order in ("asc", "desc")
    ],
    ratios=[history.Ratio("typical", "asc", 1.2, 1.4)],
    cpu={},
    load_s={},
)
STORAGE = storage.Result(
    machine=MACHINE,
    options=storage.Options(),
    messages=10_000,
    webhooks=7000,
    leads=500,
    body_bytes=10_000_000,
    parts=[storage.Part("leads", "leads", "rows", 5000, 5000.0)],
    bytes_per_10k=5000.0,
    is_fresh=True,
)


@pytest.mark.parametrize("result", [INGEST, HISTORY, STORAGE], ids=lambda result: result.bench)
def test_a_page_needs_nothing_from_elsewhere(tmp_path: Path, result: report.Result):
    page = report.write(tmp_path / "new", result).read_text(encoding="utf-8")

    assert page.startswith("<!doctype html>")
    assert "<svg" in page
    assert not re.search(r"https?://|<script|<link|<img", page)
    assert "&lt;Fast &amp; Furious&gt;" in page
    assert "nan" not in page


def test_the_ratio_to_the_floor_is_quoted():
    assert "0.50 x" in report.render(INGEST)


def test_a_broken_promise_looks_broken():
    slow = msgspec.structs.replace(INGEST, ratio=0.39)

    assert 'class="broken"' not in report.render(INGEST)
    assert 'class="broken">webhooks/s' in report.render(slow)


def test_lost_webhooks_break_a_promise():
    lost = msgspec.structs.replace(INGEST, kept=ingest.Kept(1000, 999, 0, 990, 0))

    assert not all(promise.is_kept for promise in lost.promises())


def test_the_json_holds_everything_and_the_promises(tmp_path: Path):
    path = tmp_path / "deep" / "result.json"

    Output(path, None, has_check=True).give(INGEST)

    told = msgspec.json.decode(path.read_bytes())
    assert told["bench"] == "ingest"
    assert told["ratio"] == 0.5
    assert told["machine"]["cores"] == 2
    assert all(promise["is_kept"] for promise in told["promises"])


def test_a_check_fails_when_a_promise_is_broken():
    with pytest.raises(SystemExit):
        Output(None, None, has_check=True).give(msgspec.structs.replace(INGEST, ratio=0.1))
