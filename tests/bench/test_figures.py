"""Percentiles and promises say what they claim."""

import math

import pytest
from hypothesis import given, strategies as st

from recado.bench import figures


@pytest.mark.parametrize(
    ("quantile", "expected"),
    [(0.0, 1), (0.01, 1), (0.5, 50), (0.505, 51), (0.99, 99), (0.995, 100), (1.0, 100)],
)
def test_a_percentile_is_the_nearest_rank(quantile: float, expected: float):
    assert figures.percentile(list(range(1, 101)), quantile) == expected


def test_a_percentile_of_nothing_is_no_number():
    assert math.isnan(figures.percentile([], 0.5))


@given(st.lists(st.floats(0, 100), min_size=1), st.floats(0, 1))
def test_a_percentile_is_a_value_that_so_many_do_not_exceed(values: list[float], quantile: float):
    found = figures.percentile(sorted(values), quantile)

    assert found in values
    assert sum(value <= found for value in values) >= quantile * len(values)


def test_latency_is_in_milliseconds_and_its_curve_rises():
    told = figures.latency([0.004, 0.001, 0.002, 0.003])

    assert (told.count, told.p50_ms, told.p99_ms, told.max_ms) == (4, 2.0, 4.0, 4.0)
    assert [ms for _, ms in told.curve] == sorted(ms for _, ms in told.curve)


def test_a_promise_is_kept_at_its_limit_and_broken_beyond():
    assert figures.at_most("x", 250, 250, "ms").is_kept
    assert not figures.at_most("x", 250.1, 250, "ms").is_kept
    assert figures.at_least("x", 0.4, 0.4, "x").is_kept
    assert not figures.at_least("x", 0.39, 0.4, "x").is_kept


def test_a_figure_that_could_not_be_measured_keeps_no_promise():
    assert not figures.at_most("x", math.nan, 1, "").is_kept
    assert not figures.at_least("x", figures.ratio(1, 0), 1, "").is_kept
