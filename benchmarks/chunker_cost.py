"""Seconds per MB of chunkers that use a model, beside those that use none, with all caches off.

    python -m benchmarks.chunker_cost [--data DIR] [--characters 40000] [--repeats 2]

Real documents (qmsum_val, contract_nli, longbench_a); models are loaded and warm before the clock starts; repeats are
interleaved; medians.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import statistics
import time
from pathlib import Path

from benchmarks.machine import describe
from ragkit.config import PartConfig, PipelineConfig
from ragkit.parts import make_chunker, make_embedder
from ragkit.schema import Document

CHUNKERS = ("token", "sentence", "recursive", "semantic", "perplexity", "margin_sampling")
SETS = ("qmsum_val", "contract_nli", "longbench_a")


def documents(data: Path, characters: int) -> list[Document]:
    """Return equal shares of the sets, `characters` in all."""
    found = []
    for name in SETS:
        text = ""
        with gzip.open(data / name / "corpus.jsonl.gz", "rt", encoding="utf-8") as lines:
            for line in lines:
                text += json.loads(line)["text"] + "\n\n"
                if len(text) >= characters // len(SETS):
                    break
        found.append(Document(text[: characters // len(SETS)], source=name))
    return found


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--characters", type=int, default=40_000)
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--chunkers", nargs="+", default=list(CHUNKERS))
    args = parser.parse_args()
    os.environ["RAGKIT_LLM_CACHE"] = os.environ["RAGKIT_EMBEDDING_CACHE"] = "off"
    given = documents(args.data, args.characters)
    embedder = make_embedder(PipelineConfig())
    chunkers = {name: make_chunker(PipelineConfig(chunker=PartConfig(name=name)), embedder) for name in args.chunkers}
    for chunker in chunkers.values():
        list(chunker.chunk([Document(given[0].text[:3000], source="warm")]))
    seconds: dict[str, list[float]] = {name: [] for name in chunkers}
    counts = {}
    for _ in range(args.repeats):
        for name, chunker in chunkers.items():
            began = time.perf_counter()
            counts[name] = sum(len(one.chunks) for one in chunker.chunk(given))
            seconds[name].append(time.perf_counter() - began)
    size = sum(len(document.text.encode()) for document in given) / 1e6
    print(f"{describe()}. {size:.3f} MB in {len(given)} documents, 200 tokens, all caches off.\n")
    print("| chunker | chunks | seconds per MB | of semantic |\n|---|---:|---:|---:|")
    medians = {name: statistics.median(values) / size for name, values in seconds.items()}
    for name, value in medians.items():
        share = f"{value / medians['semantic']:.1%}" if "semantic" in medians else ""
        print(f"| {name} | {counts[name]} | {value:.2f} | {share} |")


if __name__ == "__main__":
    main()
