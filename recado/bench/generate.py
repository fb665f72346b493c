"""Runs a generator as a process of its own, and gives what both kinds say in the same words."""

import subprocess
import sys
from pathlib import Path
from typing import Final, Literal, TypeAlias

import click
import msgspec

from recado.bench import bodies, figures, load, wrk
from recado.bench.figures import Latency
from recado.sandbox.sender import PATH

Kind: TypeAlias = Literal["wrk", "own"]

# Beyond its plan, for the answers that are still to come.
_GRACE_S: Final = 60.0


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """What one generator did to one server."""

    taken: int
    """Requests that may have been sent: never more than this many, from the start of the file."""
    acknowledged: int
    refused: int
    seconds: float
    rate: float
    """Acknowledged per second, while it was sending."""
    latency: Latency
    generator_cpu: float
    """Share of one processor that the generator itself used."""
    unacknowledged: list[int] | None
    """Which requests of the file were not; None when the generator does not know."""


def saturate(
    kind: Kind,
    address: tuple[str, int],
    requests: Path,
    *,
    connections: int,
    seconds: float,
    wraps: bool,
) -> Run:
    """Send as fast as answers come. `wraps` begins the file again at its end."""
    if kind == "own":
        host, port = address
        return _own(
            load.Plan(
                host=host,
                port=port,
                requests=str(requests),
                connections=connections,
                seconds=seconds,
                wraps=wraps,
            )
        )
    done = wrk.run(
        f"http://{address[0]}:{address[1]}{PATH}",
        requests,
        connections=connections,
        seconds=max(1, round(seconds)),
        quantiles=figures.QUANTILES,
    )
    if done.wraps and not wraps:
        raise click.ClickException("there were not enough different webhooks; repeat with fewer --seconds")
    curve = list(zip(figures.QUANTILES, done.curve_ms, strict=True))
    by_quantile = dict(curve)
    return Run(
        taken=done.requests + connections + 1,
        acknowledged=done.acknowledged,
        refused=done.refused + done.broken,
        seconds=done.seconds,
        rate=done.acknowledged / done.seconds,
        latency=Latency(done.requests, by_quantile[0.5], by_quantile[0.99], by_quantile[1.0], curve),
        generator_cpu=done.cpu_s / done.seconds,
        unacknowledged=None,
    )


def at_rate(
    address: tuple[str, int], requests: Path, *, rate: float, connections: int, seconds: float, seed: int
) -> Run:
    """Send this many a second, come what may."""
    host, port = address
    return _own(
        load.Plan(
            host=host,
            port=port,
            requests=str(requests),
            connections=connections,
            seconds=seconds,
            rate=rate,
            seed=seed,
        )
    )


def all_of(address: tuple[str, int], requests: Path, *, connections: int) -> Run:
    """Send the whole file, once."""
    host, port = address
    return _own(
        load.Plan(host=host, port=port, requests=str(requests), connections=connections, seconds=None)
    )


def count(requests: Path) -> int:
    """Say how many requests a file holds."""
    return bodies.ids_path(requests).stat().st_size // bodies.ID_BYTES


def _own(plan: load.Plan) -> Run:
    timeout_s = plan.seconds + _GRACE_S if plan.seconds is not None else None
    done = subprocess.run(
        (sys.executable, "-m", "recado.bench.load"),
        input=msgspec.json.encode(plan),
        capture_output=True,
        timeout=timeout_s,
        check=False,
    )
    if done.returncode:
        tail = done.stderr.decode(errors="replace").strip()[-500:]
        raise click.ClickException(f"the load generator failed: {tail}")
    outcome = msgspec.json.decode(done.stdout, type=load.Outcome)
    return Run(
        taken=outcome.taken,
        acknowledged=outcome.acknowledged,
        refused=len(outcome.unacknowledged),
        seconds=outcome.seconds,
        rate=outcome.acknowledged_in_time / outcome.seconds,
        latency=figures.latency(outcome.latencies_s),
        generator_cpu=outcome.cpu_s / outcome.seconds,
        unacknowledged=outcome.unacknowledged,
    )
