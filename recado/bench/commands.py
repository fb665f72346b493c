"""`recado bench`: figures of a running stack, as tables, JSON and a page with plots."""

import functools
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Concatenate, Final, ParamSpec, TypeVar

import click
import msgspec
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from recado.bench import generate, history, ingest, report, search, storage, target, wrk
from recado.bench.figures import Latency, Promise

P = ParamSpec("P")
Result = TypeVar("Result", ingest.Result, history.Result, search.Result, storage.Result)

_OPTIONS: Final = (
    click.option(
        "--data",
        type=click.Path(file_okay=False, path_type=Path),
        default=Path(".recado"),
        show_default=True,
        help="Folder of the stack to measure; where none runs, one is started for the time being.",
    ),
    click.option("--own", is_flag=True, help="Start a stack of its own even where one runs, and remove it."),
    click.option("--seed", type=click.IntRange(0, 2**31), default=7, show_default=True),
    click.option("--quick", is_flag=True, help="A few seconds, to see that it works: no figures to quote."),
    click.option(
        "--json",
        "json_path",
        type=click.Path(dir_okay=False, path_type=Path),
        help="Write everything measured there.",
    ),
    click.option(
        "--report",
        "report_folder",
        type=click.Path(file_okay=False, path_type=Path),
        help="Write a page with plots there.",
    ),
    click.option("--check", is_flag=True, help="End with an error when a promise is not kept."),
)


class Output(msgspec.Struct, frozen=True):
    """Where the figures go besides the terminal."""

    json_path: Path | None
    report_folder: Path | None
    has_check: bool

    def give(self, result: report.Result) -> None:
        if self.json_path:
            told = {**msgspec.to_builtins(result), "promises": msgspec.to_builtins(result.promises())}
            self.json_path.parent.mkdir(parents=True, exist_ok=True)
            self.json_path.write_bytes(msgspec.json.format(msgspec.json.encode(told)) + b"\n")
        if self.report_folder:
            click.echo(f"report: {report.write(self.report_folder, result)}")
        if self.has_check and not all(promise.is_kept for promise in result.promises()):
            sys.exit(1)


