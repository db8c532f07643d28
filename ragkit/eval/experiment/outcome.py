"""What came out on one data set, as the record that reports and replays read."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from ragkit.eval.columns import Values as Columns
from ragkit.eval.experiment.answering import Answered
from ragkit.eval.experiment.comparing import base_group, base_measure, compared
from ragkit.eval.experiment.indexes import Built
from ragkit.eval.experiment.retrieval import Run
from ragkit.eval.experiment.scoring import Judge, Values, left_out
from ragkit.eval.experiment.systems import Context
from ragkit.eval.experiment.unmapped import unmapped_notes
from ragkit.eval.experiment.values import Counted, Found, together, values_of
from ragkit.eval.hits import HitsByQuery
from ragkit.eval.metrics import Measure, poisoned_documents, targets
from ragkit.eval.metrics.answer.attack import TARGETS
from ragkit.eval.results import QueryRecord, SetResult, Span, SystemRun
from ragkit.eval.types import EvalSet, EvidenceSpan, Query
from ragkit.protocols import Tokenizer

ABSENT = " is not measured here"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one system found on a set and answered, and the index it came from."""

    system: str
    context: Context
    index: Built
    run: Run
    answered: Answered | None = None


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
    poisoned = _poisoned(evalset, outcomes)
    texts = {doc_id: evalset.documents[doc_id].text for doc_id in shown}
    tokens = token_spans(texts, measures, tokenizer)
    values, boundaries = {}, {}
    for outcome in outcomes:
        boundaries[outcome.system] = {
            doc_id: [(start, end) for start, end, _ in outcome.index.chunks.get(doc_id, ())] for doc_id in shown
        }
        records = () if outcome.answered is None else outcome.answered.records
        found = Found(outcome.run.hits, boundaries[outcome.system], records, texts, poisoned)
        named = outcome.run.key if outcome.answered is None else outcome.answered.key
        values[outcome.system] = judge.scored(
            named, measures, partial(values_of, evalset.queries, found, measures, tokens)
        )
        advance(1)
    made = together(evalset.queries, measures, values)
    intervals, comparisons = compared(judge, made, measures, evalset.queries, baseline)
    counted = base_group(made, measures)
    return SetResult(
        name=evalset.name,
        fingerprint=evalset.fingerprint,
        documents=texts,
        queries=[query_record(query) for query in evalset.queries],
        counted=counted,
        counted_by={name: ids for name, ids in made.queries.items() if ids != counted},
        left_out=left_out(evalset.queries, counted, base_measure(made, measures)),
        unjudged=made.unjudged,
        runs=[_run(evalset, outcome, boundaries[outcome.system], made.scores[outcome.system]) for outcome in outcomes],
        intervals=intervals,
        comparisons=comparisons,
        baseline=baseline,
        notes=[*_notes(evalset, outcomes), *absences(made)],
        poisoned=sorted(poisoned),
    )


def absences(made: Counted) -> list[str]:
    """Return a note for every measure without values."""
    return [f"{measure}{ABSENT}: {reason}" for measure, reason in made.absent.items()]


def stored(values: Values) -> dict[str, Columns]:
    """Return the values of a system as records keep them."""
    return {measure: Columns(of) for measure, of in values.items()}


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
        targets=list(targets(query)),
    )


def query_of(record: QueryRecord) -> Query:
    """Return the query that `record` stores."""
    grades = record.grades or [1.0] * len(record.evidence)
    evidence = tuple(EvidenceSpan(*span, grade) for span, grade in zip(record.evidence, grades, strict=True))
    return Query(
        record.query_id,
        record.question,
        tuple(record.answers),
        evidence,
        record.answerable,
        record.scope,
        meta={TARGETS[0]: record.targets} if record.targets else {},
    )


def _shown(evalset: EvalSet, outcomes: Sequence[Outcome]) -> list[str]:
    """Return the documents with evidence or hits, in the order of the set."""
    wanted = {span.doc_id for query in evalset.queries for span in query.evidence}
    wanted |= {doc_id for outcome in outcomes for doc_id in outcome.run.hits.documents}
    return [doc_id for doc_id in evalset.documents if doc_id in wanted]


def _poisoned(evalset: EvalSet, outcomes: Sequence[Outcome]) -> frozenset[str]:
    """Return the documents of an attacker that any system kept or turned out."""
    seen = {doc_id for outcome in outcomes for doc_id in outcome.run.hits.documents}
    seen |= {one[0] for outcome in outcomes for own in outcome.run.hits.rejected for one in own}
    return poisoned_documents(evalset.documents[doc_id] for doc_id in seen)


def _run(evalset: EvalSet, outcome: Outcome, boundaries: dict[str, list[Span]], values: Values) -> SystemRun:
    answered = outcome.answered
    ids = [query.query_id for query in evalset.queries]
    cost = {} if answered is None else dict(answered.cost)
    if outcome.index.cost is not None:
        cost["index"] = outcome.index.cost
    return SystemRun(
        system=outcome.system,
        chunks=outcome.index.count,
        mean_chunk_tokens=outcome.index.mean_tokens,
        unmapped=outcome.index.unmapped,
        boundaries=boundaries,
        hits=HitsByQuery(tuple(ids), outcome.run.hits),
        scores=stored(values),
        index_seconds=outcome.index.seconds,
        context=outcome.context,
        embedded=outcome.index.embedded,
        cached_vectors=outcome.index.cached,
        cost=cost,
        language_model=None if answered is None else answered.model,
        answers={} if answered is None else dict(zip(ids, answered.records, strict=True)),
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
        notes += unmapped_notes(outcome.system, outcome.index.unmapped, outcome.index.count)
        notes += [f"{outcome.system}: not indexed: {reason}" for reason in outcome.index.failed]
        notes += [f"{outcome.system}: {note}" for note in _answer_notes(outcome)]
    return notes


def _answer_notes(outcome: Outcome) -> Iterator[str]:
    """Yield what is to be known about the answers of a system."""
    if outcome.context == "none":
        yield "answers without any source; its retrieval and citation measures are 0 by construction"
    if outcome.context == "oracle":
        yield "is given the gold evidence; its retrieval measures are what that comes to"
    records = () if outcome.answered is None else outcome.answered.records
    failures = [record.failure for record in records if record.failure]
    if failures:
        yield f"{len(failures)} questions could not be put to the model and count as unanswered, such as: {failures[0]}"
    rounds = [record.call.rounds for record in records if record.call is not None]
    if any(count > 1 for count in rounds):
        yield f"its controller took {sum(rounds) / len(rounds):.2f} rounds a question"
    empty = sum(record.text is None and not record.failure for record in records)
    if empty:
        yield f"{empty} questions found no source and count as unanswered; the model was not asked"
