"""Excerpts against sets of characters."""

import itertools

from hypothesis import given
from hypothesis import strategies as st

from ragkit.eval.report.excerpts import pieces, united, within

SPANS = st.lists(
    st.tuples(st.integers(-5, 40), st.integers(-5, 40)).map(lambda ends: (min(ends), max(ends))), max_size=8
)


@given(SPANS, st.integers(0, 30))
def test_the_union_holds_each_character_once(spans: list[tuple[int, int]], length: int):
    found = united(spans, length)
    characters = [place for start, end in found for place in range(start, end)]
    assert characters == sorted({place for start, end in spans for place in range(start, end) if 0 <= place < length})
    assert all(one[1] < other[0] for one, other in itertools.pairwise(found))


@given(SPANS)
def test_pieces_are_cut_at_code_points(spans: list[tuple[int, int]]):
    text = "a𝄞b\u0301ü" * 5
    for start, piece in pieces(text, spans):
        assert text[start : start + len(piece)] == piece


@given(SPANS, SPANS)
def test_boundaries_are_kept_where_they_can_be_seen(spans: list[tuple[int, int]], windows: list[tuple[int, int]]):
    kept = pieces("x" * 40, windows)
    expected = [
        span for span in sorted(spans)
        if any(span[0] <= start + len(text) and span[1] >= start for start, text in kept)
    ]  # fmt: skip
    assert within(spans, kept) == expected
