"""Neighbour expansion keeps the span contract."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ragkit.retrievers.expansion import expand_hits
from ragkit.retrievers.lexical import LexicalRetriever
from tests.retrievers.conftest import WORDS, text_of


@pytest.fixture(scope="module")
def lexical(snapshot):
    return LexicalRetriever(snapshot)


@given(
    words=st.lists(st.sampled_from(WORDS), min_size=1, max_size=3),
    k=st.integers(0, 40),
    before=st.integers(-1, 7),
    after=st.integers(0, 7),
)
def test_spans_stay_exact_and_windows_do_not_overlap(snapshot, lexical, words, k, before, after):
    hits = lexical.search(" ".join(words), k, "source != '40.txt' and source != 'more.txt'")
    widened = expand_hits(snapshot, hits, before, after)
    assert [hit.rank for hit in widened] == list(range(1, len(widened) + 1))
    assert [hit.score for hit in widened] == sorted((hit.score for hit in widened), reverse=True)
    spans = {}
    for hit in widened:
        text = text_of(int(hit.source.split(".")[0]) % 280)
        assert hit.chunk.text == text[hit.chunk.start : hit.chunk.end]
        spans.setdefault(hit.source, []).append((hit.chunk.start, hit.chunk.end))
    for hit in hits:
        assert any(start <= hit.chunk.start and hit.chunk.end <= end for start, end in spans[hit.source])
    for windows in spans.values():
        windows.sort()
        assert all(one[1] <= two[0] for one, two in pairwise(windows))


def test_a_window_is_the_hit_with_its_neighbours(library):
    library.put({"a.txt": "one one. two two. three three. four four. five five."})
    snapshot = library.snapshot()
    lexical = LexicalRetriever(snapshot)
    [three] = lexical.search("three", 1)
    [widened] = expand_hits(snapshot, [three], before=1, after=1)
    assert widened.chunk.text == "two two. three three. four four."
    assert (widened.chunk_id, widened.score, widened.row) == (three.chunk_id, three.score, three.row)
    assert widened.chunk.metadata == three.chunk.metadata
    assert expand_hits(snapshot, [three], 0, 0) == [three]
    [whole] = expand_hits(snapshot, [three], 9, 9)
    assert whole.chunk.text == "one one. two two. three three. four four. five five."


def test_overlapping_windows_become_one_in_the_best_place(library):
    library.put({"a.txt": "one one. two two. three three. four four. five five.", "b.txt": "two six."})
    snapshot = library.snapshot()
    hits = LexicalRetriever(snapshot).search("one three four two", 10)
    widened = expand_hits(snapshot, hits, 1, 1)
    assert {hit.source for hit in widened} == {"a.txt", "b.txt"}
    assert len(widened) == 2
    a = next(hit for hit in widened if hit.source == "a.txt")
    assert a.score == max(hit.score for hit in hits if hit.source == "a.txt")
    assert a.chunk.text == "one one. two two. three three. four four. five five."
    separate = expand_hits(snapshot, LexicalRetriever(snapshot).search("one five", 10), 1, 1)
    assert sorted(hit.chunk.text for hit in separate) == ["four four. five five.", "one one. two two."]
