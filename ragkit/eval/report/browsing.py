"""What the browser of single queries reads: one record for the page, one for each data set, parsed when it is opened.

Hits are many and many are the same: each refers to one of its system's spans by place, and a span is four numbers in a
flat list (document, start, end, tokens).
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from ragkit.eval.report.cuts import cutoff, in_scope, lower_is_better
from ragkit.eval.report.excerpts import AROUND_EVIDENCE, AROUND_HITS, Pieces, excerpts, within
from ragkit.eval.report.tables import baseline_of
from ragkit.eval.results import AnswerRecord, ExperimentResult, QueryRecord, SetResult, Span, SystemHits, SystemRun

MOST_HITS = 150_000
"""Hits in one page, about ten bytes each."""

FEWEST_HITS = 5

NOTHING = SystemHits(documents=[], spans=[], tokens=[], scores=[], seconds=0.0)

Questions = Sequence[Sequence[QueryRecord]]
"""The questions that the page shows of each data set."""


def hits_shown(result: ExperimentResult, questions: Questions, wanted: int) -> int:
    """Return how many hits of each query and system the page can hold, at most `wanted`."""
    lists = sum(len(shown) * len(one.runs) for one, shown in zip(result.sets, questions, strict=True))
    return min(wanted, max(FEWEST_HITS, MOST_HITS // max(lists, 1)))


def browser_data(result: ExperimentResult, questions: Questions, first: str) -> dict[str, Any]:
    """Return what concerns all data sets: their names, the systems, the measures with direction and cut-off."""
    cuts = [cutoff(measure) for measure in result.measures]
    return {
        "baseline": baseline_of(result, result.sets[0]),
        "first": result.measures.index(first),
        "measures": [
            {
                "name": measure,
                "lower": lower_is_better(measure),
                "cut": None if cut is None else {"kind": cut.kind, "size": cut.size},
            }
            for measure, cut in zip(result.measures, cuts, strict=True)
        ],
        "sets": [{"name": one.name, "queries": len(shown)} for one, shown in zip(result.sets, questions, strict=True)],
        "systems": list(dict.fromkeys(run.system for one in result.sets for run in one.runs)),
    }


def sets_data(result: ExperimentResult, questions: Questions, hits: int) -> list[dict[str, Any]]:
    """Return for each data set its queries, its documents (excerpts) and what each system did."""
    return [_set_data(one, shown, result.measures, hits) for one, shown in zip(result.sets, questions, strict=True)]


def _set_data(one: SetResult, records: Sequence[QueryRecord], measures: list[str], hits: int) -> dict[str, Any]:
    kept = excerpts(one.documents, _windows(one, records, hits))
    places = {name: place for place, name in enumerate(kept)}
    groups = list({tuple(one.counted_for(measure)): None for measure in measures})
    shown = {record.query_id for record in records}
    # places among all values of those that are shown: the page holds no others
    taken = {ids: [place for place, name in enumerate(ids) if name in shown] for ids in groups}
    places_in = [{ids[place]: number for number, place in enumerate(taken[ids])} for ids in groups]
    cuts: dict[str, int] = {}
    systems = [
        _system(run, records, {m: taken[tuple(one.counted_for(m))] for m in measures}, hits, places)
        | {"boundaries": cuts.setdefault(json.dumps(_cuts(run, kept, places)), len(cuts))}
        for run in one.runs
    ]
    return {
        "name": one.name,
        "groups": [groups.index(tuple(one.counted_for(measure))) for measure in measures],
        "documents": [
            {"id": name, "length": len(one.documents.get(name, "")), "pieces": parts} for name, parts in kept.items()
        ],
        "queries": [
            {
                "id": record.query_id,
                "question": record.question,
                "answers": record.answers,
                "evidence": [(places[document], start, end) for document, start, end in _evidence(record)],
                "counted": [counted.get(record.query_id, -1) for counted in places_in],
            }
            for record in records
        ],
        "boundaries": [json.loads(text) for text in cuts],
        "systems": systems,
    }


def _windows(one: SetResult, records: Sequence[QueryRecord], hits: int) -> dict[str, list[Span]]:
    """Return what must be seen of each document."""
    windows: dict[str, list[Span]] = defaultdict(list)
    for record in records:
        for document, start, end in _evidence(record):
            windows[document].append((start - AROUND_EVIDENCE, end + AROUND_EVIDENCE))
        for run in one.runs:
            for document, (start, end) in _shown(record, run, hits):
                windows[document].append((start - AROUND_HITS, end + AROUND_HITS))
            answer = run.answers.get(record.query_id)
            for document, start, end in () if answer is None else answer.citations:
                windows[document].append((start - AROUND_HITS, end + AROUND_HITS))
    return windows


def _cuts(run: SystemRun, kept: dict[str, Pieces], places: dict[str, int]) -> dict[int, list[int]]:
    """Return where in the shown pieces of each document a chunk starts or ends."""
    return {
        places[name]: sorted({end for span in within(spans, kept[name]) for end in span})
        for name, spans in run.boundaries.items()
        if name in kept
    }


def _evidence(record: QueryRecord) -> list[tuple[str, int, int]]:
    """Return the spans that count as evidence: those with a grade above 0."""
    if not record.grades:
        return record.evidence
    return [span for span, grade in zip(record.evidence, record.grades, strict=True) if grade > 0]


def _shown(record: QueryRecord, run: SystemRun, hits: int) -> list[tuple[str, Span]]:
    found = run.hits.get(record.query_id)
    if found is None:
        return []
    return [(found.documents[place], found.spans[place]) for place in in_scope(record, found)[:hits]]


def _system(
    run: SystemRun, records: Sequence[QueryRecord], taken: dict[str, list[int]], hits: int, places: dict[str, int]
) -> dict[str, Any]:
    found = [(record, run.hits.get(record.query_id, NOTHING)) for record in records]
    shown = [(got, in_scope(record, got)) for record, got in found]
    table: dict[tuple[int, int, int, int], int] = {}
    lists = [
        [
            table.setdefault((places[got.documents[at]], *got.spans[at], got.tokens[at]), len(table))
            for at in seen[:hits]
        ]
        for got, seen in shown
    ]
    return {
        "name": run.system,
        "ranked": all(got.ranked for _, got in found),
        "scores": [
            [_short(value) for value in run.scores[measure].array[some].tolist()] if measure in run.scores else None
            for measure, some in taken.items()
        ],
        "spans": [number for span in table for number in span],
        "hits": lists,
        "hitScores": [[float(f"{got.scores[at]:.3g}") for at in seen[:hits]] for got, seen in shown],
        "found": [len(seen) for _, seen in shown],
        "model": None if run.language_model is None else run.language_model.name,
        "answers": [_answer(run.answers.get(record.query_id), places) for record in records] if run.answers else None,
    }


def _short(value: float) -> float:
    """Return the value in as few digits as the browser needs, 0 and 1 in one."""
    return int(value) if value in (0, 1) else round(value, 5)


def _answer(answer: AnswerRecord | None, places: dict[str, int]) -> dict[str, Any] | None:
    """Return what the browser shows of an answer: its text, what it cites, what is not supported or not judged."""
    if answer is None:
        return None
    return {
        "text": answer.text,
        "failure": answer.failure,
        "citations": [(places[document], start, end) for document, start, end in answer.citations],
        "unsupported": answer.unsupported,
        "unjudged": [f"{task}: {one.failure}" for task, one in answer.judged.items() if one.failure],
    }
