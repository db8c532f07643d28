"""Lexical and hybrid retrieval: the contract, and reciprocal rank fusion by the book."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ragkit.errors import ConfigError, FilterError
from ragkit.plugins import create
from ragkit.retrievers.dense import DenseRetriever
from ragkit.retrievers.faiss import FaissStore
from ragkit.retrievers.hybrid import HybridRetriever, fused
from ragkit.retrievers.lexical import LexicalRetriever
from ragkit.testing.retriever import check_retriever
from tests.retrievers.conftest import EMBEDDER, text_of
from tests.retrievers.test_dense import FILTERS, QUERIES


@pytest.fixture(scope="module")
def lexical(snapshot):
    return LexicalRetriever(snapshot)


@pytest.fixture(scope="module")
def hybrid(snapshot):
    return HybridRetriever(snapshot, EMBEDDER, FaissStore(snapshot))


def test_contract_lexical(lexical, snapshot):
    check_retriever(lexical, QUERIES, filters=FILTERS, size=snapshot.size)


def test_contract_hybrid(hybrid, snapshot):
    check_retriever(hybrid, QUERIES, filters=FILTERS, size=snapshot.size)


def test_lexical_finds_words_and_only_words(lexical):
    hits = lexical.search("搜索引擎", 20)
    assert hits
    assert all("搜索" in hit.chunk.text or "引擎" in hit.chunk.text for hit in hits)
    assert lexical.search("zebra", 5) == []
    assert [hit.chunk for hit in lexical.search("CAFE\u0301s", 9)] == [hit.chunk for hit in lexical.search("café", 9)]


def test_a_filter_changes_no_lexical_score(lexical):
    scores = {hit.row: hit.score for hit in lexical.search("river bank", 5000)}
    filtered = lexical.search("river bank", 50, "part = 1")
    assert filtered
    assert all(scores[hit.row] == hit.score for hit in filtered)


def test_hybrid_is_the_fusion_of_the_two_rankings(hybrid, lexical, snapshot):
    dense = DenseRetriever(snapshot, EMBEDDER, FaissStore(snapshot))
    for query in QUERIES:
        for where in (None, "part = 1"):
            expected: dict[str, Fraction] = {}
            for retriever in (dense, lexical):
                for hit in retriever.search(query, 100, where):
                    place = (hit.chunk_id, hit.source)
                    expected[place] = expected.get(place, Fraction()) + Fraction(1, 60 + hit.rank)
            hits = hybrid.search(query, 10, where)
            best = sorted(expected, key=lambda place: (-np.float32(float(expected[place])), place))[:10]
            assert [(hit.chunk_id, hit.source) for hit in hits] == best
            for hit in hits:
                assert hit.score == pytest.approx(float(expected[hit.chunk_id, hit.source]), rel=1e-6)


def test_weights_and_depth(snapshot, lexical):
    store = FaissStore(snapshot)
    only = HybridRetriever(snapshot, EMBEDDER, store, dense_weight=0.0)
    assert [h.chunk_id for h in only.search("river bank", 20)] == [h.chunk_id for h in lexical.search("river bank", 20)]
    shallow = HybridRetriever(snapshot, EMBEDDER, store, depth=1)
    assert len(shallow.search("river bank", 1)) == 1
    assert len(shallow.search("river bank", 40)) == 40


@given(st.lists(st.lists(st.integers(0, 12), unique=True, max_size=8), max_size=3), st.floats(0, 100))
def test_fusion(rankings, constant):
    weights = [1.0, 2.0, 0.5]
    rows, scores = fused([(np.array(r, np.int64), w) for r, w in zip(rankings, weights, strict=False)], constant)
    assert sorted(rows.tolist()) == sorted({row for ranking in rankings for row in ranking})
    assert np.all(np.diff(scores) <= 0)
    for row, score in zip(rows.tolist(), scores.tolist(), strict=True):
        expected = sum(w / (constant + r.index(row) + 1) for r, w in zip(rankings, weights, strict=False) if row in r)
        assert score == pytest.approx(expected, rel=1e-6)


def test_options_by_configuration(snapshot):
    resources = {"snapshot": snapshot, "embedder": EMBEDDER, "store": create("stores", "faiss", {}, snapshot=snapshot)}
    made = create("retrievers", "hybrid", {"constant": 20, "depth": 30}, **resources)
    assert len(made.search("river", 3)) == 3
    for options in ({"depth": 0}, {"constant": -1}, {"dense_weight": -1}, {"dense_weight": 0, "lexical_weight": 0}):
        with pytest.raises(ConfigError):
            create("retrievers", "hybrid", options, **resources)
    with pytest.raises(ConfigError, match="no option 'dept'"):
        create("retrievers", "hybrid", {"dept": 3}, **resources)


def test_errors_and_emptiness(library, hybrid):
    with pytest.raises(FilterError):
        hybrid.search("river", 5, "lang ==")
    snapshot = library.snapshot()
    for retriever in (LexicalRetriever(snapshot), HybridRetriever(snapshot, EMBEDDER, FaissStore(snapshot))):
        assert retriever.search("river", 5) == []
        assert retriever.search("river", 5, "lang = 'en'") == []


def test_a_snapshot_answers_the_same_while_a_writer_goes_on(library):
    library.put({f"{n}.txt": text_of(n) for n in range(30)})
    snapshot = library.snapshot()
    retriever = HybridRetriever(snapshot, EMBEDDER, FaissStore(snapshot))
    before = [retriever.search(query, 10) for query in QUERIES]
    library.put({f"{n}.txt": None for n in range(15)})
    library.put({"new.txt": text_of(99)})
    assert [retriever.search(query, 10) for query in QUERIES] == before
