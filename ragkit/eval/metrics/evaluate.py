"""From queries and runs to one value per query and measure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ragkit.errors import UsageError
from ragkit.eval.metrics.geometry import Floats, Ints
from ragkit.eval.metrics.layout import SpansByDocument, lay_out, positive
from ragkit.eval.metrics.measure import Family, Measure
from ragkit.eval.metrics.parsing import parse
from ragkit.eval.metrics.scoring import Scoring, refuse_unranked
from ragkit.eval.types import Query, Retrieved
from ragkit.plugins import suggestion


@dataclass(frozen=True, slots=True)
class Scores(Mapping[str, NDArray[np.float64]]):
    """Values by measure, as it was written: `scores["Recall@5"]`, one for each query that counts, never NaN.

    `counted[i]` is the place of value i's query in the sequence that was given.
    """

    values_by_measure: Mapping[str, Floats]
    counted: Ints

    def __getitem__(self, measure: str | Measure) -> Floats:
        """Return the values of `measure`, shape (len(counted),); raise UsageError for one that was not computed."""
        name = str(measure)
        if name not in self.values_by_measure:
            valid = list(self.values_by_measure)
            raise UsageError(
                f"{name} was not computed.",
                hint=f"{suggestion(name, valid)} Computed: {', '.join(valid) or 'nothing'}.".lstrip(),
            )
        return self.values_by_measure[name]

    def __contains__(self, measure: object) -> bool:
        return str(measure) in self.values_by_measure

    def __iter__(self) -> Iterator[str]:
        return iter(self.values_by_measure)

    def __len__(self) -> int:
        return len(self.values_by_measure)

    def means(self) -> dict[str, float]:
        """Return the mean of each measure over the queries that count; raise UsageError if none does."""
        if not len(self.counted):
            raise UsageError(
                "No query counts, so there is no mean.", hint="Give at least one answerable query with evidence."
            )
        return {name: float(values.mean()) for name, values in self.values_by_measure.items()}


def evaluate(
    measures: Sequence[Measure | str],
    queries: Sequence[Query],
    runs: Sequence[Retrieved],
    *,
    chunks: SpansByDocument | None = None,
    token_spans: SpansByDocument | None = None,
) -> Scores:
    """Return the value of every retrieval measure for every query that counts.

    A query counts if it is answerable and has evidence; a run without hits scores 0, it is never left out. `runs[i]`
    belongs to `queries[i]`; hits outside a query's scope are left out before any cut-off. Hits are taken in the order
    given. `chunks` are the spans of all chunks of the system by document, needed by PrecisionOmega, `adaptive()` and
    measures that divide by the number of relevant chunks. `token_spans` are those of the evaluation tokenizer, needed
    by unit="tokens".

    Raises UsageError for unknown measures, runs that do not match, wrong spans, and measures that lack what they need.
    """
    wanted = checked(measures, "retrieval")
    if len(queries) != len(runs):
        raise UsageError(
            f"{len(queries)} queries and {len(runs)} runs were given.",
            hint="Give one run for every query, an empty one where nothing was found.",
        )
    counted = np.array([place for place, query in enumerate(queries) if query.answerable and positive(query)], np.int64)
    layout = lay_out([queries[place] for place in counted], [runs[place] for place in counted])
    for measure in wanted:
        if measure.declaration.ordered:
            refuse_unranked(str(measure), list(layout.unranked))
    scoring = Scoring(layout, chunks, token_spans)
    values = {
        str(measure): measure.declaration.score(scoring, measure.cutoff, **dict(measure.settings)) for measure in wanted
    }
    return Scores(values, counted)


def checked(measures: Sequence[Measure | str], family: Family) -> list[Measure]:
    """Return the measures, parsed where they are texts; raise UsageError for one of another family."""
    parsed = [parse(measure) if isinstance(measure, str) else measure for measure in measures]
    for measure in parsed:
        if measure.declaration.family != family:
            raise UsageError(
                f"{measure} is a measure of {measure.declaration.family}; one of {family} was expected.",
                hint={
                    "retrieval": "Use evaluate().",
                    "answer": "Use evaluate_answers().",
                    "segmentation": "Use evaluate_segments().",
                }[measure.declaration.family],
            )
    return parsed
