"""Rationales that are made from the question alone."""

from __future__ import annotations

import pytest

from ragkit.selectors.rationale_writing import by_template


def test_templates_split_the_question_and_probe_its_subject():
    needs = [one.need for one in by_template("Who built the bridge and when did it open?", 8).rationales]
    assert needs[0] == "Who built the bridge and when did it open?"
    assert {"Who built the bridge", "when did it open", "exception to built the bridge"} <= set(needs)
    assert len(by_template("Who?", 1).rationales) == 1
    assert by_template("?", 8).rationales


@pytest.mark.parametrize(
    ("question", "subject"),
    [
        ("How are budgets set?", "budgets set"),
        ("What does the licence cover?", "licence cover"),
        ("Which island is the largest?", "island is the largest"),
        ("What is an answer?", "answer"),
        ("What's the island called?", "island called"),
        ("How many islands are there?", "islands are there"),
        ("Is didactic material sold?", "didactic material sold"),
        ("Whoever wrote it?", "Whoever wrote it"),
        ("What is the?", "What is the"),
    ],
)
def test_template_probes_hold_whole_words(question, subject):
    needs = [one.need for one in by_template(question, 8).rationales]
    assert needs == [question, f"definition of {subject}", f"exception to {subject}", f"date or number of {subject}"]
