"""Score cut: the contract under Hypothesis, cuts by hand, pruning, the trace, bad input."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ragkit.errors import ConfigError, ContractError, UsageError
from ragkit.protocols import Selector
from ragkit.schema import Chunk, Document, Hit
from ragkit.selectors.score_cut import ScoreCutSelector
from ragkit.testing.selector import check_selector


def count(texts):
    return [len(text.split()) for text in texts]


def hit(rank, score, text):
    document = Document(text, f"s{text}")
    return Hit(rank, score, f"c-{text[:9]}", Chunk.of(document, 0, len(text)), document.source, None, 1)


class Judge:
    """Scores a text by the number it holds."""

    name, fingerprint, window = "judge", "judge", None

    def __init__(self, scale="probability", **more):
        self.scale = scale
        self.asked = 0
        self.__dict__.update(more)

    def score(self, query, texts):
        self.asked += len(texts)
        return np.array([float(text.split()[0]) for text in texts])


def hits_of(*scores):
    return [hit(rank, 1 / rank, f"{score} chunk") for rank, score in enumerate(scores, 1)]


hit_lists = st.lists(st.tuples(st.floats(0, 5, width=16), st.integers(0, 9), st.integers(0, 9)), max_size=12).map(
    lambda rows: [hit(rank, score, f"0.{text} w" + " w" * words) for rank, (score, text, words) in enumerate(rows, 1)]
)
selectors = st.builds(
    ScoreCutSelector,
    policy=st.sampled_from(["drop", "sage", "elbow", "meteora", "share", {"name": "fixed", "k": 3}]),
    reranker=st.sampled_from([None, Judge()]),
    count=st.just(count),
)


@given(selectors, hit_lists)
def test_the_contract(selector, hits):
    assert isinstance(selector, Selector)
    check_selector(selector, "question", hits, count=count)


@given(st.lists(st.floats(0, 1, width=16), min_size=1, max_size=12), st.integers(1, 5))
def test_what_is_kept_is_a_prefix_of_the_scored_order(scores, min_k):
    hits = hits_of(*scores)
    selection = ScoreCutSelector({"name": "drop", "min_k": min_k}, reranker=Judge()).select("q", hits)
    order = [one.chunk_id for one in sorted(hits, key=lambda one: (-float(one.chunk.text.split()[0]), one.rank))]
    unique = list(dict.fromkeys(order))
    assert [one.chunk_id for one in selection.hits] == unique[: len(selection.hits)]
    assert len(selection.hits) >= min(min_k, len(unique))


def test_a_cut_by_hand_with_its_reasons_and_trace():
    hits = hits_of(0.2, 0.9, 0.86, 0.35)
    selection = ScoreCutSelector({"name": "drop", "min_k": 1}, reranker=Judge()).select("q", hits)
    assert [one.rank for one in selection.hits] == [2, 3]
    reasons = {one.hit.rank: one.reason for one in selection.dropped}
    wanted = "score 0.35 is place 3, and the cut keeps 2: score 3, 0.35, is below 0.7 of 0.86 (predecessor)"
    assert reasons[4] == wanted
    assert selection.trace["policy"]["name"] == "drop"
    assert selection.trace["calibration"] == {"name": "none"}
    assert selection.trace["reranker"] == "judge"
    assert selection.trace["scores"][0] == ["c-0.9 chunk", 0.9]


def test_the_limit_of_tokens_comes_after_the_cut():
    hits = [hit(1, 0.9, "0.9 a b c d"), hit(2, 0.8, "0.89 a"), hit(3, 0.1, "0.1")]
    selection = ScoreCutSelector(reranker=Judge(), count=count).select("q", hits, limit=4)
    assert [one.rank for one in selection.hits] == [2]
    assert [one.reason.split(";")[0] for one in selection.dropped][:1] == ["needs 5 tokens"]


def test_calibration_is_what_the_scale_asks_for():
    hits = hits_of(4.0, 3.0, -6.0)
    assert len(ScoreCutSelector(reranker=Judge("logit")).select("q", hits).hits) == 2
    assert len(ScoreCutSelector("elbow", "none", reranker=Judge("logit")).select("q", hits).hits) == 2
    advised = ScoreCutSelector(reranker=Judge("unbounded", calibration="exp")).select("q", hits_of(-0.1, -0.2, -3))
    assert advised.trace["calibration"] == {"name": "exp"}
    assert len(advised.hits) == 2


def test_auto_compares_with_the_best():
    slowly = hits_of(0.9, 0.8, 0.7, 0.6, 0.5, 0.4)  # no step loses 30 %
    assert len(ScoreCutSelector("drop", reranker=Judge()).select("q", slowly).hits) == 6
    assert len(ScoreCutSelector(reranker=Judge()).select("q", slowly).hits) == 3
    assert len(ScoreCutSelector(reranker=Judge()).select("q", hits_of(0.9, 0.1, 0.1)).hits) == 2


def test_negative_scores_and_ratios():
    with pytest.raises(UsageError, match="compares ratios"):
        ScoreCutSelector(reranker=Judge("unbounded")).select("q", hits_of(-1.0, -2.0))
    kept = ScoreCutSelector(calibration="minmax", reranker=Judge("unbounded")).select("q", hits_of(-1.0, -1.1, -9.0))
    assert len(kept.hits) == 2


def test_scores_that_are_no_numbers():
    with pytest.raises(ContractError, match="scores of judge hold nan"):
        ScoreCutSelector(reranker=Judge()).select("q", hits_of(0.3, math.nan))
    with pytest.raises(ContractError, match="retriever's scores"):
        ScoreCutSelector().select("q", [hit(1, math.inf, "x")])


def test_equal_scores_keep_the_retrievers_order():
    selection = ScoreCutSelector("fixed", reranker=Judge()).select("q", [hit(3, 1, "0.5 c"), hit(1, 1, "0.5 a")])
    assert [one.rank for one in selection.hits] == [1, 3]


def test_one_hit_and_none():
    assert len(ScoreCutSelector("elbow", reranker=Judge()).select("q", hits_of(0.0)).hits) == 1
    assert ScoreCutSelector(reranker=Judge()).select("q", []).hits == ()


def test_pruning_and_early_exit_are_reported():
    judge = Judge()
    hits = [hit(rank, first, f"{score} n{rank}") for rank, (first, score) in
            enumerate([(1.0, 0.5), (0.99, 0.7), (0.98, 0.4), (0.97, 0.3), (0.96, 0.9), (0.2, 0.8)], 1)]  # fmt: skip
    selector = ScoreCutSelector({"name": "fixed", "k": 2}, prune=0.5, early_exit=2, prune_k=2, reranker=judge)
    selection = selector.select("q", hits)
    assert judge.asked == 4
    assert selection.trace["pruning"] == {"scored": 4, "left_out": 2, "missed": None}
    assert {one.hit.rank: one.reason.split(":")[0] for one in selection.dropped if one.hit.rank > 4} == {
        5: "early exit",
        6: "pruned",
    }
    audited = ScoreCutSelector("fixed", prune=0.5, early_exit=2, prune_k=2, audit=True, reranker=judge)
    assert audited.select("q", hits).trace["pruning"]["missed"] == 1.0  # .9 and .8 were the best two
    assert (
        audited.select("q", hits).hits
        == ScoreCutSelector("fixed", prune=0.5, early_exit=2, prune_k=2, reranker=judge).select("q", hits).hits
    )


def test_wrong_use():
    with pytest.raises(ConfigError, match="no reranker"):
        ScoreCutSelector(prune=0.1)
    with pytest.raises(ConfigError, match="ranks all hits against each other"):
        ScoreCutSelector(early_exit=2, reranker=Judge(listwise=True))
    with pytest.raises(ConfigError, match="no cut policy"):
        ScoreCutSelector("cliff")
    with pytest.raises(UsageError, match="no `count`"):
        ScoreCutSelector().select("q", hits_of(1), limit=3)
