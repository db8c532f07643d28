"""Tokens that chunk reuse saves on a stream of questions, beside full computation and prefix caches of the same size.

    python -m benchmarks.kv_cost [DATA_FOLDER] [--set squad_a] [--questions 1000] [--exponents 0.6 1.0 1.4]

Real questions and the five best chunks (200 tokens, BM25) of each; questions are drawn from a Zipf law, 1 / rank^s,
with ranks assigned at random. A store holds a part of the working set: of the tokens of all distinct chunks that the
stream shows. Every cache has the same number of tokens. Counted is what a model would compute of the prompts: template,
labels and question included; the real planner and the real index decide, no model runs.

- full: everything, always.
- prefix: blocks of 16 tokens, least recently used ones go (as vLLM), sources best last.
- prefix, fixed order: the same with sources in one order of all chunks, by id.
- prefix, reordered: sources in the order whose beginning is cached furthest (Cacheweaver, arXiv 2606.19667).
- chunks, r: keys and values of chunks reused wherever they stand, a share r of their tokens computed again.

- The probe of the policy `query_probe`, one more pass of the question, is not counted.

`hits` is the share of the last 100 prompts' chunk tokens that was there; `of optimum` compares it with the best
store that never changes, chosen with knowledge of the law that questions are drawn from. See `benchmarks.kv_hits`.
"""

from __future__ import annotations

import argparse
import tempfile
from collections import OrderedDict
from collections.abc import Container, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import permutations
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.evidence import records
from benchmarks.machine import describe
from benchmarks.prompt_order import BLOCK, zipf_with_law
from ragkit import Pipeline
from ragkit.answering.prompt import build_prompt, prompt_order
from ragkit.cachecraft.core.choice import choose, chunk_keys, history, prefix_key
from ragkit.cachecraft.core.generation import generation
from ragkit.cachecraft.core.index import VariantIndex
from ragkit.cachecraft.core.keys import context_key
from ragkit.cachecraft.core.planning import make_plan
from ragkit.cachecraft.core.prompt import Kind, Layout
from ragkit.cachecraft.core.repair import Repair
from ragkit.cachecraft.core.variant import Variant
from ragkit.cachecraft.pieces import Pieces
from ragkit.config import PipelineConfig
from ragkit.models.causal.loading import load_tokenizer
from ragkit.models.hub import model_folder
from ragkit.schema import Hit

MODEL = "SmolLM2-135M-Instruct"
CONFIG = PipelineConfig.from_mapping({"embedder": {"name": "hashing"}, "chunker": {"name": "recursive", "size": 200}})
LAST = 100


@dataclass(frozen=True, slots=True)
class Asked:
    """One question's prompt: its layouts in the orders that do not depend on a cache."""

    best_last: Layout
    fixed: Layout


def asked_of(folder: Path, questions: int) -> Iterator[Asked]:
    """Yield the questions of a set with their prompts."""
    pieces = Pieces(load_tokenizer(MODEL, model_folder(MODEL)))

    def layout(question: str, hits: Sequence[Hit]) -> Layout:
        return pieces.layout(build_prompt(question, hits))

    unique = list(dict.fromkeys(query["question"] for query in records(folder / "queries.jsonl.gz")))
    with tempfile.TemporaryDirectory() as scratch, Pipeline(Path(scratch) / "index", CONFIG) as pipeline:
        pipeline.index([folder / "corpus.jsonl.gz"])
        for question in unique[:questions]:
            hits = pipeline.retrieve(question, 5, retriever="lexical")
            if hits:
                by_id = sorted(hits, key=lambda hit: hit.chunk_id)
                yield Asked(layout(question, prompt_order(hits)), layout(question, by_id))


