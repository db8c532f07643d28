"""Measures of what a judge said, and of the similarity of an answer to the gold answers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from ragkit.eval.metrics.measure import Measure, Option, declare


@dataclass(frozen=True, slots=True)
class Judged:
    """What is known of one answer: the score of each task of the judge, and the cosine with the nearest gold answer."""

    scores: Mapping[str, float] = field(default_factory=dict)
    similarity: float = 0.0


def _faithfulness(judged: Judged) -> float:
    return judged.scores["faithfulness"]


def _relevance(judged: Judged) -> float:
    return judged.scores["relevance"]


def _context_precision(judged: Judged) -> float:
    return judged.scores["context_precision"]


def _context_recall(judged: Judged) -> float:
    return judged.scores["context_recall"]


def _correctness(judged: Judged, weight: float) -> float:
    return weight * judged.scores["correctness"] + (1 - weight) * judged.similarity


def _similarity(judged: Judged) -> float:
    return judged.similarity


JudgedFaithfulness = declare(
    "JudgedFaithfulness",
    "answer",
    _faithfulness,
    "share of the answer's statements that its sources support; 0 if it states nothing",
    needs="judge",
)

JudgedRelevance = declare(
    "JudgedRelevance", "answer", _relevance, "how well the answer addresses the question, in quarters", needs="judge"
)

JudgedContextPrecision = declare(
    "JudgedContextPrecision",
    "answer",
    _context_precision,
    "mean precision at the ranks of the sources that are judged relevant",
    needs="judge",
)

JudgedContextRecall = declare(
    "JudgedContextRecall",
    "answer",
    _context_recall,
    "share of the gold answer's statements that the sources support",
    needs="judge",
)

JudgedCorrectness = declare(
    "JudgedCorrectness",
    "answer",
    _correctness,
    "`weight` x F1 of statements + (1 - `weight`) x AnswerSimilarity",
    needs="judge",
    weight=Option(0.75, low=0.0, high=1.0),
)

AnswerSimilarity = declare(
    "AnswerSimilarity", "answer", _similarity, "cosine of the answer with the nearest gold answer", needs="similarity"
)

TASK_OF: Mapping[str, str] = {
    "JudgedFaithfulness": "faithfulness",
    "JudgedRelevance": "relevance",
    "JudgedContextPrecision": "context_precision",
    "JudgedContextRecall": "context_recall",
    "JudgedCorrectness": "correctness",
}
"""The task that each measure asks of the judge."""


def needs_similarity(measure: Measure) -> bool:
    """Return whether the measure needs the vectors of answers."""
    return measure.declaration.needs == "similarity" or measure.name == "JudgedCorrectness"
