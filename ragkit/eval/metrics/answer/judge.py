"""A language model as judge: a pinned rubric, replies constrained to a schema, failures counted apart.

A reply that does not fit its schema is a failure with its reason; it is never scored as zero and never repaired by
guessing. Decoding is constrained, so that a reply of the right shape says nothing about the judge's ability: a model
of 135 million parameters gives verdicts of the right shape that are close to noise. Name a capable judge.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from pydantic import BaseModel, ValidationError

from ragkit.budget import Meter
from ragkit.errors import SchemaError
from ragkit.eval.metrics.answer.rubric import RUBRIC_VERSION
from ragkit.eval.metrics.answer.tasks import FAITHFULNESS, RELEVANCE, Case, Task, statements
from ragkit.protocols import LanguageModel, Segment

TEMPLATE = 64
"""Tokens kept for the judge's chat template."""


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
    asked: bool = True
    """False where the prompt did not fit, or nothing was to be judged."""


@dataclass(frozen=True, slots=True)
class JudgedScores:
    """Values of the judged answers, aligned with `counted`, and the places and reasons of the failures."""

    values: np.ndarray[tuple[int], np.dtype[np.float64]]
    counted: np.ndarray[tuple[int], np.dtype[np.int64]]
    failures: tuple[tuple[int, str], ...]


def judge_faithfulness(
    model: LanguageModel, answer: str, contexts: Sequence[str], *, meter: Meter | None = None
) -> Judgement:
    """Return the share of the answer's sentences that the contexts support, as `model` judges it.

    An answer without a sentence gets no score; the model is not asked.
    """
    if not statements(answer):
        return Judgement(None, "the answer states nothing", "", model.fingerprint, asked=False)
    return judge(model, FAITHFULNESS, [Case(answer=answer, contexts=tuple(contexts))], meter=meter)[0]


def judge_relevance(model: LanguageModel, question: str, answer: str, *, meter: Meter | None = None) -> Judgement:
    """Return how well the answer addresses the question, from 0 to 1 in steps of a quarter, as `model` judges it."""
    return judge(model, RELEVANCE, [Case(question=question, answer=answer)], meter=meter)[0]


def judge(model: LanguageModel, task: Task, cases: Sequence[Case], *, meter: Meter | None = None) -> list[Judgement]:
    """Return what `model` says about each case; cases that are settled without a judge have their score and no reply.

    Raises what the model raises, but not for a reply that does not fit, and not for a prompt beyond its window: these
    have no score, and the reason.
    """
    found: dict[int, Judgement] = {}
    open_places: dict[type[BaseModel], list[int]] = {}
    prompts: dict[int, list[Segment]] = {}
    for place, case in enumerate(cases):
        settled = task.settled(case)
        if settled is not None:
            found[place] = Judgement(settled, "", "", model.fingerprint, asked=False)
            continue
        prompts[place] = task.prompt(case)
        too_long = _too_long(model, prompts[place], task.room(case))
        if too_long:
            found[place] = Judgement(None, too_long, "", model.fingerprint, asked=False)
        else:
            open_places.setdefault(task.schema(case), []).append(place)
    for schema, places in open_places.items():
        room = max(task.room(cases[place]) for place in places)
        replies = _replies(model, [prompts[place] for place in places], schema, room, meter)
        for place, (reply, failure) in zip(places, replies, strict=True):
            score, reason = (None, failure) if failure else read(task, cases[place], reply)
            found[place] = Judgement(score, reason, reply, model.fingerprint)
    return [found[place] for place in range(len(cases))]


def read(task: Task, case: Case, reply: str) -> tuple[float | None, str]:
    """Return the score that a reply comes to and an empty text, or None and why it has none."""
    try:
        return task.score(case, task.schema(case).model_validate_json(reply.strip())), ""
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(step) for step in first["loc"])
        return None, f"{where + ': ' if where else ''}{first['msg']}"


def gathered(judgements: Sequence[Judgement]) -> JudgedScores:
    """Return the scores of the answers that were judged and, apart, the failures."""
    counted = [place for place, judgement in enumerate(judgements) if judgement.score is not None]
    return JudgedScores(
        np.array([judgements[place].score for place in counted], np.float64),
        np.array(counted, np.int64),
        tuple((place, found.reason) for place, found in enumerate(judgements) if found.score is None),
    )


def _replies(
    model: LanguageModel, prompts: Sequence[list[Segment]], schema: type[BaseModel], room: int, meter: Meter | None
) -> list[tuple[str, str]]:
    """Return reply and failure of each prompt: all at once, each by itself where one of them fails."""

    def ask(some: Sequence[list[Segment]]) -> list[tuple[str, str]]:
        records = model.generate_records(some, schema, max_tokens=room, meter=meter)
        return [(record.model_dump_json(), "") for record in records]

    try:
        return ask(prompts)
    except SchemaError as error:
        if len(prompts) == 1:
            return [(error.reply, error.message)]
        return [_alone(ask, prompt) for prompt in prompts]


def _alone(ask: Callable[[Sequence[list[Segment]]], list[tuple[str, str]]], prompt: list[Segment]) -> tuple[str, str]:
    try:
        return ask([prompt])[0]
    except SchemaError as error:
        return error.reply, error.message


def _too_long(model: LanguageModel, prompt: Sequence[Segment], room: int) -> str:
    """Return why the prompt does not fit the model, or an empty text."""
    needed = model.count(["".join(segment.text for segment in prompt)])[0] + room + TEMPLATE
    return "" if needed <= model.window else f"prompt and reply would have {needed} tokens; it reads {model.window}"
