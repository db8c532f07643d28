"""What every selector that scores guarantees: as many scores as texts, finite options, ties by what the scorer said."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from ragkit.budget import Budget
from ragkit.chunkers.sentences import split_sentences
from ragkit.controllers.grading import RerankerGrader
from ragkit.errors import ConfigError, ContractError
from ragkit.models.hashing import HashingEmbedder
from ragkit.rerankers.bm25 import Bm25Reranker
from ragkit.rerankers.fusion import FusionReranker
from ragkit.schema import Chunk, Hit
from ragkit.scoring.calibration import Isotonic
from ragkit.selectors.combining import Best, Problem
from ragkit.selectors.coverage import Coverage
from ragkit.selectors.extractive import ExtractiveSelector
from ragkit.selectors.knapsack import additive_optimum
from ragkit.selectors.mmr import MmrSelector
from ragkit.selectors.rationale import RationaleSelector
from ragkit.selectors.score_cut import ScoreCutSelector
from ragkit.selectors.top_k import TopKSelector
from ragkit.selectors.tree import TreeRules, search_tree
from ragkit.selectors.tree_search import TreeSearchSelector


def count(texts):
    return [len(text.split()) for text in texts]


def hit(rank, score, text):
    return Hit(rank, score, f"c{rank}", Chunk(f"d{rank}", 0, len(text), text), f"s{rank}", None, None, rank - 1)


HITS = [hit(1, 0.9, "alpha beta."), hit(2, 0.8, "gamma delta."), hit(3, 0.7, "epsilon zeta.")]


class Judge:
    """Scores texts by a table; `scores` instead, whatever is asked."""

    name = fingerprint = "judge"
    window = None

    def __init__(self, table=None, scale="probability", scores=None):
        self.table, self.scale, self.scores = table or {}, scale, scores

    def score(self, query, texts):
        return np.array([self.table.get(text, 0.5) for text in texts]) if self.scores is None else self.scores


def extractive(reranker, scorer="reranker", **options):
    return ExtractiveSelector(
        scorer, reranker=reranker, embedder=HashingEmbedder(), sentences=split_sentences, count=count, **options
    )


@pytest.mark.parametrize("scores", [np.zeros(0), np.zeros(1), np.zeros(2), np.zeros(40)])
@pytest.mark.parametrize(
    "make",
    [
        lambda judge: ScoreCutSelector(reranker=judge, count=count),
        lambda judge: ScoreCutSelector(reranker=judge, count=count, early_exit=1, audit=True),
        lambda judge: TreeSearchSelector(reranker=judge, count=count),
        extractive,
        lambda judge: extractive(judge, "fusion"),
        lambda judge: ScoreCutSelector(reranker=FusionReranker([judge, Bm25Reranker()]), count=count),
    ],
)
def test_a_reranker_that_answers_for_another_number_of_texts_breaks_its_contract(make, scores):
    with pytest.raises(ContractError, match=f"scores of judge are {len(scores)}; expected"):
        make(Judge(scores=scores)).select("q", HITS, 50)


def test_so_do_its_grades():
    with pytest.raises(ContractError, match="expected 2"):
        RerankerGrader(Judge(scores=np.zeros(1))).grades("q", ["a", "b"], Budget().meter())


@pytest.mark.parametrize("bad", [math.nan, math.inf])
@pytest.mark.parametrize("option", ["c", "cost_weight", "seconds", "min_value"])
def test_the_numbers_of_a_tree_search_are_finite(option, bad):
    with pytest.raises(ConfigError, match=f"{option} is {bad}"):
        TreeSearchSelector(**{option: bad}, allow_empty=True)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_other_numbers_are_finite_too(bad):
    with pytest.raises(ConfigError, match="temperature is"):
        RationaleSelector(source="template", temperature=bad, embedder=HashingEmbedder())
    with pytest.raises(ConfigError, match="weights are"):
        FusionReranker([Bm25Reranker(), Bm25Reranker()], weights=[1.0, bad])
    with pytest.raises(ConfigError, match="k1 is"):
        Bm25Reranker(k1=bad)


@pytest.mark.parametrize("mode", ["ragkit", "paper"])
def test_no_closed_branch_is_followed_whatever_the_utilities(mode):
    rules, asked = TreeRules(mode), iter(range(100))
    object.__setattr__(rules, "cost_weight", math.inf)  # every utility is -inf
    problem = Problem(Coverage(np.eye(4), np.eye(4), 0.0), np.array([1, 2, 1, 1]), 2, list("abcd"))
    found = search_tree(problem, rules, Best(problem), lambda: None if next(asked) < 99 else "it never ends")
    assert found.stopped == "all searched"
    assert found.value == 2.0


@pytest.mark.parametrize("option", ["mode", "search", "order", "pick"])
def test_words_that_a_tree_search_does_not_know_are_refused(option):
    with pytest.raises(ConfigError, match=f"{option} is 'bogus'; expected "):
        TreeSearchSelector(**{option: "bogus"})


def test_words_that_others_do_not_know_are_refused():
    with pytest.raises(ConfigError, match="scorer is 'cosin'") as caught:
        extractive(None, "cosin")
    assert caught.value.hint == "Did you mean 'cosine'?"
    for option in ("mode", "source", "order"):
        with pytest.raises(ConfigError, match=f"{option} is 'bogus'"):
            RationaleSelector(**{option: "bogus"}, embedder=HashingEmbedder())


@pytest.mark.parametrize(
    ("calibration", "scale", "scores"),
    [
        ("auto", "logit", (40.0, 45.0, 60.0)),
        ("auto", "cosine", (-0.9, -0.5, -0.1)),
        ("isotonic", "probability", (0.6, 0.7, 0.95)),
    ],
)
def test_equal_calibrated_scores_keep_the_rerankers_order(tmp_path, calibration, scale, scores):
    Isotonic((0.0, 0.5, 0.51, 1.0), (0.1, 0.1, 0.9, 0.9)).write(tmp_path / "i.json")
    named = {"name": "isotonic", "path": str(tmp_path / "i.json")} if calibration == "isotonic" else calibration
    judge = Judge({one.chunk.text: score for one, score in zip(HITS, scores, strict=True)}, scale)
    selector = ScoreCutSelector({"name": "fixed", "k": 2}, named, reranker=judge, count=count)
    selection = selector.select("q", HITS)
    assert len({score for _, score in selection.trace["scores"]}) == 1
    assert [one.rank for one in selection.hits] == [3, 2]


def test_pruning_takes_cosines_below_zero_as_zero():
    hits = [hit(rank, score, f"text {rank}") for rank, score in enumerate((0.5, 0.4, 0.1, -0.1, -0.3), 1)]
    selection = ScoreCutSelector({"name": "fixed", "k": 9}, prune=0.9, prune_k=2, reranker=Judge()).select("q", hits)
    assert [one.rank for one in selection.hits] == [1, 2, 3]
    negative = [hit(rank, score, f"text {rank}") for rank, score in enumerate((-0.1, -0.2, -0.3), 1)]
    selection = ScoreCutSelector({"name": "fixed", "k": 9}, prune=0.9, prune_k=2, reranker=Judge()).select(
        "q", negative
    )
    assert [one.rank for one in selection.hits] == [1, 2]


def test_a_score_cut_has_a_budget_of_its_own():
    selector = ScoreCutSelector({"name": "fixed", "k": 3}, max_tokens=4, count=count)
    assert [one.rank for one in selector.select("q", HITS).hits] == [1, 2]
    assert [one.rank for one in selector.select("q", HITS, 2).hits] == [1]
    assert selector.select("q", HITS).dropped[-1].reason == "needs 2 tokens; 4 of the limit of 4 are taken"
    assert selector.select("q", HITS).trace["budget"] == 4
    with pytest.raises(ConfigError, match="max_tokens is -1"):
        ScoreCutSelector(max_tokens=-1)


def test_auto_takes_options():
    assert len(ScoreCutSelector({"name": "auto", "max_k": 2}, count=count).select("q", HITS).hits) == 2
    assert len(ScoreCutSelector("auto", count=count).select("q", HITS).hits) == 3
    assert ScoreCutSelector({"name": "auto", "max_k": 3}).select("q", HITS).trace["policy"]["compare_to"] == "anchor"
    policy = extractive(None, "cosine", policy={"name": "auto", "max_k": 4}).select("q", HITS).trace["policy"]
    assert (policy["g"], policy["max_k"]) == (0.4, 4)


def test_a_judge_of_sentences_may_see_them_alone():
    seen = []

    class Seeing(Judge):
        def score(self, query, texts):
            seen.extend(texts)
            return np.ones(len(texts))

    extractive(Seeing(), neighbours=0).select("q", [hit(1, 1.0, "One cat. Two cats.")], 50)
    assert seen == ["One cat.", "Two cats."]
    with pytest.raises(ConfigError, match="neighbours -1"):
        extractive(Seeing(), neighbours=-1)


class Store:
    """A corpus of three chunks that differ."""

    def vectors(self, rows):
        return np.eye(3, dtype=np.float32)[list(rows)]

    def neighbours(self, row, before, after):
        return []


SELECTORS = {
    "top_k": lambda: TopKSelector(2, count),
    "mmr": lambda: MmrSelector(2, count=count),
    "score_cut": lambda: ScoreCutSelector(count=count, reranker=Judge()),
    "tree_search": lambda: TreeSearchSelector(count=count),
    "extractive": lambda: extractive(None, "cosine"),
    "rationale": lambda: RationaleSelector(source="template", embedder=HashingEmbedder(), count=count),
}


@pytest.mark.parametrize("name", SELECTORS)
def test_the_trace_gives_a_reason_even_for_nothing(name):
    for hits in ([], HITS):
        trace = SELECTORS[name]().select("alpha gamma", hits, None, Store() if name == "mmr" else None).trace
        assert trace["selector"] == name
        told = trace["stopped"] if "stopped" in trace else trace["cut"]["reason"]
        assert (told == "there are no candidates") == (not hits)
        assert json.loads(json.dumps(trace, allow_nan=False))


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_mmr_refuses_scores_that_are_no_numbers(bad):
    with pytest.raises(ContractError, match="retriever's scores hold"):
        MmrSelector(2).select("q", [HITS[0], hit(2, bad, "x"), HITS[2]], None, Store())


def test_what_was_kept_by_mmr_says_why():
    trace = MmrSelector(1, count=count).select("q", HITS, None, Store()).trace
    assert trace["stopped"] == "the best 1 that fit"
    assert trace["reasons"] == {
        "c1": "marginal relevance 0.500 (relevance 1.000, similarity to a kept hit 0.000) is number 1"
    }
    assert TopKSelector(9).select("q", HITS).trace["stopped"] == "there are no more candidates"


def test_the_clock_of_a_tree_search_starts_with_the_call(monkeypatch):
    now = [0.0]
    monkeypatch.setattr("ragkit.selectors.tree_search.time.perf_counter", lambda: now[0])
    asked = []

    class Slow(Judge):
        """Takes a second a call; pairs are worth the sum of their members."""

        def score(self, query, texts):
            now[0] += 1.0
            asked.append(len(texts))
            return np.array([0.01 * len(text.split()) for text in texts])

    selection = TreeSearchSelector(seconds=1.0, reranker=Slow(), count=count).select("q", HITS, 50)
    assert asked == [3], "single chunks alone: neither the probe for sums nor the tree asks after the deadline"
    assert selection.trace["stopped"] == "deadline of 1.0 seconds"
    assert selection.hits


def test_the_probe_for_sums_asks_whether_to_end():
    value = Coverage(np.eye(5), np.eye(5), 0.0)
    problem = Problem(value, np.ones(5, int), 5, list("abcde"))
    best = Best(problem)
    assert not additive_optimum(problem, best, lambda: "enough" if value.scored >= 7 else None)
    assert value.scored == 9, "five alone and the four pairs of the first"
    assert additive_optimum(problem, Best(problem), lambda: None)
