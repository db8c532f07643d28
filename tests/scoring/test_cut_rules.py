"""Cut rules: the worked examples of SAGE, METEORA and candidate pruning, their declared invariances, bad input."""

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from ragkit.errors import ConfigError, ContractError
from ragkit.scoring import drop, elbow
from ragkit.scoring.cut import Invariance, cut, explained
from ragkit.scoring.drop import Drop
from ragkit.scoring.elbow import Elbow
from ragkit.scoring.fixed import Fixed
from ragkit.scoring.named import POLICIES, make_policy
from ragkit.scoring.order import ChunkScore, descending
from ragkit.scoring.share import Share
from ragkit.scoring.threshold import Threshold
from ragkit.scoring.within import Within

CLIFF = [0.95, 0.90, 0.86, 0.40, 0.38, 0.35]


@pytest.mark.parametrize(
    ("options", "kept"),
    [
        ({"floor": "scan_after_floor"}, (3, 3, 6)),
        ({"rule": "ratio", "floor": "scan_after_floor"}, (6, 6, 6)),
        ({"rule": "literal", "floor": "scan_after_floor"}, (1, 3, 4)),
        ({"rule": "literal", "g": 1.5, "floor": "scan_after_floor"}, (3, 3, 6)),
        ({"floor": "floor_after_scan"}, (3, 3, 4)),
    ],
)
def test_sage_example_1(options, kept):
    assert tuple(cut(CLIFF, Drop(min_k=min_k, **options)) for min_k in (1, 3, 4)) == kept


def test_sage_example_2_predecessor_against_anchor():
    scores = [0.90, 0.70, 0.55, 0.43, 0.34]
    assert cut(scores, Drop(min_k=1)) == 5
    assert cut(scores, Drop(min_k=1, compare_to="anchor")) == 2


def test_sage_example_4_a_smaller_floor_changes_nothing_behind_it():
    scores = [0.95, 0.90, 0.86, 0.84, 0.80, 0.40]
    assert [cut(scores, Drop(min_k=k, floor="scan_after_floor")) for k in (2, 3)] == [5, 5]


def test_sage_defect_the_published_floor_keeps_the_tail_behind_a_cliff():
    scores = [0.9, 0.88, 0.3, *(0.29 - 0.01 * step for step in range(17))]
    assert cut(scores, drop.PAPER) == 20
    assert cut(scores, Drop()) == 2


positive = st.lists(st.floats(0.001, 1000), min_size=1, max_size=30).map(lambda found: sorted(found, reverse=True))
whole = st.lists(st.integers(0, 4000), min_size=1, max_size=30).map(
    lambda found: [float(one) for one in sorted(found, reverse=True)]
)
drops = st.builds(
    Drop,
    g=st.floats(0.05, 0.95),
    min_k=st.integers(1, 8),
    rule=st.sampled_from(["relative_drop", "ratio", "literal"]),
    compare_to=st.sampled_from(["predecessor", "anchor"]),
    floor=st.sampled_from(["scan_after_floor", "floor_after_scan"]),
)
elbows = st.builds(
    Elbow,
    z_threshold=st.sampled_from([0.5, 1.0, 2.0]),
    rule=st.sampled_from(["z", "second_difference"]),
    fallback_cut=st.sampled_from(["before", "at_drop"]),
    pool=st.sampled_from([None, 3, 10]),
    min_k=st.integers(1, 4),
)
policies = st.one_of(
    drops,
    elbows,
    st.builds(Share, k=st.integers(1, 8), alpha=st.floats(0, 1)),
    st.builds(Fixed, k=st.integers(1, 8)),
    st.builds(Threshold, least=st.floats(-1, 4001), min_k=st.integers(1, 4)),
    st.builds(Within, gap=st.integers(0, 16000).map(lambda found: found / 4), min_k=st.integers(1, 4)),
)


@given(positive, st.floats(0.05, 0.9), st.integers(1, 8))
def test_sage_defect_as_printed_it_always_keeps_the_floor(scores, g, min_k):
    for floor in ("scan_after_floor", "floor_after_scan"):
        assert cut(scores, Drop(g=g, min_k=min_k, rule="literal", floor=floor)) == min(min_k, len(scores))


@given(whole, policies)
def test_a_cut_is_within_its_bounds(scores, policy):
    kept = cut(scores, policy)
    assert min(getattr(policy, "min_k", 1), len(scores)) <= kept <= len(scores)


