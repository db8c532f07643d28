"""The permutation test against scipy and by enumeration, and Holm's correction."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from ragkit.errors import UsageError
from ragkit.eval.statistics import holm, permutation_p_value

CHANCE = np.random.default_rng(3)
FEW = st.lists(st.integers(-8, 8).map(lambda number: number / 8), min_size=1, max_size=8)


@given(FEW)
def test_all_patterns_of_few_differences(differences: list[float]):
    observed = abs(sum(differences))
    signed = [
        abs(sum(map(float.__mul__, differences, signs))) for signs in product((1.0, -1.0), repeat=len(differences))
    ]
    expected = sum(total >= observed - 1e-9 for total in signed) / len(signed)
    assert permutation_p_value(differences) == pytest.approx(expected)


def test_random_patterns_come_near_to_scipy():
    differences = CHANCE.normal(0.15, 1, 100)
    theirs = stats.permutation_test(
        (differences,), np.mean, permutation_type="samples", n_resamples=20_000, alternative="two-sided", rng=5
    ).pvalue
    # standard error of either below 0.004
    assert permutation_p_value(differences) == pytest.approx(theirs, abs=0.015)


def test_p_values_are_uniform_without_a_difference():
    values = [permutation_p_value(CHANCE.normal(size=40), permutations=500, seed=seed) for seed in range(400)]
    assert stats.kstest(values, "uniform").pvalue > 0.001


def test_p_is_never_zero_and_one_without_differences():
    assert permutation_p_value(np.ones(100)) == pytest.approx(1 / 10_001)
    assert permutation_p_value([0.0, 0.0]) == 1.0
    assert permutation_p_value([0.5]) == 1.0


def test_clusters_flip_together():
    differences = [0.2, 0.2, 0.2, 0.2]
    assert permutation_p_value(differences) == 2 / 16
    assert permutation_p_value(differences, ["a", "a", "b", "b"]) == 2 / 4


def test_blocks_and_seeds(monkeypatch: pytest.MonkeyPatch):
    differences = CHANCE.normal(0.1, 1, 64)
    first = permutation_p_value(differences, seed=1)
    assert first == permutation_p_value(differences, seed=1)
    monkeypatch.setattr("ragkit.eval.statistics.permutation.BLOCK", 64 * 100)
    assert permutation_p_value(differences, seed=1) == pytest.approx(first, abs=0.03)


def test_bad_input():
    with pytest.raises(UsageError, match="hold nan at place 1"):
        permutation_p_value([0.1, float("nan")])
    with pytest.raises(UsageError, match="99 permutations"):
        permutation_p_value([0.1], permutations=99)


def test_holm_example():
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([]) == []


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_holm_never_helps_and_keeps_the_order(values: list[float]):
    adjusted = holm(values)
    assert all(after >= before for before, after in zip(values, adjusted, strict=True))
    assert all(
        after <= min(1.0, len(values) * before + 1e-12) or after <= 1.0
        for before, after in zip(values, adjusted, strict=True)
    )
    ordered = [adjusted[place] for place in sorted(range(len(values)), key=values.__getitem__)]
    assert ordered == sorted(ordered)
    assert min(adjusted) == pytest.approx(min(1.0, min(values) * len(values)))


@pytest.mark.parametrize("value", [-0.1, 1.1, float("nan")])
def test_holm_refuses_what_is_no_p_value(value: float):
    with pytest.raises(UsageError, match="at place 1"):
        holm([0.5, value])
