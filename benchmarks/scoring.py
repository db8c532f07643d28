"""How fast queries are scored and intervals computed, beside ir_measures and the floor of the machine.

    python -m benchmarks.scoring

10,000 queries with 100 hits each, two evidence spans a query, 2,000 documents. The best of three runs each. The peer
scores the same ranking at document level from its own dictionaries, which were built before the clock starts; ours
starts from the Retrieved objects, and the span measures have no peer that is not a loop over strings. The floor is
what numpy needs to copy the hits into flat arrays and sort them once, below which no array implementation can go.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from itertools import chain

import ir_measures
import numpy as np
from scipy import stats

from benchmarks.machine import describe
from ragkit.eval.metrics import evaluate
from ragkit.eval.statistics import compare, mean_interval, permutation_p_value
from ragkit.eval.types import EvidenceSpan, Query, Retrieved

QUERIES, HITS, DOCUMENTS, LENGTH, SIZE = 10_000, 100, 2_000, 20_000, 500
SPAN = ["Recall@5", "Precision@5", "IoU@5", "Recall@tokens(400)", "IoU@tokens(400)", "FullEvidence@5", "ReferenceHit@5"]
CHUNK_RANK = ["Hit@5", "RR@10", "P@5", "R@10", "AP", "nDCG@10", "PrecisionOmega"]
PEER = ["nDCG@10", "AP", "RR@10", "P@5", "R@10", "Success@5"]
DOCUMENT_RANK = [
    'nDCG(unit="documents")@10',
    'AP(unit="documents")',
    'RR(unit="documents")@10',
    'P(unit="documents")@5',
    'R(unit="documents")@10',
    'Hit(unit="documents")@5',
]


def best(work: Callable[[], object], times: int = 3) -> float:
    """Return the seconds of the fastest of some runs."""
    taken = []
    for _ in range(times):
        started = time.perf_counter()
        work()
        taken.append(time.perf_counter() - started)
    return min(taken)


def made_up() -> tuple[list[Query], list[Retrieved], dict[str, np.ndarray]]:
    """Return queries, runs with distinct documents in each, and the chunks of the corpus."""
    chance = np.random.default_rng(0)
    names = np.array([f"document-{number}" for number in range(DOCUMENTS)])
    queries, runs = [], []
    for number in range(QUERIES):
        documents = chance.permutation(DOCUMENTS)[:HITS]
        gold = documents[chance.integers(0, HITS, 2)]
        starts = chance.integers(0, LENGTH // 400 - 2, HITS) * 400
        evidence = tuple(
            EvidenceSpan(str(names[document]), int(start) + 50, int(start) + 250)
            for document, start in zip(gold, starts[:2], strict=True)
        )
        queries.append(Query(f"q{number}", "?", evidence=evidence))
        spans = np.column_stack((starts, starts + SIZE))
        runs.append(
            Retrieved(tuple(names[documents].tolist()), spans, np.full(HITS, 120), -np.arange(HITS, dtype=np.float64))
        )
    grid = np.array([(start, start + SIZE) for start in range(0, LENGTH, 400)])
    return queries, runs, dict.fromkeys(names.tolist(), grid)


def floor(runs: list[Retrieved]) -> None:
    """Copy all hits into flat arrays, number their documents, and sort them once."""
    spans = np.concatenate([run.spans for run in runs])
    codes: dict[str, int] = {}
    owner = np.repeat(np.arange(len(runs)), [len(run.documents) for run in runs])
    document = np.array([codes.setdefault(name, len(codes)) for name in chain.from_iterable(r.documents for r in runs)])
    np.argsort((owner * DOCUMENTS + document) * (LENGTH + SIZE) + spans[:, 0], kind="stable")


def scoring() -> None:
    """Print the table of scoring."""
    queries, runs, chunks = made_up()
    qrels = {query.query_id: {span.doc_id: 1 for span in query.evidence} for query in queries}
    trec = {
        query.query_id: dict(zip(run.documents, run.scores.tolist(), strict=True))
        for query, run in zip(queries, runs, strict=True)
    }
    peer = [ir_measures.parse_measure(name) for name in PEER]
    theirs = ir_measures.calc_aggregate(peer, qrels, trec)
    means = evaluate(DOCUMENT_RANK, queries, runs).means()
    off = max(abs(theirs[measure] - mean) for measure, mean in zip(peer, means.values(), strict=True))
    rows = {
        f"ragkit, {len(SPAN)} span measures": lambda: evaluate(SPAN, queries, runs),
        f"ragkit, {len(SPAN + CHUNK_RANK)} measures of spans and chunks": lambda: evaluate(
            SPAN + CHUNK_RANK, queries, runs, chunks=chunks
        ),
        f"ragkit, {len(PEER)} measures of documents": lambda: evaluate(DOCUMENT_RANK, queries, runs),
        f"ir_measures, the same {len(PEER)}, dictionaries given": lambda: ir_measures.calc_aggregate(peer, qrels, trec),
        "floor: into flat arrays, one sort": lambda: floor(runs),
    }
    print(f"\n| scoring {QUERIES:,} queries x {HITS} hits | seconds |\n|---|---:|")
    for name, work in rows.items():
        print(f"| {name} | {best(work):.2f} |", flush=True)
    print(f"\nLargest difference of a mean from ir_measures: {off:.1e}")


def statistics() -> None:
    """Print the table of the statistics."""
    chance = np.random.default_rng(0)
    first = chance.random(1000)
    second = first + chance.normal(0.01, 0.2, 1000)
    documents = chance.integers(0, 200, 1000).tolist()
    rows = {
        "ragkit, interval of the mean": lambda: mean_interval(first),
        "ragkit, interval over 200 documents": lambda: mean_interval(first, documents),
        "ragkit, permutation test": lambda: permutation_p_value(first - second),
        "ragkit, compare: two intervals, test, detectable difference": lambda: compare(first, second, documents),
        "scipy.stats.bootstrap, percentile, vectorised": lambda: stats.bootstrap(
            (first,), np.mean, method="percentile", n_resamples=10_000, vectorized=True
        ),
        "floor: drawing 10 million random integers": lambda: chance.integers(0, 1000, 10_000_000, dtype=np.int32),
    }
    print("\n| 10,000 resamples over 1,000 queries | seconds |\n|---|---:|")
    for name, work in rows.items():
        print(f"| {name} | {best(work):.2f} |", flush=True)


def main() -> None:
    """Print both tables."""
    print(describe("ir_measures", "scipy"))
    scoring()
    statistics()


if __name__ == "__main__":
    main()
