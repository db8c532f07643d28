"""What the bookkeeping of chunk-KV reuse costs per request, and what the metadata of a stored variant takes.

    python -m benchmarks.kv_bookkeeping [REQUESTS]

2,000 chunks of 512 tokens with 5 variants each, 10,000 in all; a request shows 20 chunks behind a system prefix, and
each has 5 variants to choose from. "topics": histories and requests are drawn from the same 40 chunks, so half of a
variant's history is there again, a quarter before it; "strangers": from all chunks, so nearly nothing is. Token masses
and ids are random; their values do not change the work. Whole requests are 3,000 further ones, when the lists of what
was seen lately are full: layout, keys, choice, plan, loads (single tokens are repaired, so some 2,000 runs), and the
uses noted. Times are CPU times of the thread, with caches as the making of a prompt leaves them, and the garbage
collector as Python sets it; of whole requests those that the scheduler let run through are shown apart, since what runs
in between empties the caches. The floor is what no such cache can go below: hash the ids of 20 chunks, look each key
up, compare the ids of one variant. Metadata: what Python and numpy allocate for 1,000 variants in the index, with what
is derived from them.
"""

from __future__ import annotations

import gc
import hashlib
import resource
import sys
import time
import tracemalloc
from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.machine import describe
from ragkit.cachecraft.core.choice import choose, chunk_keys, prefix_key
from ragkit.cachecraft.core.index import VariantIndex
from ragkit.cachecraft.core.keys import chunk_key, variant_name
from ragkit.cachecraft.core.plan import Plan
from ragkit.cachecraft.core.planning import loads, make_plan
from ragkit.cachecraft.core.prompt import Kind, Layout, Piece
from ragkit.cachecraft.core.repair import Repair
from ragkit.cachecraft.core.size import KvShape
from ragkit.cachecraft.core.variant import ChunkStatistics, Variant

CHUNKS, VARIANTS, TOKENS, SHOWN, TOPIC = 2_000, 5, 512, 20, 40
SHAPES = {"SmolLM2-135M": KvShape(30, 3, 64), "Llama-3-8B": KvShape(32, 8, 128)}
PREFIX = Piece(Kind.PREFIX, np.arange(40, dtype=np.int32))


class World:
    """Chunks, and variants of them behind others: of the same topic, or of all."""

    def __init__(self, *, topics: bool) -> None:
        self.chance = np.random.default_rng(0)
        self.topics = topics
        self.ids = [self.chance.integers(0, 49_000, TOKENS).astype(np.int32) for _ in range(CHUNKS)]
        self.keys = [chunk_key("space", ids) for ids in self.ids]
        self.prefix = chunk_key("space", PREFIX.ids)
        self.index = VariantIndex(1 << 62)
        self.index.add(Variant("prefix", self.prefix, PREFIX.ids, "", 0))

    def others(self, chunk: int, number: int) -> list[int]:
        """Return other chunks of the chunk's topic, or any."""
        first = chunk // TOPIC * TOPIC
        pool = np.arange(first, first + TOPIC) if self.topics else np.arange(CHUNKS)
        return self.chance.choice(pool[pool != chunk], number, replace=False).tolist()

    def variant(self, chunk: int) -> Variant:
        """Return a variant behind 0 to 19 other chunks."""
        before = tuple(self.keys[other] for other in self.others(chunk, int(self.chance.integers(0, SHOWN))))
        masses = self.chance.random(TOKENS).astype(np.float32)
        statistics = ChunkStatistics(self.chance.random(len(before)), 0.001, float(self.chance.random() / 100), masses)
        name = variant_name(self.keys[chunk], self.prefix, before, 40)
        lengths = (TOKENS,) * len(before)
        return Variant(
            name, self.keys[chunk], self.ids[chunk].copy(), self.prefix, 40, before, lengths, 0, 1, statistics
        )

    def fill(self) -> None:
        """Store all variants."""
        for chunk in range(CHUNKS):
            for _ in range(VARIANTS):
                self.index.add(self.variant(chunk))

    def request(self) -> Layout:
        """Return a prompt."""
        first = int(self.chance.integers(0, CHUNKS))
        shown = [first, *self.others(first, SHOWN - 1)]
        question = Piece(Kind.QUESTION, self.chance.integers(0, 49_000, 30).astype(np.int32))
        return Layout((PREFIX, *(Piece(Kind.CHUNK, self.ids[chunk].copy()) for chunk in shown), question))


class Collector:
    """Watches the garbage collector: what each run of it takes, in milliseconds of CPU time."""

    def __init__(self) -> None:
        self.taken: list[float] = []
        self._began = 0.0

    def __call__(self, phase: str, info: dict[str, int]) -> None:  # noqa: ARG002 - the signature of a gc callback
        """Hear that a run starts or stops."""
        if phase == "start":
            self._began = time.thread_time()
        else:
            self.taken.append(1000 * (time.thread_time() - self._began))


