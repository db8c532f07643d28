"""Intervals and comparisons of measures that do not all count the same questions."""

from __future__ import annotations

from collections.abc import Sequence

from ragkit.eval.experiment.scoring import Intervals, Judge, asked_of
from ragkit.eval.experiment.values import Counted
from ragkit.eval.metrics import Measure
from ragkit.eval.results import Comparison
from ragkit.eval.types import Query


def compared(
    judge: Judge, made: Counted, measures: Sequence[Measure], queries: Sequence[Query], baseline: str
) -> tuple[Intervals, list[Comparison]]:
    """Return intervals and comparisons to `baseline`, in the order of the measures; those without values are absent."""
    groups: dict[tuple[str, ...], list[Measure]] = {}
    for measure in measures:
        if str(measure) in made.queries:
            groups.setdefault(tuple(made.queries[str(measure)]), []).append(measure)
    intervals: Intervals = {}
    comparisons: list[Comparison] = []
    for counted, some in groups.items():
        names = [str(measure) for measure in some]
        scores = {system: {name: values[name] for name in names} for system, values in made.scores.items()}
        found, tests = judge.judged(scores, some, baseline, clusters_of(queries, counted))
        intervals.update(found)
        comparisons += tests
    order = {str(measure): place for place, measure in enumerate(measures)}
    return (
        {name: intervals[name] for name in order if name in intervals},
        sorted(comparisons, key=lambda item: order[item.measure]),
    )


def base_group(made: Counted, measures: Sequence[Measure]) -> list[str]:
    """Return the queries that count for retrieval, or for the first measure where none is of retrieval."""
    return made.queries[str(base_measure(made, measures))]


def base_measure(made: Counted, measures: Sequence[Measure]) -> Measure:
    """Return the measure whose queries are those that a set is said to count."""
    counted = [measure for measure in measures if str(measure) in made.queries]
    return next((measure for measure in counted if measure.declaration.family == "retrieval"), counted[0])


def clusters_of(queries: Sequence[Query], counted: Sequence[str]) -> list[str]:
    """Return the document of each counted query."""
    by_id = {query.query_id: query for query in queries}
    return [asked_of(by_id[query_id]) for query_id in counted]
