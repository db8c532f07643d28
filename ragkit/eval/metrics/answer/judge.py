"""Faithfulness and relevance by a language model as judge: a pinned rubric, a strict reply, failures counted apart.

A reply that is not exactly the JSON asked for is a failure with its reason; it is never scored as zero and never
repaired by guessing. Statements are split here, not by the judge, so that the judge cannot choose the denominator.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Literal, TypeVar

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ragkit.answering.text import sentences
from ragkit.budget import Meter
from ragkit.eval.metrics.answer.rubric import RUBRIC_VERSION, faithfulness_prompt, relevance_prompt
from ragkit.protocols import LanguageModel, Segment

BEST_RATING = 4


@dataclass(frozen=True, slots=True)
class Judgement:
    """A score from 0 to 1, or None with the reason why there is none; the reply as the judge gave it.

    `judge` is the model's fingerprint: scores of different judges or rubric versions are not comparable.
    """

    score: float | None
    reason: str
    reply: str
    judge: str
    rubric: str = RUBRIC_VERSION


@dataclass(frozen=True, slots=True)
class JudgedScores:
    """Values of the judged answers, aligned with `counted`, and the places and reasons of the failures."""

    values: np.ndarray[tuple[int], np.dtype[np.float64]]
    counted: np.ndarray[tuple[int], np.dtype[np.int64]]
    failures: tuple[tuple[int, str], ...]


class Verdicts(BaseModel):
    """The reply to the faithfulness rubric."""

    model_config = ConfigDict(extra="forbid", strict=True)

    verdicts: list[Literal["supported", "unsupported"]]


class Rating(BaseModel):
    """The reply to the relevance rubric."""

    model_config = ConfigDict(extra="forbid", strict=True)

    rating: Annotated[int, Field(ge=0, le=BEST_RATING)]


Reply = TypeVar("Reply", bound=BaseModel)


def judge_faithfulness(
    model: LanguageModel, answer: str, contexts: Sequence[str], *, meter: Meter | None = None
) -> Judgement:
    """Return the share of the answer's sentences that the contexts support, as `model` judges it.

    An answer without a sentence gets no score; the model is not asked.
    """
    statements = [answer[start:end] for start, end in sentences(answer)]
    if not statements:
        return Judgement(None, "the answer states nothing", "", model.fingerprint)

    def score(parsed: Verdicts) -> float:
        if len(parsed.verdicts) != len(statements):
            raise ValueError(f"{len(parsed.verdicts)} verdicts for {len(statements)} statements")
        return parsed.verdicts.count("supported") / len(statements)

    prompt = faithfulness_prompt(statements, contexts)
    return _judged(model, prompt, Verdicts, score, max_tokens=32 + 8 * len(statements), meter=meter)


def judge_relevance(model: LanguageModel, question: str, answer: str, *, meter: Meter | None = None) -> Judgement:
    """Return how well the answer addresses the question, from 0 to 1 in steps of a quarter, as `model` judges it."""

    def score(parsed: Rating) -> float:
        return parsed.rating / BEST_RATING

    return _judged(model, relevance_prompt(question, answer), Rating, score, max_tokens=32, meter=meter)


def gathered(judgements: Sequence[Judgement]) -> JudgedScores:
    """Return the scores of the answers that were judged and, apart, the failures."""
    counted = [place for place, judgement in enumerate(judgements) if judgement.score is not None]
    return JudgedScores(
        np.array([judgements[place].score for place in counted], np.float64),
        np.array(counted, np.int64),
        tuple((place, found.reason) for place, found in enumerate(judgements) if found.score is None),
    )


def _judged(
    model: LanguageModel,
    prompt: Sequence[Segment],
    schema: type[Reply],
    score: Callable[[Reply], float],
    *,
    max_tokens: int,
    meter: Meter | None,
) -> Judgement:
    reply = model.generate(prompt, max_tokens=max_tokens, meter=meter)
    try:
        value = score(schema.model_validate_json(reply.strip()))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(step) for step in first["loc"])
        return Judgement(None, f"{where + ': ' if where else ''}{first['msg']}", reply, model.fingerprint)
    except ValueError as error:
        return Judgement(None, str(error), reply, model.fingerprint)
    return Judgement(value, "", reply, model.fingerprint)