def measure(world: World, requests: int) -> None:
    """Print the percentiles of every step."""
    index, repair = world.index, Repair()
    times: dict[str, list[float]] = {}

    def timed(name: str, work: Callable[..., Any], *given: Any, **more: Any) -> Any:
        started = time.thread_time()
        result = work(*given, **more)
        times.setdefault(name, []).append(1000 * (time.thread_time() - started))
        return result

    for number in range(requests):
        layout = world.request()
        timed("floor: 20 look-ups", list, map(index.candidates, world.keys[:SHOWN]))
        timed("floor: hash, look up, compare", floor, layout, index)
        keys = timed("keys", chunk_keys, layout, "space")
        found = timed(
            "choose", choose, layout, keys, index.candidates, prefix_key(layout, keys), repair, recurs=index.recurs
        )
        plan = timed("plan, cachecraft", make_plan, layout, *found, "cachecraft", repair)
        timed("loads", loads, plan)
        timed("note the uses", used, index, plan)
        scores = world.chance.random(len(layout.ids))
        for policy in ("epic", "random", "hkvd"):
            timed(f"plan, {policy}", make_plan, layout, *found, policy, repair, scores=scores)
        index.tick()
        if len(plan.reused) != SHOWN + 1 or not 0.3 <= plan.share <= 0.302:
            sys.exit(f"request {number} reused {len(plan.reused)} pieces at a share of {plan.share}")
    collector = measure_whole(world, requests, times)
    print(f"\n{'topics' if world.topics else 'strangers'}, {len(index):,} variants\n")
    print("| step, 20 chunks | p50, ms | p99, ms | fastest, ms |\n| --- | ---: | ---: | ---: |")
    for name, taken in times.items():
        print(f"| {name} | {np.percentile(taken, 50):.3f} | {np.percentile(taken, 99):.3f} | {min(taken):.3f} |")
    print(f"\nWhole requests with the garbage collector in them: {len(collector)} of {requests:,}", end="")
    print(f", at most {max(collector):.2f} ms for it." if collector else ".")


def measure_whole(world: World, requests: int, times: dict[str, list[float]]) -> list[float]:
    """Measure whole requests, one after another; return what the garbage collector took in each in which it ran."""
    every, through, collected = list[float](), list[float](), list[float]()
    gc.callbacks.append(collector := Collector())
    for _ in range(requests):
        layout = world.request()
        collector.taken.clear()
        interrupted = resource.getrusage(resource.RUSAGE_THREAD).ru_nivcsw
        started = time.thread_time()
        whole(layout, world.index, Repair())
        every.append(1000 * (time.thread_time() - started))
        if resource.getrusage(resource.RUSAGE_THREAD).ru_nivcsw == interrupted:
            through.append(every[-1])
        collected += [sum(collector.taken)] if collector.taken else []
        world.index.tick()
    gc.callbacks.remove(collector)
    times["**whole request**"] = every
    times[f"**whole request**, the {len(through) / requests:.0%} never interrupted"] = through
    return collected


def whole(layout: Layout, index: VariantIndex, repair: Repair) -> None:
    """Do all that one request asks of the books, from a layout from which nothing was derived yet."""
    again = Layout(layout.pieces)
    keys = chunk_keys(again, "space")
    found = choose(again, keys, index.candidates, prefix_key(again, keys), repair, recurs=index.recurs)
    plan = make_plan(again, *found, "cachecraft", repair)
    loads(plan)
    used(index, plan)


def used(index: VariantIndex, plan: Plan) -> None:
    """Note what a plan reused."""
    for one in plan.reused:
        index.used(one.variant, len(one.repaired) / one.variant.tokens)


def floor(layout: Layout, index: VariantIndex) -> int:
    """Return how many chunks are stored, by the least work that can tell."""
    found = 0
    for piece in layout.pieces[1:-1]:
        content = piece.ids.tobytes()
        hashlib.blake2b(content, digest_size=16).hexdigest()
        stored = index.candidates(chunk_of[content])
        found += stored[0].ids.tobytes() == content
    return found


chunk_of: dict[bytes, str] = {}
"""The key of each chunk by its ids, so that the floor hashes but needs no tagged fields."""


def metadata(world: World) -> None:
    """Print what a variant's metadata takes, against its keys and values."""
    fresh = World(topics=world.topics)
    gc.collect()
    tracemalloc.start()
    for chunk in range(200):
        for _ in range(VARIANTS):
            fresh.index.add(fresh.variant(chunk))
    for one in fresh.index:
        if one.statistics is not None:
            _ = (one.statistics.order, one.statistics.inter_total, one.statistics.cci)
    gc.collect()
    taken = tracemalloc.get_traced_memory()[0] / (200 * VARIANTS)
    tracemalloc.stop()
    print(f"\nMetadata of one variant of {TOKENS} tokens: {taken:,.0f} bytes\n")
    print("| model | keys and values, MiB | metadata |\n| --- | ---: | ---: |")
    for name, shape in SHAPES.items():
        whole = shape.variant_bytes(TOKENS)
        print(f"| {name} | {whole / 2**20:.2f} | {taken / whole:.4%} |")


def main() -> None:
    """Print the tables."""
    requests = int(sys.argv[1]) if len(sys.argv) > 1 else 3_000
    print(describe())
    for topics in (True, False):
        world = World(topics=topics)
        world.fill()
        chunk_of.update(zip((ids.tobytes() for ids in world.ids), world.keys, strict=True))
        measure(world, requests)
    metadata(world)


if __name__ == "__main__":
    main()
