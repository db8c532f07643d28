"""Cuts do not hang on how numbers round: invariances on decimals; the knee; reasons that are true; finite options."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ragkit.errors import ConfigError, ContractError
from ragkit.scoring.cut import Invariance, cut, explained
from ragkit.scoring.drop import Drop
from ragkit.scoring.elbow import PAPER, Elbow
from ragkit.scoring.knee import Knee
from ragkit.scoring.named import make_policy
from ragkit.scoring.order import ChunkScore, descending, finite
from ragkit.scoring.share import Share
from ragkit.scoring.threshold import Threshold
from ragkit.scoring.within import Within

decimals = st.lists(st.integers(0, 60), min_size=1, max_size=20).map(
    lambda found: [one / 20 for one in sorted(found, reverse=True)]
)
policies = st.sampled_from(
    [
        Elbow(),
        PAPER,
        Elbow(rule="second_difference"),
        Elbow(pool=5, z_threshold=0.5),
        Within(0.3),
        Within(0.1, min_k=2),
        Knee(),
        Knee(pool=6),
        Drop(),
        Drop(compare_to="anchor", rule="ratio"),
        Share(3, 0.05),
    ]
)


@given(decimals, policies, st.sampled_from([0.1, 3.0, 7.0, 1e-3, 1e6]), st.sampled_from([0.1, 1.0, 10.0, -0.7]))
@example([0.9, 0.8, 0.7, 0.6, 0.5], Elbow(), 0.1, 7.0)
@example([0.8, 0.7, 0.6, 0.6, 0.6, 0.5, 0.5, 0.4, 0.4, 0.3, 0.2, 0.1, 0.1], Elbow(), 3.0, 1.0)
@example([0.9, 0.8, 0.6, 0.6, 0.2, 0.2, 0.0, 0.0], Within(0.3), 3.0, 0.1)
def test_the_declared_invariances_hold_for_decimals(scores, policy, factor, shift):
    values = np.array(scores)
    if Invariance.SCALE in policy.invariances:
        assert cut(values * factor, policy) == cut(values, policy)
    if Invariance.SHIFT in policy.invariances:
        assert cut(values + shift, policy) == cut(values, policy)


def test_evenly_spaced_scores_are_cut_at_the_first_place():
    for count in range(3, 12):
        found = explained([1 - 0.1 * place for place in range(count)], Elbow())
        assert found == (2, "no gap is wider than the one before it; the first place counts")
        assert cut([1 - 0.1 * place for place in range(count)], PAPER) == 1


def test_the_knee_is_the_first_score_of_the_flat_tail():
    found = explained([0.95, 0.90, 0.86, 0.40, 0.38, 0.35], Knee())
    assert found.kept == 3
    assert found.reason == "score 4, 0.4, lies farthest below the line to the last one"
    assert cut([0.95, 0.40, 0.38, 0.35], make_policy("knee")) == 1
    assert cut([0.95, 0.90, 0.86, 0.40, 0.38, 0.35], make_policy({"name": "knee", "min_k": 4})) == 4
    assert cut([0.95, 0.90, 0.86, 0.40, 0.38, 0.35], Knee(max_k=2)) == 2


@pytest.mark.parametrize("scores", [[0.5], [0.9, 0.1], [0.9, 0.6, 0.3], [1.0, 0.95, 0.85, 0.1], [0.4, 0.4, 0.4]])
def test_what_has_no_knee_is_kept_whole(scores):
    assert explained(scores, Knee()) == (
        len(scores),
        "the scores fall nowhere below a straight line: there is no knee",
    )


def test_a_pool_keeps_the_length_of_the_list_out_of_the_knee():
    scores = [1.0, 0.9, 0.5, 0.48, 0.47]
    assert cut(scores, Knee()) == 2
    assert cut([*scores, *np.linspace(0.46, -3, 40)], Knee(pool=5)) == 2


@pytest.mark.parametrize(
    ("scores", "policy", "said"),
    [
        ([0.5], Drop(), "there is only one candidate"),
        ([0.5, 0.1], Drop(min_k=3), "there are no more than 3 candidates"),
        ([0.5, 0.1], Threshold(0.4, min_k=2), "there are no more than 2 candidates"),
        ([0.5, 0.1, 0.05], Drop(min_k=2), "min_k keeps 2, although score 2, 0.1, is below 0.7 of 0.5 (predecessor)"),
        ([0.5], Elbow(), "one score has no elbow"),
        ([0.5, 0.4], Elbow(), "two scores have no elbow"),
        ([], Elbow(), "there are no candidates"),
    ],
)
def test_reasons_are_true(scores, policy, said):
    assert explained(scores, policy) == (len(scores[:2]), said)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize(
    ("name", "option"), [("elbow", "z_threshold"), ("threshold", "least"), ("within", "gap"), ("drop", "g")]
)
def test_options_are_finite(name, option, bad):
    with pytest.raises(ConfigError, match=option):
        make_policy({"name": name, option: bad})
    if name == "drop":
        with pytest.raises(ConfigError, match="g is"):
            Drop(g=bad, rule="literal")


def test_auto_takes_options_where_there_is_one():
    auto = Drop(compare_to="anchor")
    assert make_policy("auto", auto) == auto
    assert make_policy({"name": "auto", "max_k": 3}, auto) == Drop(compare_to="anchor", max_k=3)
    with pytest.raises(ConfigError, match="no cut policy 'auto'"):
        make_policy("auto")
    with pytest.raises(ConfigError, match="no cut policy 'atuo'") as caught:
        make_policy("atuo", auto)
    assert "Did you mean 'auto'" in caught.value.hint


def test_equal_scores_go_by_the_raw_score_before_the_rank():
    scored = [ChunkScore(1.0, 1, "a", 40.0), ChunkScore(1.0, 2, "b", 60.0), ChunkScore(1.0, 3, "c", 45.0)]
    assert descending(scored) == [1, 2, 0]


def test_scores_are_as_many_as_candidates():
    assert finite([0.5, 0.4], "scores", 2).tolist() == [0.5, 0.4]
    with pytest.raises(ContractError, match="scores of x are 1; expected 2"):
        finite([0.5], "scores of x", 2)
