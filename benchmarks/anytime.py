"""What a tree search is worth when it is cut short: evidence recall and its own value against the deadline.

    python -m benchmarks.anytime [DATA_FOLDER]

The questions of chunking_eval that have evidence, 50 hits of hybrid retrieval over recursive chunks of 200 tokens, a
budget of 900 tokens (what `top_k: 5` keeps) of MiniLM's tokenizer, `coverage` as the value. The deadline is the option
`seconds`: it ends the search, not the preparation of terms and vectors, and all single chunks are valued before it is
looked at. "Value" is the mean share of the best value that any row found for the question. [95 % intervals over
questions]. Deadlines are times of the clock: rows depend on the machine and what else it does.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.evidence import CONFIG, records, span_recall, union
from benchmarks.machine import describe
from ragkit.corpus import SnapshotCorpus
from ragkit.eval.statistics import mean_interval
from ragkit.models.hub import model_folder
from ragkit.models.tokenizer import HfTokenizer
from ragkit.pipeline import Pipeline
from ragkit.schema import Hit
from ragkit.selectors.top_k import TopKSelector
from ragkit.selectors.tree_search import TreeSearchSelector

CANDIDATES, TOKENS = 50, 900
DEADLINES = (0.0, 0.001, 0.002, 0.005, 0.02, None)
SEARCHES: Mapping[str, Mapping[str, Any]] = {
    "`tree_search`: beam, exchanges, tree": {},
    "`mode: paper`": {"mode": "paper"},
    "`search: greedy`, exchanges": {"search": "greedy"},
}


def shown(values: Sequence[float]) -> str:
    """Return the mean with its interval."""
    found = mean_interval(values)
    return f"{found.estimate:.3f} [{found.low:.3f}, {found.high:.3f}]"


def main() -> None:
    """Print the table."""
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else "../shared/data") / "chunking_eval"
    tokenizer = HfTokenizer.from_folder(model_folder("all-MiniLM-L6-v2"))
    queries = [query for query in records(folder / "queries.jsonl.gz") if query["evidence"]]
    gold = [union((one["doc_id"], one["start"], one["end"]) for one in query["evidence"]) for query in queries]
    with tempfile.TemporaryDirectory() as scratch, Pipeline(Path(scratch) / "index", CONFIG) as pipeline:
        pipeline.index([folder / "corpus.jsonl.gz"])
        corpus = SnapshotCorpus(pipeline.snapshot)
        asked = [(query["question"], pipeline.retrieve(query["question"], CANDIDATES)) for query in queries]

        def recalls(kept: Sequence[Sequence[Hit]]) -> list[float]:
            return [span_recall(evidence, list(hits)) for evidence, hits in zip(gold, kept, strict=True)]

        top = TopKSelector(5, tokenizer.count)
        best = np.full(len(asked), -np.inf)
        rows = []
        for name, options in SEARCHES.items():
            for seconds in DEADLINES:
                selector = TreeSearchSelector(tokens=TOKENS, seconds=seconds, count=tokenizer.count, **options)
                done = [selector.select(question, hits, None, corpus) for question, hits in asked]
                values = np.array([one.trace["best_value"] for one in done])
                best = np.maximum(best, values)
                rows.append((name, seconds, values, done))
        print(f"{len(asked)} questions of chunking_eval; {describe()}.\n")
        print("| search | deadline, ms | value | evidence recall | tokens | chunks |\n|---|---:|---:|---:|---:|---:|")
        for name, seconds, values, done in rows:
            moment = "none" if seconds is None else f"{1000 * seconds:g}"
            tokens, chunks = np.mean([one.tokens for one in done]), np.mean([len(one.hits) for one in done])
            recall = shown(recalls([one.hits for one in done]))
            print(f"| {name} | {moment} | {np.mean(values / best):.4f} | {recall} | {tokens:.0f} | {chunks:.1f} |")
        kept = [top.select(question, hits, None, corpus) for question, hits in asked]
        tokens = np.mean([one.tokens for one in kept])
        print(f"| `top_k: 5` | | | {shown(recalls([one.hits for one in kept]))} | {tokens:.0f} | 5.0 |")


if __name__ == "__main__":
    main()
