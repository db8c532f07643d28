"""Where a text may be cut."""

from __future__ import annotations

import pytest
import regex
from hypothesis import given
from hypothesis import strategies as st

from ragkit.chunkers.spans import cut_position, is_grapheme_border, is_word_border, next_word, skip_space, trim_end

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=60)


@given(TEXT)
def test_trimming_is_that_of_strip(text: str) -> None:
    start = skip_space(text, 0, len(text))
    end = trim_end(text, start, len(text))
    assert text[start:end] == text.strip()


@given(TEXT, st.data())
def test_a_cut_always_progresses_within_the_limit(text: str, data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(text)))
    limit = data.draw(st.integers(0, len(text) + 1))
    clauses = data.draw(st.booleans())
    assert start < cut_position(text, start, limit, clauses=clauses) <= max(limit, start + 1)


@pytest.mark.parametrize(
    ("text", "clauses", "head"),
    [
        ("one two thr|ee", False, "one two "),
        ("one two |three", False, "one two "),
        ("one two| three", False, "one two"),
        ("one two three, four fi|ve", True, "one two three, "),
        ("one two three, four fi|ve", False, "one two three, four "),
        ("a, three four fi|ve", True, "a, three four "),  # the clause mark lies in the first half
        ("short " + "x" * 100 + "|" + "x" * 50, False, "short "),
        ("https://example.org/a/very-long/pa|th", False, "https://example.org/a/very-long/"),
        ("x" * 80 + "|x", False, "x" * 80),
        ("我们研究机|器学习。", False, "我们研究机"),
        ("我们研究机器学习|。好", False, "我们研究机器学"),  # no line begins with a stop
        ("他说|“好”", False, "他说"),
        ("他说“|好”", False, "他说"),
        ("abce|\u0301fg", False, "abc"),
        ("👩\u200d👩|\u200d👧", False, "👩\u200d👩"),  # a cluster longer than the limit: the limit wins
        ("🇩🇪🇫|🇷", False, "🇩🇪"),
        ("\r|\n", False, "\r"),
        ("한국어문장|은", False, "한국어문장"),
    ],
)
def test_the_best_place_is_taken(text: str, clauses: bool, head: str) -> None:
    limit = text.index("|")
    text = text.replace("|", "")
    assert text[: cut_position(text, 0, limit, clauses=clauses)] == head


def test_next_word() -> None:
    assert next_word("one two", 1, 7) == 3
    assert next_word("one", 1, 3) == 3
    assert next_word("onetwo", 1, 4) == 4


@given(
    st.lists(st.sampled_from(["a", "\r", "\n", "e\u0301", "\u200d", "👩", "🏽", "🇩", "🇪", "中", "\u1100", "\u1161"]))
)
def test_graphemes_are_those_of_unicode(parts: list[str]) -> None:
    """Against the `regex` package; ours may join more (a joiner always joins), never less."""
    text = "".join(parts)
    borders = {0, *(found.end() for found in regex.finditer(r"\X", text))}
    ours = {position for position in range(len(text) + 1) if is_grapheme_border(text, position)}
    assert ours <= borders
    assert all("\u200d" in text[max(0, position - 1) : position + 1] for position in borders - ours)


@given(TEXT)
def test_words_never_break_clusters(text: str) -> None:
    for position in range(len(text) + 1):
        if is_word_border(text, position) and 0 < position < len(text) and not text[position - 1].isspace():
            assert text[position].isspace() or is_grapheme_border(text, position)
