"""The order in which stored chunks fit best."""

from __future__ import annotations

import itertools

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from ragkit.cachecraft.core.overlap import overlap
from ragkit.cachecraft.core.variant import Variant
from ragkit.cachecraft.order import fitting_order


def variant(chunk: str, *history: str, prefix: str = "p") -> Variant:
    ids = np.zeros(10, np.int32)
    return Variant(f"{chunk}<{history}", chunk, ids, prefix, 0, history, tuple(10 for _ in history))


def stored(*variants: Variant):
    return lambda key: [one for one in variants if one.chunk == key]


def fit(order, keys, lengths, candidates) -> float:
    total = 0.0
    for at, place in enumerate(order):
        before = [keys[other] for other in order[:at]]
        sizes = [lengths[other] for other in order[:at]]
        total += lengths[place] * max((overlap(v, before, sizes).value for v in candidates(keys[place])), default=0.0)
    return total


def test_chunks_return_to_the_order_in_which_they_were_computed():
    candidates = stored(variant("a"), variant("b", "a"), variant("c", "a", "b"))
    assert fitting_order(["c", "b", "a"], [10, 10, 10], candidates, "p") == [2, 1, 0]


def test_a_new_chunk_goes_where_it_disturbs_nothing():
    candidates = stored(variant("a"), variant("b", "a"))
    assert fitting_order(["new", "b", "a"], [10, 10, 10], candidates, "p")[:2] == [2, 0]


def test_without_anything_that_fits_the_order_given_stays():
    assert fitting_order(["c", "b", "a"], [10, 10, 10], stored(), "p") == [0, 1, 2]
    assert fitting_order(["c", "b"], [10, 10], stored(variant("b", prefix="another")), "p") == [0, 1]
    assert fitting_order([], [], stored(), "p") == []


@given(st.data())
def test_three_chunks_stand_as_well_as_in_the_best_of_all_orders(data):
    keys = ["a", "b", "c"]
    lengths = data.draw(st.lists(st.integers(1, 50), min_size=3, max_size=3))
    histories = st.lists(st.sampled_from("abcd"), max_size=3, unique=True)
    drawn = data.draw(st.lists(st.tuples(st.sampled_from(keys), histories), max_size=5))
    candidates = stored(*(variant(chunk, *(one for one in history if one != chunk)) for chunk, history in drawn))
    order = fitting_order(keys, lengths, candidates, "p")
    assert sorted(order) == [0, 1, 2]
    best = max(fit(one, keys, lengths, candidates) for one in itertools.permutations(range(3)))
    # the beam holds all three first places and the best of the second ones
    assert fit(order, keys, lengths, candidates) >= 0.5 * best
    assert order == fitting_order(keys, lengths, candidates, "p")
