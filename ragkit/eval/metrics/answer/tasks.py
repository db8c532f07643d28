"""What a judge can be asked about one answer: the prompt, the shape of the reply, and the score it comes to.

Statements are split here, not by the judge, so that the judge cannot choose the denominator; the schema of a reply
demands exactly one verdict for each. What needs no judge (an answer that states nothing, no source) has its score
without a question.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, create_model

from ragkit.answering.text import sentences
from ragkit.eval.metrics.answer import rubric
from ragkit.eval.metrics.answer.context_precision import context_precision
from ragkit.protocols import Segment

BEST_RATING = 4
_OPENING = 32
_PER_VERDICT = 8
"""Tokens of a reply: room for braces and keys, and for each verdict."""

Support = Literal["supported", "unsupported"]
_STRICT = ConfigDict(extra="forbid", strict=True)


@dataclass(frozen=True, slots=True)
class Case:
    """One answer to be judged; `gold` is the right answer, `contexts` the sources it was given, best first."""

    question: str = ""
    answer: str = ""
    gold: str = ""
    contexts: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Task:
    """`settled` returns the score where no judge is needed, else None; the others are asked for where it is None."""

    name: str
    settled: Callable[[Case], float | None]
    prompt: Callable[[Case], list[Segment]]
    schema: Callable[[Case], type[BaseModel]]
    room: Callable[[Case], int]
    """Tokens that the reply may have."""
    score: Callable[[Case, Any], float]


class Rating(BaseModel):
    """The reply to the relevance rubric."""

    model_config = _STRICT

    rating: Annotated[int, Field(ge=0, le=BEST_RATING)]


@cache
def verdicts(count: int) -> type[BaseModel]:
    """Return the schema of `count` verdicts on statements."""
    return create_model("Verdicts", __config__=_STRICT, verdicts=_listed(Support, count))


@cache
def relevances(count: int) -> type[BaseModel]:
    """Return the schema of `count` verdicts on sources."""
    return create_model("Relevances", __config__=_STRICT, verdicts=_listed(Literal["relevant", "irrelevant"], count))


@cache
def matches(given: int, right: int) -> type[BaseModel]:
    """Return the schema of verdicts on the statements of both answers."""
    return create_model("Matches", __config__=_STRICT, given=_listed(Support, given), right=_listed(Support, right))


def statements(text: str) -> list[str]:
    """Return the sentences of `text`: what is judged one by one."""
    return [text[start:end] for start, end in sentences(text)]


def statement_f1(given: list[str], right: list[str]) -> float:
    """Return TP / (TP + (FP + FN) / 2): TP and FP among the given answer's verdicts, FN among the right answer's.

    >>> statement_f1(["supported", "unsupported"], ["supported"])
    0.6666666666666666
    """
    true, false = given.count("supported"), given.count("unsupported")
    return true / (true + (false + right.count("unsupported")) / 2) if true else 0.0


def _listed(kind: Any, count: int) -> Any:
    return (Annotated[list[kind], Field(min_length=count, max_length=count)], ...)


def _supported(_: Case, reply: Any) -> float:
    return float(reply.verdicts.count("supported") / len(reply.verdicts))


def _room(count: int) -> int:
    return _OPENING + _PER_VERDICT * count


FAITHFULNESS = Task(
    "faithfulness",
    settled=lambda case: None if statements(case.answer) and case.contexts else 0.0,
    prompt=lambda case: rubric.faithfulness_prompt(statements(case.answer), case.contexts),
    schema=lambda case: verdicts(len(statements(case.answer))),
    room=lambda case: _room(len(statements(case.answer))),
    score=_supported,
)

RELEVANCE = Task(
    "relevance",
    settled=lambda case: None if case.answer.strip() else 0.0,
    prompt=lambda case: rubric.relevance_prompt(case.question, case.answer),
    schema=lambda _: Rating,
    room=lambda _: _OPENING,
    score=lambda _, reply: float(reply.rating / BEST_RATING),
)

CONTEXT_PRECISION = Task(
    "context_precision",
    settled=lambda case: None if case.contexts else 0.0,
    prompt=lambda case: rubric.context_precision_prompt(case.question, case.gold, case.contexts),
    schema=lambda case: relevances(len(case.contexts)),
    room=lambda case: _room(len(case.contexts)),
    score=lambda _, reply: context_precision([verdict == "relevant" for verdict in reply.verdicts]),
)

CONTEXT_RECALL = Task(
    "context_recall",
    settled=lambda case: None if statements(case.gold) and case.contexts else 0.0,
    prompt=lambda case: rubric.context_recall_prompt(case.question, statements(case.gold), case.contexts),
    schema=lambda case: verdicts(len(statements(case.gold))),
    room=lambda case: _room(len(statements(case.gold))),
    score=_supported,
)

CORRECTNESS = Task(
    "correctness",
    settled=lambda case: None if statements(case.answer) and statements(case.gold) else 0.0,
    prompt=lambda case: rubric.correctness_prompt(case.question, statements(case.answer), statements(case.gold)),
    schema=lambda case: matches(len(statements(case.answer)), len(statements(case.gold))),
    room=lambda case: _room(len(statements(case.answer)) + len(statements(case.gold))),
    score=lambda _, reply: statement_f1(reply.given, reply.right),
)

TASKS: Mapping[str, Task] = {
    task.name: task for task in (FAITHFULNESS, RELEVANCE, CONTEXT_PRECISION, CONTEXT_RECALL, CORRECTNESS)
}
