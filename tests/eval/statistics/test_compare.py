"""Comparisons: the verdict, and everything that forbids one."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ragkit.errors import UsageError
from ragkit.eval.statistics import compare, compare_all, smallest_detectable_difference

CHANCE = np.random.default_rng(5)
BASE = CHANCE.random(200)
BETTER = BASE + 0.1 + CHANCE.normal(0, 0.2, 200)


def test_a_clear_difference_has_a_winner():
    found = compare(BETTER, BASE)
    assert found.winner == "a"
    assert found.why_no_winner == ""
    assert found.difference == pytest.approx(found.mean_a - found.mean_b) == pytest.approx((BETTER - BASE).mean())
    assert 0 < found.interval.low < found.difference < found.interval.high
    assert found.p_value == found.adjusted_p_value < 0.001
    assert (found.queries, found.clustered) == (200, None)
    assert found.detectable == pytest.approx(2.8016 * (BETTER - BASE).std(ddof=1) / 200**0.5, rel=1e-4)


def test_the_lower_one_wins_where_lower_is_better():
    assert compare(BETTER, BASE, lower_is_better=True).winner == "b"
    assert compare(BASE, BETTER, lower_is_better=True).winner == "a"
    assert compare(BASE, BETTER).winner == "b"


def test_no_winner_where_the_interval_contains_zero():
    found = compare(BASE, BASE + CHANCE.normal(0, 0.3, 200) * 1.0)
    assert found.interval.contains(0.0)
    assert found.winner is None
    assert found.why_no_winner == "the interval over queries contains zero"


def test_equal_systems_have_no_winner():
    found = compare(BASE, BASE)
    assert (found.difference, found.p_value, found.winner) == (0.0, 1.0, None)


@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=2, max_size=30), st.integers(0, 3))
@settings(max_examples=30)
def test_a_winner_is_never_declared_across_zero(pairs: list[tuple[float, float]], seed: int):
    first, second = (list(column) for column in zip(*pairs, strict=True))
    found = compare(first, second, resamples=300, seed=seed)
    mirrored = compare(second, first, resamples=300, seed=seed)
    if found.interval.contains(0.0) or len(pairs) < 10:
        assert found.winner is None
    assert (found.interval.low, found.interval.high) == pytest.approx(
        (-mirrored.interval.high, -mirrored.interval.low), abs=1e-12
    )
    assert found.p_value == mirrored.p_value


def test_few_queries_have_no_winner():
    found = compare([1.0] * 9, [0.0] * 9)
    assert not found.interval.contains(0.0)
    assert found.why_no_winner == "fewer than 10 queries"
    assert compare([1.0], [0.0]).detectable == float("inf")
    assert compare([1.0] * 10, [0.0] * 10).winner == "a"


def test_documents_decide_where_questions_share_them():
    # 20 documents of 10 questions: the difference belongs to the document
    effect = np.where(np.arange(20) < 13, 0.3, -0.3)
    differences = np.repeat(effect, 10)
    documents = [f"d{number // 10}" for number in range(200)]
    plain, clustered = compare(differences, np.zeros(200)), compare(differences, np.zeros(200), documents)
    assert plain.winner == "a"
    assert clustered.interval == plain.interval
    assert clustered.clustered is not None
    assert clustered.clustered.units == 20
    assert clustered.winner is None
    assert clustered.why_no_winner == "the interval over clusters contains zero"
    assert clustered.p_value > 0.05 > plain.p_value
    assert clustered.detectable > 2 * plain.detectable


def test_below_twenty_documents_no_interval_over_them_is_shown():
    assert compare(BETTER, BASE, [number % 19 for number in range(200)]).clustered is None
    assert compare(BETTER, BASE, [number % 20 for number in range(200)]).clustered is not None


def test_holm_over_all_pairs_can_take_a_winner_away():
    found = compare(BETTER, BASE)
    assert replace(found, adjusted_p_value=0.06).why_no_winner == "p = 0.06 after correction is not below 0.05"
    scores = {"one": BETTER, "two": BASE, "three": BASE + CHANCE.normal(0.02, 0.2, 200)}
    table = compare_all(scores)
    assert [(row.a, row.b) for row in table] == [("one", "two"), ("one", "three"), ("two", "three")]
    assert [row.winner for row in table][:1] == ["one"]
    smallest = min(row.comparison.p_value for row in table)
    assert min(row.comparison.adjusted_p_value for row in table) == pytest.approx(3 * smallest)
    assert all(row.comparison.adjusted_p_value >= row.comparison.p_value for row in table)


def test_against_a_baseline():
    scores = {"old": BASE, "new": BETTER, "same": BASE}
    table = compare_all(scores, baseline="old")
    assert [(row.a, row.b, row.winner) for row in table] == [("new", "old", "new"), ("same", "old", None)]
    with pytest.raises(UsageError, match=r"no scores of 'odl'. Did you mean 'old'\?"):
        compare_all(scores, baseline="odl")
    assert compare_all({"old": BASE}) == []


def test_scores_that_do_not_pair_are_refused_by_name():
    with pytest.raises(UsageError, match="fast has 3 scores and slow has 2"):
        compare([1, 2, 3], [1, 2], names=("fast", "slow"))
    with pytest.raises(UsageError, match=r"scores of slow hold nan at place 2 \(1 such values\)"):
        compare([1, 2, 3], [1, 2, float("nan")], names=("fast", "slow"))
    with pytest.raises(UsageError, match="The scores of new hold nan"):
        compare_all({"old": [0.0, 1.0], "new": [0.0, None]})
    with pytest.raises(UsageError, match="21 clusters were given for 3 scores"):
        compare([1, 2, 3], [1, 2, 3], list(range(21)))


def test_detectable_difference_example_of_the_documentation():
    differences = np.tile([0.19, -0.19], 236)  # standard deviation .19, 472 questions
    assert smallest_detectable_difference(differences) == pytest.approx(0.0245, abs=5e-5)
    # four times the questions: half the difference
    assert smallest_detectable_difference(np.tile(differences, 4)) == pytest.approx(0.01225, abs=5e-5)


def test_detectable_difference_is_found_with_its_power():
    spread = 0.3
    detectable = smallest_detectable_difference(np.tile([spread, -spread], 50))
    drawn = CHANCE.normal(detectable, spread, (400, 100))
    found = sum(not compare(row, np.zeros(100), resamples=400).interval.contains(0.0) for row in drawn)
    assert 0.72 <= found / 400 <= 0.88


@pytest.mark.parametrize("options", [{"alpha": 0}, {"power": 1.0}, {"clusters": ["a", "a", "a"]}])
def test_detectable_difference_refuses(options: dict):
    with pytest.raises(UsageError):
        smallest_detectable_difference([0.1, 0.2, 0.3], **options)
