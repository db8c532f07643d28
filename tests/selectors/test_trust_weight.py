"""The weight of trust reaches the scores of every selector, those that judge hits again included."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ragkit.chunkers.sentences import split_sentences
from ragkit.errors import UsageError
from ragkit.models.hashing import HashingEmbedder
from ragkit.schema import Chunk, Hit
from ragkit.selectors.extractive import ExtractiveSelector
from ragkit.selectors.mmr import MmrSelector
from ragkit.selectors.rationale import RationaleSelector
from ragkit.selectors.score_cut import ScoreCutSelector
from ragkit.selectors.top_k import TopKSelector
from ragkit.selectors.tree_search import TreeSearchSelector
from ragkit.selectors.trust import TrustedSelector, make_trust
from ragkit.selectors.weighing import weighed

QUESTION = "crane harbour lantern"
TEXTS = ("crane harbour lantern.", "crane harbour boat.", "crane meadow boat.")
FIRST = {"name": "fixed", "k": 1}


def count(texts):
    return [len(text.split()) for text in texts]


def chunk(name, text, trust):
    return Chunk(name, 0, len(text), text, metadata={"trust": trust})


def hits(trusts=(0.01, 1.0, 1.0), texts=TEXTS):
    """Return the best hit, which is not trusted, and others that are."""
    return [
        Hit(rank, 1.0 - 0.1 * rank, f"c{rank}", chunk(f"d{rank}", text, trust), f"s{rank}", None, None, rank - 1)
        for rank, (text, trust) in enumerate(zip(texts, trusts, strict=True), 1)
    ]


class Judge:
    """Likes a text the better the more words it shares with the question; reads joined texts."""

    name = fingerprint = "judge"
    window = None

    def __init__(self, scale="probability", offset=0.0):
        self.scale, self.offset = scale, offset

    def score(self, query, texts):
        shared = [len(set(query.split()) & set(text.replace(".", "").split())) for text in texts]
        return np.array(shared) / 3 * 0.9 + self.offset


class Store:
    """A corpus of chunks that differ."""

    def vectors(self, rows):
        return np.eye(3, dtype=np.float32)[list(rows)]

    def neighbours(self, row, before, after):
        return []


def corpus_of(name):
    return Store() if name == "mmr" else None


def extractive(scorer, **options):
    return ExtractiveSelector(
        scorer, FIRST, share=None, sentences=split_sentences, count=count, embedder=HashingEmbedder(), **options
    )


SELECTORS = {
    "top_k": TopKSelector(1, count),
    "mmr": MmrSelector(1, count=count),
    "score_cut without a reranker": ScoreCutSelector(FIRST, count=count),
    "score_cut": ScoreCutSelector(FIRST, reranker=Judge(), count=count),
    "score_cut of scores below zero": ScoreCutSelector(FIRST, "none", reranker=Judge("logit", -0.5), count=count),
    "tree_search": TreeSearchSelector(tokens=3, count=count),
    "tree_search by greed": TreeSearchSelector(search="greedy", tokens=3, count=count),
    "tree_search with a reranker": TreeSearchSelector(tokens=3, reranker=Judge(), count=count),
    "extractive by cosine": extractive("cosine"),
    "extractive by fusion": extractive("fusion"),
    "extractive by a reranker": extractive("reranker", reranker=Judge()),
    "rationale": RationaleSelector(
        source="template", rationales=1, policy=FIRST, embedder=HashingEmbedder(), count=count
    ),
    "trusted twice": TrustedSelector(ScoreCutSelector(FIRST, reranker=Judge(), count=count), make_trust(0.0)),
}


@pytest.mark.parametrize("name", SELECTORS)
def test_the_weight_decides_in_every_selector(name):
    inner = SELECTORS[name]

    def ranks(**options):
        selection = TrustedSelector(inner, make_trust(options)).select(QUESTION, hits(), None, corpus_of(name))
        assert {one.score for one in selection.hits} <= {one.score for one in hits()}, "hits are shown as given"
        return [one.rank for one in selection.hits]

    assert ranks() == [1]
    assert ranks(weight=1) == [2]
    assert [one.rank for one in inner.select(QUESTION, hits(), None, corpus_of(name)).hits] == [1], (
        "it was not changed itself"
    )


@pytest.mark.parametrize("name", SELECTORS)
def test_full_trust_changes_nothing(name):
    given = hits((1.0, 1.0, 1.0))
    plain = SELECTORS[name].select(QUESTION, given, None, corpus_of(name))
    weighed_ = TrustedSelector(SELECTORS[name], make_trust({"weight": 2})).select(
        QUESTION, given, None, corpus_of(name)
    )
    assert weighed_.hits == plain.hits
    assert name == "score_cut without a reranker" or weighed_ == plain, "reasons tell the same scores"


def test_the_weight_acts_on_calibrated_scores():
    selector = ScoreCutSelector({"name": "threshold", "least": 0.5}, reranker=Judge(), count=count)
    trusted = TrustedSelector(selector, make_trust({"weight": 2}))
    selection = trusted.select(QUESTION, hits((0.5, 1.0, 0.0)))
    assert dict(selection.trace["scores"]) == pytest.approx({"c1": 0.9 / 4, "c2": 0.6, "c3": 0.0})
    assert [one.rank for one in selection.hits] == [2]


def test_a_set_is_worth_the_least_trust_of_its_members_to_a_reranker():
    selector = TrustedSelector(TreeSearchSelector(reranker=Judge(), count=count), make_trust({"weight": 1}))
    texts = ("crane lantern.", "harbour harbour.", "boat.")
    selection = selector.select(QUESTION, hits((0.5, 1.0, 1.0), texts))
    assert {one.rank for one in selection.hits} == {1, 2}, "a trusted chunk that says nothing lends its trust to none"
    assert selection.trace["best_value"] == pytest.approx(0.9 * 0.5)
    selection = selector.select(QUESTION, hits((0.3, 1.0, 1.0), texts))
    assert {one.rank for one in selection.hits} == {2}
    assert selection.trace["best_value"] == pytest.approx(0.3)


def test_values_below_zero_cannot_be_weighed_in_a_tree_search():
    selector = TreeSearchSelector(reranker=Judge("unbounded", -0.5), count=count)
    assert selector.select(QUESTION, hits()).hits
    with pytest.raises(UsageError, match="Weights of chunks multiply values, and those of judge go down to") as caught:
        TrustedSelector(selector, make_trust({"weight": 1})).select(QUESTION, hits())
    assert "calibration" in caught.value.hint


def test_coverage_counts_what_a_trusted_chunk_says():
    selector = TrustedSelector(TreeSearchSelector(redundancy=0.0, count=count), make_trust({"weight": 1}))
    selection = selector.select(QUESTION, hits((0.0, 1.0, 0.0)))
    reasons = {one.hit.rank: one.reason for one in selection.dropped}
    value = f"{selection.trace['best_value']:.4g}"
    assert [one.rank for one in selection.hits] == [2]
    assert reasons[1] == reasons[3] == f"with it the value would go from {value} to {value}"


def test_weights_from_two_wrappers_multiply():
    inner = TrustedSelector(ScoreCutSelector(FIRST, reranker=Judge(), count=count), make_trust({"weight": 1}))
    selection = TrustedSelector(inner, make_trust({"weight": 1})).select(QUESTION, hits((0.5, 0.5, 1.0)))
    assert dict(selection.trace["scores"]) == pytest.approx({"c1": 0.225, "c2": 0.15, "c3": 0.3})


def test_the_least_trust_of_a_wrapper_inside_stays():
    inner = TrustedSelector(ScoreCutSelector(FIRST, reranker=Judge(), count=count), make_trust({"min": 0.5}))
    selection = TrustedSelector(inner, make_trust({"weight": 0.001})).select(QUESTION, hits())
    assert [one.rank for one in selection.hits] == [2]
    assert {flag for one in selection.dropped for flag in one.flags} == {"distrusted"}


@given(
    st.lists(st.tuples(st.integers(-20, 20), st.sampled_from([0.0, 0.25, 0.5, 1.0])), min_size=1, max_size=8).map(
        lambda rows: (np.array([score / 4 for score, _ in rows]), np.array([weight for _, weight in rows]))
    )
)
def test_a_weight_never_raises_a_score(rows):
    scores, weights = rows
    found = weighed(scores, weights)
    assert (found <= scores).all()
    assert (found[weights == 1] == scores[weights == 1]).all()
    assert found.min() >= min(0.0, scores.min())
