"""Time to the first token when the chunks lie on the disk: read whole beforehand, or layer by layer meanwhile.

    python -m benchmarks.kv_preload [--model SmolLM2-135M-Instruct] [--folder DIR] [--chunks 5] [--tokens 160]
        [--rounds 15] [--threads 2] [--limit MB/s]

Five chunks (of words drawn at random) are computed once and written to the disk. The same question is then put over
them in the opposite order, with a store that keeps nothing in memory: `cold`, the page cache was told to forget the
files (and the store reads past it where the file system lets it); `warm`, through the page cache, after the files were
read. `memory` is the same request with the chunks in memory. The two ways alternate; one request of each comes before,
from which the preload depth follows. `load` is what of it was waited for before the forward began. `--limit` slows
reads down to a rate that all chunks share, as on a slower disk. Prints Markdown; the disk and who else uses it decide:
medians with the least and the most.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.kv_tiers import forget, plain_read
from benchmarks.machine import describe
from ragkit.cachecraft.core.prompt import Kind, Layout, Piece
from ragkit.cachecraft.hf.backend import HfBackend
from ragkit.cachecraft.reuse import ChunkReuse
from ragkit.cachecraft.store import ChunkStore
from ragkit.cachecraft.tiers import blob_file
from ragkit.cachecraft.tiers.blob_file import Reader
from ragkit.config import KvReuseConfig
from ragkit.models.hub import model_folder

POLICIES = ("none", "epic", "query_probe")


def prompts(chunks: int, tokens: int, vocabulary: int) -> tuple[Layout, Layout]:
    """Return a prompt, and one with its chunks in the opposite order."""
    chance = np.random.default_rng(0)

    def drawn(kind: Kind, length: int) -> Piece:
        return Piece(kind, chance.integers(100, vocabulary, length).astype(np.int32))

    prefix, question = drawn(Kind.PREFIX, 20), drawn(Kind.QUESTION, 25)
    shown = [(drawn(Kind.GLUE, 4), drawn(Kind.CHUNK, tokens)) for _ in range(chunks)]
    one, other = ([piece for pair in order for piece in pair] for order in (shown, shown[::-1]))
    return Layout((prefix, *one, question)), Layout((prefix, *other, question))


def buffered(through: bool) -> None:
    """Let the disk tier read through the page cache, or past it where that is possible."""
    blob_file._DIRECT = 0 if through else os.O_DIRECT


def slowed(megabytes: float) -> None:
    """Let all reads of the disk tier together move at most so many megabytes a second."""
    lock, step, whole = threading.Lock(), Reader.step, blob_file.read
    free = [0.0]

    def pay(size: int) -> None:
        with lock:
            free[0] = max(free[0], time.perf_counter()) + size / megabytes / 1e6
            until = free[0]
        time.sleep(max(0.0, until - time.perf_counter()))

    def slow_step(self: Reader, least: int) -> None:
        before = self.ready
        step(self, least)
        pay(self.ready - before)

    def slow_read(*args: Any, **options: Any) -> Any:
        blob = whole(*args, **options)
        pay(blob.nbytes)
        return blob

    Reader.step = slow_step  # type: ignore[method-assign]
    blob_file.read = slow_read


class Case:
    """One backend over one filled folder."""

    def __init__(self, backend: HfBackend, folder: Path, chunks: int, tokens: int) -> None:
        self.backend, self.folder = backend, folder
        self.first, self.second = prompts(chunks, tokens, int(backend.model.config.vocab_size))
        with self.store() as store:
            ChunkReuse(backend, store, KvReuseConfig(policy="none")).reply(self.first, 1)

    def store(self, state: str = "cold") -> ChunkStore:
        """Return the store, opened; it keeps nothing in memory unless that is the state to measure."""
        memory = 2 << 30 if state == "memory" else 0
        return ChunkStore(self.backend.space.key, self.folder, memory, admission="always")

    def times(self, policy: str, state: str, rounds: int) -> list[list[tuple[float, float]]]:
        """Return for each way (whole, layer by layer) the seconds to the first token and of its `load`, each round."""
        paths = sorted(self.folder.rglob("*.kv"))
        config = KvReuseConfig(policy=policy)
        with self.store(state) as store:
            ways = [ChunkReuse(self.backend, store, config, layerwise=layerwise) for layerwise in (False, True)]
            for way in ways:
                way.compute(self.second)
            found: list[list[tuple[float, float]]] = [[], []]
            for _ in range(rounds):
                for way, seen in zip(ways, found, strict=True):
                    (plain_read if state == "warm" else forget)(paths)
                    started = time.perf_counter()
                    done = way.compute(self.second)
                    seen.append((time.perf_counter() - started, done.watch.seconds["load"]))
                    if done.plan.reasons:
                        raise SystemExit(f"Not everything was reused: {done.plan.reasons}")
        return found


def shown(values: list[float]) -> str:
    """Return the median, the least and the most, in milliseconds."""
    middle, least, most = (1000 * value for value in (statistics.median(values), min(values), max(values)))
    return f"{middle:.0f} ({least:.0f}-{most:.0f})"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="SmolLM2-135M-Instruct")
    parser.add_argument("--folder", type=Path, help="where the files lie, on the disk to be measured")
    parser.add_argument("--chunks", type=int, default=5)
    parser.add_argument("--tokens", type=int, default=160)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--limit", type=float, default=None)
    options = parser.parse_args()
    import torch
    from transformers import AutoModelForCausalLM

    torch.set_num_threads(options.threads)
    model = AutoModelForCausalLM.from_pretrained(model_folder(options.model), dtype=torch.float32).eval()
    if options.limit:
        slowed(options.limit)
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        case = Case(HfBackend(model, options.model), Path(folder), options.chunks, options.tokens)
        size = sum(path.stat().st_size for path in Path(folder).rglob("*.kv")) / 1e6
        limit = f", reads at {options.limit:g} MB/s" if options.limit else ""
        print(
            f"{describe()}; {options.threads} threads; {options.model}; {size:.0f} MB in {options.chunks} chunks{limit}"
        )
        print("\n| policy | chunks in | read whole, ms | its load | layer by layer, ms | its load |")
        print("|---|---|---:|---:|---:|---:|")
        for policy in POLICIES:
            for state in ("cold", "warm", "memory"):
                buffered(state == "warm")
                found = case.times(policy, state, options.rounds)
                cells = [shown([one[at] for one in way]) for way in found for at in (0, 1)]
                print(f"| {policy} | {state} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
