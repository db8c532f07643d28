"""From hits to scores, intervals and comparisons of one data set; used by a run and by a replay alike."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from ragkit.errors import UsageError
from ragkit.eval.experiment.code import code_hash
from ragkit.eval.experiment.resampling import intervals
from ragkit.eval.experiment.store import Store, key
from ragkit.eval.hits import Hits, SystemHits
from ragkit.eval.metrics import Measure, evaluate
from ragkit.eval.metrics.layout import SpansByDocument
from ragkit.eval.results import Comparison
from ragkit.eval.statistics import Interval, holm, permutation_p_value, smallest_detectable_difference
from ragkit.eval.statistics.compare import FEWEST_CLUSTERS
from ragkit.eval.statistics.compare import Comparison as Compared
from ragkit.eval.statistics.values import Floats
from ragkit.eval.types import Query

Values = dict[str, list[float]]
"""Measure as written -> value per counted query."""


Intervals = dict[str, dict[str, tuple[float, float, float]]]
"""Measure -> system -> (mean, low, high)."""


@dataclass(frozen=True, slots=True)
class Judge:
    """How values become intervals and comparisons; what is known from before comes from `store`, if there is one."""

    seed: int
    resamples: int
    store: Store | None = None

    def scored(
        self, found: str, measures: Sequence[Measure], score: Callable[[], dict[str, list[float | None]]]
    ) -> dict[str, list[float | None]]:
        """Return the values of what is named `found` (hits, answers), computed by `score` unless they are known."""
        code = code_hash("eval/metrics", "eval/experiment")
        known = key("scores", hits=found, measures=list(map(str, measures)), code=code)
        earlier: dict[str, list[float | None]] | None = None
        if self.store is not None:
            earlier = self.store.get([known]).get(known)
        if earlier is not None:
            return earlier
        made = score()
        if self.store is not None:
            self.store.put(known, made)
        return made

    def judged(
        self, scores: Mapping[str, Values], measures: Sequence[Measure], baseline: str, documents: Sequence[str]
    ) -> tuple[Intervals, list[Comparison]]:
        """Return what `_judged` does, from the store where it is known."""
        if self.store is None:
            return self._judged(scores, measures, baseline, documents)
        names = [str(measure) for measure in measures]
        known = key(
            "judgement",
            values=_columns([scores[system][name] for name in names for system in scores]).tobytes(),
            names=[names, list(scores), [baseline], list(documents)],
            numbers=[self.seed, self.resamples],
            code=code_hash("eval/statistics", "eval/experiment"),
        )
        found = self.store.get([known]).get(known)
        if found is not None:
            intervals_found = {name: {k: (v[0], v[1], v[2]) for k, v in of.items()} for name, of in found[0].items()}
            return intervals_found, [Comparison.model_validate(item) for item in found[1]]
        made = self._judged(scores, measures, baseline, documents)
        if all(np.isfinite(item.detectable) for item in made[1]):
            self.store.put(known, [made[0], [item.model_dump() for item in made[1]]])
        return made

    def _judged(
        self, scores: Mapping[str, Values], measures: Sequence[Measure], baseline: str, documents: Sequence[str]
    ) -> tuple[Intervals, list[Comparison]]:
        """Return all intervals over queries, and every system against `baseline` on every measure.

        `documents` names the document of each query: where they are 20 or more, a second interval resamples them.
        p-values are corrected over the systems of one measure.
        """
        names = [str(measure) for measure in measures]
        others = [system for system in scores if system != baseline]
        values = _columns([scores[system][name] for name in names for system in scores])
        means = intervals(values, resamples=self.resamples, seed=self.seed)
        by_name = iter(means)
        found: Intervals = {name: {system: _plain(next(by_name)) for system in scores} for name in names}
        comparisons: list[Comparison] = []
        if others:
            pairs = [(measure, system) for measure in measures for system in others]
            compared = iter(self._compared(pairs, scores, baseline, documents))
            for name in names:
                of_measure = [next(compared) for _ in others]
                corrected = holm([item.p_value for item in of_measure])
                comparisons += [
                    _record(name, system, baseline, replace(item, adjusted_p_value=p_value))
                    for system, item, p_value in zip(others, of_measure, corrected, strict=True)
                ]
        return found, comparisons

    def _compared(
        self,
        pairs: Sequence[tuple[Measure, str]],
        scores: Mapping[str, Values],
        baseline: str,
        documents: Sequence[str],
    ) -> list[Compared]:
        """Return what `ragkit.eval.statistics.compare` would return for each (measure, system), in one go."""
        first = _columns([scores[system][str(measure)] for measure, system in pairs])
        second = _columns([scores[baseline][str(measure)] for measure, _ in pairs])
        differences = first - second
        queries = len(differences)
        clusters = documents if len(set(documents)) >= FEWEST_CLUSTERS else None
        over_queries = intervals(differences, resamples=self.resamples, seed=self.seed)
        over_documents: Sequence[Interval | None] = [None] * len(pairs)
        if clusters is not None:
            over_documents = intervals(differences, clusters, resamples=self.resamples, seed=self.seed)
        p_values = self._p_values(differences, clusters)
        return [
            Compared(
                mean_a=float(first[:, place].mean()),
                mean_b=float(second[:, place].mean()),
                difference=over_queries[place].estimate,
                interval=over_queries[place],
                clustered=over_documents[place],
                p_value=p_values[place],
                adjusted_p_value=p_values[place],
                detectable=(
                    smallest_detectable_difference(differences[:, place], clusters) if queries > 1 else float("inf")
                ),
                queries=queries,
                lower_is_better=measure.declaration.lower_is_better,
            )
            for place, (measure, _) in enumerate(pairs)
        ]

    def _p_values(self, differences: Floats, clusters: Sequence[str] | None) -> list[float]:
        """Return the p-value of each column, from the store where it is known."""
        common = {"clusters": None if clusters is None else list(clusters), "n": self.resamples, "seed": self.seed}
        group = key("clusters", **common, code=code_hash("eval/statistics"))
        columns = np.ascontiguousarray(differences.T)
        keys = [key("p-value", values=column.tobytes(), group=group) for column in columns]
        found = {} if self.store is None else self.store.get(keys)
        for name, column in zip(keys, columns, strict=True):
            if name not in found:
                found[name] = permutation_p_value(column, clusters, permutations=self.resamples, seed=self.seed)
                if self.store is not None:
                    self.store.put(name, found[name])
        return [float(found[name]) for name in keys]


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
    scores = evaluate(measures, queries, Hits.of(hits).retrieved(), chunks=chunks, token_spans=token_spans)
    if not len(scores.counted):
        raise UsageError(
            "No question of the data set is answerable and has evidence, so there is nothing to score.",
            hint="Give a set with evidence spans, or a larger sample.",
        )
    counted = [queries[place].query_id for place in scores.counted.tolist()]
    return {str(measure): scores[measure].tolist() for measure in measures}, counted


def left_out(queries: Sequence[Query], counted: Sequence[str], measure: Measure) -> dict[str, int]:
    """Return why how many queries are not in the means of `measure`."""
    kept = set(counted)
    lacks = "no evidence" if measure.declaration.family == "retrieval" else "no gold answer"
    unasked = "answerable" if measure.name == "Abstention" else "unanswerable"
    reasons = [
        unasked if query.answerable == (unasked == "answerable") else lacks
        for query in queries
        if query.query_id not in kept
    ]
    return {reason: reasons.count(reason) for reason in dict.fromkeys(reasons)}


def asked_of(query: Query) -> str:
    """Return what a query belongs to when whole documents are resampled: its scope, its first evidence, else itself."""
    return query.scope or (query.evidence[0].doc_id if query.evidence else f"question {query.query_id}")


def _columns(columns: Sequence[Sequence[float]]) -> Floats:
    """Return the values as a matrix, one column each."""
    return np.array(columns, np.float64).T


def _plain(interval: Interval) -> tuple[float, float, float]:
    return (interval.estimate, interval.low, interval.high)


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
