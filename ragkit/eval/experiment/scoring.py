"""From hits to scores, intervals and comparisons of one data set; used by a run and by a replay alike."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from ragkit.errors import UsageError
from ragkit.eval.experiment.store import Store, key
from ragkit.eval.metrics import Measure, evaluate
from ragkit.eval.metrics.layout import SpansByDocument
from ragkit.eval.results import Comparison, SystemHits
from ragkit.eval.statistics import compare, holm, mean_interval
from ragkit.eval.statistics.bootstrap import Interval
from ragkit.eval.statistics.compare import Comparison as Compared
from ragkit.eval.types import Query, Retrieved

Values = dict[str, list[float]]
"""Measure as written -> value per counted query."""


@dataclass(frozen=True, slots=True)
class Judge:
    """How values become intervals and comparisons; what was computed before comes from `store`, if there is one."""

    seed: int
    resamples: int
    store: Store | None = None

    def interval(self, values: Sequence[float], name: str) -> tuple[float, float, float]:
        """Return mean, low and high of the 95 % interval over queries."""
        known = key("interval", values=list(values), seed=self.seed, resamples=self.resamples)
        found = self._stored(known)
        if found is None:
            interval = mean_interval(values, seed=self.seed, resamples=self.resamples, name=name)
            found = [interval.estimate, interval.low, interval.high]
            self._keep(known, found)
        return (found[0], found[1], found[2])

    def compared(
        self, measure: Measure, scores: Mapping[str, Values], baseline: str, documents: Sequence[str]
    ) -> list[Comparison]:
        """Return every system against `baseline`; p-values are corrected over the systems of this measure."""
        written = str(measure)
        others = [system for system in scores if system != baseline]
        base = scores[baseline][written]
        lower = measure.declaration.lower_is_better
        found = [
            self._compared(scores[system][written], base, documents, (system, baseline), lower) for system in others
        ]
        corrected = holm([comparison.p_value for comparison in found])
        return [
            _record(written, system, baseline, replace(comparison, adjusted_p_value=p_value))
            for system, comparison, p_value in zip(others, found, corrected, strict=True)
        ]

    def _compared(
        self, a: list[float], b: list[float], documents: Sequence[str], names: tuple[str, str], lower: bool
    ) -> Compared:
        known = key(
            "comparison", a=a, b=b, documents=list(documents), seed=self.seed, resamples=self.resamples, lower=lower
        )
        found = self._stored(known)
        if found is not None:
            found["interval"] = Interval(**found["interval"])
            found["clustered"] = None if found["clustered"] is None else Interval(**found["clustered"])
            return Compared(**found)
        made = compare(a, b, documents, names=names, lower_is_better=lower, seed=self.seed, resamples=self.resamples)
        if np.isfinite(made.detectable):
            self._keep(known, asdict(made))
        return made

    def _stored(self, known: str) -> Any:
        return None if self.store is None else self.store.get([known]).get(known)

    def _keep(self, known: str, value: object) -> None:
        if self.store is not None:
            self.store.put(known, value)


def scored(
    queries: Sequence[Query],
    hits: Sequence[SystemHits],
    boundaries: Mapping[str, Sequence[tuple[int, int]]],
    measures: Sequence[Measure],
    token_spans: SpansByDocument | None,
) -> tuple[Values, list[str]]:
    """Return the values of all measures, and the ids of the queries they are for; no hits count as 0.

    Raises UsageError if no query of the set has evidence.
    """
    chunks = {doc_id: np.array(spans, np.int64).reshape(-1, 2) for doc_id, spans in boundaries.items()}
    scores = evaluate(measures, queries, [_retrieved(item) for item in hits], chunks=chunks, token_spans=token_spans)
    if not len(scores.counted):
        raise UsageError(
            "No question of the data set is answerable and has evidence, so there is nothing to score.",
            hint="Give a set with evidence spans, or a larger sample.",
        )
    counted = [queries[place].query_id for place in scores.counted.tolist()]
    return {str(measure): scores[measure].tolist() for measure in measures}, counted


def left_out(queries: Sequence[Query], counted: Sequence[str]) -> dict[str, int]:
    """Return why how many queries are not in the means."""
    kept = set(counted)
    reasons = [
        "unanswerable" if not query.answerable else "no evidence" for query in queries if query.query_id not in kept
    ]
    return {reason: reasons.count(reason) for reason in dict.fromkeys(reasons)}


def asked_of(query: Query) -> str:
    """Return the document that a query belongs to when whole documents are resampled: its scope or first evidence."""
    return query.scope or (query.evidence[0].doc_id if query.evidence else "")


def _retrieved(hits: SystemHits) -> Retrieved:
    return Retrieved(
        tuple(hits.documents),
        np.array(hits.spans, np.int64).reshape(-1, 2),
        np.array(hits.tokens, np.int64),
        np.array(hits.scores, np.float64),
        hits.ranked,
    )


def _record(measure: str, system: str, baseline: str, made: Compared) -> Comparison:
    """Return the comparison as it is stored."""
    return Comparison(
        measure=measure,
        system=system,
        baseline=baseline,
        difference=made.difference,
        low=made.interval.low,
        high=made.interval.high,
        p_value=made.p_value,
        p_holm=made.adjusted_p_value,
        detectable=made.detectable,
        winner={"a": system, "b": baseline, None: None}[made.winner],
        clustered=None if made.clustered is None else (made.clustered.low, made.clustered.high),
    )
