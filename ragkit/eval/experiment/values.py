"""One value for each measure and question that counts for it, whatever the measure looks at; for runs and replays."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby

import numpy as np

from ragkit.errors import UsageError
from ragkit.eval.experiment.judging import case_of
from ragkit.eval.experiment.scoring import Values
from ragkit.eval.hits import Hits, SystemHits
from ragkit.eval.metrics import Judged, Measure, evaluate, evaluate_answers
from ragkit.eval.metrics.answer.evaluate import counts
from ragkit.eval.metrics.answer.judge import read
from ragkit.eval.metrics.answer.judged import TASK_OF
from ragkit.eval.metrics.answer.tasks import TASKS
from ragkit.eval.metrics.layout import SpansByDocument, positive
from ragkit.eval.metrics.selection.flagged import Screened
from ragkit.eval.results import AnswerRecord
from ragkit.eval.types import Query, Retrieved


@dataclass(frozen=True, slots=True)
class Found:
    """What one system did, as measures see it: parallel to the queries; `texts` are those of the documents shown."""

    hits: Hits
    boundaries: Mapping[str, Sequence[tuple[int, int]]]
    answers: Sequence[AnswerRecord] = ()
    texts: Mapping[str, str] = field(default_factory=dict)
    poisoned: frozenset[str] = frozenset()
    """Ids of documents that an attacker wrote."""


@dataclass(frozen=True, slots=True)
class Counted:
    """The values of several systems over the same queries, by measure.

    `unjudged` counts, by measure and system, the answers that have no value; their queries are in no system's mean.
    """

    scores: dict[str, Values]
    queries: dict[str, list[str]]
    unjudged: dict[str, dict[str, int]]
    absent: dict[str, str]
    """Measure -> why it counts no query at all."""


def values_of(
    queries: Sequence[Query], found: Found, measures: Sequence[Measure], token_spans: SpansByDocument | None
) -> dict[str, list[float | None]]:
    """Return the value of each measure for each query that counts for it (`counting`), None where none was judged."""
    values: dict[str, list[float | None]] = {}
    for needs, group in groupby(sorted(measures, key=_needs), key=_needs):
        some = list(group)
        if needs in ("hits", "citations"):
            runs = found.hits.retrieved() if needs == "hits" else list(map(_cited, found.answers))
            chunks = {doc_id: np.array(spans, np.int64).reshape(-1, 2) for doc_id, spans in found.boundaries.items()}
            if any(_counts(some[0], query) for query in queries):
                scores = evaluate(some, queries, runs, chunks=chunks, token_spans=token_spans)
                values.update((str(measure), scores[measure].tolist()) for measure in some)
        elif needs == "flags":
            answers: Sequence[AnswerRecord | None] = found.answers or [None] * len(found.hits)
            screened = [_screened(*pair, found.poisoned) for pair in zip(found.hits, answers, strict=True)]
            for measure in some:
                score, options = measure.declaration.score, dict(measure.settings)
                values[str(measure)] = [float(score(one, **options)) for one in screened]
        elif needs in ("similarity", "judge"):
            values.update((str(measure), list(_judged(measure, queries, found))) for measure in some)
        else:
            given = [None if record.text is None else record.plain for record in found.answers]
            sources = [_sources(hits, record, found.texts) for hits, record in _pairs(found)]
            for measure in some:
                values[str(measure)] = evaluate_answers([measure], queries, given, sources)[measure].tolist()
    return {str(measure): values.get(str(measure), []) for measure in measures}


def counting(queries: Sequence[Query], measure: Measure) -> list[str]:
    """Return the ids of the queries that count for a measure, in order."""
    return [query.query_id for query in queries if _counts(measure, query)]


def together(
    queries: Sequence[Query], measures: Sequence[Measure], systems: Mapping[str, Mapping[str, Sequence[float | None]]]
) -> Counted:
    """Return the values of all systems over the queries for which all of them have one.

    Raises UsageError if no measure counts any query.
    """
    made = Counted({system: {} for system in systems}, {}, {}, {})
    for measure in measures:
        name = str(measure)
        columns = {system: values[name] for system, values in systems.items()}
        ids = counting(queries, measure)
        kept = [at for at in range(len(ids)) if all(column[at] is not None for column in columns.values())]
        lost = {system: sum(value is None for value in column) for system, column in columns.items()}
        if any(lost.values()):
            made.unjudged[name] = {system: count for system, count in lost.items() if count}
        if not kept:
            made.absent[name] = "the judge scored no question for all systems" if ids else _reason(measure)
            continue
        made.queries[name] = [ids[at] for at in kept]
        for system, column in columns.items():
            made.scores[system][name] = [value for at in kept if (value := column[at]) is not None]
    if not made.queries:
        raise UsageError(
            f"Nothing can be scored on the data set: {next(iter(made.absent.values()), 'it has no question')}.",
            hint="Give a set with evidence spans or gold answers, other measures, or a larger sample.",
        )
    return made


def _needs(measure: Measure) -> str:
    return measure.declaration.needs


def _counts(measure: Measure, query: Query) -> bool:
    if measure.declaration.family == "retrieval":
        return query.answerable and bool(positive(query))
    return counts(measure, query)


def _reason(measure: Measure) -> str:
    """Return why a measure counts no query of a set."""
    if measure.name == "Abstention":
        return "no question is unanswerable"
    wanted = "evidence" if measure.declaration.family == "retrieval" else "gold answers"
    return f"no question is answerable and has {wanted}"


def _judged(measure: Measure, queries: Sequence[Query], found: Found) -> Iterator[float | None]:
    """Yield the value for each query that counts, None where the judge's reply gives none."""
    task = TASKS.get(TASK_OF.get(measure.name, ""))
    for query, (hits, record) in zip(queries, _pairs(found), strict=True):
        if not counts(measure, query):
            continue
        scores: dict[str, float] = {}
        if task is not None:
            case = case_of(query, hits, record, found.texts)
            score = task.settled(case)
            if score is None:
                said = record.judged.get(task.name)
                score = None if said is None or said.failure else read(task, case, said.reply)[0]
            if score is None:
                yield None
                continue
            scores[task.name] = score
        judged = Judged(scores, record.similarity or 0.0)
        yield float(measure.declaration.score(judged, **dict(measure.settings)))


