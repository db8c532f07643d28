"""How near the store of chunk reuse comes to the best one, on streams of questions.

    python -m benchmarks.kv_hits [DATA_FOLDER] [--sets squad_a multihop_rag_a scifact] [--streams 10]

The streams, stores and the index of `benchmarks.kv_cost`, without its prefix caches. Hits are shares of chunk tokens
over the last 100 of 1,000 prompts; of each column the mean over the streams [least, most].

- steady optimum: the store that never changes and serves most tokens in the long run, chosen with knowledge of the law
  that questions are drawn from. Questions are drawn independently, so no store that knows only the past does better.
- hindsight: the store that never changes and would have served most tokens of this very stream, its last 100 prompts
  included. No store can know it; even the steady optimum stays below it, as much as its column says.
- in the long run: tokens that the store after the last prompt would serve of endlessly many more, against the optimum:
  the same without the chance of which questions the last 100 are.
- by number: chunks instead of tokens, against the optimum for that (many short ones). The index weighs tokens.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from benchmarks.kv_cost import LAST, ChunkStore, asked_of, best_store, capacity_of, served
from benchmarks.machine import describe
from benchmarks.prompt_order import zipf_with_law
from ragkit.cachecraft.core.index import VariantIndex
from ragkit.cachecraft.core.prompt import Layout
from ragkit.cachecraft.core.repair import Repair

COLUMNS = ("hits", "of steady optimum", "optimum of hindsight", "of hindsight", "in the long run", "by number")


def long_run(layouts: Sequence[Layout], law: Sequence[float], held: Iterable[bytes], *, number: bool = False) -> float:
    """Return the chunk tokens, or the number of chunks, that a store serves of a prompt drawn from the law."""
    there = set(held)
    return sum(
        chance * sum(1 if number else len(layout.pieces[at].ids) for at in layout.chunks if _bytes(layout, at) in there)
        for layout, chance in zip(layouts, law, strict=True)
    )


def measured(layouts: Sequence[Layout], length: int, exponent: float, part: float, seed: int) -> list[float]:
    """Return the columns of one stream."""
    drawn, weights = zipf_with_law(len(layouts), length, exponent, seed)
    law = weights.tolist()
    stream = [layouts[number] for number in drawn]
    capacity = capacity_of(stream, part)
    store = ChunkStore(VariantIndex(capacity, admission="room"), Repair(), "cachecraft", [], [])
    for layout in stream:
        store.compute(layout)
    hits = sum(store.hit[-LAST:]) / sum(store.shown[-LAST:])
    held = [one.ids.tobytes() for one in store.index]
    steady, known = best_store(layouts, law, capacity), best_store(stream, [1.0] * len(stream), capacity)
    best, hindsight = served(stream[-LAST:], steady), served(stream[-LAST:], known)
    by_number = long_run(layouts, law, best_store(layouts, law, capacity, by_number=True), number=True)
    return [
        hits,
        hits / best,
        best / hindsight,
        hits / hindsight,
        long_run(layouts, law, held) / long_run(layouts, law, steady),
        long_run(layouts, law, held, number=True) / by_number,
    ]


def _bytes(layout: Layout, at: int) -> bytes:
    return layout.pieces[at].ids.tobytes()


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser()
    parser.add_argument("data", nargs="?", type=Path, default=Path("../shared/data"))
    parser.add_argument("--sets", nargs="+", default=["squad_a", "multihop_rag_a", "scifact"])
    parser.add_argument("--streams", type=int, default=10)
    parser.add_argument("--length", type=int, default=1000)
    parser.add_argument("--exponents", type=float, nargs="+", default=[0.6, 1.0, 1.4])
    parser.add_argument("--parts", type=float, nargs="+", default=[0.1, 0.25, 0.5])
    args = parser.parse_args()
    print(f"{describe()}. {args.streams} streams of {args.length:,}.\n")
    print(f"| set | exponent | store | {' | '.join(COLUMNS)} |\n|---|---:|---:|{'---:|' * len(COLUMNS)}")
    for name in args.sets:
        layouts = [one.best_last for one in asked_of(args.data / name, 1000)]
        for exponent in args.exponents:
            for part in args.parts:
                found = np.array([measured(layouts, args.length, exponent, part, seed) for seed in range(args.streams)])
                cells = zip(found.mean(axis=0), found.min(axis=0), found.max(axis=0), strict=True)
                shown = " | ".join(f"{mean:.1%} [{low:.0%}, {high:.0%}]" for mean, low, high in cells)
                print(f"| {name} | {exponent:g} | {part:.0%} | {shown} |", flush=True)


if __name__ == "__main__":
    main()
