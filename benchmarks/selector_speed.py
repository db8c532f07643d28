"""What selectors take, how good a tree search is that is cut short, and what scoring fewer hits misses.

    python -m benchmarks.selector_speed [DATA_FOLDER] [EMBEDDER] [QUESTIONS]

Candidates are the first 50 chunks of hybrid retrieval for questions of chunking_eval (recursive chunks of 200 tokens),
all that have evidence unless QUESTIONS says how many; the budget is 2,000 tokens of MiniLM's tokenizer. EMBEDDER is a
model's name (all-MiniLM-L6-v2) or hashing. "Search alone" is the tree search once the terms and vectors of the
candidates are known; a whole call includes them. The anytime curve gives the best value after so many milliseconds of
search, as a share of the best value that any of the searches found for the same question, a tree of 2,000 expansions
and a beam of 10 among them. Pruning and early exit: which share of the best five by cosine of all 50 they miss. Last:
how much of its budget the tree search takes, of few and of many candidates.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.evidence import records
from benchmarks.machine import describe
from ragkit.config import PipelineConfig
from ragkit.corpus import SnapshotCorpus
from ragkit.models.hub import model_folder
from ragkit.models.tokenizer import HfTokenizer
from ragkit.pipeline import Pipeline
from ragkit.protocols import Reranker
from ragkit.rerankers.cosine import CosineReranker
from ragkit.schema import Hit
from ragkit.scoring.cut import cut
from ragkit.scoring.named import POLICIES
from ragkit.selectors.beam import search_beam
from ragkit.selectors.combining import Best, Problem
from ragkit.selectors.coverage import coverage
from ragkit.selectors.greedy import improved, search_greedy
from ragkit.selectors.mmr import MmrSelector
from ragkit.selectors.score_cut import ScoreCutSelector
from ragkit.selectors.top_k import TopKSelector
from ragkit.selectors.tree import TreeRules, search_tree
from ragkit.selectors.tree_search import TreeSearchSelector

CANDIDATES, BUDGET = 50, 2000
REPEATS = 10
"""Of a cut, which takes microseconds: its p99 is else that of whatever interrupts it."""
MOMENTS = (1, 2, 5, 10, 20, 30, 50, 100)
"""Milliseconds."""

Question = tuple[str, list[Hit]]


def milliseconds(calls: Sequence[Callable[[], Any]]) -> tuple[tuple[float, float], list[Any]]:
    """Return the median and the 99th percentile of the calls' times, in milliseconds, and what they returned."""
    times, results = [], []
    for call in calls:
        started = time.perf_counter()
        results.append(call())
        times.append(1000 * (time.perf_counter() - started))
    return (float(np.percentile(times, 50)), float(np.percentile(times, 99))), results


def problem(question: Question, corpus: SnapshotCorpus, tokenizer: HfTokenizer) -> Problem:
    """Return the task of a question with its values known: a fresh count of calls each time."""
    query, hits = question
    texts = [hit.chunk.index_text for hit in hits]
    value = coverage(
        query,
        texts,
        np.array([hit.score for hit in hits]),
        relevance=0.5,
        redundancy=0.1,
        language="english",
        vectors=np.asarray(corpus.vectors([hit.row for hit in hits]), np.float64),
    )
    return Problem(value, np.array(tokenizer.count(texts)), BUDGET, [hit.chunk_id for hit in hits])


def never() -> None:
    """Let a search run on."""


def tree(task: Problem, iterations: int, c: float) -> Best:
    """Return what the tree finds from nothing."""
    best = Best(task)
    search_tree(task, TreeRules(iterations=iterations, c=c), best, never)
    return best


def greedy(task: Problem) -> Best:
    """Return what the greedy search finds."""
    best = Best(task)
    search_greedy(task, best, never)
    return best


def beam(task: Problem, width: int) -> Best:
    """Return what a beam finds."""
    best = Best(task)
    search_beam(task, width, best, never)
    return best


def ours(task: Problem) -> Best:
    """Return what the selector's default finds: a beam with exchanges, then the tree."""
    best = Best(task)
    search_beam(task, 3, best, never)
    improved(task, best, never)
    search_tree(task, TreeRules(iterations=50, c=0.05), best, never)
    return best


def latency(questions: Sequence[Question], corpus: SnapshotCorpus, tokenizer: HfTokenizer, cosine: Reranker) -> None:
    """Print the table of latencies."""
    print("| what | p50, ms | p99, ms | chunks kept | tokens kept |\n| --- | --- | --- | --- | --- |")
    for name, policy in POLICIES.items():
        lists = [sorted((hit.score for hit in hits), reverse=True) for _, hits in questions]
        times, _ = milliseconds([partial(cut, scores, policy) for scores in lists] * REPEATS)
        print(f"| cut({name}) of 50 scores | {times[0]:.3f} | {times[1]:.3f} | | |")
    count = tokenizer.count
    selectors = {
        "top_k, whole call": TopKSelector(5, count),
        "mmr, whole call": MmrSelector(5, count=count),
        "score_cut, retriever's scores, whole call": ScoreCutSelector(count=count),
        **{
            f"score_cut, cosine, {name}, whole call": ScoreCutSelector(name, reranker=cosine, count=count)
            for name in ("auto", "drop", "sage", "elbow", "meteora")
        },
        "tree_search, whole call": TreeSearchSelector(count=count),
    }
    for name, selector in selectors.items():
        times, done = milliseconds([partial(selector.select, q, h, BUDGET, corpus) for q, h in questions])
        kept, tokens = np.mean([len(one.hits) for one in done]), np.mean([one.tokens for one in done])
        print(f"| {name} | {times[0]:.2f} | {times[1]:.2f} | {kept:.1f} | {tokens:.0f} |")
    tasks = [problem(question, corpus, tokenizer) for question in questions]
    for name, search in {
        "tree_search, search alone": ours,
        "tree of 100 expansions, c = 1.4": partial(tree, iterations=100, c=1.4),
        "greedy with exchanges": greedy,
        "beam of 5": partial(beam, width=5),
    }.items():
        times, _ = milliseconds([partial(search, task) for task in tasks])
        print(f"| {name} | {times[0]:.2f} | {times[1]:.2f} | | |")