@given(whole, policies)
def test_the_declared_invariances_hold(scores, policy):
    values = np.array(scores)
    kept = cut(values, policy)
    if Invariance.SCALE in policy.invariances:  # powers of two, as others round
        assert [cut(values * factor, policy) for factor in (0.25, 2.0, 1024.0)] == [kept] * 3
    if Invariance.SHIFT in policy.invariances:
        assert [cut(values + shift, policy) for shift in (-5000.0, 1.0, 4096.0)] == [kept] * 3
    if Invariance.MONOTONE in policy.invariances:
        assert cut(np.exp(values / 1000) - 7, policy) == kept


def test_what_is_not_declared_does_not_hold():
    assert Invariance.SHIFT not in Drop.invariances
    assert cut([0.95, 0.5], Drop(min_k=1)) != cut([10.95, 10.5], Drop(min_k=1))
    assert cut([10, 9, 8, 7.9, 5], Share(3)) != cut([100, 99, 98, 97.9, 95], Share(3))
    rising = np.array([4.0, 3.0, 2.5, 0.0])
    for policy in (Elbow(), Within(1.0)):
        assert Invariance.MONOTONE not in policy.invariances
        assert cut(rising, policy) != cut(np.exp(3 * rising), policy)
    assert Invariance.SCALE not in Within.invariances
    assert cut([4.0, 3.5, 0.0], Within(1.0)) != cut([40.0, 35.0, 0.0], Within(1.0))
    assert not Threshold.invariances
    assert cut([0.6, 0.4], Threshold(0.5)) != cut([1.2, 0.8], Threshold(0.5))
    assert cut([0.6, 0.4], Threshold(0.5)) != cut([0.8, 0.6], Threshold(0.5))


@given(positive, st.floats(0.05, 0.9), st.floats(0.01, 0.09), st.integers(1, 5))
def test_more_tolerance_never_keeps_less(scores, g, more, min_k):
    small, large = Drop(g=g, min_k=min_k), Drop(g=g + more, min_k=min_k)
    assert cut(scores, small) <= cut(scores, large)
    small, large = Drop(g=g, min_k=min_k, rule="ratio"), Drop(g=g + more, min_k=min_k, rule="ratio")
    assert cut(scores, small) >= cut(scores, large)


@given(positive, st.sampled_from([0.1, 0.3, 0.5]), st.sampled_from(["predecessor", "anchor"]))
def test_a_relative_drop_is_the_opposite_ratio(scores, g, compare_to):
    pairs = pairwise(scores) if compare_to == "predecessor" else ((scores[0], s) for s in scores)
    assume(all(not math.isclose(low, (1 - g) * high, rel_tol=1e-9) for high, low in pairs))
    same = {"min_k": 1, "compare_to": compare_to}
    assert cut(scores, Drop(g=g, **same)) == cut(scores, Drop(g=1 - g, rule="ratio", **same))


def test_zeros_end_the_list():
    assert cut([0.5, 0.0, 0.0], Drop(min_k=1)) == 1
    assert cut([0.0, 0.0, 0.0], Drop(min_k=2)) == 2
    assert cut([0.5, 0.0, 0.0], Drop(min_k=1, compare_to="anchor", g=0.99)) == 1
    assert cut([1.0, 0.0, 0.0, 0.0], Share(2)) == 2
    assert cut([0.4, 0.39, 0.2], Drop(min_k=5)) == 3


def test_meteora_example_1_the_z_rule():
    found = explained([0.90, 0.88, 0.86, 0.60, 0.58, 0.57], Elbow())
    assert found.kept == 3
    assert "z 2.00" in found.reason


def test_meteora_example_2_the_fallback_and_its_off_by_one():
    scores = [0.95, 0.90, 0.72, 0.62, 0.44, 0.28]
    assert cut(scores, elbow.PAPER) == 1
    assert cut(scores, Elbow()) == 2


def test_meteora_example_3_the_first_of_two_cliffs():
    scores = [0.95, 0.60, 0.58, 0.56, 0.54, 0.20]
    assert cut(scores, Elbow()) == 1
    assert cut(scores, Elbow(rule="second_difference")) == 5
    assert cut(scores, Elbow(rule="second_difference", fallback_cut="before")) == 4


@pytest.mark.parametrize(("scores", "kept"), [([], 0), ([0.3], 1), ([0.9, 0.1], 2)])
def test_meteora_short_lists(scores, kept):
    assert cut(scores, Elbow()) == kept


