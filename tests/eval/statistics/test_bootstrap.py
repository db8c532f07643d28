"""Bootstrap intervals: against scipy, their coverage, and what they refuse."""

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from benchmarks.coverage import SCENARIOS, coverage
from ragkit.errors import UsageError
from ragkit.eval.statistics import mean_interval
from ragkit.eval.statistics.bootstrap import expanded_tail, resampled_means

CHANCE = np.random.default_rng(7)


def test_scipy_gives_nearly_the_same_interval():
    values = CHANCE.exponential(size=200)
    ours = mean_interval(values)
    theirs = stats.bootstrap((values,), np.mean, method="percentile", n_resamples=10_000, rng=1).confidence_interval
    assert ours.estimate == values.mean()
    # both ends are random; each is known to about a hundredth of the width
    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high), abs=0.03 * (theirs.high - theirs.low))


def test_a_cluster_interval_resamples_whole_clusters():
    sizes = CHANCE.integers(1, 9, 40)
    values = np.repeat(CHANCE.normal(size=40), sizes)
    names = [f"d{cluster}" for cluster in np.repeat(np.arange(40), sizes)]
    ours = mean_interval(values, names)
    starts = np.concatenate(([0], np.cumsum(sizes)[:-1]))
    means = []
    for _ in range(4000):
        drawn = CHANCE.integers(0, 40, 40)
        taken = np.concatenate([values[starts[one] : starts[one] + sizes[one]] for one in drawn])
        means.append(taken.mean())
    low, high = np.percentile(means, [2.5, 97.5])
    assert (ours.units, ours.over) == (40, "clusters")
    assert (ours.low, ours.high) == pytest.approx((low, high), abs=0.06 * (high - low))
    assert ours.high - ours.low > 1.5 * (mean_interval(values).high - mean_interval(values).low)


def test_clusters_of_one_query_are_the_bootstrap_over_queries():
    values = CHANCE.random(30)
    single, plain = mean_interval(values, range(30)), mean_interval(values)
    assert (single.low, single.high) == (plain.low, plain.high)


def test_both_ways_of_summing_give_the_same_means():
    totals = CHANCE.random(25)
    sizes = np.full(25, 2.0)
    even = resampled_means(totals, sizes, 200, np.random.default_rng(3))
    nearly = resampled_means(totals, sizes + 1e-13 * np.arange(25), 200, np.random.default_rng(3))
    assert even == pytest.approx(nearly, rel=1e-9)


def test_blocks_do_not_change_the_result(monkeypatch: pytest.MonkeyPatch):
    values = CHANCE.random(50)
    whole = mean_interval(values)
    monkeypatch.setattr("ragkit.eval.statistics.bootstrap.BLOCK", 50 * 7)
    assert mean_interval(values).low == pytest.approx(whole.low, abs=1e-12)


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=30), st.integers(0, 5))
@settings(max_examples=25)
def test_the_interval_lies_within_the_values_and_repeats(values: list[float], seed: int):
    found = mean_interval(values, resamples=200, seed=seed)
    slack = 1e-9 * max(1.0, *map(abs, values))
    assert min(values) - slack <= found.low <= found.high <= max(values) + slack
    assert found == mean_interval(values, resamples=200, seed=seed)


def test_a_wider_level_gives_a_wider_interval():
    values = CHANCE.random(40)
    narrow, wide = mean_interval(values, level=0.8), mean_interval(values, level=0.99)
    assert wide.low < narrow.low < narrow.high < wide.high
    assert narrow.contains(narrow.low)
    assert not narrow.contains(wide.low)


@pytest.mark.parametrize("name", list(SCENARIOS))
def test_the_interval_covers_the_truth(name: str):
    # fast form of `python -m benchmarks.coverage`: 600 samples have a standard error of 0.9 points
    covered = coverage(SCENARIOS[name], samples=600, resamples=600, seed=11)
    assert 0.925 <= covered <= 0.975


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([0.1, float("nan"), 0.3], "The scores of mine hold nan at place 1"),
        ([0.1, None], "The scores of mine hold nan at place 1"),
        ([float("inf")], "hold inf at place 0"),
        ([], r"have the shape \(0,\)"),
        ([[0.1, 0.2]], r"have the shape \(1, 2\)"),
        (["good"], "are not all numbers"),
        ({"q1": 0.3}, "are not all numbers"),
    ],
)
def test_missing_values_are_refused_by_name(values, message: str):
    with pytest.raises(UsageError, match=message):
        mean_interval(values, name="mine")


@pytest.mark.parametrize("options", [{"level": 0}, {"level": 95}, {"resamples": 50}, {"clusters": ["a"]}])
def test_bad_options_are_refused(options: dict):
    with pytest.raises(UsageError):
        mean_interval([0.1, 0.2], **options)


def test_ten_thousand_resamples_of_a_thousand_queries_use_bounded_blocks():
    started = time.perf_counter()
    found = mean_interval(CHANCE.random(1000))
    assert (found.units, found.resamples) == (1000, 10_000)
    # no timed test: this only catches a loop over resamples or a gigabyte of counts
    assert time.perf_counter() - started < 30


def test_a_resample_of_clusters_is_averaged_over_its_own_queries():
    owner = np.repeat(np.arange(20), np.arange(1, 21))
    found = mean_interval(np.ones(len(owner)), owner.tolist())
    assert (found.low, found.high) == pytest.approx((1.0, 1.0), abs=1e-12)


@pytest.mark.parametrize("units", [2, 20, 200, 10**6])
def test_tails_widen_by_the_t_distribution_for_few_units(units: int):
    expected = stats.norm.cdf(stats.t.ppf(0.025, units - 1) * np.sqrt(units / (units - 1)))
    assert expanded_tail(0.025, units) == pytest.approx(expected)
    assert expanded_tail(0.025, units) < 0.025
    assert expanded_tail(0.025, 10**6) == pytest.approx(0.025, abs=1e-5)
    assert expanded_tail(0.025, 1) == 0.025
