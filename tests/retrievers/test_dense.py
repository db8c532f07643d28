"""Dense retrieval over the exact store: equal to brute force, on any history."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ragkit.errors import FilterError, IndexMismatchError
from ragkit.models.hashing import HashingEmbedder
from ragkit.retrievers import scan
from ragkit.retrievers.dense import DenseRetriever
from ragkit.retrievers.faiss import FaissStore
from ragkit.testing.retriever import check_retriever
from tests.retrievers.conftest import EMBEDDER, WORDS, brute_force, text_of

FILTERS = {
    "lang = 'en'": lambda hit: hit.chunk.metadata["lang"] == "en",
    "not part in (0, 1) or source = '7.txt'": lambda hit: hit.chunk.metadata["part"] == 2 or hit.source == "7.txt",
}
QUERIES = ["river bank", "the quantum error of a commander", "protein dose trial", text_of(3)]


@pytest.fixture(scope="module")
def dense(snapshot):
    return DenseRetriever(snapshot, EMBEDDER, FaissStore(snapshot))


def test_contract(dense, snapshot):
    assert len(snapshot.segments) > 1 or len(snapshot.dead_rows())
    check_retriever(dense, QUERIES, filters=FILTERS, size=snapshot.size)


@given(
    words=st.lists(st.sampled_from(WORDS), min_size=1, max_size=5),
    k=st.integers(1, 400),
    where=st.sampled_from([None, *FILTERS, "source = '7.txt'", "line = 99999"]),
)
def test_equal_to_brute_force(dense, snapshot, words, k, where):
    query = " ".join(words)
    rows = None if where is None else snapshot.rows_where(where)
    expected = brute_force(snapshot, EMBEDDER.embed_queries([query])[0], rows)[:k]
    hits = dense.search(query, k, where)
    assert [(-hit.score, hit.chunk_id, hit.source, hit.row) for hit in hits] == expected


def test_identical_chunks_tie_and_come_in_order_of_their_source(library):
    library.put({f"{n:03}.txt": text_of(5) for n in range(120)} | {"other.txt": text_of(6)})
    snapshot = library.snapshot()
    hits = DenseRetriever(snapshot, EMBEDDER, FaissStore(snapshot)).search(text_of(5).split(". ")[0], 50)
    assert len({hit.score for hit in hits}) == 1
    assert [hit.source for hit in hits] == [f"{n:03}.txt" for n in range(50)]


def test_a_batch_gives_what_single_queries_give(snapshot, monkeypatch):
    store = FaissStore(snapshot)
    queries = EMBEDDER.embed_queries([text_of(n, 2) for n in range(40)])
    single = [store.search(query[None], 7)[0] for query in queries]
    for scores_held in (1, 20_000, 2**24):
        monkeypatch.setattr(scan, "_BATCH_SCORES", scores_held)
        for (rows, scores), (expected_rows, expected) in zip(store.search(queries, 7), single, strict=True):
            assert rows.tolist() == expected_rows.tolist()
            assert scores.tolist() == expected.tolist()


def test_a_changed_index_scores_as_a_fresh_one(make_library):
    changed, fresh = make_library(), make_library()
    changed.put({f"{n}.txt": text_of(n) for n in range(40)})
    changed.put({"3.txt": text_of(77), "4.txt": None, "5.txt": text_of(5) + " Longer."})
    changed.put({"50.txt": text_of(50)})
    texts = {f"{n}.txt": text_of(n) for n in range(40) if n != 4} | {"50.txt": text_of(50)}
    fresh.put(texts | {"3.txt": text_of(77), "5.txt": text_of(5) + " Longer."})
    results = []
    for library in (changed, fresh):
        snapshot = library.snapshot()
        retriever = DenseRetriever(snapshot, EMBEDDER, FaissStore(snapshot))
        results.append([(h.rank, h.score, h.chunk_id, h.chunk) for q in QUERIES for h in retriever.search(q, 60)])
    assert results[0] == results[1]


def test_scores_do_not_depend_on_the_place_of_a_vector():
    source = np.random.default_rng(0)
    vectors = source.standard_normal((999, 383)).astype(np.float32)
    query = source.standard_normal(383).astype(np.float32)
    scores = scan.exact_scores(vectors, query)
    order = source.permutation(999)
    assert scan.exact_scores(vectors[order], query).tolist() == scores[order].tolist()
    assert [scan.exact_scores(vector[None], query)[0] for vector in vectors] == scores.tolist()


@pytest.mark.parametrize("vector", [np.zeros(64), np.full(64, np.nan), np.full(64, np.inf)])
def test_a_query_without_direction_finds_nothing(snapshot, vector):
    [(rows, _)] = FaissStore(snapshot).search(vector[None].astype(np.float32), 5)
    assert len(rows) == 0


def test_an_empty_index(library):
    snapshot = library.snapshot()
    retriever = DenseRetriever(snapshot, EMBEDDER, FaissStore(snapshot))
    assert retriever.search("river", 5) == []
    check_retriever(retriever, ["river"], size=0)


def test_errors(dense, snapshot):
    with pytest.raises(FilterError):
        dense.search("river", 5, "lang = en")
    with pytest.raises(IndexMismatchError, match="32 dimensions; the index holds 64"):
        DenseRetriever(snapshot, HashingEmbedder(32), FaissStore(snapshot)).search("river", 5)