@given(st.lists(st.integers(0, 1000), min_size=3, max_size=3))
def test_meteora_three_scores_always_take_the_fallback(found):
    scores = [one / 1000 for one in sorted(found, reverse=True)]
    assert cut(scores, elbow.PAPER) == 1
    assert cut(scores, Elbow()) == 2


def test_meteora_a_pool_keeps_a_long_tail_from_deciding():
    scores = [0.9, 0.8, 0.7, 0.6, 0.2, *np.linspace(0.19, 0.1, 300)]
    assert cut(scores, Elbow()) == 1  # beside 300 tiny gaps every gap near the top stands out
    assert cut(scores, Elbow(pool=10)) == 4


def test_pruning_by_a_share_of_the_kth_score():
    assert cut([10, 9, 8, 7.9, 7.5, 6], Share(3, 0.05)) == 4
    assert cut([10, 9], Share(3)) == 2


def test_within_a_distance_of_the_best():
    assert cut([2.0, 1.5, 1.0, 0.9, -3.0], Within(1.0)) == 3
    assert cut([2.0, -1.0, -2.0], Within(1.0, min_k=2)) == 2
    assert cut([2.0, 2.0, 2.0], Within(0.0, max_k=2)) == 2


@given(st.lists(st.integers(-4000, 4000), min_size=1, max_size=30), st.integers(0, 9), st.integers(-500, 500))
def test_within_does_not_see_a_shift(found, gap, shift):
    scores = [float(one) for one in sorted(found, reverse=True)]
    assert cut(scores, Within(gap)) == cut([one + shift for one in scores], Within(gap))


@pytest.mark.parametrize("name", POLICIES)
def test_no_candidate_and_one(name):
    assert cut([], make_policy(name)) == 0
    assert cut([0.4], make_policy(name)) == 1
    assert cut([0.0], make_policy(name)) == 1


def test_caps():
    assert cut([1.0] * 9, Drop(max_k=4)) == 4
    assert cut([0.9, 0.8, 0.7, 0.1], Elbow(max_k=2)) == 2
    assert cut([0.9, 0.8, 0.1, 0.05], Elbow(min_k=3)) == 3


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("name", POLICIES)
def test_scores_that_are_not_numbers_are_refused(name, bad):
    with pytest.raises(ContractError, match="place 1"):
        cut([0.5, bad], make_policy(name))


def test_wrong_lists_are_refused():
    with pytest.raises(ContractError, match="compares ratios"):
        cut([0.5, -0.1], Drop())
    with pytest.raises(ContractError, match="Calibrate them"):
        cut([0.5, -0.1], Share())
    assert cut([0.5, -0.1, -9.0, -9.1], Elbow()) == 2
    with pytest.raises(ContractError, match=r"rise from 0\.1"):
        cut([0.1, 0.5], Fixed())
    with pytest.raises(ContractError, match="shape"):
        cut(np.zeros((2, 2)), Fixed())


@pytest.mark.parametrize(
    ("named", "said"),
    [
        ("dorp", "Did you mean 'drop'"),
        ({"min_k": 2}, "without a name"),
        ({"name": "drop", "k": 3}, "no option 'k'"),
        ({"name": "drop", "g": 1.5}, "between 0 and 1"),
        ({"name": "drop", "g": 0}, "between 0 and 1"),
        ({"name": "drop", "rule": "literal", "g": -1}, "above 0"),
        ({"name": "drop", "g": "much"}, "cannot be 'much'"),
        ({"name": "drop", "rule": "prose"}, "cannot be 'prose'"),
        ({"name": "sage", "min_k": 0}, "min_k is 0"),
        ({"name": "sage", "max_k": 3}, "max_k is 3"),
        ({"name": "elbow", "pool": 2}, "pool is 2"),
        ({"name": "share", "alpha": 2}, "alpha is 2"),
        ({"name": "fixed", "k": 0}, "k is 0"),
        ({"name": "within", "gap": -1}, "gap is -1"),
    ],
)
def test_wrong_policies_are_refused(named, said):
    with pytest.raises(ConfigError, match=said):
        make_policy(named)


def test_ties_keep_the_first_stage_then_the_id():
    scored = [ChunkScore(0.5, 3, "a"), ChunkScore(0.5, 1, "z"), ChunkScore(0.7, 9, "q"), ChunkScore(0.5, 1, "b")]
    assert descending(scored) == [2, 3, 1, 0]
    with pytest.raises(ContractError, match="chunk scores"):
        descending([ChunkScore(math.nan, 1, "a")])
