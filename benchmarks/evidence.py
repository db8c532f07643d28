"""Recall of the evidence in the first five chunks, for lexical, dense and hybrid retrieval, on public data.

    python -m benchmarks.evidence [DATA_FOLDER]

For every question with evidence: the share of its evidence characters that lie in the union of the first five chunks
(span recall, half-open spans, overlapping references merged). The mean is over all questions; the interval is a
percentile bootstrap over questions, 10,000 resamples, seed 0. Differences are paired over the same questions.
"""

from __future__ import annotations

import gzip
import json
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.machine import describe
from ragkit.config import PipelineConfig
from ragkit.pipeline import Pipeline
from ragkit.schema import Hit

SETS = ("chunking_eval", "multihop_rag_a", "squad_a")
RETRIEVERS = ("lexical", "dense", "hybrid")
K = 5
CONFIG = PipelineConfig.from_mapping({"chunker": {"name": "recursive", "size": 200}})

Spans = dict[str, list[tuple[int, int]]]


def records(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the records of a compressed JSONL file."""
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        yield from map(json.loads, lines)


def union(spans: Iterator[tuple[str, int, int]]) -> Spans:
    """Return the merged spans of every document."""
    merged: Spans = {}
    for doc_id, start, end in sorted(spans):
        held = merged.setdefault(doc_id, [])
        if held and start <= held[-1][1]:
            held[-1] = (held[-1][0], max(end, held[-1][1]))
        else:
            held.append((start, end))
    return merged


def span_recall(evidence: Spans, hits: list[Hit]) -> float:
    """Return the share of evidence characters inside the union of the hits."""
    found = union((hit.chunk.doc_id, hit.chunk.start, hit.chunk.end) for hit in hits)
    covered = sum(
        max(0, min(end, stop) - max(start, begin))
        for doc_id, spans in evidence.items()
        for start, end in spans
        for begin, stop in found.get(doc_id, [])
    )
    return covered / sum(end - start for spans in evidence.values() for start, end in spans)


def interval(values: np.ndarray) -> tuple[float, float]:
    """Return the 95 % percentile bootstrap interval of the mean."""
    chance = np.random.default_rng(0)
    means = [values[chance.integers(0, len(values), len(values))].mean() for _ in range(10_000)]
    low, high = np.percentile(means, [2.5, 97.5])
    return float(low), float(high)


def measure(folder: Path) -> list[str]:
    """Return the table rows of one data set."""
    rows = []
    with tempfile.TemporaryDirectory() as scratch, Pipeline(Path(scratch) / "index", CONFIG) as pipeline:
        report = pipeline.index([folder / "corpus.jsonl.gz"])
        queries = [query for query in records(folder / "queries.jsonl.gz") if query["evidence"]]
        scores: dict[str, np.ndarray] = {}
        for retriever in RETRIEVERS:
            started = time.perf_counter()
            recalls = []
            for query in queries:
                evidence = union((item["doc_id"], item["start"], item["end"]) for item in query["evidence"])
                recalls.append(span_recall(evidence, pipeline.retrieve(query["question"], K, retriever=retriever)))
            each = (time.perf_counter() - started) / len(queries) * 1000
            scores[retriever] = np.array(recalls)
            low, high = interval(scores[retriever])
            against = ""
            if retriever == "hybrid":
                best = max(("lexical", "dense"), key=lambda name: scores[name].mean())
                gain = scores["hybrid"] - scores[best]
                first, last = interval(gain)
                against = f"{100 * gain.mean():+.1f} [{100 * first:+.1f}, {100 * last:+.1f}] over {best}"
            rows.append(
                f"| {folder.name} | {report.documents} | {report.chunks} | {len(queries)} | {retriever} | "
                f"{100 * scores[retriever].mean():.1f} [{100 * low:.1f}, {100 * high:.1f}] | {against} | {each:.0f} |"
            )
    return rows


def main() -> None:
    """Print the table of all sets."""
    data = Path(sys.argv[1] if len(sys.argv) > 1 else "../shared/data")
    print(describe())
    print(
        "| set | documents | chunks | questions | retriever | recall@5 of the evidence, % | hybrid's gain | ms/query |"
    )
    print("|---|---:|---:|---:|---|---|---|---:|")
    for name in SETS:
        for row in measure(data / name):
            print(row, flush=True)


if __name__ == "__main__":
    main()
