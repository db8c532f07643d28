"""Chunks and questions for timings: random windows of the public data sets' texts, the same on every run."""

from __future__ import annotations

import gzip
import json
import os
import random
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

DATA = Path(os.environ.get("RAGKIT_DATA", Path(__file__).parents[1] / ".." / "shared" / "data"))
ENGLISH = ("chunking_eval", "multihop_rag_a", "squad_a", "scifact", "musique", "quality_a", "longbench_a", "cranfield")
ASKED = ("squad_a", "chunking_eval", "scifact")


def windows(count: int, characters: int = 800) -> list[str]:
    """Return `count` windows of English text."""
    text = "\n".join(record["text"] for name in ENGLISH for record in _records(name, "corpus"))
    source = random.Random(0)
    starts = [source.randrange(len(text) - characters) for _ in range(count)]
    return [text[start : start + characters] for start in starts]


def questions(count: int) -> list[str]:
    """Return `count` questions of the data sets."""
    asked = [record["question"] for name in ASKED for record in _records(name, "queries")]
    return random.Random(1).sample(asked, count)


def milliseconds(call: Callable[[str], object], inputs: Sequence[str]) -> tuple[float, float]:
    """Return median and 99th percentile of the time of `call`, in milliseconds, after 5 calls to warm up."""
    for given in inputs[:5]:
        call(given)
    times = []
    for given in inputs:
        started = time.perf_counter()
        call(given)
        times.append((time.perf_counter() - started) * 1e3)
    return statistics.median(times), statistics.quantiles(times, n=100)[98]


def seconds(call: Callable[[], object]) -> float:
    """Return how long `call` takes."""
    started = time.perf_counter()
    call()
    return time.perf_counter() - started


def _records(name: str, part: str) -> Iterator[dict[str, str]]:
    path = DATA / name / f"{part}.jsonl.gz"
    if path.is_file():
        with gzip.open(path, "rt", encoding="utf-8") as lines:
            yield from map(json.loads, lines)