def missed(questions: Sequence[Question], cosine: Reranker) -> None:
    """Print what pruning and early exit save, and which share of the best five by cosine they miss."""
    print("\n| prune | early exit | candidates scored | best 5 missed |\n| --- | --- | --- | --- |")
    for alpha, patience in ((0.05, None), (0.2, None), (0.5, None), (None, 2), (None, 4), (None, 8), (0.5, 4)):
        selector = ScoreCutSelector("fixed", prune=alpha, early_exit=patience, audit=True, reranker=cosine)
        done = [selector.select(query, hits).trace["pruning"] for query, hits in questions]
        scored, lost = np.mean([one["scored"] for one in done]), np.mean([one["missed"] for one in done])
        print(f"| {alpha or ''} | {patience or ''} | {scored:.1f} of {CANDIDATES} | {100 * lost:.1f} % |")


def filled(questions: Sequence[Question], corpus: SnapshotCorpus, tokenizer: HfTokenizer) -> None:
    """Print how much of its budget a tree search takes on coverage."""
    print("\n| candidates | budget, tokens | kept, mean | questions with less than half kept |")
    print("| ---: | ---: | ---: | ---: |")
    for candidates in (10, CANDIDATES):
        for tokens in (450, 900, BUDGET):
            selector = TreeSearchSelector(tokens=tokens, count=tokenizer.count)
            done = [selector.select(query, hits[:candidates], None, corpus).tokens for query, hits in questions]
            shares = np.array(done) / tokens
            print(f"| {candidates} | {tokens:,} | {shares.mean():.0%} | {(shares < 0.5).mean():.0%} |")


def anytime(questions: Sequence[Question], corpus: SnapshotCorpus, tokenizer: HfTokenizer) -> None:
    """Print the anytime curve, and the values of the other searches against the same final value."""
    tasks = [problem(question, corpus, tokenizer) for question in questions]
    final = [
        max(one.value for one in (tree(task, 2000, 0.05), greedy(task), beam(task, 10), ours(task))) for task in tasks
    ]
    print("\n| search | " + " | ".join(f"{moment} ms" for moment in MOMENTS) + " | to its end |")
    print("| --- |" + " --- |" * (len(MOMENTS) + 1))
    for c in (1.4, 0.3, 0.05):
        curve(f"tree of 400 expansions, c = {c}", [tree(task, 400, c) for task in tasks], final)
    curve("greedy with exchanges", [greedy(task) for task in tasks], final)
    curve("beam of 5", [beam(task, 5) for task in tasks], final)
    curve("tree_search: beam of 3, exchanges, tree of 50, c = 0.05", [ours(task) for task in tasks], final)


def curve(name: str, searched: Sequence[Best], final: Sequence[float]) -> None:
    """Print the mean share of the final value at every moment."""
    shares = []
    for moment in (*MOMENTS, float("inf")):
        reached = [max([v for s, _, v in best.curve if 1000 * s <= moment], default=0.0) for best in searched]
        shares.append(np.mean([value / most for value, most in zip(reached, final, strict=True)]))
    print(f"| {name} | " + " | ".join(f"{share:.4f}" for share in shares) + " |")


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser()
    parser.add_argument("data", nargs="?", type=Path, default=Path("../shared/data"))
    parser.add_argument("embedder", nargs="?", default="all-MiniLM-L6-v2")
    parser.add_argument("questions", nargs="?", type=int, help="so many of them, evenly drawn; all where left out")
    args = parser.parse_args()
    hashing = args.embedder == "hashing"
    embedder = {"name": "hashing"} if hashing else {"name": "sentence_transformer", "model": args.embedder}
    config = PipelineConfig.from_mapping({"chunker": {"name": "recursive", "size": 200}, "embedder": embedder})
    tokenizer = HfTokenizer.from_folder(model_folder("all-MiniLM-L6-v2"))
    folder = args.data / "chunking_eval"
    with tempfile.TemporaryDirectory() as scratch, Pipeline(Path(scratch) / "index", config) as pipeline:
        report = pipeline.index([folder / "corpus.jsonl.gz"])
        asked = [query["question"] for query in records(folder / "queries.jsonl.gz") if query["evidence"]]
        asked = asked[:: max(1, len(asked) // (args.questions or len(asked)))][: args.questions]
        questions = [(query, pipeline.retrieve(query, CANDIDATES)) for query in asked]
        corpus = SnapshotCorpus(pipeline.snapshot)
        cosine = CosineReranker(pipeline.embedder)
        print(f"{len(questions)} questions, {report.chunks:,} chunks, {args.embedder}, one thread; {describe()}.\n")
        torch.set_num_threads(1)
        latency(questions, corpus, tokenizer, cosine)
        missed(questions, cosine)
        anytime(questions, corpus, tokenizer)
        filled(questions, corpus, tokenizer)


if __name__ == "__main__":
    main()