class PrefixCache:
    """Blocks of prompts by the hash of all that leads to them; the least recently used go, later blocks first."""

    def __init__(self, tokens: int) -> None:
        self._capacity = tokens // BLOCK
        self._blocks: OrderedDict[int, None] = OrderedDict()

    def cached(self, ids: NDArray[np.int32]) -> int:
        """Return how many leading tokens are cached."""
        found = 0
        for block in blocks(ids):
            if block not in self._blocks:
                break
            found += BLOCK
        return found

    def compute(self, ids: NDArray[np.int32]) -> int:
        """Return the tokens computed for a prompt, and keep its blocks."""
        found = min(self.cached(ids), len(ids) - 1)  # the last token always runs
        for block in reversed(list(blocks(ids))):
            self._blocks[block] = None
            self._blocks.move_to_end(block)
        while len(self._blocks) > self._capacity:
            self._blocks.popitem(last=False)
        return len(ids) - found


def blocks(ids: NDArray[np.int32]) -> Iterator[int]:
    """Yield the hash of each leading run of whole blocks."""
    last = 0
    for end in range(BLOCK, len(ids) + 1, BLOCK):
        last = hash((last, ids[end - BLOCK : end].tobytes()))
        yield last


def reordered(cache: PrefixCache, layout: Layout) -> NDArray[np.int32]:
    """Return the prompt with its chunks in the order whose beginning is cached furthest; labels keep their places."""
    labels = [layout.pieces[at - 1].ids for at in layout.chunks]
    texts = [layout.pieces[at].ids for at in layout.chunks]

    def ids(order: Sequence[int]) -> NDArray[np.int32]:
        parts = [layout.prefix]
        for place, at in enumerate(order):
            parts += [labels[place], texts[at]]
        return np.concatenate([*parts, layout.question])

    orders = [ids(order) for order in permutations(range(len(texts)))] if len(texts) <= 5 else [layout.ids]
    return max(orders, key=cache.cached)


@dataclass(slots=True)
class ChunkStore:
    """The index of chunk reuse, in tokens, with the plan that the policy makes; notes each prompt's chunk tokens."""

    index: VariantIndex
    repair: Repair
    policy: str
    shown: list[int]
    hit: list[int]
    exactly: bool = True
    """Whether beginnings that come often are computed exactly."""

    def compute(self, layout: Layout) -> int:
        """Return the tokens computed for a prompt, and keep what the index wants of it."""
        self.index.tick()
        keys = chunk_keys(layout, "space")
        prefix = prefix_key(layout, keys)
        chosen, reasons = choose(
            layout, keys, self.index.candidates, prefix, self.repair, recurs=self.index.recurs if self.exactly else None
        )
        plan = make_plan(layout, chosen, reasons, self.policy, self.repair)
        self.shown.append(layout.context_tokens)
        self.hit.append(sum(one.variant.tokens for one in plan.reused if one.piece in layout.chunks))
        for one in plan.reused:
            self.index.used(one.variant, len(one.repaired) / one.variant.tokens)
        for at in keys:
            if at not in chosen and self.index.wanted(keys[at]):
                self._keep(layout, keys, prefix, at, age=generation(plan, at))
        return len(plan.fresh)

    def _keep(self, layout: Layout, keys: dict[int, str], prefix: str, at: int, age: int) -> None:
        ids = layout.pieces[at].ids
        if layout.pieces[at].kind is Kind.PREFIX:
            self.index.add(Variant(f"{keys[at]} prefix", keys[at], ids, "", 0, size=len(ids)), always=True)
            return
        before, lengths = history(layout, keys, at)
        name = f"{keys[at]} {self.index.now} {at}"
        start = layout.spans[at].start
        context = context_key(layout.ids[:start])
        self.index.add(Variant(name, keys[at], ids, prefix, start, before, lengths, age, len(ids), context=context))


def best_store(
    layouts: Iterable[Layout], weights: Iterable[float], capacity: int, *, by_number: bool = False
) -> set[bytes]:
    """Return the chunks of the unchanging store that serves most tokens of weighted prompts, or most chunks.

    Tokens are what a store is full of and what it saves: then the chunks shown most come first, whatever their lengths.
    """
    shown: dict[bytes, float] = {}
    size: dict[bytes, int] = {}
    for layout, weight in zip(layouts, weights, strict=True):
        for at in layout.chunks:
            ids = layout.pieces[at].ids
            shown[ids.tobytes()] = shown.get(ids.tobytes(), 0.0) + weight
            size[ids.tobytes()] = len(ids)
    held = set()
    for one in sorted(shown, key=lambda one: -shown[one] / (size[one] if by_number else 1)):
        if shown[one] > 0 and size[one] <= capacity:
            held.add(one)
            capacity -= size[one]
    return held


