"""Echoes, labels and loops of small models go; everything else stays as it was said."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ragkit.answering.reply import tidied

QUESTION = "Who wrote the first program?"


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        ("Ada Lovelace.", "Ada Lovelace."),
        (f"Question: {QUESTION}\nAnswer: Ada Lovelace.", "Ada Lovelace."),
        (f"{QUESTION}\n\nAda Lovelace.", "Ada Lovelace."),
        ("It was Ada Lovelace herself.\n\nIt was Ada Lovelace herself.\n\nIt was", "It was Ada Lovelace herself."),
        ("if (x) {\n}\nelse {\n}", "if (x) {\n}\nelse {\n}"),
        (
            "It holds:\n[4] ## An index on disk\n[5] ## An index on disk\n[6] ## An",
            "It holds:\n[4] ## An index on disk",
        ),
        ("The disk is full now. Then so it was. The disk is full now. Then", "The disk is full now. Then so it was."),
        ("Yes.\nNo.\nYes.", "Yes.\nNo.\nYes."),
        (QUESTION, ""),
        ("", ""),
    ],
)
def test_what_is_added_around_an_answer_goes(reply, expected):
    assert tidied(reply, QUESTION) == expected


def test_an_echo_of_the_instruction_goes():
    said = "Answer briefly, using only the text above.\n\nAda Lovelace."
    assert tidied(said, QUESTION, "Answer briefly, using only the text above.") == "Ada Lovelace."


@given(st.lists(st.from_regex(r"[a-z]{1,8}( [a-z]{1,8}){0,6}", fullmatch=True), unique=True, max_size=6))
def test_different_lines_all_stay(lines):
    said = "\n".join(line for line in lines if not line.startswith(("answer", "question")))
    assert tidied(said, QUESTION) == said
