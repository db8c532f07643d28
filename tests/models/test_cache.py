"""The embedding cache: only misses are computed, and damage is a miss."""

import sqlite3
import subprocess
import sys
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ragkit.errors import RagkitWarning
from ragkit.models import cache as module
from ragkit.models.cache import CachedEmbedder, EmbeddingCache, cached_embedder
from ragkit.models.hashing import HashingEmbedder
from ragkit.protocols import Embedder
from ragkit.schema import Chunk, Chunked, Document
from ragkit.testing.embedder import check_embedder


class Counting(HashingEmbedder):
    """Remembers what it was asked to compute."""

    cheap = False

    def __init__(self, dimension=16, contextual=False):
        super().__init__(dimension)
        self.contextual = contextual
        self.asked = []

    def embed_chunks(self, batch, progress=None):
        self.asked.append([chunk.text for chunked in batch for chunk in chunked.chunks])
        return super().embed_chunks(batch, progress)


def whole(text, source="s", cuts=()):
    document = Document(text, source)
    edges = [0, *cuts, len(text)]
    return Chunked(document, [Chunk.of(document, a, b) for a, b in pairwise(edges)])


@pytest.fixture
def path(tmp_path):
    return tmp_path / "embeddings" / "some.sqlite"


def test_misses_once_hits_never(path):
    inner = Counting()
    embedder = CachedEmbedder(inner, EmbeddingCache(path, 16))
    assert isinstance(embedder, Embedder)
    batch = [whole("one"), whole("two"), whole("one", "other")]
    first = embedder.embed_chunks(batch)
    assert inner.asked == [["one", "two"]]
    embedder.close()
    steps = []
    again = CachedEmbedder(inner, EmbeddingCache(path, 16)).embed_chunks(
        [*batch, whole("three")], lambda *step: steps.append(step)
    )
    assert inner.asked == [["one", "two"], ["three"]]
    assert np.array_equal(again[:3], first)
    assert steps[-1] == ("embed", 4, 4)


def test_the_contract(path):
    check_embedder(CachedEmbedder(Counting(), EmbeddingCache(path, 16)), ["a", "b", "a", "c"])


@given(st.lists(st.lists(st.sampled_from("abcdefgh"), min_size=1, max_size=4), max_size=5))
def test_equal_to_the_bare_embedder(tmp_path_factory, documents):
    batch = [whole("".join(letters), cuts=range(1, len(letters))) for letters in documents]
    cache = EmbeddingCache(tmp_path_factory.getbasetemp() / "shared.sqlite", 16)
    for contextual in (False, True):
        embedder = CachedEmbedder(Counting(contextual=contextual), cache)
        assert np.array_equal(embedder.embed_chunks(batch), HashingEmbedder(16).embed_chunks(batch))
    cache.close()


def test_in_context_the_document_is_in_the_key(path):
    inner = Counting(contextual=True)
    embedder = CachedEmbedder(inner, EmbeddingCache(path, 16))
    embedder.embed_chunks([whole("aabb", cuts=[2]), whole("aacc", cuts=[2])])
    assert inner.asked == [["aa", "bb", "aa", "cc"]]
    embedder.embed_chunks([whole("aabb", cuts=[2]), whole("aacc", cuts=[1, 2])])
    assert inner.asked[1:] == [["a", "a", "cc"]]  # one unknown chunk: the whole document


def test_written_as_it_goes(path, monkeypatch):
    monkeypatch.setattr(module, "_SAVE_EVERY", 2)
    inner = Counting()
    done = []

    def stop_after_two(batch, progress=None):
        if done:
            raise KeyboardInterrupt
        done.append(1)
        return HashingEmbedder.embed_chunks(inner, batch, progress)

    monkeypatch.setattr(inner, "embed_chunks", stop_after_two)
    cache = EmbeddingCache(path, 16)
    with pytest.raises(KeyboardInterrupt):
        CachedEmbedder(inner, cache).embed_chunks([whole(letter) for letter in "abcde"])
    fresh = Counting()
    CachedEmbedder(fresh, cache).embed_chunks([whole(letter) for letter in "abcde"])
    assert fresh.asked == [["c", "d"], ["e"]]


