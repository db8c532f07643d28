"""The choice among variants, against brute force; what is no candidate."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ragkit.cachecraft.core.choice import choose, chunk_keys
from ragkit.cachecraft.core.keys import context_key
from ragkit.cachecraft.core.offset import variant_cfo
from ragkit.cachecraft.core.overlap import overlap
from ragkit.cachecraft.core.repair import Repair
from ragkit.cachecraft.core.variant import Variant
from ragkit.errors import UsageError
from tests.cachecraft.core.making import ids, prompt, variant


@given(st.integers(0, 10_000), st.sampled_from(["paper", "symmetric", "count"]), st.sampled_from([None, 0.6, 1.3]))
def test_the_least_cfo_is_chosen(seed, mode, alpha):
    source = np.random.default_rng(seed)
    layout = prompt(*[(5, int(source.integers(0, 4))) for _ in range(source.integers(1, 6))], glue=1)
    keys = chunk_keys(layout, "s")
    names = [*dict.fromkeys(keys.values()), "stranger"]
    shelf = {
        key: [
            variant(
                key,
                layout.pieces[next(at for at in layout.chunks if keys[at] == key)].ids,
                history := source.choice(names, source.integers(0, 4)).tolist(),
                source.random(len(history)).tolist(),
                a_bar=float(source.random() / 100),
                generation=int(source.integers(0, 2)),
                name=f"{key}{number}",
            )
            for number in range(source.integers(1, 6))
        ]
        for key in names[:-1]
    }
    repair = Repair(alpha=alpha, beta_mode=mode, full_threshold=2.0)
    chosen, reasons = choose(layout, keys, shelf.__getitem__, "", repair)
    assert not reasons
    for place, at in enumerate(layout.chunks):
        before = [keys[one] for one in layout.chunks[:place]]
        brute = [
            (variant_cfo(one, overlap(one, before, [5] * place, mode), alpha or 1.0), one.generation, one.name)
            for one in shelf[keys[at]]
        ]
        assert chosen[at].cfo == min(brute)[0]
        assert chosen[at].variant.generation == min(brute)[1]
        assert chosen[at].start == layout.spans[at].start


def test_among_equals_the_generation_decides_then_the_place_then_the_name():
    layout = prompt((4, 0), (4, 1))
    keys = chunk_keys(layout, "s")
    own, key = layout.pieces[1].ids, keys[1]
    fields = {"history": [keys[0]], "inter": [1.0]}
    worst = variant(key, own, name="a", generation=1, start=4, **fields)
    moved = variant(key, own, name="b", start=9, **fields)
    late = variant(key, own, name="z", start=4, **fields)
    early = variant(key, own, name="y", start=4, **fields)
    for shelf in ([worst, moved, late, early], [early, late, moved, worst]):
        chosen, _ = choose(layout, keys, lambda asked, shelf=shelf: shelf if asked == key else [], "", Repair())
        assert chosen[1].variant is early


def test_other_ids_under_the_same_key_are_a_miss():
    layout = prompt((4, 0))
    keys = chunk_keys(layout, "s")
    lie, longer = variant(keys[0], ids(4, 5), name="a"), variant(keys[0], ids(5, 0), name="b")
    chosen, reasons = choose(layout, keys, lambda _: [lie, longer], "", Repair())
    assert (chosen, reasons) == ({}, {0: "the stored ids are others"})
    right = variant(keys[0], ids(4, 0).astype(np.int64), name="c")
    assert choose(layout, keys, lambda _: [lie, right, longer], "", Repair())[0][0].variant is right


def test_variants_behind_another_prefix_are_no_candidates():
    layout = prompt((4, 0), prefix=3)
    keys = chunk_keys(layout, "s")
    other = variant(keys[1], layout.pieces[1].ids, prefix="other")
    chosen, reasons = choose(layout, keys, lambda key: [other] if key == keys[1] else [], keys[0], Repair())
    assert not chosen
    assert reasons == {0: "no variant is stored", 1: "its variants stood behind another prefix"}


def test_a_prefix_is_reused_only_as_it_was_at_the_very_beginning():
    layout = prompt((4, 0), prefix=3)
    keys = chunk_keys(layout, "s")
    own = layout.pieces[0].ids
    wrong = [
        variant(keys[0], own, ["A"], [1.0]),
        variant(keys[0], own, start=5),
        variant(keys[0], own, generation=1),
        variant(keys[0], own, prefix="p"),
    ]
    for shelf, found in ((wrong, False), ([*wrong, variant(keys[0], own)], True)):
        chosen, _ = choose(layout, keys, lambda key, shelf=shelf: shelf if key == keys[0] else [], keys[0], Repair())
        assert (0 in chosen) is found
    assert chosen[0].cfo == 0


def test_with_an_alpha_a_large_cfo_is_a_miss_and_with_a_share_it_is_not():
    layout = prompt((4, 0), (4, 1))
    keys = chunk_keys(layout, "s")
    one = variant(keys[1], layout.pieces[1].ids, ["stranger"], [1.0])

    def chosen(repair):
        return choose(layout, keys, lambda key: [one] if key == keys[1] else [], "", repair)

    assert chosen(Repair(alpha=2.0))[1][1] == "a CFO of 1.00 is not below 0.75"
    assert chosen(Repair(alpha=0.5))[0][1].cfo < 0.75
    assert 0.5 <= chosen(Repair(share=1.0))[0][1].cfo < 1


def test_the_second_of_two_equal_chunks_sees_the_first():
    layout = prompt((4, 0), (4, 0))
    keys = chunk_keys(layout, "s")
    alone = variant(keys[0], layout.pieces[0].ids, [], [], name="alone")
    again = variant(keys[0], layout.pieces[0].ids, [keys[0]], [1.0], name="again")
    chosen, _ = choose(layout, keys, lambda _: [alone, again], "", Repair())
    assert [chosen[at].variant.name for at in (0, 1)] == ["alone", "again"]
    assert [chosen[at].cfo for at in (0, 1)] == [0, 0]


def test_keys_that_do_not_fit_the_prompt_are_refused():
    layout = prompt((4, 0), (4, 1), glue=1)
    keys = chunk_keys(layout, "s")
    for wrong in ({}, {1: keys[1]}, {**keys, 0: "glue"}, {**keys, 9: "nowhere"}):
        with pytest.raises(UsageError, match="chunk_keys"):
            choose(layout, wrong, lambda _: [], "", Repair())
    assert choose(prompt(), {}, lambda _: [], "", Repair()) == ({}, {})


def test_exact_is_what_stands_as_it_was_made_behind_the_same_ids():
    layout = prompt(8, 9, 10, question=2)
    keys = chunk_keys(layout, "space")
    one, two, three = (keys[at] for at in layout.chunks)
    texts = [layout.pieces[at].ids for at in layout.chunks]

    def found(made: Variant) -> bool:
        return choose(layout, keys, lambda key: [made] * (key == made.chunk), "", Repair())[0][2].exact

    here = {"start": 17, "context": context_key(layout.ids[:17])}
    assert found(variant(three, texts[2], [one, two], **here))
    assert not found(variant(three, texts[2], [one, two], **{**here, "start": 18}))
    assert not found(variant(three, texts[2], [one, two], generation=1, **here))
    assert not found(variant(three, texts[2], [one, two], start=17)), "what stood before it is not known"
    label = layout.ids[:17].copy()
    label[8] += 1
    assert not found(variant(three, texts[2], [one, two], start=17, context=context_key(label)))
