"""Plans of every policy: what is loaded and computed fit together, the budget is kept, nothing depends on luck."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ragkit.cachecraft.core.choice import Chosen
from ragkit.cachecraft.core.generation import generation
from ragkit.cachecraft.core.keys import context_key
from ragkit.cachecraft.core.merging import merge_runs
from ragkit.cachecraft.core.plan import rows
from ragkit.cachecraft.core.planning import full_plan, loads, make_plan
from ragkit.cachecraft.core.policies import NEED_SCORES, POLICIES
from ragkit.cachecraft.core.prompt import Kind
from ragkit.cachecraft.core.repair import Repair
from ragkit.cachecraft.core.virtual import step_slices, virtual_start
from ragkit.errors import ContractError, UsageError
from tests.cachecraft.core.making import chosen_for, prompt, stored, variant

LAYOUTS = st.builds(
    prompt,
    *[st.tuples(st.integers(0, 70), st.integers(0, 3))] * 4,
    prefix=st.integers(0, 6),
    glue=st.integers(0, 3),
    question=st.integers(1, 5),
) | st.builds(prompt, prefix=st.integers(0, 3), question=st.integers(1, 2))
REPAIRS = st.builds(
    Repair,
    share=st.floats(0, 1),
    alpha=st.none() | st.floats(0, 2),
    run_length=st.integers(1, 20),
    beta_mode=st.sampled_from(["paper", "symmetric", "count"]),
    seed=st.integers(0, 5),
)
NAMES = st.sampled_from(sorted(POLICIES))
HOW = st.fixed_dictionaries(
    {"seed": st.integers(0, 999), "known": st.sampled_from([0.0, 0.6, 1.0]), "statistics": st.booleans()}
)


def plan_of(layout, policy, repair, how):
    chosen, reasons, _ = chosen_for(layout, repair, **how)
    scores = np.random.default_rng(1).integers(0, 5, len(layout.ids)).astype(np.float64)
    return make_plan(layout, chosen, reasons, policy, repair, scores=scores), chosen


def reused_tokens(plan) -> int:
    return sum(one.variant.tokens for one in plan.reused if plan.layout.pieces[one.piece].kind is Kind.CHUNK)


@given(LAYOUTS, NAMES, REPAIRS, HOW)
def test_loads_and_fresh_positions_are_the_whole_prompt(layout, policy, repair, how):
    plan, _ = plan_of(layout, policy, repair, how)
    assert (np.diff(plan.fresh) > 0).all()
    runs = loads(plan)
    loaded = [position for run in runs for position in range(run.target, run.target + run.length)]
    assert sorted([*loaded, *plan.fresh.tolist()]) == list(range(len(layout.ids)))
    for run in runs:
        assert run.length > 0
        assert (run.variant.ids[run.source : run.source + run.length] == layout.ids[run.target :][: run.length]).all()
    maximal = {(run.variant.name, run.target + run.length) for run in runs}
    assert not maximal & {(run.variant.name, run.target) for run in runs if run.source}
    question = layout.spans[-1]
    assert set(range(question.start, question.end)) <= set(plan.fresh.tolist())
    for at, piece in enumerate(layout.pieces):
        if piece.kind is Kind.GLUE:
            assert set(range(*layout.spans[at])) <= set(plan.fresh.tolist())
    assert sum(row.queries for row in rows(plan.fresh)) == len(plan.fresh)


@given(LAYOUTS, NAMES, REPAIRS, HOW, st.integers(0, 400), st.lists(st.integers(1, 60), max_size=20))
def test_an_engines_steps(layout, policy, repair, how, cached, sizes):
    plan, _ = plan_of(layout, policy, repair, how)
    cached = min(cached, layout.spans[-1].start)
    start = virtual_start(plan, cached)
    fresh = plan.fresh[plan.fresh >= cached]
    assert (fresh <= start + np.arange(len(fresh))).all()
    done, there = [], set(range(cached))
    for step in step_slices(plan, sizes, cached):
        assert step.begin == start + len(done)
        assert step.end == step.begin + len(step.fresh)
        there |= {position for load in step.loads for position in range(load.target, load.target + load.length)}
        there |= set(step.fresh.tolist())
        assert max(there) < step.end
        assert set(range(int(step.fresh[-1]) + 1)) <= there  # whatever a token may see is there
        done += step.fresh.tolist()
    assert done == fresh.tolist()
    assert there == set(range(len(layout.ids)))


@given(LAYOUTS, st.sampled_from(["cachecraft", "epic", "hkvd", "random"]), REPAIRS, HOW)
def test_the_share_is_met_within_one_run(layout, policy, repair, how):
    repair = Repair(share=repair.share, run_length=repair.run_length, seed=repair.seed)
    plan, chosen = plan_of(layout, policy, repair, how)
    target = repair.share * reused_tokens(plan)
    chunks = [one for one in plan.reused if plan.layout.pieces[one.piece].kind is Kind.CHUNK]
    could = sum(one.variant.tokens for one in chunks)
    if policy == "cachecraft" and not any(chosen[one.piece].cfo for one in chunks) and repair.share < 1:
        could = 0
    assert plan.repaired_tokens <= target + repair.run_length
    assert plan.repaired_tokens >= min(target, could) - 1e-6


@given(LAYOUTS, st.floats(0, 2), st.integers(1, 20), HOW)
def test_with_an_alpha_every_chunk_gets_what_the_equation_says(layout, alpha, run_length, how):
    repair = Repair(alpha=alpha, run_length=run_length)
    plan, chosen = plan_of(layout, "cachecraft", repair, how)
    for one in plan.reused:
        wanted = int(np.ceil(chosen[one.piece].cfo * one.variant.tokens - 1e-9))
        assert wanted <= len(one.repaired) <= max(wanted + run_length - 1, 0) * (wanted > 0)


@given(LAYOUTS, NAMES, REPAIRS, HOW)
def test_equal_inputs_give_equal_plans(layout, policy, repair, how):
    one, other = (plan_of(layout, policy, repair, how)[0] for _ in range(2))
    assert one.fresh.tolist() == other.fresh.tolist()
    assert [part.repaired.tolist() for part in one.reused] == [part.repaired.tolist() for part in other.reused]
    assert one.reasons == other.reasons


@given(LAYOUTS, st.sampled_from(sorted(set(POLICIES) - {"none", "full"})), st.integers(1, 20), HOW)
def test_a_share_of_one_repairs_all(layout, policy, run_length, how):
    plan, _ = plan_of(layout, policy, Repair(share=1.0, run_length=run_length), how)
    assert plan.repaired_tokens == reused_tokens(plan)
    prefix = range(len(layout.prefix) if 0 in {one.piece for one in plan.reused} else 0)
    assert plan.fresh.tolist() == [at for at in range(len(layout.ids)) if at not in prefix]


@given(LAYOUTS, NAMES, REPAIRS, HOW, st.integers(0, 6), st.integers(1, 12))
def test_merged_runs_are_fewer_and_lie_further_apart(layout, policy, repair, how, gap, most):
    plan, _ = plan_of(layout, policy, repair, how)
    merged = merge_runs(plan, gap)
    assert set(plan.fresh.tolist()) <= set(merged.fresh.tolist())
    steps = np.diff(merged.fresh)
    assert (steps[steps > 1] > gap + 1).all()
    assert len(rows(merged.fresh)) <= len(rows(plan.fresh))
    cold = {at for at, _ in plan.reasons}
    repaired = {position for one in merged.reused for position in one.repaired.tolist()}
    chunk_spans = [layout.spans[at] for at in layout.chunks if at not in cold]
    assert repaired == {p for p in merged.fresh.tolist() if any(a <= p < b for a, b in chunk_spans)} or policy == "full"
    assert len(rows(merge_runs(plan, gap, most).fresh)) <= most


def test_merging_refuses_what_makes_no_sense():
    with pytest.raises(UsageError, match="gap of 0 or more"):
        merge_runs(full_plan(prompt(4)), -1)


def test_without_runs_the_best_tokens_are_repaired():
    layout = prompt((20, 0), (20, 1))
    keys, _, _ = stored(layout)
    one = variant(keys[1], layout.pieces[1].ids, ["X"], [1.0], masses=[0, 5, 0, 5, 0, 5] + [1] * 14)
    plan = make_plan(layout, {1: Chosen(1, 20, one, 0.15)}, {}, "cachecraft", Repair(alpha=1.0, run_length=1))
    assert plan.reused[0].repaired.tolist() == [21, 23, 25]
    plan = make_plan(layout, {1: Chosen(1, 20, one, 0.2)}, {}, "cachecraft", Repair(alpha=1.0, run_length=1))
    assert plan.reused[0].repaired.tolist() == [21, 23, 25, 26]  # a tie: the smaller position


def test_runs_rank_by_chosen_tokens_then_by_mass_then_by_position():
    layout = prompt((4, 0), (14, 1))
    masses = [9, 0, 0, 0, 8, 8, 0, 0, 8, 8, 3, 0, 1, 1]  # N = 5: tokens 0, 4, 5, 8, 9
    one = variant("c", layout.pieces[1].ids, ["X"], [1.0], masses=masses)

    def repaired(tokens, run_length):
        repair = Repair(alpha=1.0, run_length=run_length)
        plan = make_plan(layout, {1: Chosen(1, 4, one, tokens / 14)}, {}, "cachecraft", repair)
        return (plan.reused[0].repaired - 4).tolist()

    assert repaired(5, 4) == [4, 5, 6, 7, 8, 9, 10, 11]
    assert repaired(3, 4) == [4, 5, 6, 7]  # 0, 4, 5 singly
    assert repaired(14, 4) == list(range(14))
    assert repaired(1, 4) == [0, 1, 2, 3]
    assert repaired(0, 4) == []


def test_chunks_that_fit_get_nothing_until_the_others_are_full():
    layout = prompt((20, 0), (20, 1), (20, 2))
    keys, _, _ = stored(layout)

    def repaired(share, ratios):
        chosen = {
            at: Chosen(at, 20 * at, variant(keys[at], layout.pieces[at].ids, ["X"], [1.0]), ratio)
            for at, ratio in enumerate(ratios)
        }
        plan = make_plan(layout, chosen, {}, "cachecraft", Repair(share=share, run_length=1))
        return [len(one.repaired) for one in plan.reused]

    assert repaired(0.3, [0, 0.2, 0.4]) == [0, 6, 12]
    assert repaired(0.6, [0, 0.2, 0.4]) == [0, 16, 20]
    assert repaired(0.8, [0, 0.2, 0.4]) == [8, 20, 20]
    assert repaired(0.9, [0, 0, 0]) == [0, 0, 0]
    assert repaired(1.0, [0, 0, 0]) == [20, 20, 20]
    assert repaired(0.0, [0.3, 0.2, 0.4]) == [0, 0, 0]


def test_epic_repairs_the_heads_of_all_but_a_first_one_that_stood_first():
    layout = prompt((20, 0), (3, 1), (20, 2), (20, 3), prefix=2)
    keys, prefix, _ = stored(layout)

    def repaired(share, *histories, run_length=1):
        chosen = {
            at: Chosen(at, layout.spans[at].start, variant(keys[at], layout.pieces[at].ids, history, prefix=prefix), 1)
            for at, history in zip(layout.chunks, histories, strict=True)
        }
        plan = make_plan(layout, chosen, {}, "epic", Repair(share=share, run_length=run_length))
        assert all((np.diff(one.repaired) == 1).all() for one in plan.reused)
        assert all(one.repaired[0] == one.start for one in plan.reused if len(one.repaired))
        return [len(one.repaired) for one in plan.reused]

    alone, behind = (), ("stranger",)
    assert repaired(17 / 63, alone, behind, behind, behind) == [0, 3, 7, 7]
    assert repaired(17 / 63, alone, alone, alone, alone) == [0, 3, 7, 7], "only the prompt's first takes its place"
    assert repaired(18 / 63, behind, behind, behind, behind) == [5, 3, 5, 5], "the first was not first"
    assert repaired(43 / 63, alone, behind, behind, behind) == [0, 3, 20, 20]
    assert repaired(45 / 63, alone, behind, behind, behind) == [2, 3, 20, 20], "nobody else can take the rest"
    assert 45 <= sum(repaired(45 / 63, alone, behind, behind, behind, run_length=8)) < 45 + 8
    assert repaired(1, alone, behind, behind, behind) == [20, 3, 20, 20]


def test_random_tokens_follow_the_seed_and_the_prompt():
    layouts = [prompt((90, 0), (90, 1)), prompt((90, 0), (90, 2))]

    def repaired(layout, seed):
        plan, _ = plan_of(layout, "random", Repair(seed=seed), {"seed": 3})
        return tuple(np.concatenate([one.repaired for one in plan.reused]).tolist())

    drawn = {repaired(layout, seed) for layout in layouts for seed in (0, 1)}
    assert len(drawn) == 4


def test_scores_choose_among_all_chunks_together():
    layout = prompt((10, 0), (10, 1), glue=1)
    chosen, reasons, _ = chosen_for(layout, Repair())
    scores = np.zeros(len(layout.ids))
    scores[[0, 3, 15, 16, 18, 22]] = [9, 1, 1, 1, 1, 9]  # glue and the question count for nothing
    plan = make_plan(layout, chosen, reasons, "hkvd", Repair(share=0.2, run_length=1), scores=scores)
    assert [one.repaired.tolist() for one in plan.reused] == [[3], [15, 16, 18]]


def test_bad_scores_and_unknown_policies_are_refused():
    layout = prompt((10, 0))
    chosen, reasons, _ = chosen_for(layout, Repair())
    for policy in sorted(NEED_SCORES):
        with pytest.raises(UsageError, match="scores"):
            make_plan(layout, chosen, reasons, policy, Repair())
        with pytest.raises(ContractError, match="one per position"):
            make_plan(layout, chosen, reasons, policy, Repair(), scores=np.zeros(3))
        with pytest.raises(ContractError, match="NaN"):
            make_plan(layout, chosen, reasons, policy, Repair(), scores=np.full(14, np.nan))
    with pytest.raises(UsageError, match="cachecraft, epic"):
        make_plan(layout, chosen, reasons, "blend", Repair())
    moved = {0: Chosen(0, 1, chosen[0].variant, 0.0)}
    with pytest.raises(ContractError, match="expected one for the positions"):
        make_plan(layout, moved, {}, "none", Repair())


def test_full_and_none_are_the_ends():
    layout = prompt((10, 0), (10, 1), prefix=3)
    chosen, reasons, _ = chosen_for(layout, Repair())
    none = make_plan(layout, chosen, reasons, "none", Repair(share=0.5))
    assert none.fresh.tolist() == [23, 24, 25, 26]
    assert (none.share, none.repaired_tokens, len(loads(none))) == (0.0, 0, 3)
    full = make_plan(layout, chosen, reasons, "full", Repair())
    assert full.fresh.tolist() == full_plan(layout).fresh.tolist() == list(range(27))
    assert (full.share, full.reused, len(loads(full))) == (1.0, (), 0)
    assert [at for at, _ in full.reasons] == [0, 1, 2]
    assert full_plan(prompt()).reasons == ()


def test_generations_come_from_approximate_chunks_before():
    layout = prompt((10, 0), (10, 1), (10, 2), (10, 3), prefix=3)
    keys, prefix, _ = stored(layout)
    own = [piece.ids for piece in layout.pieces]
    alone = variant(keys[1], own[1], prefix=prefix, start=3, context=context_key(layout.ids[:3]))
    behind = variant(keys[2], own[2], [keys[1]], [1.0], prefix=prefix, start=13, context=context_key(layout.ids[:13]))
    stranger = variant(keys[2], own[2], ["stranger"], [1.0], prefix=prefix, start=13, generation=1)

    def plan(**by_piece):
        chosen = {
            int(at[1:]): Chosen(int(at[1:]), layout.spans[int(at[1:])].start, one, 0.0) for at, one in by_piece.items()
        }
        return make_plan(layout, chosen, {}, "none", Repair())

    exact = plan(p0=variant(keys[0], own[0]), p1=alone, p2=behind)
    assert [generation(exact, piece) for piece in (1, 2, 3, 4)] == [0, 0, 0, 0]
    moved = plan(p1=variant(keys[1], own[1], prefix=prefix, start=4))
    assert [generation(moved, piece) for piece in (1, 2, 3, 4)] == [0, 1, 1, 1]
    relabelled = plan(p1=variant(keys[1], own[1], prefix=prefix, start=3, context=context_key(own[1])))
    assert generation(relabelled, 2) == 1
    worse = plan(p1=alone, p2=stranger)
    assert [generation(worse, piece) for piece in (1, 2, 3, 4)] == [0, 0, 2, 2]
    assert generation(full_plan(layout), 4) == 0
