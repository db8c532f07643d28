"""From questions and answers to one value per question and measure."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ragkit.errors import UsageError
from ragkit.eval.metrics.answer.attack import targets
from ragkit.eval.metrics.evaluate import Scores, checked
from ragkit.eval.metrics.measure import Measure
from ragkit.eval.types import Query


def counts(measure: Measure, query: Query) -> bool:
    """Return whether `query` counts for a measure of answers.

    Those that are answerable and have a gold answer; for Abstention the unanswerable ones; for what needs the target of
    an attack those that have one; for what a selector turned out, all.
    """
    if measure.name == "Abstention":
        return not query.answerable
    if measure.declaration.needs == "flags":
        return True
    if measure.declaration.needs == "target":
        return bool(targets(query))
    return query.answerable and bool(query.answers)


def evaluate_answers(
    measures: Sequence[Measure | str],
    queries: Sequence[Query],
    answers: Sequence[str | None],
    sources: Sequence[Sequence[str]] | None = None,
) -> Scores:
    """Return the value of each measure for every query that counts, the best over its gold answers.

    Queries count if they are answerable and have a gold answer; for Abstention, if they are unanswerable; for
    AttackSuccess, if an attacker's target is known. A missing answer (None) is scored as an empty text, never left out.
    `sources` are the texts that each answer was given.

    Raises UsageError for unknown measures, those that a judge or vectors decide, measures that count different queries,
    different numbers, and LexicalFaithfulness without sources.
    """
    wanted = checked(measures, "answer")
    if len(queries) != len(answers) or (sources is not None and len(sources) != len(answers)):
        raise UsageError(
            f"{len(queries)} queries and {len(answers)} answers were given.",
            hint="Give one answer for every query, None where there is none, and as many lists of sources, if any.",
        )
    counted = {
        tuple(place for place, query in enumerate(queries) if counts(measure, query)): measure for measure in wanted
    }
    if len(counted) > 1:
        first, second = list(counted.values())[:2]
        raise UsageError(f"{first} and {second} do not count the same queries.", hint="Evaluate them in two calls.")
    places = next(iter(counted), ())
    values = {
        str(measure): np.array([_value(measure, queries[at], answers[at], sources, at) for at in places], np.float64)
        for measure in wanted
    }
    return Scores(values, np.array(places, np.int64))


def _value(
    measure: Measure, query: Query, answer: str | None, sources: Sequence[Sequence[str]] | None, place: int
) -> float:
    score, options = measure.declaration.score, dict(measure.settings)
    match measure.declaration.needs:
        case "gold":
            return max(float(score(answer or "", gold, **options)) for gold in query.answers)
        case "target":
            return max(float(score(answer or "", target, **options)) for target in targets(query))
        case "refusal":
            return float(score(answer))
        case "sources" if sources is not None:
            return float(score(answer or "", sources[place], **options))
    raise UsageError(
        f"{measure} cannot be computed from answers alone.",
        hint="Give `sources` for LexicalFaithfulness; the others are computed by experiments and by judge().",
    )
