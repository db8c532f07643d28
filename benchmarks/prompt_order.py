"""What the order of sources in prompts does to caches: the share of prompt tokens that need not be read again.

    python -m benchmarks.prompt_order [DATA_FOLDER] [--streams N] [--length N] [--exponent S]

For the questions of squad_a and multihop_rag_a the sources are chosen once (50 hits of hybrid retrieval over recursive
chunks of 200 tokens; `top_k` 5, and `tree_search` within 900 tokens) and written in three orders: best last, as prompts
are by default; in the order of the documents (`tree_search`'s `order: document`); and in one fixed order of all chunks,
by id. A stream draws questions from a Zipf law (popularity 1 / rank^S, ranks assigned at random). Caches never forget.

- Prefix cache: the leading blocks of 16 tokens that an earlier prompt began with, as vLLM counts them. Exact.
- Chunk cache: the tokens of chunks that any earlier prompt held, wherever they stood: an upper limit, as a chunk's keys
  and values depend on what stands before it, and methods that reuse them recompute a part.

"New" is the same over those prompts of a stream whose question has not been asked before: a repeated question is a
repeated prompt in every order. Means over the streams, [the middle 95 % of the streams].
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.evidence import records
from benchmarks.machine import describe
from ragkit.answering.prompt import build_prompt, prompt_order
from ragkit.config import PipelineConfig
from ragkit.corpus import SnapshotCorpus
from ragkit.models.hub import model_folder
from ragkit.pipeline import Pipeline
from ragkit.protocols import Selector
from ragkit.schema import Hit
from ragkit.selectors.top_k import TopKSelector
from ragkit.selectors.tree_search import TreeSearchSelector

SETS = ("squad_a", "multihop_rag_a")
CANDIDATES, BLOCK = 50, 16
CONFIG = PipelineConfig.from_mapping({"chunker": {"name": "recursive", "size": 200}})
ORDERS: dict[str, Callable[[Sequence[Hit]], list[Hit]]] = {
    "best last": prompt_order,
    "document": lambda hits: sorted(hits, key=lambda hit: (hit.source, hit.chunk.doc_id, hit.chunk.start)),
    "fixed, by chunk id": lambda hits: sorted(hits, key=lambda hit: hit.chunk_id),
}


@dataclass(frozen=True, slots=True)
class Written:
    """One prompt: its tokens, the hash of each leading run of whole blocks, and its chunks with their tokens."""

    tokens: int
    blocks: tuple[int, ...]
    chunks: dict[str, int]


Encode = Callable[[str], Sequence[int]]


def written(question: str, hits: Sequence[Hit], encode: Encode) -> Written:
    """Return the prompt with the hits in the order given."""
    segments = build_prompt(question, hits)
    tokens = encode("".join(segment.text for segment in segments))
    blocks, last = [], 0
    for end in range(BLOCK, len(tokens) + 1, BLOCK):
        last = hash((last, tuple(tokens[end - BLOCK : end])))
        blocks.append(last)
    chunks = {one.chunk_id: len(encode(one.text)) for one in segments if one.chunk_id is not None}
    return Written(len(tokens), tuple(blocks), chunks)


def selections(folder: Path, count: Callable[[Sequence[str]], list[int]]) -> Iterator[tuple[str, str, list[Hit]]]:
    """Yield question, selector and the hits that it keeps, best first."""
    selectors: dict[str, Selector] = {
        "top_k 5": TopKSelector(5, count),
        "tree_search 900": TreeSearchSelector(tokens=900, count=count),
    }
    asked = list(dict.fromkeys(query["question"] for query in records(folder / "queries.jsonl.gz")))
    with tempfile.TemporaryDirectory() as scratch, Pipeline(Path(scratch) / "index", CONFIG) as pipeline:
        pipeline.index([folder / "corpus.jsonl.gz"])
        corpus = SnapshotCorpus(pipeline.snapshot)
        pipeline.embedder.embed_queries(asked)
        for question in asked:
            hits = pipeline.retrieve(question, CANDIDATES)
            for name, selector in selectors.items():
                yield question, name, list(selector.select(question, hits, None, corpus).hits)


def stream(prompts: Sequence[Written], drawn: Sequence[int]) -> np.ndarray[Any, Any]:
    """Return the shares of tokens for one stream: prefix, prefix of new questions, chunks, chunks of new questions."""
    blocks: set[int] = set()
    chunks: set[str] = set()
    asked: set[int] = set()
    total = new = 0
    found = np.zeros(4)
    for number in drawn:
        prompt = prompts[number]
        led = next((place for place, one in enumerate(prompt.blocks) if one not in blocks), len(prompt.blocks))
        known = sum(tokens for chunk, tokens in prompt.chunks.items() if chunk in chunks)
        total += prompt.tokens
        found[[0, 2]] += (led * BLOCK, known)
        if number not in asked:
            new += prompt.tokens
            found[[1, 3]] += (led * BLOCK, known)
            blocks.update(prompt.blocks)
            chunks.update(prompt.chunks)
            asked.add(number)
    return found / (total, new, total, new)


def zipf(questions: int, length: int, exponent: float, seed: int) -> list[int]:
    """Return the questions of one stream; the same seed gives the same stream in every order."""
    return zipf_with_law(questions, length, exponent, seed)[0]


def zipf_with_law(
    questions: int, length: int, exponent: float, seed: int
) -> tuple[list[int], np.ndarray[Any, np.dtype[np.float64]]]:
    """Return the questions of one stream, and the chance of each question that they were drawn with."""
    chance = np.random.default_rng(seed)
    weights = 1 / np.arange(1, questions + 1) ** exponent
    weights /= weights.sum()
    ranks = chance.choice(questions, length, p=weights)
    by_rank = chance.permutation(questions)
    law = np.zeros(questions)
    law[by_rank] = weights
    return [int(one) for one in by_rank[ranks]], law


def rows(folder: Path, args: argparse.Namespace) -> Iterator[str]:
    """Yield the table of one data set."""
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(model_folder("SmolLM2-135M-Instruct") / "tokenizer.json"))

    def encode(text: str) -> Sequence[int]:
        return list(tokenizer.encode(text, add_special_tokens=False).ids)

    found: dict[tuple[str, str], list[Written]] = {}
    for question, selector, hits in selections(folder, lambda texts: [len(encode(text)) for text in texts]):
        for order, arranged in ORDERS.items():
            found.setdefault((selector, order), []).append(written(question, arranged(hits), encode))
    count = len(next(iter(found.values())))
    streams = [zipf(count, args.length, args.exponent, seed) for seed in range(args.streams)]
    new = np.mean([len(set(one)) / len(one) for one in streams])
    yield f"**{folder.name}** ({count} questions; {new:.0%} of a stream's prompts ask a new one)"
    yield ""
    yield "| selector | order of sources | tokens a prompt | prefix cache | prefix, new | chunk cache | chunk, new |"
    yield "|---|---|---:|---:|---:|---:|---:|"
    for (selector, order), prompts in found.items():
        shares = np.array([stream(prompts, drawn) for drawn in streams])
        cells = [
            f"{mean:.1%} [{low:.1%}, {high:.1%}]"
            for mean, low, high in zip(
                shares.mean(axis=0), *np.quantile(shares, [0.025, 0.975], axis=0), strict=True
            )
        ]  # fmt: skip
        tokens = np.mean([prompt.tokens for prompt in prompts])
        yield f"| {selector} | {order} | {tokens:.0f} | " + " | ".join(cells) + " |"
    yield ""


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser()
    parser.add_argument("data", nargs="?", type=Path, default=Path("../shared/data"))
    parser.add_argument("--streams", type=int, default=100)
    parser.add_argument("--length", type=int, default=2000)
    parser.add_argument("--exponent", type=float, default=1.0)
    args = parser.parse_args()
    print(
        f"{args.streams} streams of {args.length:,} prompts, Zipf exponent {args.exponent:g}, tokens of SmolLM2, "
        f"blocks of {BLOCK}; {describe()}.\n"
    )
    for name in SETS:
        for line in rows(args.data / name, args):
            print(line, flush=True)


if __name__ == "__main__":
    main()
