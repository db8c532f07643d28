"""The search for alpha, and preloading against a simulation."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ragkit.cachecraft.core.alpha import search_alpha
from ragkit.cachecraft.core.preload import preload_depth, timeline
from ragkit.errors import UsageError


@given(st.floats(0, 2), st.floats(0.01, 0.5))
def test_bisection_finds_the_least_alpha(turn, tolerance):
    found = search_alpha(lambda alpha: float(alpha >= turn), 1.0, tolerance=tolerance)
    assert found.met
    assert turn <= found.alpha <= turn + tolerance
    assert found.quality == 1.0
    assert found.alpha in [alpha for alpha, _ in found.trials]
    assert len(found.trials) <= 10


def test_a_target_out_of_reach_is_said_to_be_so():
    found = search_alpha(lambda alpha: alpha / 10, 0.9)
    assert (found.met, found.alpha, found.quality) == (False, 2.0, 0.2)
    assert search_alpha(lambda _: 1.0, 0.9).trials == ((0.0, 1.0),)


def test_wrong_ranges_and_qualities_are_refused():
    for wrong in ({"low": 2.0}, {"low": -1.0}, {"tolerance": 0.0}):
        with pytest.raises(UsageError, match="expected"):
            search_alpha(lambda _: 1.0, 0.9, **wrong)
    with pytest.raises(UsageError, match="NaN"):
        search_alpha(lambda _: float("nan"), 0.9)


@given(st.integers(1, 90), st.floats(0.1, 10), st.floats(0, 20))
def test_the_depth_is_the_least_without_a_stall(layers, compute, load):
    depth = preload_depth(layers, compute, load)
    assert timeline(layers, compute, load, depth).stall <= 1e-6 * layers * (compute + load)
    if depth > 1:
        assert timeline(layers, compute, load, depth - 1).stall > 0


def test_impossible_layers_are_refused():
    for wrong in ((0, 1, 1), (3, 0, 1), (3, 1, -1)):
        with pytest.raises(UsageError, match="expected"):
            preload_depth(*wrong)
    with pytest.raises(UsageError, match="depth of 4"):
        timeline(3, 1, 1, 4)