def _pairs(found: Found) -> Iterator[tuple[SystemHits, AnswerRecord]]:
    return zip(found.hits, found.answers, strict=True)


def _screened(hits: SystemHits, record: AnswerRecord | None, poisoned: frozenset[str]) -> Screened:
    """Return what a selector kept and turned out for one question; parts of one chunk are one.

    Where a model was asked, only what it was shown was kept: without a selector that is less than what was found.
    """
    shown = range(len(hits.documents)) if record is None or record.call is None else record.shown
    parts = hits.parts or [-1] * len(hits.documents)
    kept: dict[tuple[int, int], tuple[str, int]] = {}
    for place, (document, tokens, part) in enumerate(zip(hits.documents, hits.tokens, parts, strict=True)):
        if place not in shown:
            continue
        unit = (part, -1) if part >= 0 else (-1, place)
        kept[unit] = (document, tokens + kept.get(unit, ("", 0))[1])
    return Screened(list(kept.values()), [(one[0], one[3]) for one in hits.rejected], poisoned)


def _sources(hits: SystemHits, record: AnswerRecord, texts: Mapping[str, str]) -> list[str]:
    return [texts[hits.documents[at]][slice(*hits.spans[at])] for at in record.shown]


def _cited(record: AnswerRecord) -> Retrieved:
    """Return the citations of an answer as a run; order and scores say nothing."""
    count = len(record.citations)
    spans = np.array([(start, end) for _, start, end in record.citations], np.int64).reshape(-1, 2)
    documents = tuple(doc_id for doc_id, *_ in record.citations)
    return Retrieved(documents, spans, np.zeros(count, np.int64), np.arange(count, 0, -1, dtype=np.float64))
