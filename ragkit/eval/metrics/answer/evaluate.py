"""From questions and answers to one value per question and measure."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ragkit.errors import UsageError
from ragkit.eval.metrics.evaluate import Scores, checked
from ragkit.eval.metrics.measure import Measure
from ragkit.eval.types import Query


def evaluate_answers(
    measures: Sequence[Measure | str], queries: Sequence[Query], answers: Sequence[str | None]
) -> Scores:
    """Return the best value over the gold answers for every query that is answerable and has one.

    A missing answer (None) is scored as an empty text, never left out. Raises UsageError for unknown measures and
    different numbers.
    """
    wanted = checked(measures, "answer")
    if len(queries) != len(answers):
        raise UsageError(
            f"{len(queries)} queries and {len(answers)} answers were given.",
            hint="Give one answer for every query, None where there is none.",
        )
    counted = [place for place, query in enumerate(queries) if query.answerable and query.answers]
    values = {
        str(measure): np.array(
            [
                max(
                    measure.declaration.score(answers[place] or "", gold, **dict(measure.settings))
                    for gold in queries[place].answers
                )
                for place in counted
            ],
            np.float64,
        )
        for measure in wanted
    }
    return Scores(values, np.array(counted, np.int64))
