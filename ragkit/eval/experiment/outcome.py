"""What came out on one data set, as the record that reports and replays read."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from ragkit.eval.experiment.indexes import Built
from ragkit.eval.experiment.retrieval import Run
from ragkit.eval.experiment.scoring import Judge, Values, asked_of, left_out, scored
from ragkit.eval.metrics import Measure
from ragkit.eval.results import QueryRecord, SetResult, Span, SystemRun
from ragkit.eval.types import EvalSet, EvidenceSpan, Query
from ragkit.protocols import Tokenizer


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one system found on a set, and the index it came from."""

    system: str
    index: Built
    run: Run


def set_result(
    evalset: EvalSet,
    outcomes: Sequence[Outcome],
    measures: Sequence[Measure],
    *,
    baseline: str,
    judge: Judge,
    tokenizer: Tokenizer,
    advance: Callable[[int], None],
) -> SetResult:
    """Return the record of one data set: hits, values, intervals, comparisons."""
    shown = _shown(evalset, outcomes)
    texts = {doc_id: evalset.documents[doc_id].text for doc_id in shown}
    tokens = token_spans(texts, measures, tokenizer)
    runs, scores = [], {}
    counted: list[str] = []
    for outcome in outcomes:
        boundaries: dict[str, list[Span]] = {
            doc_id: [(start, end) for start, end, _ in outcome.index.chunks.get(doc_id, ())] for doc_id in shown
        }
        score = partial(scored, evalset.queries, outcome.run.hits, boundaries, measures, tokens)
        values, counted = judge.scored(outcome.run.key, measures, score)
        scores[outcome.system] = values
        advance(1)
        runs.append(_run(evalset, outcome, boundaries, values))
    intervals, comparisons = judge.judged(scores, measures, baseline, clusters_of(evalset.queries, counted))
    return SetResult(
        name=evalset.name,
        fingerprint=evalset.fingerprint,
        documents=texts,
        queries=[query_record(query) for query in evalset.queries],
        counted=counted,
        left_out=left_out(evalset.queries, counted),
        runs=runs,
        intervals=intervals,
        comparisons=comparisons,
        baseline=baseline,
        notes=_notes(evalset, outcomes),
    )


def clusters_of(queries: Sequence[Query], counted: Sequence[str]) -> list[str]:
    """Return the document of each counted query."""
    by_id = {query.query_id: query for query in queries}
    return [asked_of(by_id[query_id]) for query_id in counted]


def token_spans(
    texts: dict[str, str], measures: Sequence[Measure], tokenizer: Tokenizer
) -> dict[str, NDArray[np.int64]] | None:
    """Return the token spans of the documents if a measure counts in tokens, else None."""
    if not any(dict(measure.settings).get("unit") == "tokens" for measure in measures):
        return None
    return dict(zip(texts, tokenizer.offsets(list(texts.values())), strict=True))


def query_record(query: Query) -> QueryRecord:
    """Return `query` as it is stored."""
    return QueryRecord(
        query_id=query.query_id,
        question=query.question,
        answers=list(query.answers),
        evidence=[(span.doc_id, span.start, span.end) for span in query.evidence],
        grades=[] if all(span.grade == 1 for span in query.evidence) else [span.grade for span in query.evidence],
        answerable=query.answerable,
        scope=query.scope,
    )


def query_of(record: QueryRecord) -> Query:
    """Return the query that `record` stores."""
    grades = record.grades or [1.0] * len(record.evidence)
    evidence = tuple(EvidenceSpan(*span, grade) for span, grade in zip(record.evidence, grades, strict=True))
    return Query(record.query_id, record.question, tuple(record.answers), evidence, record.answerable, record.scope)


def _shown(evalset: EvalSet, outcomes: Sequence[Outcome]) -> list[str]:
    """Return the documents with evidence or hits, in the order of the set."""
    wanted = {span.doc_id for query in evalset.queries for span in query.evidence}
    wanted |= {doc_id for outcome in outcomes for hits in outcome.run.hits for doc_id in hits.documents}
    return [doc_id for doc_id in evalset.documents if doc_id in wanted]


def _run(evalset: EvalSet, outcome: Outcome, boundaries: dict[str, list[Span]], values: Values) -> SystemRun:
    return SystemRun(
        system=outcome.system,
        chunks=outcome.index.count,
        mean_chunk_tokens=outcome.index.mean_tokens,
        unmapped=outcome.index.unmapped,
        boundaries=boundaries,
        hits={query.query_id: hits for query, hits in zip(evalset.queries, outcome.run.hits, strict=True)},
        scores=values,
        index_seconds=outcome.index.seconds,
    )


def _notes(evalset: EvalSet, outcomes: Sequence[Outcome]) -> list[str]:
    """Return what was dropped, and which figures are to be read with care."""
    notes = [f"dropped by the loader: {reason}" for reason in evalset.dropped]
    for outcome in outcomes:
        if outcome.run.unfilled:
            notes.append(
                f"{outcome.system}: the retrieved chunks did not fill the largest token budget for "
                f"{outcome.run.unfilled} questions; raise k"
            )
        if outcome.index.unmapped:
            notes.append(f"{outcome.system}: {outcome.index.unmapped} pieces could not be mapped to spans")
    return notes
