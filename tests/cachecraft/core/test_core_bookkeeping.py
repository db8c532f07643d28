"""The quick bookkeeping does what the plain one does, and an exact beginning costs what it costs a prefix cache."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ragkit.cachecraft.core.choice import RECURS, choose, chunk_keys, history, prefix_key
from ragkit.cachecraft.core.generation import generation
from ragkit.cachecraft.core.index import VariantIndex
from ragkit.cachecraft.core.keys import beginning_keys, chunk_key, context_key
from ragkit.cachecraft.core.plan import Load
from ragkit.cachecraft.core.planning import loads, make_plan
from ragkit.cachecraft.core.policies import POLICIES
from ragkit.cachecraft.core.prompt import Kind, Layout
from ragkit.cachecraft.core.repair import Repair
from ragkit.cachecraft.core.variant import Variant
from ragkit.identity import content_hash, content_hasher
from tests.cachecraft.core.making import ids, prompt, variant
from tests.cachecraft.core.plain import plain_choice, plain_loads

POLICY = st.sampled_from(sorted(set(POLICIES) - {"full"}))
REPAIR = st.builds(
    Repair,
    share=st.floats(0, 1),
    alpha=st.none() | st.sampled_from([0.3, 1.0, 1.7]),
    run_length=st.sampled_from([1, 1, 3]),
    beta_mode=st.sampled_from(["paper", "symmetric", "count"]),
)


def shelf_of(layout: Layout, seed: int) -> tuple[dict[int, str], dict[str, list[Variant]]]:
    """Up to six variants of each chunk: some exact here, some moved, behind others, without statistics, with a sink."""
    source = np.random.default_rng(seed)
    keys = chunk_keys(layout, "s")
    prefix = prefix_key(layout, keys)
    shelf: dict[str, list[Variant]] = {}
    for at, key in keys.items():
        behind = list(history(layout, keys, at)[0])
        for number in range(source.integers(0, 4)):
            strangers = [*behind, *source.permutation(sorted(set(keys.values()))).tolist(), "stranger"]
            as_here = bool(source.random() < 0.4)
            others = source.choice(strangers, source.integers(0, 6)).tolist()
            made = behind if as_here else others
            sink = int(source.random() < 0.3)
            inter = source.integers(0, 3, len(made) + sink).astype(float).tolist() if source.random() < 0.7 else None
            start = layout.spans[at].start + int(source.random() < 0.3)
            context = context_key(layout.ids[:start]) if source.random() < 0.7 else ""
            lie = source.random() < 0.1
            one = variant(
                key,
                ids(len(layout.pieces[at].ids), 77) if lie else layout.pieces[at].ids,
                [] if at == 0 and layout.prefix.size and as_here else made,
                inter,
                a_bar=float(source.integers(0, 3)) / 100,
                generation=int(source.random() < 0.3),
                start=0 if layout.pieces[at].kind is Kind.PREFIX else start,
                prefix="" if layout.pieces[at].kind is Kind.PREFIX else [prefix, "other"][int(source.random() < 0.1)],
                context=context,
                name=f"{key[:6]}-{at}-{number}",
            )
            shelf.setdefault(key, []).append(one)
    return keys, shelf


LAYOUTS = st.builds(
    prompt,
    *[st.tuples(st.integers(0, 12), st.integers(0, 4))] * 5,
    prefix=st.sampled_from([0, 3]),
    glue=st.integers(0, 2),
)


@given(LAYOUTS, st.integers(0, 10_000), REPAIR)
def test_choice_is_that_of_the_definition(layout, seed, repair):
    keys, shelf = shelf_of(layout, seed)
    given_ = (layout, keys, lambda key: shelf.get(key, ()), prefix_key(layout, keys), repair)
    chosen, reasons = choose(*given_)
    plain = plain_choice(*given_)
    assert sorted([*chosen, *reasons]) == sorted(keys)
    assert [(at, one.variant.name, one.start, one.exact) for at, one in sorted(chosen.items())] == [
        (at, one.variant.name, one.start, one.exact) for at, one in sorted(plain.items())
    ]
    assert [chosen[at].cfo for at in plain] == [one.cfo for one in plain.values()]


@given(LAYOUTS, st.integers(0, 10_000), REPAIR, POLICY)
def test_loads_are_those_of_the_definition(layout, seed, repair, policy):
    keys, shelf = shelf_of(layout, seed)
    found = choose(layout, keys, lambda key: shelf.get(key, ()), prefix_key(layout, keys), repair)
    scores = np.random.default_rng(seed).random(len(layout.ids))
    plan = make_plan(layout, *found, policy, repair, scores=scores)
    runs = loads(plan)
    assert list(runs) == plain_loads(plan)
    assert len(runs) == len(plain_loads(plan))
    for one in plan.reused:
        assert ((one.repaired >= one.start) & (one.repaired < one.start + one.variant.tokens)).all()
        assert not (found[0][one.piece].exact and len(one.repaired)) or (repair.share == 1 and repair.alpha is None)
    begin, end = sorted(np.random.default_rng(seed).integers(0, len(layout.ids) + 1, 2).tolist())
    assert list(runs.within(begin, end)) == [
        Load(run.variant, run.source + first - run.target, first, last - first)
        for run in plain_loads(plan)
        if (first := max(run.target, begin)) < (last := min(run.target + run.length, end))
    ]


@given(st.lists(st.integers(0, 2**31 - 1), max_size=30), st.text(max_size=5), st.text(max_size=5))
def test_keys_are_content_hashes_of_the_same_fields(tokens, space, domain):
    own = np.array(tokens, np.int32)
    assert chunk_key(space, own, domain) == content_hash("chunk", space=space, ids=own.tobytes(), domain=domain)
    assert content_hasher("k", "z", a=1, m=[2, None])(b"xy") == content_hash("k", z=b"xy", a=1, m=[2, None])
    assert content_hasher("k", "b")(b"") == content_hash("k", b=b"")


class Books:
    """A store without bounds, beside the beginnings that were computed exactly: those of an endless prefix cache."""

    def __init__(self, policy: str, share: float, *, exactly: bool = False) -> None:
        self.index = VariantIndex(1 << 40, per_chunk=99, admission="always")
        self.exactly = exactly
        self.computed = 0
        self.policy, self.repair = policy, Repair(share=share)
        self.begun: set[str] = set()

    def cached(self, layout: Layout) -> set[int]:
        """The leading chunks behind which, and in which, all is as it was computed exactly before."""
        found: set[int] = set()
        for at in layout.chunks:
            if context_key(layout.ids[: layout.spans[at].end]) not in self.begun:
                break
            found.add(at)
        return found

    def ask(self, layout: Layout) -> set[int]:
        """Return the chunks of which nothing is computed; keep what is new, and note the exact beginnings."""
        self.index.tick()
        keys = chunk_keys(layout, "s")
        prefix = prefix_key(layout, keys)
        chosen, reasons = choose(
            layout, keys, self.index.candidates, prefix, self.repair, recurs=self.index.recurs if self.exactly else None
        )
        scores = np.arange(len(layout.ids), dtype=np.float64)
        plan = make_plan(layout, chosen, reasons, self.policy, self.repair, scores=scores)
        fresh = set(plan.fresh.tolist())
        self.computed = len(fresh)
        free = {at for at in layout.chunks if not fresh & set(range(*layout.spans[at]))}
        for one in plan.reused:
            self.index.used(one.variant, len(one.repaired) / max(1, one.variant.tokens))
        for at in keys:
            if at not in chosen:
                is_prefix = layout.pieces[at].kind is Kind.PREFIX
                before, lengths = ((), ()) if is_prefix else history(layout, keys, at)
                start = layout.spans[at].start
                name = f"{self.index.now} {at}"
                made = Variant(
                    name, keys[at], layout.pieces[at].ids, "" if is_prefix else prefix, start, before, lengths,
                    generation(plan, at), 1, context=context_key(layout.ids[:start]),
                )  # fmt: skip
                self.index.add(made)
        for at in layout.chunks:
            exact = chosen[at].exact if at in chosen else not generation(plan, at)
            if not exact:
                break
            self.begun.add(context_key(layout.ids[: layout.spans[at].end]))
        return free


@pytest.mark.parametrize("policy", sorted(set(POLICIES) - {"full"}))
@given(
    prompts=st.lists(st.lists(st.integers(0, 4), min_size=1, max_size=4, unique=True), min_size=1, max_size=12),
    share=st.sampled_from([0.0, 0.15, 0.3, 0.9]),
    exactly=st.booleans(),
)
def test_what_was_once_computed_exactly_costs_no_more_than_in_a_prefix_cache(policy, prompts, share, exactly):
    books = Books(policy, share, exactly=exactly)
    for numbers in prompts:
        layout = prompt(*[(7 + number, number) for number in numbers], prefix=3, glue=2)
        cached = books.cached(layout)
        assert cached <= books.ask(layout)


@pytest.mark.parametrize("policy", sorted(set(POLICIES) - {"full"}))
def test_a_prompt_that_was_computed_in_full_is_never_repaired(policy):
    books = Books(policy, 0.3)
    layout, longer = (prompt(*[(9, number) for number in range(last)], prefix=3, glue=2) for last in (4, 6))
    assert books.ask(layout) == set()
    assert books.ask(layout) == set(layout.chunks)
    assert books.ask(longer) == set(layout.chunks)  # what comes behind is computed behind exact chunks, so exactly
    assert books.ask(longer) == set(longer.chunks)


def test_an_exact_variant_serves_before_another_that_needs_no_repair_either():
    layout = prompt((4, 0), (6, 1), glue=1)
    keys = chunk_keys(layout, "s")
    own, fields = layout.pieces[3].ids, {"start": 6, "inter": [1.0]}
    other = variant(keys[3], own, [keys[1]], name="a", context=context_key(own), **fields)
    exact = variant(keys[3], own, [keys[1]], name="b", context=context_key(layout.ids[:6]), **fields)
    chosen, _ = choose(layout, keys, lambda key: [other, exact] if key == keys[3] else [], "", Repair())
    assert (chosen[3].variant, chosen[3].exact) == (exact, True)


def test_a_beginning_that_comes_often_is_computed_exactly_once_and_then_costs_nothing():
    books = Books("random", 0.3, exactly=True)
    for numbers in ((0, 1, 2), (2, 0, 1)):
        books.ask(prompt(*[(20, number) for number in numbers], prefix=3, glue=2))
    layout = prompt(*[(20, number) for number in (1, 2, 0)], prefix=3, glue=2)
    around = len(layout.ids) - 60 - 3
    costs = []
    for _ in range(8):
        books.ask(layout)
        costs.append(books.computed - around)
    # 0.3 * 5 sightings, decayed, are the first to outweigh 0.7 twice over
    assert costs == [18, 18, 18, 18, 60, 0, 0, 0]


def test_nothing_is_computed_exactly_where_there_is_no_repair_to_save_or_no_room_for_it():
    index = VariantIndex(100)
    popular, again = named_of("k"), [index.recurs("k", "b", 0.3) for _ in range(9)]
    assert again == [False] * 9  # counted once within one request
    for share in (0.0, 1.0):
        for _ in range(20):
            index.tick()
            index.wanted("k")
            assert not index.recurs("k", "b", share)
    index.tick()
    assert index.recurs("k", "b", 0.3)
    assert index.add(popular).admitted
    for _ in range(60):
        index.used(popular, 0.0)
        index.tick()
    assert not index.recurs("k", "b", 0.3)  # it would push out what is worth more


def named_of(chunk: str) -> Variant:
    return variant(chunk, ids(10), ["X"], name=chunk, size=100)


def test_behind_an_inexact_chunk_nothing_is_computed_exactly_and_with_an_alpha_nothing_at_all():
    layout = prompt((8, 0), (8, 1), glue=1)
    keys = chunk_keys(layout, "s")
    shelf = {keys[at]: [variant(keys[at], layout.pieces[at].ids, ["X"], start=40)] for at in layout.chunks}
    asked = []

    def chosen(repair: Repair, yes: set[str]) -> dict[int, str]:
        def recurs(key: str, beginning: str, share: float) -> bool:
            asked.append((beginning, share))
            return key in yes and share > 0

        return choose(layout, keys, lambda key: shelf[key], "", repair, recurs=recurs)[1]

    assert chosen(Repair(), {keys[3]}) == {}
    assert chosen(Repair(), {keys[1]}) == {1: RECURS}
    assert chosen(Repair(), set(keys.values())) == {1: RECURS, 3: RECURS}
    assert chosen(Repair(alpha=0.5), set(keys.values())) == {}
    ends = [layout.spans[at].end for at in layout.chunks]
    assert asked[:2] == [(context_key(layout.ids[:end]), 0.3) for end in ends]
    assert beginning_keys(layout.ids, ends) == [context_key(layout.ids[:end]) for end in ends]
