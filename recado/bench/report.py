"""A result as one HTML page that needs nothing else: figures, and plots drawn as SVG."""

import math
from collections.abc import Iterator, Sequence
from html import escape
from pathlib import Path
from typing import Final

import msgspec

from recado.bench import history, ingest, search, storage
from recado.bench.figures import Latency, Promise
from recado.bench.machine import Machine

_WIDTH: Final = 720
_ROW_HEIGHT: Final = 22
_CHARACTER_WIDTH: Final = 7
_PLOT_HEIGHT: Final = 210
_MARGIN: Final = 64
_COLOURS: Final = ("#128c7e", "#e07a2f", "#5561c9", "#b5429d", "#7a7a2c")
_STYLE: Final = """
:root { color-scheme: light dark; --ink: #1c2b2a; --soft: #7b8a88; --line: #d8e0de; --paper: #fcfdfd; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e4eceb; --soft: #8fa09d; --line: #34413f; --paper: #161d1c; }
}
body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper);
  max-width: 780px; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.1rem; margin-top: 2.2rem; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th, td { text-align: right; padding: .25rem .6rem; border-bottom: 1px solid var(--line); }
th:first-child, td:first-child { text-align: left; }
th { color: var(--soft); font-weight: 500; }
.kept::before { content: "✓ "; color: #128c7e; } .broken::before { content: "✗ "; color: #d33; }
.soft { color: var(--soft); }
svg { width: 100%; height: auto; } svg text { fill: var(--ink); font-size: 12px; }
svg .axis { stroke: var(--line); } svg .soft { fill: var(--soft); }
"""

Result = ingest.Result | history.Result | search.Result | storage.Result


