"""Percentiles, ratios, and the promises that figures are held against."""

import math
import statistics
from collections.abc import Sequence
from typing import Final

import msgspec

# Points of the curve kept of every latency distribution: enough to draw it, whatever the number of requests.
QUANTILES: Final = (0.0, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 0.995, 0.999, 1.0)


class Latency(msgspec.Struct, frozen=True):
    """How long requests took, in milliseconds."""

    count: int
    p50_ms: float
    p99_ms: float
    max_ms: float
    curve: list[tuple[float, float]]
    """(quantile, milliseconds), rising."""


class Promise(msgspec.Struct, frozen=True):
    """A figure that was promised, and what was measured."""

    what: str
    measured: float
    limit: float
    unit: str
    is_kept: bool


def at_most(what: str, measured: float, limit: float, unit: str) -> Promise:
    return Promise(what, measured, limit, unit, is_kept=measured <= limit)


def at_least(what: str, measured: float, limit: float, unit: str) -> Promise:
    return Promise(what, measured, limit, unit, is_kept=measured >= limit)


def percentile(ordered: Sequence[float], quantile: float) -> float:
    """Give the smallest value that at least this share of the values does not exceed (nearest rank).

    `ordered` is sorted; of an empty one it is NaN. Nothing is made up between two measurements.
    """
    if not ordered:
        return math.nan
    return ordered[max(0, math.ceil(quantile * len(ordered)) - 1)]


def latency(seconds: Sequence[float]) -> Latency:
    ordered = sorted(1000 * value for value in seconds)
    return Latency(
        count=len(ordered),
        p50_ms=percentile(ordered, 0.5),
        p99_ms=percentile(ordered, 0.99),
        max_ms=percentile(ordered, 1.0),
        curve=[(quantile, percentile(ordered, quantile)) for quantile in QUANTILES],
    )


def median(values: Sequence[float]) -> float:
    return statistics.median(values) if values else math.nan


def ratio(part: float, whole: float) -> float:
    return part / whole if whole else math.nan