def _measures(
    command: Callable[Concatenate[target.Target, int, bool, P], Result],
) -> Callable[..., None]:
    """Give a command the options that all have, a stack to measure, and what happens to its result."""

    @functools.wraps(command)
    def run(
        data: Path,
        own: bool,
        seed: int,
        quick: bool,
        json_path: Path | None,
        report_folder: Path | None,
        check: bool,
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> None:
        with target.find(data, wants_own=own) as stack:
            if not stack.is_own:
                click.echo(f"measuring the stack that runs on {data}; what is sent stays in its own tenants")
            result = command(stack, seed, quick, *args, **kwargs)
        _print_promises(result.promises())
        Output(json_path, report_folder, check).give(result)

    decorated: Callable[..., None] = run
    for option in reversed(_OPTIONS):
        decorated = option(decorated)
    return decorated


@click.group()
def bench() -> None:
    """Measure a running stack."""


@bench.command(name="ingest")
@click.option("--seconds", type=click.FloatRange(1, 600), help="Of each round and rate.  [default: 6]")
@click.option("--rounds", type=click.IntRange(1, 50), help="Turns of floor and stack.  [default: 3]")
@click.option("--generator", type=click.Choice(["auto", "wrk", "own"]), default="auto", show_default=True)
@click.option(
    "--listeners", type=click.IntRange(0, 400), default=0, show_default=True, help="Of the live feed."
)
@_measures
def bench_ingest(
    stack: target.Target,
    seed: int,
    quick: bool,
    *,
    seconds: float | None,
    rounds: int | None,
    generator: str,
    listeners: int,
) -> ingest.Result:
    """Webhooks kept per second against an empty Flask route, and the time to their acknowledgement."""
    kind: generate.Kind = (
        "wrk" if generator == "wrk" or (generator == "auto" and wrk.is_installed()) else "own"
    )
    options = ingest.Options(
        generator=kind,
        seed=seed,
        seconds=seconds or (1 if quick else 6),
        rounds=rounds or (1 if quick else 3),
        contacts=50 if quick else 500,
        listeners=listeners,
    )
    result = _with_progress(ingest.steps(options), functools.partial(ingest.run, stack, options))
    _print_ingest(result)
    return result


@bench.command(name="history")
@click.option("--pages", type=click.IntRange(1, 100_000), help="Of each kind.  [default: 300]")
@_measures
def bench_history(
    stack: target.Target,
    seed: int,
    quick: bool,
    *,
    pages: int | None,
) -> history.Result:
    """The time of a page of 100 messages, at 10 thousand messages and at a million."""
    options = history.Options(
        seed=seed,
        pages=pages or (10 if quick else 300),
        sizes=(2_000, 10_000) if quick else (10_000, 1_000_000),
    )
    result = _with_progress(history.steps(options), functools.partial(history.run, stack, options))
    _print_history(result)
    return result


@bench.command(name="search")
@click.option("--messages", type=click.IntRange(1_000, 10_000_000), help="To search.  [default: 1000000]")
@click.option("--searches", type=click.IntRange(1, 100_000), help="Of each kind.  [default: 100]")
@_measures
def bench_search(
    stack: target.Target,
    seed: int,
    quick: bool,
    *,
    messages: int | None,
    searches: int | None,
) -> search.Result:
    """Words among a million messages, pages with filters, and the export of a long history."""
    options = search.Options(
        seed=seed,
        messages=messages or (10_000 if quick else 1_000_000),
        searches=searches or (10 if quick else 100),
    )
    result = _with_progress(search.steps(options), functools.partial(search.run, stack, options))
    _print_search(result)
    return result


@bench.command(name="storage")
@click.option("--messages", type=click.IntRange(100, 1_000_000), help="To send.  [default: 10000]")
@_measures
def bench_storage(
    stack: target.Target,
    seed: int,
    quick: bool,
    *,
    messages: int | None,
) -> storage.Result:
    """What 10,000 messages cost on disk, by table and index, sent as webhooks."""
    options = storage.Options(seed=seed, messages=messages or (500 if quick else 10_000))
    result = _with_progress(storage.steps(options), functools.partial(storage.run, stack, options))
    _print_storage(result)
    return result


def _with_progress(steps: int, work: Callable[[Callable[[str], None]], Result]) -> Result:
    """Show a bar while it works: on standard error, so that tables may be piped."""
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task("starting", total=steps, completed=-1)

        def tell(what: str) -> None:
            progress.update(task, description=what, advance=1)

        return work(tell)


def _print_ingest(result: ingest.Result) -> None:
    table = Table(title="Webhooks acknowledged per second, in turn", title_justify="left")
    for heading in ("round", "empty Flask route", "Recado", "ratio"):
        table.add_column(heading, justify="right")
    for number, turn in enumerate(result.rounds):
        table.add_row(str(number + 1), f"{turn.floor_rate:,.0f}", f"{turn.rate:,.0f}", f"{turn.ratio:.2f}")
    table.add_section()
    table.add_row(
        "median", f"{result.floor_rate:,.0f}", f"{result.rate:,.0f}", f"[bold]{result.ratio:.2f}[/]"
    )
    _print(table)
    for number, turn in enumerate(result.rounds, start=1):
        if turn.listened_rate:
            click.echo(
                f"round {number} with {result.options.listeners} listeners: {turn.listened_rate:,.0f}/s, "
                f"{turn.listened_rate / turn.rate:.2f} x that without; {turn.events_heard:,} messages heard"
            )
    table = Table(title="Time to the acknowledgement", title_justify="left")
    for heading in ("webhooks/s", "acknowledged/s", "p50", "p99", "max", "generator"):
        table.add_column(heading, justify="right")
    for measured in result.at_rates:
        table.add_row(
            f"{measured.offered_rate:,}",
            f"{measured.rate:,.0f}",
            *_latency(measured.latency),
            f"{measured.generator_cpu:.0%} of a core",
        )
    table.add_row(
        "saturation",
        f"{result.rate:,.0f}",
        *_latency(result.saturation),
        f"{result.rounds[-1].generator_cpu:.0%} of a core",
    )
    _print(table)
    _print_cpu("Processors used at saturation", result.cpu)
    if result.floor_cost_ms:
        costs = {
            **result.cost_ms,
            "all": sum(result.cost_ms.values()),
            "empty Flask route": result.floor_cost_ms,
        }
        _print_cpu("Processor milliseconds per webhook", costs, digits=3)
    kept = result.kept
    click.echo(
        f"{kept.webhooks_acknowledged:,} webhooks acknowledged, {kept.webhooks_kept:,} kept, "
        f"{kept.webhooks_not_applied:,} not applied, {result.refused:,} refused; "
        f"{kept.messages_checked:,} messages looked for, {kept.messages_missing:,} missing\n"
    )


def _print_history(result: history.Result) -> None:
    table = Table(title=f"A page of {history.PAGE_MESSAGES} messages, end to end", title_justify="left")
    for heading in ("messages", "lead", "order", "deepest", "p50", "p99", "max"):
        table.add_column(heading, justify="right")
    for case in result.cases:
        table.add_row(
            f"{case.messages:,}",
            f"{case.lead} ({case.lead_messages:,})",
            case.order,
            f"{case.depth_max:,}",
            *_latency(case.latency),
        )
    _print(table)
    small, large = result.options.sizes
    table = Table(title=f"{large:,} messages against {small:,}", title_justify="left")
    for heading in ("lead", "order", "p50", "p99"):
        table.add_column(heading, justify="right")
    for ratio in result.ratios:
        table.add_row(ratio.lead, ratio.order, f"{ratio.p50:.2f} x", f"{ratio.p99:.2f} x")
    _print(table)
    _print_cpu("Processors used while reading", result.cpu)


def _print_search(result: search.Result) -> None:
    for title, cases in (
        (f"Searches in {result.options.messages:,} messages", result.searches),
        (f"Pages of {history.PAGE_MESSAGES} of a large lead, with filters", result.pages),
    ):
        table = Table(title=title, title_justify="left")
        for heading in ("kind", "found", "p50", "p99", "max"):
            table.add_column(heading, justify="left" if heading == "kind" else "right")
        for case in cases:
            table.add_row(case.kind, f"{case.found:,}", *_latency(case.latency))
        _print(table)
    table = Table(title="Export of one lead", title_justify="left")
    for heading in ("format", "messages", "MB", "messages/s", "growth of the processes"):
        table.add_column(heading, justify="left" if heading == "format" else "right")
    for export in result.exports:
        table.add_row(
            export.file_format,
            f"{export.messages:,}",
            f"{export.bytes / 1e6:,.1f}",
            f"{export.per_second:,.0f}",
            f"{export.gateway_growth_mb:.1f} MB",
        )
    _print(table)
    _print_cpu("Processors used", result.cpu)


def _print_storage(result: storage.Result) -> None:
    table = Table(title="Bytes per 10,000 messages", title_justify="left")
    for heading in ("table", "part", "kind"):
        table.add_column(heading)
    table.add_column("bytes", justify="right")
    table.add_column("share", justify="right")
    for part in result.parts:
        share = part.bytes_per_10k / result.bytes_per_10k
        table.add_row(part.table, part.name, part.kind, f"{part.bytes_per_10k:,.0f}", f"{share:.0%}")
    table.add_section()
    table.add_row("all", "", "", f"[bold]{result.bytes_per_10k:,.0f}[/]", "")
    _print(table)
    how = "" if result.is_fresh else "; the tables were not empty before, so this is their growth"
    click.echo(
        f"{result.messages:,} messages of {result.leads:,} people in {result.webhooks:,} webhooks "
        f"({result.body_bytes / 1e6:.1f} MB as they came){how}\n"
    )


def _print_cpu(title: str, shares: dict[str, float], *, digits: int = 2) -> None:
    used = [(name, share) for name, share in shares.items() if share >= 0.5 * 10**-digits]
    if used:
        told = ", ".join(
            f"{name} {share:.{digits}f}" for name, share in sorted(used, key=lambda item: -item[1])
        )
        click.echo(f"{title}: {told}")


def _print_promises(promises: list[Promise]) -> None:
    table = Table(title="Promises", title_justify="left")
    table.add_column("")
    table.add_column("promised")
    table.add_column("limit", justify="right")
    table.add_column("measured", justify="right")
    for promise in promises:
        table.add_row(
            "[green]✓[/]" if promise.is_kept else "[red]✗[/]",
            promise.what,
            f"{promise.limit:g} {promise.unit}".strip(),
            f"{promise.measured:.3g} {promise.unit}".strip(),
        )
    _print(table)


def _print(table: Table) -> None:
    Console(width=None if sys.stdout.isatty() else 110).print(table)


def _latency(latency: Latency) -> tuple[str, str, str]:
    return f"{latency.p50_ms:.1f} ms", f"{latency.p99_ms:.1f} ms", f"{latency.max_ms:.1f} ms"
