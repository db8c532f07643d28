"""Experiments to render: a real one in small (word windows, tf-idf, public data, the harness's own statistics)."""

from __future__ import annotations

import math
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from ragkit.eval.metrics.evaluate import evaluate
from ragkit.eval.results import Comparison, ExperimentResult, QueryRecord, SetResult, Span, SystemHits, SystemRun
from ragkit.eval.statistics import compare_all, mean_interval
from ragkit.eval.types import EvalSet, Retrieved

MEASURES = ["Recall@tokens(400)", "Recall@tokens(100)", "Recall@tokens(200)", "Recall@tokens(800)", "IoU@5", "RR@10"]
WORD = re.compile(r"\w+|[^\w\s]")


def experiment(
    sets: Sequence[EvalSet], sizes: Sequence[int] = (50, 100, 200), measures: Sequence[str] = MEASURES, hits: int = 20
) -> ExperimentResult:
    """Return the result of word windows of `sizes` x two ways to rank them on `sets`; a word is a token."""
    baseline = f"window-{sizes[len(sizes) // 2]} / tf-idf"
    return ExperimentResult(
        name="Windows and rankings",
        created="2026-01-02T03:04:05Z",
        machine="2 cores, 8 GB",
        code_version="0.1.0+test",
        experiment={"sizes": list(sizes), "sets": [one.name for one in sets]},
        measures=list(measures),
        baseline=baseline,
        seed=0,
        sets=[_set_result(one, sizes, measures, baseline, hits) for one in sets],
    )


def _set_result(one: EvalSet, sizes: Sequence[int], measures: Sequence[str], baseline: str, hits: int) -> SetResult:
    runs: list[SystemRun] = []
    for size in sizes:
        boundaries = {name: _windows(document.text, size) for name, document in one.documents.items()}
        for ranking, weigh in {"tf-idf": _idf, "overlap": lambda count, total: 1.0}.items():
            runs.append(_run(one, f"window-{size} / {ranking}", boundaries, weigh, measures, hits))
    counted = [query.query_id for query in one.queries if query.answerable and query.evidence]
    intervals: dict[str, dict[str, tuple[float, float, float]]] = {}
    comparisons: list[Comparison] = []
    for measure in measures:
        scores = {run.system: run.scores[measure] for run in runs}
        means = {name: mean_interval(values, resamples=500) for name, values in scores.items()}
        intervals[measure] = {name: (found.estimate, found.low, found.high) for name, found in means.items()}
        comparisons += compared(measure, scores, baseline)
    return SetResult(
        name=one.name,
        fingerprint=one.fingerprint,
        documents={name: document.text for name, document in one.documents.items()},
        queries=[
            QueryRecord(
                query_id=query.query_id,
                question=query.question,
                answers=list(query.answers),
                evidence=[(span.doc_id, span.start, span.end) for span in query.evidence],
                scope=query.scope,
            )
            for query in one.queries
        ],
        counted=counted,
        left_out={"no evidence": len(one.queries) - len(counted)} if len(counted) < len(one.queries) else {},
        runs=runs,
        intervals=intervals,
        comparisons=comparisons,
    )


def compared(measure: str, scores: Mapping[str, Sequence[float]], baseline: str) -> list[Comparison]:
    """Return the records of all comparisons to the baseline, as the harness computes them."""
    return [
        Comparison(
            measure=measure,
            system=named.a,
            baseline=named.b,
            difference=named.comparison.difference,
            low=named.comparison.interval.low,
            high=named.comparison.interval.high,
            p_value=named.comparison.p_value,
            p_holm=named.comparison.adjusted_p_value,
            detectable=named.comparison.detectable,
            winner=named.winner,
        )
        for named in compare_all(scores, baseline=baseline, resamples=500)
    ]


def _windows(text: str, size: int) -> list[Span]:
    words = list(WORD.finditer(text))
    starts = [words[place].start() for place in range(0, len(words), size)]
    return list(zip(starts, [*starts[1:], len(text)], strict=True))


def _idf(count: int, total: int) -> float:
    return math.log(1 + total / count)


def _run(
    one: EvalSet,
    name: str,
    boundaries: Mapping[str, list[Span]],
    weigh: Callable[[int, int], float],
    measures: Sequence[str],
    hits: int,
) -> SystemRun:
    chunks = [(document, span) for document, spans in boundaries.items() for span in spans]
    texts = [one.documents[document].text[span[0] : span[1]].lower() for document, span in chunks]
    sizes = [len(WORD.findall(text)) for text in texts]
    postings: dict[str, list[int]] = defaultdict(list)
    for place, text in enumerate(texts):
        for word in set(WORD.findall(text)):
            postings[word].append(place)
    found: dict[str, SystemHits] = {}
    retrieved: list[Retrieved] = []
    for query in one.queries:
        scores: Counter[int] = Counter()
        for word in set(WORD.findall(query.question.lower())):
            for place in postings.get(word, ()):
                if query.scope in (None, chunks[place][0]):
                    scores[place] += weigh(len(postings[word]), len(chunks))
        best = sorted(scores.items(), key=lambda item: (-item[1], item[0]))[:hits]
        found[query.query_id] = SystemHits(
            documents=[chunks[place][0] for place, _ in best],
            spans=[chunks[place][1] for place, _ in best],
            tokens=[sizes[place] for place, _ in best],
            scores=[score for _, score in best],
            seconds=0.001 + 0.00001 * len(scores),
        )
        hit = found[query.query_id]
        spans = np.array(hit.spans, np.int64).reshape(-1, 2)
        retrieved.append(Retrieved(tuple(hit.documents), spans, np.array(hit.tokens), np.array(hit.scores)))
    arrays = {document: np.array(spans, np.int64) for document, spans in boundaries.items()}
    values = evaluate(list(measures), one.queries, retrieved, chunks=arrays)
    return SystemRun(
        system=name,
        chunks=len(chunks),
        mean_chunk_tokens=sum(sizes) / len(sizes),
        boundaries=dict(boundaries),
        hits=found,
        scores={measure: values[measure].tolist() for measure in measures},
        index_seconds=0.0001 * len(chunks),
        embedded=len(chunks),
    )