def vectors(*numbers):
    return {bytes([number]) * 16: np.full(4, number, dtype=np.float32) for number in numbers}


def same(found, expected):
    return found.keys() == expected.keys() and all(np.array_equal(found[key], expected[key]) for key in expected)


def test_a_flipped_bit_is_a_miss_and_heals(path):
    cache = EmbeddingCache(path, 4)
    cache.put(vectors(1, 2))
    with sqlite3.connect(path) as raw:
        raw.execute("UPDATE vectors SET vector = ? WHERE key = ?", (b"\1" * 16, b"\1" * 16))
    assert same(cache.get([b"\1" * 16, b"\2" * 16, b"\3" * 16]), vectors(2))
    cache.put(vectors(1))
    assert same(cache.get([b"\1" * 16]), vectors(1))


@pytest.mark.parametrize("content", [b"not a database at all" * 300, b"SQLite format 3\0" + b"\xff" * 5000, b""])
def test_a_damaged_file_is_replaced(path, content):
    path.parent.mkdir()
    path.write_bytes(content)
    cache = EmbeddingCache(path, 4)
    assert cache.get([b"\1" * 16]) == {}
    cache.put(vectors(1))
    assert same(cache.get([b"\1" * 16]), vectors(1))


def test_damage_in_the_middle(path):
    cache = EmbeddingCache(path, 256)
    many = {number.to_bytes(16, "big"): np.full(256, number, dtype=np.float32) for number in range(500)}
    cache.put(many)
    cache.close()
    content = bytearray(path.read_bytes())
    content[8192 : len(content) - 8192] = b"\xa5" * (len(content) - 16384)
    path.write_bytes(bytes(content))
    cache = EmbeddingCache(path, 256)
    found = cache.get(list(many))
    assert all(np.array_equal(found[key], many[key]) for key in found)
    cache.put(many)
    assert same(cache.get(list(many)), many)


def test_the_oldest_go_first(path):
    cache = EmbeddingCache(path, 256, max_bytes=400_000)
    for number in range(100):
        cache.put({bytes([number, place]) * 8: np.full(256, number, dtype=np.float32) for place in range(10)})
    found = {key[0] for key in cache.get([bytes([number, 0]) * 8 for number in range(100)])}
    assert 99 in found
    assert 0 not in found
    assert found == set(range(min(found), 100))
    cache.close()
    assert path.stat().st_size < 600_000


def test_a_cache_that_cannot_be_written_is_left_out(tmp_path):
    (tmp_path / "file").write_text("")
    cache = EmbeddingCache(tmp_path / "file" / "x.sqlite", 4)
    with pytest.warns(RagkitWarning, match="switched off for this run"):
        assert cache.get([b"\1" * 16]) == {}
    cache.put(vectors(1))


def test_many_processes_write_one_file(path):
    script = (
        "import sys, numpy as np; from pathlib import Path; from ragkit.models.cache import EmbeddingCache\n"
        "cache = EmbeddingCache(Path(sys.argv[1]), 4)\n"
        "for n in range(60): cache.put({bytes([n, int(sys.argv[2])]) * 8: np.full(4, n, dtype=np.float32),"
        " bytes([n, 9]) * 8: np.full(4, n, dtype=np.float32)})"
    )
    children = [subprocess.Popen([sys.executable, "-W", "error", "-c", script, path, str(n)]) for n in range(3)]
    assert [child.wait(60) for child in children] == [0, 0, 0]
    keys = [bytes([n, writer]) * 8 for n in range(60) for writer in (0, 1, 2, 9)]
    assert len(EmbeddingCache(path, 4).get(keys)) == 240


def test_switches(monkeypatch, tmp_path):
    monkeypatch.setenv("RAGKIT_CACHE", str(tmp_path))
    inner = Counting()
    assert isinstance(cached_embedder(inner), CachedEmbedder)
    assert cached_embedder(inner, enabled=False) is inner
    assert isinstance(cached_embedder(HashingEmbedder()), HashingEmbedder)
    monkeypatch.setenv("RAGKIT_EMBEDDING_CACHE", "off")
    assert cached_embedder(inner) is inner