def served(layouts: Iterable[Layout], held: Container[bytes]) -> float:
    """Return the share of the prompts' chunk tokens that a store holds."""
    chunks = [layout.pieces[at].ids for layout in layouts for at in layout.chunks]
    return sum(len(ids) for ids in chunks if ids.tobytes() in held) / sum(map(len, chunks))


def capacity_of(stream: Iterable[Layout], part: float) -> int:
    """Return that part of the tokens of all distinct chunks of a stream."""
    distinct = {
        layout.pieces[at].ids.tobytes(): len(layout.pieces[at].ids) for layout in stream for at in layout.chunks
    }
    return int(part * sum(distinct.values()))


def rows(
    asked: Sequence[Asked], drawn: Sequence[int], law: Sequence[float], part: float, shares: Sequence[float]
) -> Iterator[str]:
    """Yield the table's rows of one stream and one size of the store."""
    stream = [asked[number].best_last for number in drawn]
    capacity = capacity_of(stream, part)
    full = sum(len(layout.ids) for layout in stream)
    plain, ordered, arranged = PrefixCache(capacity), PrefixCache(capacity), PrefixCache(capacity)
    computed: dict[str, int] = {
        "full": full,
        "prefix": sum(plain.compute(layout.ids) for layout in stream),
        "prefix, fixed order": sum(ordered.compute(asked[number].fixed.ids) for number in drawn),
        "prefix, reordered": sum(arranged.compute(reordered(arranged, layout)) for layout in stream),
    }
    best = served(stream[-LAST:], best_store([one.best_last for one in asked], law, capacity))
    hits: dict[str, float] = {}
    for share in shares:
        store = ChunkStore(VariantIndex(capacity, admission="room"), Repair(share=share), "cachecraft", [], [])
        name = f"chunks, r {share:.0%}"
        computed[name] = sum(store.compute(layout) for layout in stream)
        hits[name] = sum(store.hit[-LAST:]) / sum(store.shown[-LAST:])
    for name, tokens in computed.items():
        rate = f"{hits[name]:.1%} | {hits[name] / best:.0%}" if name in hits else " | "
        yield (
            f"| {part:.0%} | {name} | {tokens:,} | {1 - tokens / full:.1%} | {1 - tokens / computed['prefix']:.1%} | "
            f"{1 - tokens / computed['prefix, reordered']:.1%} | {rate} |"
        )


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser()
    parser.add_argument("data", nargs="?", type=Path, default=Path("../shared/data"))
    parser.add_argument("--set", default="squad_a")
    parser.add_argument("--questions", type=int, default=1000)
    parser.add_argument("--length", type=int, default=1000)
    parser.add_argument("--exponents", type=float, nargs="+", default=[0.6, 1.0, 1.4])
    parser.add_argument("--parts", type=float, nargs="+", default=[0.1, 0.25, 0.5])
    parser.add_argument("--shares", type=float, nargs="+", default=[0.0, 0.05, 0.1, 0.15, 0.3, 0.45, 0.6])
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    asked = list(asked_of(args.data / args.set, args.questions))
    print(f"{describe()}. {args.set}, {len(asked)} questions, streams of {args.length:,}, seed {args.seed}.\n")
    for exponent in args.exponents:
        drawn, law = zipf_with_law(len(asked), args.length, exponent, args.seed)
        new = len(set(drawn)) / len(drawn)
        print(f"**Exponent {exponent:g}**: {new:.0%} of the prompts ask a question that was not asked before.\n")
        print(
            "| store | system | tokens computed | less than full | than prefix | than reordered | hits | of optimum |"
        )
        print("|---:|---|---:|---:|---:|---:|---:|---:|")
        for part in args.parts:
            print("\n".join(rows(asked, drawn, law.tolist(), part, args.shares)), flush=True)
        print()


if __name__ == "__main__":
    main()
