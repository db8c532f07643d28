"""The tree-search selector: the contract and the budget under Hypothesis, orders, deadlines, bad input."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ragkit.answering.answer import prepare
from ragkit.errors import ConfigError, ContractError
from ragkit.protocols import Selector
from ragkit.schema import Chunk, Document, Hit
from ragkit.selectors.tree_search import TreeSearchSelector
from ragkit.testing import ScriptedLanguageModel
from ragkit.testing.selector import check_selector


def count(texts):
    return [len(text.split()) for text in texts]


def hit(rank, score, text, row=-1, source="s", start=0):
    document = Document(" " * start + text, source, source)
    chunk = Chunk.of(document, start, start + len(text))
    return Hit(rank, score, f"c{rank}-{text[:6]}", chunk, source, None, 1, row)


class Ends:
    """A reranker that likes texts that end on b after an a; a listwise one if told so."""

    name, fingerprint, scale = "ends", "ends", "probability"

    def __init__(self, window=None, listwise=False):
        self.window, self.listwise, self.asked = window, listwise, []

    def count(self, texts):
        return count(texts)

    def score(self, query, texts):
        self.asked.append(list(texts))
        return np.array([0.9 if t.startswith("b") and t.endswith("a a") else 0.1 + 0.01 * len(t) for t in texts])


words = st.lists(st.sampled_from(["cat", "dog", "tax", "day", "of"]), min_size=0, max_size=8).map(" ".join)
hit_lists = st.lists(st.tuples(st.floats(-2, 2, width=16), words), max_size=9).map(
    lambda rows: [hit(rank, score, text, source=f"s{rank % 3}") for rank, (score, text) in enumerate(rows, 1)]
)
selectors = st.builds(
    TreeSearchSelector,
    mode=st.sampled_from(["ragkit", "paper", "reference_code"]),
    search=st.sampled_from(["tree", "beam", "greedy"]),
    order=st.sampled_from(["free", "document"]),
    iterations=st.sampled_from([1, 5, 40]),
    candidates=st.sampled_from([None, 1, 4]),
    redundancy=st.sampled_from([0.0, 0.3]),
    allow_empty=st.booleans(),
    reranker=st.sampled_from([None, Ends(), Ends(window=6)]),
    count=st.just(count),
)


@given(selectors, hit_lists)
def test_the_contract(selector, hits):
    assert isinstance(selector, Selector)
    check_selector(selector, "cat of the day", hits, count=count, limits=(None, 0, 1, 6, 40))


@given(selectors, hit_lists, st.integers(0, 30))
def test_never_over_the_budget(selector, hits, limit):
    assert selector.select("cat of the day", hits, limit).tokens <= limit
    assert selector.select("cat of the day", hits, limit).tokens == sum(
        count([one.chunk.text for one in selector.select("cat of the day", hits, limit).hits])
    )


def test_complements_beat_a_better_ranked_repetition():
    hits = [
        hit(1, 0.9, "the cat sleeps at night"),
        hit(2, 0.8, "a cat that sleeps"),
        hit(3, 0.2, "the dog barks at noon"),
    ]
    selection = TreeSearchSelector(count=count).select("when does the cat sleep and the dog bark", hits, limit=11)
    assert {one.rank for one in selection.hits} == {1, 3}
    assert not selection.ordered
    (dropped,) = selection.dropped
    assert dropped.reason == "needs 4 tokens; 10 of the limit of 11 are taken"
    unlimited = TreeSearchSelector(redundancy=1.0, count=count).select("cat sleep dog bark", hits, limit=100)
    assert "the value would go from" in unlimited.dropped[0].reason


def test_the_order_found_best_reaches_the_prompt():
    hits = [hit(1, 0.9, "a a"), hit(2, 0.8, "b"), hit(3, 0.7, "c c c")]
    selection = TreeSearchSelector(reranker=Ends(), count=count, iterations=50).select("q", hits, limit=4)
    assert [one.chunk.text for one in selection.hits] == ["b", "a a"]
    assert selection.ordered
    asked = prepare("q", selection, ScriptedLanguageModel("x"), max_tokens=5)
    assert [one.chunk.text for one in asked.shown] == ["b", "a a"]
    assert asked.trace["selection"]["value"] == "ends"


def test_document_order():
    hits = [hit(1, 0.9, "cat", source="z", start=5), hit(2, 0.8, "dog", source="z"), hit(3, 0.7, "tax", source="a")]
    selector = TreeSearchSelector(order="document", redundancy=0.0, count=count)
    selection = selector.select("cat dog tax", hits, limit=9)
    assert [one.rank for one in selection.hits] == [3, 2, 1]
    assert selection.ordered
    assert not selector.ranked
    free = TreeSearchSelector(redundancy=0.0, count=count).select("cat dog tax", hits, limit=9)
    assert [one.rank for one in free.hits] == [1, 2, 3]
    reranker = Ends()
    TreeSearchSelector(order="document", reranker=reranker, iterations=50, count=count).select("q", hits, limit=9)
    joined = [text for call in reranker.asked for text in call]
    assert len(joined) == len(set(joined)) == 7  # each of the seven sets once
    assert "tax\n\ndog\n\ncat" in joined


def test_all_children_are_scored_in_one_call():
    reranker = Ends()
    selector = TreeSearchSelector("paper", reranker=reranker, iterations=2, count=count)
    selector.select("q", [hit(rank, 1.0, f"w{rank}") for rank in range(1, 7)], limit=6)
    assert [len(call) for call in reranker.asked] == [6, 5]


def test_deadlines_and_limits_of_calls():
    hits = [hit(rank, 1 / rank, f"cat w{rank} v{rank}") for rank in range(1, 15)]
    late = TreeSearchSelector(seconds=0.0, count=count).select("cat w3", hits, limit=20)
    assert late.hits
    assert late.trace["stopped"] == "deadline of 0.0 seconds"
    reranker = Ends()
    few = TreeSearchSelector(calls=20, reranker=reranker, count=count).select("q", hits, limit=20)
    assert "values asked of 20" in few.trace["stopped"]
    assert sum(map(len, reranker.asked)) <= 20 + 12
    curve = few.trace["curve"]
    assert [value for _, _, value in curve] == sorted(value for _, _, value in curve)


def test_additive_values_need_no_search():
    class Adds(Ends):
        def score(self, query, texts):
            return np.array([0.01 * text.count("x") for text in texts])

    hits = [hit(1, 1, "x x x"), hit(2, 1, "x x x x"), hit(3, 1, "x y"), hit(4, 1, "x x y y")]
    found = TreeSearchSelector(reranker=Adds(), count=count).select("q", hits, limit=7)
    assert {one.rank for one in found.hits} == {1, 2}
    assert found.trace["stopped"] == "values add up: solved as a knapsack"


def test_a_budget_smaller_than_every_chunk():
    hits = [hit(1, 1, "cat of the day"), hit(2, 1, "dog of the day")]
    selection = TreeSearchSelector(count=count).select("cat", hits, limit=2)
    assert selection.hits == ()
    assert "budget_too_small" in selection.trace["stopped"]
    assert selection.dropped[0].reason == "needs 4 tokens; 0 of the limit of 2 are taken"
    assert TreeSearchSelector(tokens=2, count=count).select("cat", hits).hits == ()


def test_one_candidate_none_and_repeated_texts():
    reranker = Ends()
    selector = TreeSearchSelector(reranker=reranker, count=count)
    assert len(selector.select("q", [hit(1, 1, "cat")], limit=5).hits) == 1
    assert sum(map(len, reranker.asked)) == 1
    assert selector.select("q", []).hits == ()
    twice = TreeSearchSelector(count=count).select("cat", [hit(1, 1, "cat"), hit(2, 0.5, "cat")], limit=5)
    assert [one.rank for one in twice.hits] == [1]
    assert twice.dropped[0].reason == "the same text as rank 1"


def test_nothing_good_enough():
    hits = [hit(1, 1, "dog"), hit(2, 0.5, "tax")]
    selector = TreeSearchSelector(allow_empty=True, min_value=0.9, count=count)
    assert selector.select("cat", hits, limit=9).hits == ()
    assert TreeSearchSelector(min_value=0.9, count=count).select("cat", hits, limit=9).hits


def test_vectors_of_the_corpus_tell_what_repeats():
    class Corpus:
        def vectors(self, rows):
            return np.array([[1, 0], [1, 0], [0, 1]], np.float32)[list(rows)]

    hits = [hit(1, 0.9, "cat one", 0), hit(2, 0.8, "feline two", 1), hit(3, 0.7, "dog three", 2)]
    selector = TreeSearchSelector(relevance=0.0, redundancy=0.5, count=count)
    reasons = [one.reason for one in selector.select("cat dog", hits, corpus=Corpus()).dropped]
    assert [one.rank for one in selector.select("cat dog", hits, corpus=Corpus()).hits] == [1, 3]
    assert reasons[0].startswith("with it the value would go from")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"width": 0}, "width is 0"),
        ({"candidates": 0}, "candidates is 0"),
        ({"tokens": -1}, "tokens is -1"),
        ({"relevance": 2}, "relevance is 2"),
        ({"redundancy": -1}, "redundancy is -1"),
        ({"iterations": 0}, "iterations is 0"),
        ({"seconds": -1}, "seconds is -1"),
        ({"calls": 0}, "calls is 0"),
        ({"reranker": Ends(listwise=True)}, "ranks texts against each other"),
        ({"reranker": Ends(), "calibration": "minmax"}, "'minmax' depends on the other texts"),
        ({"calibration": "sigmoid"}, "no reranker"),
    ],
)
def test_wrong_options(options, said):
    with pytest.raises(ConfigError, match=said):
        TreeSearchSelector(**options)


def test_scores_that_are_no_numbers():
    with pytest.raises(ContractError, match="retriever's scores"):
        TreeSearchSelector().select("cat", [hit(1, float("nan"), "cat"), hit(2, 1, "dog")])
