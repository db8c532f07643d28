"""The preload depth: it is the least that never waits, and follows from what was measured."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ragkit.cachecraft.core.preload import Pace, preload_depth, timeline

times = st.floats(0.01, 100)


@given(st.integers(1, 80), times, times)
def test_the_depth_is_the_least_that_never_waits(layers: int, compute: float, load: float):
    depth = preload_depth(layers, compute, load)
    assert timeline(layers, compute, load, depth).stall == pytest.approx(0, abs=1e-6 * layers * load)
    if depth > 1:
        assert timeline(layers, compute, load, depth - 1).stall > 0


def test_the_depth_follows_from_what_was_measured():
    pace = Pace()
    assert pace.depth(32, 100, 3200) == 1, "nothing is known"
    pace.loaded(1600, 32.0)  # 50 bytes a second: a layer of 100 bytes takes 2
    assert pace.depth(32, 100, 3200) == 1
    pace.computed(100, 32, 32.0)  # a layer takes 1
    assert pace.depth(32, 100, 3200) == 17, "example 5"
    assert pace.depth(32, 100, 1600) == 1
    assert pace.depth(32, 200, 3200) == 1, "twice the tokens take as long as loading"
    pace.loaded(1600, 96.0)  # 4 seconds a layer in the mean
    assert pace.depth(32, 100, 3200) == preload_depth(32, 1, 4)


def test_passes_of_another_size_are_another_kind():
    pace = Pace()
    pace.loaded(1600, 32.0)
    pace.computed(1000, 32, 320.0)
    pace.computed(10, 32, 32.0)  # few tokens take longer each
    assert pace.depth(32, 10, 3200) == 17
    assert pace.depth(32, 1000, 3200) == 1
    pace.computed(0, 32, 1.0)
    pace.computed(10, 32, -1.0)
    pace.loaded(0, 1.0)
    assert pace.depth(32, 10, 3200) == 17
    assert pace.depth(32, 0, 3200) == 1
