"""How long a search takes once the question is embedded, and what approximate search misses.

Chunks are windows of the public data sets, vectors come from the hashing embedder; the index is a real one on disk.
Prints a Markdown table.

    python -m benchmarks.query [CHUNKS]
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from benchmarks.machine import describe
from benchmarks.windows import milliseconds, questions, seconds, windows
from ragkit.config import PipelineConfig
from ragkit.index.create import create_index
from ragkit.index.header import IndexHeader
from ragkit.index.snapshot import Snapshot
from ragkit.index.writer import IndexWriter
from ragkit.models.hashing import HashingEmbedder
from ragkit.protocols import Retriever, Vectors
from ragkit.retrievers.chroma import ChromaStore
from ragkit.retrievers.dense import DenseRetriever
from ragkit.retrievers.faiss import FaissStore
from ragkit.retrievers.hybrid import HybridRetriever
from ragkit.retrievers.lexical import LexicalRetriever
from ragkit.schema import Chunk, Chunked, Document

PER_DOCUMENT = 100
K = 10
FILTERS = {"": None, "10 %": "shelf = 3", "90 %": "shelf != 3", "1 %": "part = 42"}


class Embedded:
    """Gives vectors that were computed before, so that only the search is timed."""

    def __init__(self, embedder: HashingEmbedder, texts: Sequence[str]) -> None:
        self.name, self.fingerprint, self.dimension = embedder.name, embedder.fingerprint, embedder.dimension
        self.window = embedder.window
        self._vectors = dict(zip(texts, embedder.embed_queries(texts), strict=True))

    def embed_queries(self, texts: Sequence[str]) -> Vectors:
        return np.stack([self._vectors[text] for text in texts])


def build(folder: Path, texts: list[str], embedder: HashingEmbedder) -> None:
    """Write `texts` as documents of 100 chunks each."""
    create_index(folder, IndexHeader("bench", PipelineConfig(), embedder.fingerprint, "windows", embedder.dimension))
    with IndexWriter(folder) as writer:
        for number, at in enumerate(range(0, len(texts), PER_DOCUMENT)):
            batch = [document(number, texts[at : at + PER_DOCUMENT])]
            writer.add(batch, embedder.embed_chunks(batch))
        writer.commit()


def document(number: int, texts: list[str]) -> Chunked:
    whole = Document("\n".join(texts), f"{number}.txt", metadata={"shelf": number % 10})
    starts = np.cumsum([0, *(len(text) + 1 for text in texts[:-1])]).tolist()
    spans = zip(starts, texts, strict=True)
    return Chunked(whole, [Chunk.of(whole, s, s + len(t), {"part": n}) for n, (s, t) in enumerate(spans)])


def timings(name: str, retriever: Retriever, asked: list[str]) -> None:
    for label, where in FILTERS.items():
        p50, p99 = milliseconds(lambda question, where=where: retriever.search(question, K, where), asked)
        print(f"| {name} | {label} | {p50:.2f} | {p99:.2f} | |", flush=True)


def approximate(name: str, retriever: Retriever, exact: Retriever, asked: list[str], built: float) -> None:
    """One line with the recall of the exact best 10."""
    p50, p99 = milliseconds(lambda question: retriever.search(question, K), asked)
    pairs = [({h.row for h in retriever.search(q, K)}, {h.row for h in exact.search(q, K)}) for q in asked]
    recall = sum(len(one & two) for one, two in pairs) / sum(len(two) for _, two in pairs)
    print(f"| {name} | | {p50:.2f} | {p99:.2f} | recall {recall:.3f}, built in {built:.0f} s |", flush=True)


def run(folder: Path, count: int) -> None:
    texts, asked = windows(count), questions(300)
    embedder = HashingEmbedder()
    embedded = Embedded(embedder, asked)
    building = seconds(lambda: build(folder, texts, embedder))
    snapshots: list[Snapshot] = []
    opening = seconds(lambda: snapshots.append(Snapshot(folder)))
    snapshot, none = snapshots[0], np.empty(0, np.int64)
    print(f"{count:,} chunks of 800 characters, {embedder.dimension} dimensions, k = {K}; {describe('chromadb')}.")
    print(f"Built in {building:.0f} s, opened with all checksums in {opening:.2f} s.\n")
    print("| search | filter keeps | p50, ms | p99, ms | |\n| --- | --- | --- | --- | --- |")
    exact = FaissStore(snapshot)
    dense = DenseRetriever(snapshot, embedded, exact)
    timings("lexical", LexicalRetriever(snapshot), asked)
    timings("dense, exact", dense, asked)
    timings("hybrid, exact", HybridRetriever(snapshot, embedded, exact), asked)
    for store, name in ((FaissStore(snapshot, index="hnsw"), "HNSW"), (ChromaStore(snapshot), "Chroma, embedded")):
        built = seconds(lambda store=store: store.sync(snapshot, -1, none, none))
        approximate(f"dense, {name}", DenseRetriever(snapshot, embedded, store), dense, asked, built)
    snapshot.close()


def main() -> None:
    folder = Path(tempfile.mkdtemp())
    try:
        run(folder / "index", int(sys.argv[1]) if len(sys.argv) > 1 else 100_000)
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
