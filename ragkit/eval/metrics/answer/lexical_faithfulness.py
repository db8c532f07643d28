"""Faithfulness without a judge: how many statements of an answer have most of their content words in one chunk.

An offline substitute (metrics.md 4.1). Words are not meaning: a negated sentence shares its words with the text that
it contradicts, so this bounds a judge's verdict loosely and says so in its name.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ragkit.answering.text import sentences, words
from ragkit.eval.metrics.measure import Option, declare

THRESHOLD = 0.7
"""Share of a statement's content words that one chunk must hold."""


@dataclass(frozen=True, slots=True)
class Faithfulness:
    """Supported statements and statements of an answer; `share` is None for an answer that states nothing."""

    supported: int
    statements: int

    @property
    def share(self) -> float | None:
        """Supported statements / statements."""
        return self.supported / self.statements if self.statements else None


def lexical_faithfulness(answer: str, contexts: Sequence[str], threshold: float = THRESHOLD) -> Faithfulness:
    """Return how many sentences of `answer` have at least `threshold` of their content words in one context.

    Content words are distinct, without stop words and endings. A sentence without any is no statement.

    >>> lexical_faithfulness("Copper is red. Gold melts easily.", ["The metal copper is red and soft."]).share
    0.5
    """
    held = [{word.form for word in words(context)} for context in contexts]
    supported = statements = 0
    for start, end in sentences(answer):
        claimed = {word.form for word in words(answer[start:end])}
        if claimed:
            statements += 1
            supported += any(len(claimed & context) >= threshold * len(claimed) - 1e-9 for context in held)
    return Faithfulness(supported, statements)


def _share(prediction: str, sources: Sequence[str], threshold: float) -> float:
    return lexical_faithfulness(prediction, sources, threshold).share or 0.0


LexicalFaithfulness = declare(
    "LexicalFaithfulness",
    "answer",
    _share,
    "share of the answer's statements with `threshold` of their content words in one source; 0 if it states nothing",
    needs="sources",
    threshold=Option(THRESHOLD, low=0.0, high=1.0),
)
