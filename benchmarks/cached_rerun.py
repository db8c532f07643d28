"""How long a re-run takes when nothing changed, delivery included, at the size of the first table; and what it writes.

    python -m benchmarks.cached_rerun [--data ../shared/data] [--keep DIR]

36 systems x 8 data sets with all their questions, about 236,000 lists of hits, on real documents and chunks, without
a model: vectors are hashes of words and the hits are drawn at random (one of them now and then the evidence's), put
into the work folder by the functions that a run uses. The first run scores, tests (with 1,000 resamples) and delivers;
the re-runs are those of the command line, each in a process of its own, start of Python and all libraries included.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from benchmarks.machine import describe
from ragkit.eval.experiment.depth import Depth
from ragkit.eval.experiment.indexes import Built, built
from ragkit.eval.experiment.orders import orders_of
from ragkit.eval.experiment.retrieval import keep_run, run_key
from ragkit.eval.experiment.run import RunOptions, Task, prepared
from ragkit.eval.hits import SystemHits
from ragkit.eval.types import EvalSet, Query

HERE = Path(__file__).parent
DRAWN = 24
"""Hits of a query: more than any measure of the table looks at with most chunkers."""


def written(folder: Path, **changes: Any) -> Path:
    """Return the path of the first experiment without its model, written to `folder`."""
    content = yaml.safe_load((HERE / "experiments" / "first.yaml").read_text(encoding="utf-8"))
    content |= {"tokenizer": "words", "resamples": 1000, **changes}
    content["pipeline"] = {"embedder": {"name": "hashing", "dimension": 64}, "store": {"name": "faiss"}}
    path = folder / "first.yaml"
    path.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")
    return path


def fill(task: Task) -> int:
    """Build all indexes, keep hits for every system and question, and return how many lists that are."""
    depth, lists = Depth.of(task.measures), 0
    for number, item in enumerate(task.loaded):
        evalset, known = item.evalset, {}
        for place, (system, order) in enumerate(
            zip(task.systems, orders_of(task.workshop, task.systems, evalset), strict=True)
        ):
            if order is None:
                continue
            if order.name not in known:
                known[order.name] = built(task.workshop, system, evalset, order, report=lambda _: None)
            index, k = known[order.name], task.experiment.k
            name = run_key(task.workshop, index, system, evalset, k=k, depth=depth)
            chance = np.random.default_rng([number, place])
            keep_run(task.workshop, name, list(_drawn(index, evalset, chance)), k=k, depth=depth)
            lists += len(evalset.queries)
    return lists


def _drawn(index: Built, evalset: EvalSet, chance: np.random.Generator) -> Iterator[SystemHits]:
    """Yield random hits for every question, in its scope, sometimes with the chunk where its evidence starts."""
    everywhere = [(doc_id, *span) for doc_id, spans in index.chunks.items() for span in spans]
    for query in evalset.queries:
        chunks = everywhere if query.scope is None else [(query.scope, *one) for one in index.chunks[query.scope]]
        count = min(DRAWN, len(chunks))
        rows = [chunks[place] for place in chance.choice(len(chunks), count, replace=False).tolist()]
        gold = _gold(query, index)
        if gold is not None and gold not in rows and chance.random() < 0.7:
            rows[int(chance.integers(0, count))] = gold
        yield SystemHits.model_construct(
            documents=[row[0] for row in rows],
            spans=[(row[1], row[2]) for row in rows],
            tokens=[row[3] for row in rows],
            scores=np.sort(chance.gamma(3.0, 4.0, count))[::-1].tolist(),
            seconds=float(chance.gamma(4.0, 0.001)),
            ranked=True,
        )


def _gold(query: Query, index: Built) -> tuple[str, int, int, int] | None:
    for span in query.evidence[:1]:
        for start, end, tokens in index.chunks.get(span.doc_id, ()):
            if start <= span.start < end:
                return span.doc_id, start, end, tokens
    return None


def timed(path: Path, options: list[str]) -> tuple[float, float]:
    """Return the seconds and the peak MB of the command line on the experiment in `path`."""
    command = [sys.executable, "-m", "ragkit.cli.app", "eval", "run", str(path), *options]
    started = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, status, used = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"{' '.join(command)} ended with {os.waitstatus_to_exitcode(status)}")
    return time.perf_counter() - started, used.ru_maxrss / 1024


def main() -> None:
    """Fill a work folder, run once, time re-runs, print the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", type=Path, default=HERE.parent.parent / "shared" / "data")
    parser.add_argument("--sample", type=int, help="so many questions of each set, for a quick look")
    parser.add_argument("--keep", type=Path, help="work in this folder and leave it")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = (args.keep or Path(temporary)).resolve()
        folder.mkdir(parents=True, exist_ok=True)
        path = written(folder)
        started = time.perf_counter()
        with prepared(path, RunOptions(folder / "work", args.data.resolve(), sample=args.sample)) as task:
            lists = fill(task)
            described = f"{len(task.systems)} systems x {len(task.loaded)} data sets, {lists:,} lists of hits"
        options = ["--work", str(folder / "work"), "--out", str(folder / "out"), "--data", str(args.data.resolve())]
        options += ["--sample", str(args.sample)] if args.sample else []
        print(f"{describe()}. {described}, made in {time.perf_counter() - started:.0f} s.\n", flush=True)
        print("| | seconds | peak MB |\n| --- | ---: | ---: |", flush=True)
        measures = yaml.safe_load(path.read_text(encoding="utf-8"))["measures"]
        rows = {
            "first run: scores, tests, files": path,
            "nothing changed": path,
            "nothing changed, again": path,
            "one measure more": (folder / "more").with_suffix(".yaml"),
        }
        for name, file in rows.items():
            if not file.exists():
                content = yaml.safe_load(path.read_text(encoding="utf-8"))
                file.write_text(yaml.safe_dump({**content, "measures": [*measures, "Hit@5"]}, sort_keys=False))
            seconds, memory = timed(file, options)
            print(f"| {name} | {seconds:.1f} | {memory:.0f} |", flush=True)
        print("\n| file | MB |\n| --- | ---: |")
        for file in sorted((folder / "out").iterdir()):
            print(f"| {file.name} | {file.stat().st_size / 1e6:.1f} |")
        own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(f"\nPeak memory of making the hits: {own:.0f} MB.")


if __name__ == "__main__":
    main()
