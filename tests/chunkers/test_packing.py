"""Greedy packing: full, within limits, covering, at borders."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ragkit.chunkers.packing import Limits, TokenView, pack
from ragkit.errors import ConfigError


def words_view(text: str, size: int, overlap: int = 0, max_characters: int = 0) -> TokenView:
    """Return the view of `text` in which every blank-separated word is one token."""
    spans = []
    at = 0
    for word in text.split():
        start = text.index(word, at)
        at = start + len(word)
        spans.append((start, at))
    return TokenView.of(text, np.array(spans, np.int64).reshape(-1, 2), Limits(size, overlap, max_characters))


def texts(view: TokenView, borders: list[int] | None = None) -> list[str]:
    return [view.text[span.start : span.end] for span in pack(view, 0, len(view.text), borders)]


def test_windows_are_full() -> None:
    view = words_view(" ".join("abcdefghijklmnopqrst"), 8)
    assert texts(view) == ["a b c d e f g h", "i j k l m n o p", "q r s t"]


def test_windows_overlap_by_whole_words() -> None:
    view = words_view(" ".join("abcdefghijklmnopqrst"), 8, overlap=3)
    assert texts(view) == ["a b c d e f g h", "f g h i j k l m", "k l m n o p q r", "p q r s t"]


def test_borders_decide_where_they_are_in_reach() -> None:
    text = " ".join("abcdefghijklmnopqrst")
    assert texts(words_view(text, 8), [10, 24, 30]) == ["a b c d e", "f g h i j k l", "m n o p q r s t"]


def test_only_whole_pieces_are_shared_where_borders_are_given() -> None:
    text = " ".join("abcdefghijklmnopqrst")
    assert texts(words_view(text, 8, overlap=4), [10, 14, 24, 30])[:2] == ["a b c d e f g", "f g h i j k l"]
    assert texts(words_view(text, 8, overlap=4), []) == texts(words_view(text, 8))


def test_character_cap() -> None:
    assert texts(words_view("abcdefghij" * 3, 8, max_characters=12)) == ["abcdefghijab", "cdefghijabcd", "efghij"]


@given(
    st.text("ab  \n", max_size=120),
    st.integers(8, 12),
    st.integers(0, 7),
    st.lists(st.integers(1, 120), max_size=8),
    st.booleans(),
)
def test_spans_cover_ascend_and_fit(text: str, size: int, overlap: int, borders: list[int], given_: bool) -> None:
    view = words_view(text, size, overlap)
    cuts = sorted({border for border in borders if border < len(text)}) if given_ else None
    spans = list(pack(view, 0, len(text), cuts))
    covered = set()
    for span in spans:
        assert len(text[span.start : span.end].split()) <= size
        assert text[span.start : span.end].strip() == text[span.start : span.end] != ""
        covered |= set(range(span.start, span.end))
    assert all(text[at].isspace() for at in set(range(len(text))) - covered)
    for before, after in pairwise(spans):
        assert before.start < after.start
        assert before.end < after.end
        assert view.count(after.start, before.end) <= overlap


@given(st.text("ab  \n", max_size=80), st.integers(0, 80), st.integers(0, 80))
def test_count_and_fits_agree(text: str, start: int, end: int) -> None:
    end = min(end, len(text))
    start = min(start, end)
    view = words_view(text, 8)
    touching = sum(1 for first, last in zip(view.starts, view.ends, strict=True) if first < end and last > start)
    assert view.count(start, end) == touching
    assert view.fits(start, end) == (touching <= 8)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"size": 7}, "size is 7; expected at least 8 tokens. Raise size."),
        ({"size": 8, "overlap": 8}, "overlap is 8; expected at least 0 and less than size, which is 8."),
        ({"size": 8, "overlap": -1}, "overlap is -1"),
        ({"size": 8, "max_characters": 7}, "max_characters is 7; expected 0"),
        ({"size": 8, "max_characters": -5}, "max_characters is -5; expected 0"),
    ],
)
def test_bad_limits_are_refused(options: dict[str, int], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Limits(**options)


def test_the_cap_is_twelve_characters_a_token() -> None:
    assert Limits(200).max_characters == 2400
