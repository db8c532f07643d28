"""Cost, latency, label consistency and the size of selections."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ragkit.errors import UsageError
from ragkit.eval.metrics import (
    Call,
    Cost,
    Latency,
    Price,
    cache_hit_share,
    compression_ratio,
    consistency,
    cost_efficiency,
    dollars_per_query,
    evaluate,
    kept_share,
    majority_share,
    nearest_rank,
    relative_efficiency,
    same_mean_count,
    same_tokens,
    total_cost,
)
from tests.eval.metrics.small import query, run

PRICE = Price(input=2.0, output=8.0)
CALLS = [Call("context", 1000, 100, "index"), Call("answer", 500, 50), Call("judge", 300, 10)]


def test_every_call_counts_and_phases_are_apart():
    assert total_cost(CALLS, PRICE, "query") == Cost(2, 800, 60, pytest.approx(800 * 2e-6 + 60 * 8e-6))
    assert total_cost(CALLS, PRICE, "index").tokens == 1100
    assert dollars_per_query(CALLS, PRICE, 10) == pytest.approx((1800 * 2e-6 + 160 * 8e-6) / 10)
    with pytest.raises(UsageError):
        dollars_per_query(CALLS, PRICE, 0)


def test_relative_efficiency_example():
    assert relative_efficiency([(0.65, 140_699), (0.75, 104_939)]) == [pytest.approx(0.646, abs=5e-4), 1.0]
    for wrong in ([(0.0, 1.0)], [], [(1.0, 0.0)]):
        with pytest.raises(UsageError):
            relative_efficiency(wrong)
    with pytest.raises(UsageError):
        cost_efficiency(1.0, float("nan"))


def test_compression():
    assert (compression_ratio(100, 25), kept_share(100, 25)) == (4.0, 0.25)
    assert (compression_ratio(100, 0), compression_ratio(0, 0), kept_share(0, 0)) == (math.inf, 1.0, 1.0)


def test_nearest_rank_takes_the_19th_of_20():
    assert nearest_rank(list(range(1, 21)), 95) == 19
    assert Latency.of([0.3, 0.1, 0.2]) == Latency(0.2, 0.3, 3)
    for values, percent in (([], 50), ([1.0], 0), ([1.0], 101), ([float("nan")], 50)):
        with pytest.raises(UsageError):
            nearest_rank(values, percent)


@given(st.lists(st.floats(allow_nan=False), min_size=1), st.integers(1, 100))
def test_nearest_rank_is_the_inverted_cdf(values: list[float], percent: int):
    assert nearest_rank(values, percent) == np.percentile(values, percent, method="inverted_cdf")


def test_cache_hits_are_shares_of_tokens():
    assert cache_hit_share([90, 0], [100, 10]) == pytest.approx(90 / 110)
    assert cache_hit_share([], []) == 0.0
    for cached, prompt in (([1], []), ([2], [1]), ([-1], [1])):
        with pytest.raises(UsageError):
            cache_hit_share(cached, prompt)


@pytest.mark.parametrize(
    ("labels", "expected"), [("aaab", 0.189), ("a" * 8 + "bb", 0.278), ("abcde", 0.0), ("a" * 10, 1.0), ("a", 1.0)]
)
def test_consistency_examples(labels: str, expected: float):
    assert consistency(labels) == pytest.approx(expected, abs=5e-4)


def test_consistency_over_the_label_set_and_majority():
    assert consistency("a" * 9 + "b", categories=10) > 0.85 > consistency("a" * 9 + "b")
    assert majority_share("aaab") == 0.75
    for wrong in (lambda: consistency([]), lambda: consistency("ab", categories=1), lambda: majority_share([])):
        with pytest.raises(UsageError):
            wrong()


def test_sizes_of_selections():
    queries = [query(("d", 0, 9), name=name) for name in "ab"]
    scores = evaluate(["Units", "Tokens", "Empty", "Tokens@1"], queries, [run(("d", 0, 40), ("d", 50, 90)), run()])
    assert [values.tolist() for values in scores.values()] == [[2, 0], [20, 0], [0, 1], [10, 0]]


def test_baselines_of_equal_cost():
    ranked = [run(("d", 0, 40), ("d", 40, 80), ("d", 80, 120), ("d", 120, 400))] * 2
    selected = [run(("d", 0, 100), ranked=False), run(("d", 0, 40), ("d", 9, 49), ranked=False)]
    assert [len(found.documents) for found in same_mean_count(selected, ranked)] == [2, 2]
    assert [found.tokens.sum() for found in same_tokens(selected, ranked)] == [20, 20]
    assert [len(found.documents) for found in same_tokens([run()], ranked[:1])] == [0]
    assert same_mean_count([], []) == []
    with pytest.raises(UsageError, match="1 selections and 2 ranked runs"):
        same_tokens(selected[:1], ranked)
    with pytest.raises(UsageError, match="needs hits in order of score"):
        same_tokens(selected, selected)
