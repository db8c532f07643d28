"""Minima, thresholds and merging: the specification's examples, its properties, and the published code's rules."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ragkit.chunkers.merging import divide, merge
from ragkit.chunkers.minima import local_minima
from ragkit.chunkers.thresholds import REMEMBERED, RunningMinimum, Threshold, above, matched_theta
from ragkit.errors import ConfigError
from tests.published_rules import published_merge, published_minima, published_running

EXAMPLE = [2.0, 1.2, 1.5, 1.4, 1.0, 1.6, 0.9]
ISSUE_11 = [9.456, 1.620, 2.597, 1.466, 1.4536, 1.4552]
# Quarters are exact in binary, so that sums and differences are, and ties are real ties.
SCORES = st.lists(st.integers(0, 40).map(lambda number: number / 4), max_size=30)
THETAS = st.integers(0, 20).map(lambda number: number / 4)
SIDES = st.sampled_from(["any", "both"])


def at(scores: list[float], theta: float = 0.0, **rules: Any) -> list[int]:
    plain = {"first_sentence_guard": False, "plateau_guard": False}
    return above(local_minima(np.array(scores), **{**plain, **rules}), theta).tolist()


@pytest.mark.parametrize(
    ("theta", "side", "expected"), [(0, "any", [1, 4]), (0.5, "any", [1, 4]), (0.5, "both", []), (0.7, "any", [1])]
)
def test_worked_example_1(theta: float, side: str, expected: list[int]) -> None:
    assert at(EXAMPLE, theta, side_rule=side) == expected


def test_worked_example_3() -> None:
    assert at(ISSUE_11) == [1, 4]
    assert at(ISSUE_11, 0.5) == [1]
    assert at(ISSUE_11, 0.5, first_sentence_guard=True) == [1]
    assert at(ISSUE_11, 1.0) == [1]
    assert at(ISSUE_11, 1.0, first_sentence_guard=True) == []


def test_a_falling_plateau_counts_once_with_the_guard() -> None:
    falling = [3, 1, 1, 0.5, 2]
    assert at(falling) == [1, 3]
    assert at(falling, plateau_guard=True) == [3]
    assert at([3, 1, 1, 1, 2], plateau_guard=True) == [1]
    assert at([3, 1, 1], plateau_guard=True) == []
    assert at([3, 1, 1]) == [1]


def test_the_guard_of_the_first_sentence_on_a_plateau_takes_the_rise_after_it() -> None:
    assert at([9, 1, 1, 2], 1.0, first_sentence_guard=True, plateau_guard=True) == [1]
    assert at([9, 1, 1, 2], 1.5, first_sentence_guard=True, plateau_guard=True) == []


@pytest.mark.parametrize("scores", [[], [1.0], [2.0, 1.0], [1.0, 2.0, 3.0], [1.0, 1.0, 1.0]])
def test_without_an_interior_minimum_there_is_none(scores: list[float]) -> None:
    assert at(scores) == []


def test_nan_is_below_nothing() -> None:
    assert at([math.nan, 1.0, 2.0, 1.0, 3.0]) == [3]


@given(SCORES, THETAS)
def test_without_guards_the_rules_are_the_published_ones(scores: list[float], theta: float) -> None:
    assert at(scores, theta) == published_minima(scores, theta)


@given(SCORES, THETAS, THETAS, SIDES, st.booleans(), st.booleans())
def test_a_higher_threshold_never_adds_a_boundary(
    scores: list[float], one: float, other: float, side: str, first: bool, plateau: bool
) -> None:
    rules = {"side_rule": side, "first_sentence_guard": first, "plateau_guard": plateau}
    low, high = sorted((one, other))
    assert set(at(scores, high, **rules)) <= set(at(scores, low, **rules))


@given(SCORES, THETAS, SIDES, st.booleans(), st.integers(-40, 40), st.sampled_from([0.25, 0.5, 2, 8]))
def test_a_shift_changes_nothing_and_a_scale_scales_the_threshold(
    scores: list[float], theta: float, side: str, guard: bool, shift: int, scale: float
) -> None:
    rules = {"side_rule": side, "first_sentence_guard": guard, "plateau_guard": guard}
    found = at(scores, theta, **rules)
    assert at([score + shift for score in scores], theta, **rules) == found
    assert at([score * scale for score in scores], theta * scale, **rules) == found


@given(SCORES, THETAS, SIDES, st.booleans())
def test_boundaries_are_interior_minima(scores: list[float], theta: float, side: str, guard: bool) -> None:
    for index in at(scores, theta, side_rule=side, first_sentence_guard=guard, plateau_guard=guard):
        assert 1 <= index <= len(scores) - 2
        assert scores[index] < scores[index - 1]
        assert scores[index] <= scores[index + 1]


@settings(max_examples=settings().max_examples // 5)
@given(st.lists(SCORES.filter(lambda scores: len(scores) > 10), min_size=10, max_size=60), st.integers(0, 3))
def test_the_running_minimum_is_the_published_one(documents: list[list[float]], lift: int) -> None:
    # Halving every second score makes depths large enough for the threshold to move away from 0.
    documents = [[score if i % 2 else score + lift for i, score in enumerate(scores)] for scores in documents]
    running = RunningMinimum()
    minima = [local_minima(np.array(scores), first_sentence_guard=False, plateau_guard=False) for scores in documents]
    assert [running.accept(own).tolist() for own in minima] == published_running(documents, REMEMBERED)


def test_the_running_minimum_refuses_shallow_minima_after_a_hundred() -> None:
    deep = local_minima(np.array([2.0, 0.0] * (REMEMBERED + 2)), first_sentence_guard=False)
    shallow = local_minima(np.array([2.0, 1.0, 2.0]), first_sentence_guard=False)
    running = RunningMinimum()
    assert running.accept(shallow).tolist() == [1]
    running = RunningMinimum()
    assert len(running.accept(deep)) == REMEMBERED + 1
    assert running.theta == 2.0
    assert running.accept(shallow).tolist() == []


def test_worked_example_2_a_threshold_means_nothing_in_the_other_domain() -> None:
    nll = [np.mean([2.0, 1.0]), np.mean([3.0, 1.0])]
    assert nll[1] - nll[0] == 0.5
    assert np.exp(nll[1]) - np.exp(nll[0]) == pytest.approx(2.91, abs=0.005)
    assert Threshold(0.5, "nll").in_domain("nll") == 0.5
    with pytest.raises(ConfigError, match="theta is in the domain 'nll', but the scores are in 'ppl'"):
        Threshold(0.5, "nll").in_domain("ppl")


@given(st.lists(st.floats(0, 10), max_size=30), st.integers(1, 40))
def test_the_matched_threshold_is_the_best_of_all(strengths: list[float], target: int) -> None:
    values = np.array(strengths)

    def count_at(theta: float) -> int:
        return 1 + int((values >= theta).sum())

    found = matched_theta(values, count_at, 400.0, target)
    best = min(abs(400 / count_at(theta) - target) for theta in [*strengths, math.inf])
    assert abs(400 / count_at(found) - target) == pytest.approx(best)


def lengths_of(edges: list[int], lengths: list[int]) -> list[int]:
    return [sum(lengths[first:last]) for first, last in pairwise(edges)]


def merged(lengths: list[int], target: int) -> list[int]:
    edges = merge(list(range(len(lengths) + 1)), lambda first, last: sum(lengths[first:last]) <= target)
    return lengths_of(edges, lengths)


def test_worked_example_5() -> None:
    assert merged([40, 90, 30, 120, 200, 10], 150) == [130, 150, 200, 10]
    assert merged([200, 10], 150) == [200, 10]  # the published code gives an empty chunk first


@given(st.lists(st.integers(1, 60), min_size=1, max_size=30), st.integers(1, 100))
def test_merging_is_the_published_rule_without_empty_chunks(lengths: list[int], target: int) -> None:
    found = merged(lengths, target)
    assert found == published_merge(lengths, target)
    assert sum(found) == sum(lengths)
    assert all(length <= target or length in lengths for length in found)
    assert all(found)


@given(
    st.lists(st.tuples(st.integers(1, 20), st.integers(0, 9)), min_size=1, max_size=40), st.integers(20, 60), st.data()
)
def test_divided_pieces_fit_and_keep_their_edges(units: list[tuple[int, int]], size: int, data: st.DataObject) -> None:
    lengths, costs = [length for length, _ in units], np.array([cost for _, cost in units], float)
    inner = data.draw(st.sets(st.integers(1, max(1, len(units) - 1)), max_size=5)) - {len(units)}
    edges = sorted({0, *inner, len(units)})
    inset = data.draw(st.integers(1, 2))
    found = divide(edges, costs, lambda first, last: sum(lengths[first:last]) <= size, inset=inset)
    assert set(edges) <= set(found)
    assert all(length <= size for length in lengths_of(found, lengths))


def test_a_long_piece_is_divided_where_the_cost_is_smallest() -> None:
    costs = np.array([0, 0, 5, 3, 1, 4.0])
    assert divide([0, 6], costs, lambda first, last: last - first <= 4, inset=2) == [0, 4, 6]
    assert divide([0, 6], costs, lambda first, last: last - first <= 4) == [0, 1, 4, 6]
