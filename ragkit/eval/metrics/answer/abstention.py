"""Abstention: refusing where there is no answer, and not refusing where there is one. Both are reported."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from ragkit.errors import UsageError
from ragkit.eval.metrics.measure import declare
from ragkit.eval.types import Query

_REFUSAL = re.compile(
    r"\b(?:i (?:do not|don't|don’t) know"
    r"|(?:can ?not|can't|can’t|could not|couldn't|unable to|not able to) "
    r"(?:be (?:answered|determined|found|said)|answer|determine|find|say|tell)"
    r"|(?:is|are|was|were) ?(?:not|n't|n’t) (?:mentioned|stated|specified|provided|given|available|found|answerable)"
    r"|(?:does not|doesn't|doesn’t|do not|don't) (?:say|mention|state|specify|contain|provide)"
    r"|no (?:answer|relevant information|information (?:is|was|about|on))"
    r"|not (?:enough|sufficient) information|insufficient information"
    r"|unanswerable|no answer)\b"
    r"|无法回答|不知道|没有提到|未提及|无法确定|没有相关信息",
    re.IGNORECASE,
)
_OPENING = 200
"""A refusal stands at the beginning; the same words later qualify an answer."""


@dataclass(frozen=True, slots=True)
class AbstentionRates:
    """Share of refusals among unanswerable questions, and of false refusals among answerable ones; None without any."""

    refused: float | None
    falsely_refused: float | None
    unanswerable: int
    answerable: int


def is_refusal(answer: str | None) -> bool:
    """Return whether the answer is missing (None, or blank) or says at its beginning that it cannot be given.

    Recognised are common English and Chinese wordings; a system with a fixed one should return None instead.

    >>> is_refusal("The text does not mention a price."), is_refusal("Forty-two.")
    (True, False)
    """
    return answer is None or not answer.strip() or _REFUSAL.search(answer[:_OPENING]) is not None


def abstention(queries: Sequence[Query], answers: Sequence[str | None]) -> AbstentionRates:
    """Return how often the answers refuse, for unanswerable and answerable queries apart."""
    if len(queries) != len(answers):
        raise UsageError(f"{len(queries)} queries and {len(answers)} answers were given.", hint="Give one for each.")
    refused: dict[bool, list[bool]] = {True: [], False: []}
    for query, answer in zip(queries, answers, strict=True):
        refused[query.answerable].append(is_refusal(answer))
    rates = {kind: sum(found) / len(found) if found else None for kind, found in refused.items()}
    return AbstentionRates(rates[False], rates[True], len(refused[False]), len(refused[True]))


def _refuses(answer: str | None) -> float:
    return float(is_refusal(answer))


Abstention = declare(
    "Abstention", "answer", _refuses, "1 if an unanswerable question is refused, else 0", needs="refusal"
)

FalseRefusal = declare(
    "FalseRefusal",
    "answer",
    _refuses,
    "1 if an answerable question is refused, else 0",
    lower_is_better=True,
    needs="refusal",
)
