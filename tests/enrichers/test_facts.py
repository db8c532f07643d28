"""The checks by letters: names and numbers, exact quotes, tokens that survive; and what is left of a reply."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ragkit.enrichers.facts import Vocabulary, claims, occurs, survival, tokens
from ragkit.enrichers.tidy import passage, tidy

TEXT = "Ada Lovelace wrote 3 notes in 1843. The engine's price was 1,000 pounds; NASA praised it."


@pytest.mark.parametrize(
    "text",
    [
        "Lovelace wrote three notes.",
        "The notes of Ada Lovelace (1843).",
        "She paid 1000 pounds. It was NASA's.",
        "This engine was praised. In 1843 it was not.",
        "Engine of one kind.",
        "no capitals and no numbers at all",
        "",
    ],
)
def test_what_the_document_holds_is_not_invented(text):
    assert Vocabulary(TEXT).invented(text) is None


@pytest.mark.parametrize(
    ("text", "invented"),
    [
        ("Byron wrote the notes.", "Byron"),  # a name that begins the sentence is a name too
        ("The notes were written by Byron.", "Byron"),
        ("Lovelace wrote 4 notes.", "4"),
        ("Lovelace wrote seven notes.", "seven"),
        ("The price was 10,000 pounds.", "10,000"),
        ("In 18 years.", "18"),  # not a part of 1843
        ("PASSAGE is about Lovelace.", "PASSAGE"),  # the model repeats its prompt
        ("Praised by ESA.", "Praised"),
        ("It was praised by ESA.", "ESA"),
        ("An iPhone.", "iPhone"),
        ("The price was 3.5 pounds.", "3.5"),
    ],
)
def test_what_the_document_does_not_hold_is_named(text, invented):
    document = Vocabulary("Ada Lovelace wrote 3 notes in 1843. The engine was 1,000 pounds; NASA liked it.")
    assert document.invented(text) == invented


def test_full_width_digits_and_possessives_are_the_same():
    assert Vocabulary("Im Jahr 1843, Adas Notizen").invented("Jahr １８４３") is None
    assert Vocabulary("Ada’s notes").invented("The notes are Ada's") is None


@given(st.text(max_size=200))
def test_a_text_backs_itself(text):
    assert Vocabulary(text).invented(text) is None
    claims(text)


@pytest.mark.parametrize(
    ("phrase", "text", "found"),
    [
        ("it", "with a bit of wit", False),
        ("it", "Then, it rained", True),
        ("the  engine\nwas", "The engine was big", True),
        ("", "anything", False),
        ("   ", "anything", False),
        ("研究", "它研究算法", True),
        ("3", "13", False),
        ("(it)", "so (it) goes", True),
        ("a.b", "aXb", False),
        ("it", "wit, bit and it", True),
        ("_it", "x_it", True),
    ],
)
def test_a_phrase_is_found_as_whole_words(phrase, text, found):
    assert occurs(phrase, text) is found


def lcs(a: list[str], b: list[str]) -> int:
    """The textbook recurrence."""
    table = [[0] * (len(b) + 1) for _ in range(len(a) + 1)]
    for i, x in enumerate(a):
        for j, y in enumerate(b):
            table[i + 1][j + 1] = table[i][j] + 1 if x == y else max(table[i][j + 1], table[i + 1][j])
    return table[-1][-1]


@given(st.text("ab c.", max_size=40), st.text("ab c.", max_size=40))
def test_survival_is_the_longest_common_subsequence(one, other):
    before = tokens(one)
    assert survival(one, other) == (lcs(before, tokens(other)) / len(before) if before else 1.0)
    assert survival(one, one) == 1.0


def test_chinese_survives_by_characters():
    assert survival("它研究算法", "它（学科）研究算法") == 1.0
    assert survival("它研究算法", "算法研究它") == pytest.approx(2 / 5)


@pytest.mark.parametrize(
    ("reply", "sentences", "left"),
    [
        ("One. Two. Three.", 2, "One. Two."),
        ("  One\n two.  \n\nA second paragraph.", 2, "One two."),
        ("Summary: The engine was not built.", 1, "The engine was not built."),
        ('"The engine was not built."', 1, "The engine was not built."),
        ("The engine was not bui", 1, "The engine was not"),  # the last word may be a piece of one
        ("It is by Dr. Smith. And then he", 2, "It is by Dr. Smith."),
        ("DOCUMENT:\nIt was built.", 1, "It was built."),
        ("<think>Hm. So.</think>One. Two.", 1, "One."),
        ("它研究算法。然后", 2, "它研究算法。"),
        ("word", 1, ""),
        ("", 1, ""),
        (" \n\n ", 2, ""),
    ],
)
def test_a_reply_is_brought_into_shape(reply, sentences, left):
    assert tidy(reply, sentences) == left


@given(st.text(max_size=300), st.integers(1, 3))
def test_any_reply_becomes_one_line(reply, sentences):
    assert "\n" not in tidy(reply, sentences)


def test_a_rewritten_passage_keeps_all_of_its_lines():
    assert passage("Passage: first line\nsecond line\n\nthird\n") == "first line\nsecond line\n\nthird"
