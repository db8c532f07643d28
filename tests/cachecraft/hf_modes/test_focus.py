"""The rule by which chunks are in focus, on masses made by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from ragkit.cachecraft.hf.focus import FocusRule, focused, per_token
from ragkit.errors import UsageError


def sets(*members):
    return [frozenset(one) for one in members]


def test_masses_per_token():
    masses = np.array([[0.2, 0.4], [0.4, 0.0]])
    np.testing.assert_allclose(per_token(masses, np.array([10, 100])), [0.03, 0.002])


@pytest.mark.parametrize(
    ("masses", "expected"),
    [
        ([5.0, 4.0, 1.0, 0.9], {0, 1}),  # ratios 1.25, 4, 1.11
        ([0.9, 4.0, 1.0, 5.0], {1, 3}),  # in any order
        ([8.0, 4.0, 2.0], {0}),  # equal ratios: the first
        ([3.0, 1.0, 0.0], {0, 1}),  # nothing at all is the largest fall
        ([0.0, 0.0], {0, 1}),
        ([2.0, 2.0, 2.0], {0, 1, 2}),
        ([7.0], {0}),
        ([], set()),
    ],
)
def test_the_cut_is_at_the_largest_ratio(masses, expected):
    assert focused(np.array(masses)) == expected


@given(arrays(np.float64, st.integers(1, 8), elements=st.floats(0, 1e6)), st.floats(0.25, 4.0))
def test_focus_is_of_the_largest_masses_and_does_not_depend_on_scale(masses, factor):
    found = focused(masses)
    rest = set(range(len(masses))) - found
    assert found
    assert all(masses[a] >= masses[b] for a in found for b in rest)
    if masses.min() > 1e-6:
        scaled = np.log(np.sort(masses)[::-1])
        falls = np.sort(scaled[:-1] - scaled[1:])
        if len(falls) < 2 or falls[-1] - falls[-2] > 1e-6:  # no near tie of falls
            assert focused(masses * factor) == found


def test_it_is_settled_at_the_first_layer_with_equal_sets():
    rule = FocusRule(least=2, window=3)
    history = sets({1}, {0}, {0}, {0, 2}, {0, 2}, {0, 2}, {0, 2})
    assert [rule.settled(history[:n], 12) for n in range(8)] == [False] * 6 + [True, True]


def test_it_is_never_settled_below_the_least_layer():
    same = sets(*[{1}] * 12)
    first = [next(n for n in range(13) if FocusRule(least, 3).settled(same[:n], 12)) for least in (0, 2, 3, 7, None)]
    assert first == [3, 3, 4, 8, 4]  # layers run: the least layer itself included; None is a fourth of 12
    assert not FocusRule(12, 3).settled(same, 12)


@pytest.mark.parametrize("arguments", [(0, 0), (-1, 3)])
def test_a_wrong_rule_is_refused(arguments):
    with pytest.raises(UsageError):
        FocusRule(*arguments)
