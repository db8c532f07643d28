"""The cached part of a prompt, and scores found over it."""

import numpy as np

from ragkit.cachecraft.core.choice import Chosen
from ragkit.cachecraft.warm import Warm
from tests.cachecraft.core.making import ids, prompt, variant


def test_what_is_not_cached_is_left_out_and_scores_find_their_places():
    layout = prompt(5, 6, 7, prefix=3, glue=2, question=4)
    at = layout.chunks
    chosen = {
        0: Chosen(0, 0, variant("p", ids(3, 7_000)), 0.0),
        at[0]: Chosen(at[0], layout.spans[at[0]].start, variant("a", ids(5, 0)), 0.5),
        at[2]: Chosen(at[2], layout.spans[at[2]].start, variant("c", ids(7, 2)), 0.5),
    }
    warm = Warm.of(layout, chosen)
    assert len(warm.layout.ids) == len(layout.ids) - 6
    assert [(one.start, one.variant.name) for one in warm.chosen.values()] == [
        (warm.layout.spans[one.piece].start, one.variant.name) for one in warm.chosen.values()
    ]
    assert all(np.array_equal(warm.layout.pieces[one.piece].ids, one.variant.ids) for one in warm.chosen.values())
    spread = warm.spread(np.arange(len(warm.layout.ids), dtype=np.float64))
    for place, one in warm.chosen.items():
        span, origin = warm.layout.spans[place], next(o for o in chosen.values() if o.variant is one.variant)
        assert spread[origin.start : origin.start + one.variant.tokens].tolist() == list(range(*span))
    cold = layout.spans[at[1]]
    assert not spread[cold.start : cold.end].any()


def test_where_all_is_cached_the_prompt_stays_as_it_is():
    layout = prompt(5, 6)
    chosen = {
        at: Chosen(at, layout.spans[at].start, variant(str(at), layout.pieces[at].ids), 0.5) for at in layout.chunks
    }
    assert Warm.of(layout, chosen).layout is layout
    assert Warm.of(layout, {}, keep_cold=True).layout is layout
