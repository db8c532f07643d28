"""Top-k and MMR: the contract under Hypothesis, MMR against a brute-force reading of the paper."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ragkit.errors import ConfigError, UsageError
from ragkit.plugins import create
from ragkit.protocols import Selector
from ragkit.schema import Chunk, Document, Hit
from ragkit.selectors.mmr import MmrSelector
from ragkit.selectors.top_k import TopKSelector
from ragkit.testing.selector import check_selector


def count(texts):
    return [len(text.split()) for text in texts]


def hit(rank, score, row, words=3):
    document = Document("w " * words, f"s{row}")
    return Hit(rank, score, f"c{row}", Chunk.of(document, 0, len(document.text)), document.source, None, 1, row)


class Vectors:
    """A corpus of unit vectors by row."""

    def __init__(self, vectors):
        self._vectors = np.asarray(vectors, dtype=np.float32)

    def vectors(self, rows):
        return self._vectors[list(rows)]

    def neighbours(self, row, before, after):
        return []


CIRCLE = Vectors([[np.cos(angle), np.sin(angle)] for angle in np.linspace(0, 2 * np.pi, 12, endpoint=False)])

hit_lists = st.lists(st.tuples(st.floats(-5, 5, width=16), st.integers(0, 11), st.integers(0, 20)), max_size=10).map(
    lambda rows: [hit(rank, score, row, words) for rank, (score, row, words) in enumerate(rows, 1)]
)

selectors = st.one_of(
    st.builds(TopKSelector, k=st.integers(1, 6), count=st.just(count)),
    st.builds(MmrSelector, k=st.integers(1, 6), balance=st.floats(0, 1), count=st.just(count)),
)


@given(selectors, hit_lists)
def test_the_contract(selector, hits):
    assert isinstance(selector, Selector)
    check_selector(selector, "question", hits, count=count, corpus=CIRCLE)


def test_top_k_keeps_the_best_and_says_why_not():
    selection = TopKSelector(2).select("q", [hit(rank, -rank, rank) for rank in (3, 1, 2)])
    assert [kept.rank for kept in selection.hits] == [1, 2]
    assert [dropped.reason for dropped in selection.dropped] == ["rank 3 is beyond the best 2 that fit"]


def test_a_long_hit_gives_way_to_a_shorter_one():
    hits = [hit(1, 3, 1, words=5), hit(2, 2, 2, words=9), hit(3, 1, 3, words=4)]
    selection = TopKSelector(3, count).select("q", hits, limit=10)
    assert [kept.rank for kept in selection.hits] == [1, 3]
    assert selection.tokens == 9
    assert selection.dropped[0].reason == "needs 9 tokens; 5 of the limit of 10 are taken"


@given(hit_lists, st.integers(1, 5), st.sampled_from([0.0, 0.3, 0.5, 0.7, 1.0]))
def test_mmr_equals_the_paper(hits, k, balance):
    selection = MmrSelector(k, balance).select("q", hits, corpus=CIRCLE)
    unique = list({one.chunk_id: one for one in reversed(hits)}.values())
    unique.sort(key=lambda one: one.rank)
    scores = [one.score for one in unique]
    chosen = []
    while unique and len(chosen) < k and len(chosen) < len(unique):
        best = None
        for one in unique:
            if one in chosen:
                continue
            spread = max(scores) - min(scores)
            relevance = (one.score - min(scores)) / spread if spread > 0 else 1.0
            own = CIRCLE.vectors([one.row])[0].astype(float)
            repeated = max([float(own @ CIRCLE.vectors([other.row])[0].astype(float)) for other in chosen], default=0.0)
            value = balance * relevance - (1 - balance) * repeated
            if best is None or value > best[0] + 1e-9:
                best = (value, one)
        chosen.append(best[1])
    picked = list(selection.hits)
    assert len(picked) == len(chosen)
    if all(abs(one.score - other.score) > 1e-3 for one in unique for other in unique if one is not other):
        assert [one.chunk_id for one in picked][:1] == [one.chunk_id for one in chosen][:1]
    values = [marginal(unique, picked[:place], one, balance) for place, one in enumerate(picked)]
    best = [
        max(marginal(unique, picked[:place], one, balance) for one in unique if one not in picked[:place])
        for place in range(len(picked))
    ]
    assert np.allclose(values, best, atol=1e-6)  # each step takes a maximum; ties may be broken either way


def marginal(hits, chosen, one, balance):
    scores = [other.score for other in hits]
    spread = max(scores) - min(scores)
    relevance = (one.score - min(scores)) / spread if spread > 0 else 1.0
    own = CIRCLE.vectors([one.row])[0].astype(float)
    repeated = max((float(own @ CIRCLE.vectors([other.row])[0].astype(float)) for other in chosen), default=0.0)
    return balance * relevance - (1 - balance) * repeated


def test_mmr_passes_over_a_repetition():
    corpus = Vectors([[1, 0], [1, 0], [0, 1]])
    hits = [hit(1, 1.0, 0), hit(2, 0.9, 1), hit(3, 0.5, 2)]
    assert [kept.row for kept in MmrSelector(2).select("q", hits, corpus=corpus).hits] == [0, 2]
    assert [kept.row for kept in MmrSelector(2, balance=1.0).select("q", hits, corpus=corpus).hits] == [0, 1]
    (dropped,) = MmrSelector(2).select("q", hits, corpus=corpus).dropped
    assert "similarity to a kept hit 1.000" in dropped.reason


def test_wrong_use():
    with pytest.raises(ConfigError, match="k is 0"):
        TopKSelector(0)
    with pytest.raises(ConfigError, match="k is 0"):
        MmrSelector(0)
    with pytest.raises(ConfigError, match="balance is 2"):
        MmrSelector(balance=2)
    with pytest.raises(UsageError, match="no corpus"):
        MmrSelector().select("q", [hit(1, 1, 1)])
    with pytest.raises(UsageError, match="no `count`"):
        TopKSelector().select("q", [hit(1, 1, 1)], limit=5)
    assert MmrSelector().select("q", []).hits == ()


def test_made_from_a_configuration():
    assert isinstance(create("selectors", "mmr", {"k": 3, "balance": 0.2}, count=count), MmrSelector)
    assert isinstance(create("selectors", "top_k", {"k": 3}, count=count), TopKSelector)