def write(folder: Path, result: Result) -> Path:
    """Write `bench-<name>.html` into the folder, made where missing; give its path."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"bench-{result.bench}.html"
    path.write_text(render(result), encoding="utf-8")
    return path


def render(result: Result) -> str:
    match result:
        case ingest.Result():
            title, content = "Webhooks kept", _ingest(result)
        case history.Result():
            title, content = "Pages read", _history(result)
        case search.Result():
            title, content = "Words found", _search(result)
        case storage.Result():
            title, content = "Bytes stored", _storage(result)
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>Recado: {escape(title)}</title>'
        f'<meta name="viewport" content="width=device-width"><style>{_STYLE}</style>'
        f"<h1>Recado: {escape(title.lower())}</h1>"
        + _machine(result.machine)
        + _promises(result.promises())
        + "".join(content)
        + "</html>\n"
    )


def _ingest(result: ingest.Result) -> Iterator[str]:
    yield "<h2>Webhooks acknowledged per second, in turn with an empty Flask route</h2>"
    bars = [
        (f"round {number + 1}: {name}", rate)
        for number, turn in enumerate(result.rounds)
        for name, rate in (("empty route", turn.floor_rate), ("Recado", turn.rate))
    ]
    yield _bars(bars, unit="/s", digits=0, colours=2)
    medians = f"{result.rate:,.0f}/s against {result.floor_rate:,.0f}/s"
    yield f"<p>Median {medians}: <b>{result.ratio:.2f} x</b>.</p>"
    yield "<h2>Time to the acknowledgement</h2>"
    curves = [(f"{measured.offered_rate}/s", measured.latency) for measured in result.at_rates]
    curves.append(("saturation", result.saturation))
    yield _curves(curves)
    yield _table(
        ("webhooks", "acknowledged/s", "p50", "p99", "max", "generator"),
        [
            (
                f"{measured.offered_rate}/s offered",
                f"{measured.rate:,.0f}",
                *_latency(measured.latency),
                f"{measured.generator_cpu:.0%}",
            )
            for measured in result.at_rates
        ]
        + [("saturation", f"{result.rate:,.0f}", *_latency(result.saturation), "")],
    )
    yield (
        '<p class="soft">At a rate, webhooks come at random times (Poisson) and their time counts from the '
        "moment they were due. The generator's share is of one processor.</p>"
    )
    yield "<h2>Processors used at saturation</h2>"
    yield _bars(sorted(result.cpu.items(), key=lambda share: -share[1]), unit=" cores", digits=2)
    if result.floor_cost_ms:
        yield "<h2>Processor milliseconds per webhook</h2>"
        costs = sorted(result.cost_ms.items(), key=lambda cost: -cost[1])
        yield _bars([("empty Flask route", result.floor_cost_ms), *costs], unit=" ms", digits=3)
    kept = result.kept
    yield (
        f"<p>{kept.webhooks_acknowledged:,} webhooks acknowledged, {kept.webhooks_kept:,} kept, "
        f"{kept.webhooks_not_applied:,} not applied; {kept.messages_checked:,} messages looked for, "
        f"{kept.messages_missing:,} missing.</p>"
    )


def _history(result: history.Result) -> Iterator[str]:
    yield f"<h2>A page of {history.PAGE_MESSAGES} messages, end to end</h2>"
    yield _curves(
        [
            (f"{case.messages:,} messages, {case.lead} lead", case.latency)
            for case in result.cases
            if case.order == "asc"
        ]
    )
    yield _table(
        ("messages", "lead", "order", "deepest", "p50", "p99", "max"),
        [
            (
                f"{case.messages:,}",
                f"{case.lead} ({case.lead_messages:,})",
                case.order,
                f"{case.depth_max:,}",
                *_latency(case.latency),
            )
            for case in result.cases
        ],
    )
    small, large = result.options.sizes
    yield f"<h2>{large:,} messages against {small:,}</h2>"
    yield _table(
        ("lead", "order", "p50", "p99"),
        [(ratio.lead, ratio.order, f"{ratio.p50:.2f} x", f"{ratio.p99:.2f} x") for ratio in result.ratios],
    )


def _search(result: search.Result) -> Iterator[str]:
    for title, cases in (
        (f"Searches in {result.options.messages:,} messages", result.searches),
        (f"Pages of {history.PAGE_MESSAGES} of a large lead, with filters", result.pages),
    ):
        yield f"<h2>{escape(title)}</h2>"
        yield _curves([(case.kind, case.latency) for case in cases])
        yield _table(
            ("kind", "found", "p50", "p99", "max"),
            [(case.kind, f"{case.found:,}", *_latency(case.latency)) for case in cases],
        )
    yield "<h2>Export of one lead</h2>"
    yield _bars(
        [(export.file_format, export.per_second) for export in result.exports], unit=" messages/s", digits=0
    )


def _storage(result: storage.Result) -> Iterator[str]:
    yield (
        f"<p>{result.messages:,} messages of {result.leads:,} people, in {result.webhooks:,} webhooks of "
        f"{result.body_bytes / 1e6:.1f} MB: <b>{result.bytes_per_10k / 1e6:.2f} MB</b> per 10,000 messages, "
        "all tables and indexes.</p>"
    )
    yield "<h2>Per 10,000 messages</h2>"
    yield _bars(
        [(f"{part.name} ({part.kind})", part.bytes_per_10k / 1e6) for part in result.parts],
        unit=" MB",
        digits=2,
    )


def _machine(machine: Machine) -> str:
    facts = msgspec.to_builtins(machine)
    told = " · ".join(f"{name.replace('_', ' ')} {value}" for name, value in facts.items())
    return f'<p class="soft">{escape(told)}</p>'


def _promises(promises: Sequence[Promise]) -> str:
    return _table(
        ("promised", "limit", "measured"),
        [
            (
                promise.what,
                f"{promise.limit:g} {promise.unit}".strip(),
                f"{promise.measured:.3g} {promise.unit}".strip(),
            )
            for promise in promises
        ],
        classes=["kept" if promise.is_kept else "broken" for promise in promises],
    )


def _latency(latency: Latency) -> tuple[str, str, str]:
    return f"{latency.p50_ms:.1f} ms", f"{latency.p99_ms:.1f} ms", f"{latency.max_ms:.1f} ms"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]], *, classes: Sequence[str] = ()) -> str:
    heads = "".join(f"<th>{escape(cell)}</th>" for cell in head)
    body = ""
    for number, row in enumerate(rows):
        first = f' class="{classes[number]}"' if classes else ""
        cells = "".join(f"<td>{escape(cell)}</td>" for cell in row[1:])
        body += f"<tr><td{first}>{escape(row[0])}</td>{cells}</tr>"
    return f"<table><tr>{heads}</tr>{body}</table>"


def _bars(bars: Sequence[tuple[str, float]], *, unit: str, digits: int, colours: int = 1) -> str:
    """Draw a bar a line; `colours` repeat."""
    largest = max((value for _, value in bars), default=0) or 1
    label_width = 16 + _CHARACTER_WIDTH * max((len(label) for label, _ in bars), default=0)
    room = _WIDTH - label_width - 90
    lines: list[str] = []
    for number, (label, value) in enumerate(bars):
        top = number * _ROW_HEIGHT
        width = max(1.0, room * value / largest)
        lines.append(
            f'<text x="{label_width - 8}" y="{top + 15}" text-anchor="end">{escape(label)}</text>'
            f'<rect x="{label_width}" y="{top + 4}" width="{width:.1f}" height="{_ROW_HEIGHT - 8}" rx="2" '
            f'fill="{_COLOURS[number % colours]}"/>'
            f'<text class="soft" x="{label_width + width + 6:.1f}" y="{top + 15}">'
            f"{value:,.{digits}f}{escape(unit)}</text>"
        )
    return _svg(len(bars) * _ROW_HEIGHT + 4, lines)


def _curves(curves: Sequence[tuple[str, Latency]]) -> str:
    """Draw latency (logarithmic) over the share of requests that were at least as fast."""
    points = [point for _, latency in curves for point in latency.curve if point[1] > 0]
    if not points:
        return ""
    low = math.floor(math.log10(min(ms for _, ms in points)))
    high = max(low + 1, math.ceil(math.log10(max(ms for _, ms in points))))
    top = 18 * len(curves) + 14
    bottom = top + _PLOT_HEIGHT

    def x(quantile: float) -> float:
        # The tail is what matters: a decade of it has the same room as the half before.
        nines = min(3.3, -math.log10(max(1 - quantile, 0.0005)))
        return _MARGIN + (_WIDTH - 2 * _MARGIN) * nines / 3.3

    def y(ms: float) -> float:
        share = (math.log10(max(ms, 10**low)) - low) / (high - low)
        return bottom - _PLOT_HEIGHT * share

    lines: list[str] = []
    for power in range(low, high + 1):
        at = y(10**power)
        lines.append(
            f'<line class="axis" x1="{_MARGIN}" x2="{_WIDTH - _MARGIN}" y1="{at:.1f}" y2="{at:.1f}"/>'
            f'<text class="soft" x="{_MARGIN - 6}" y="{at + 4:.1f}" text-anchor="end">{10**power:g} ms</text>'
        )
    for quantile, label in ((0.0, "fastest"), (0.5, "p50"), (0.9, "p90"), (0.99, "p99"), (0.999, "p99.9")):
        at = x(quantile)
        lines.append(
            f'<line class="axis" x1="{at:.1f}" x2="{at:.1f}" y1="{top}" y2="{bottom}"/>'
            f'<text class="soft" x="{at:.1f}" y="{bottom + 18}" text-anchor="middle">{label}</text>'
        )
    for number, (label, latency) in enumerate(curves):
        colour = _COLOURS[number % len(_COLOURS)]
        path = " ".join(f"{x(quantile):.1f},{y(ms):.1f}" for quantile, ms in latency.curve)
        lines.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        lines.append(
            f'<rect x="{_MARGIN + 10}" y="{8 + 18 * number}" width="10" height="10" fill="{colour}"/>'
            f'<text x="{_MARGIN + 26}" y="{17 + 18 * number}">{escape(label)}</text>'
        )
    return _svg(bottom + 26, lines)


def _svg(height: int, lines: Sequence[str]) -> str:
    return f'<svg viewBox="0 0 {_WIDTH} {height}" role="img">{"".join(lines)}</svg>'
