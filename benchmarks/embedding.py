"""Embedding speed: ragkit's embedder beside a bare SentenceTransformer.encode on the same chunks, in one run.

    python benchmarks/embedding.py [--chunks 1000] [--words 120] [--repeat 3]

Chunks are cut from the public data set squad_a (RAGKIT_DATA names its parent folder), of mixed lengths. Both sides use
the same weights, window, device and threads; runs alternate, and the fastest of each side counts.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import random
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
from sentence_transformers import SentenceTransformer

from ragkit.models.cache import CachedEmbedder, EmbeddingCache
from ragkit.models.embedder import SentenceTransformerEmbedder
from ragkit.models.hashing import HashingEmbedder
from ragkit.models.hub import model_folder
from ragkit.protocols import Embedder
from ragkit.schema import Chunk, Chunked, Document

DATA = Path(os.environ.get("RAGKIT_DATA", Path(__file__).parents[1] / ".." / "shared" / "data"))


def chunks(count: int, words: int) -> Iterator[Chunked]:
    """Yield chunks of 1 to 2 * `words` words, one per document."""
    rng = random.Random(0)
    with gzip.open(DATA / "squad_a" / "corpus.jsonl.gz", "rt", encoding="utf-8") as lines:
        stream = " ".join(json.loads(line)["text"] for line in lines).split()
    for number in range(count):
        start = rng.randrange(len(stream) - 2 * words)
        document = Document(" ".join(stream[start : start + rng.randint(1, 2 * words)]), f"chunk {number}")
        yield Chunked(document, [Chunk.of(document, 0, len(document.text))])


def timed(run: Callable[[], np.ndarray]) -> tuple[float, np.ndarray]:
    started = time.perf_counter()
    result = run()
    return time.perf_counter() - started, result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--chunks", type=int, default=1000)
    parser.add_argument("--words", type=int, default=120)
    parser.add_argument("--repeat", type=int, default=3)
    options = parser.parse_args()

    batch = list(chunks(options.chunks, options.words))
    texts = [chunked.document.text for chunked in batch]
    bare = SentenceTransformer(str(model_folder("all-MiniLM-L6-v2")), local_files_only=True)
    bare.max_seq_length = 512
    embedder = SentenceTransformerEmbedder()
    bare.encode(texts[:32])
    embedder.embed_chunks(batch[:32])

    seconds: dict[str, list[float]] = {"bare": [], "ragkit": []}
    for _ in range(options.repeat):
        spent, expected = timed(lambda: bare.encode(texts, normalize_embeddings=True))
        seconds["bare"].append(spent)
        spent, found = timed(lambda: embedder.embed_chunks(batch))
        seconds["ragkit"].append(spent)
    best = {name: min(values) for name, values in seconds.items()}
    tokens = sum(embedder.tokenizer.count(texts))
    print(f"{len(texts)} chunks, {tokens} tokens, {torch.get_num_threads()} threads, device {bare.device}")
    for name, spent in best.items():
        print(f"{name:10} {spent:8.2f} s {len(texts) / spent:9.0f} chunks/s {tokens / spent:9.0f} tokens/s")
    print(f"ragkit / bare: {best['bare'] / best['ragkit']:.2f} x the speed; all runs {seconds}")
    print(f"lowest cosine between the two: {np.sum(found * expected, axis=1).min():.7f}")
    _others(batch, embedder, found)


def _others(batch: list[Chunked], embedder: Embedder, vectors: np.ndarray) -> None:
    """Print the speed of the cache when everything is in it, and of the hashing embedder."""
    with tempfile.TemporaryDirectory() as folder:
        cache = EmbeddingCache(Path(folder) / "cache.sqlite", embedder.dimension)
        cached = CachedEmbedder(embedder, cache)
        keys = [cached._key(chunked.document, chunked.chunks[0]) for chunked in batch]
        spent, _ = timed(lambda: cache.put(dict(zip(keys, vectors, strict=True))))
        print(f"cache write {len(batch) / spent:9.0f} chunks/s")
        spent, _ = timed(lambda: cached.embed_chunks(batch))
        print(f"cache read  {len(batch) / spent:9.0f} chunks/s")
        cached.close()
    spent, _ = timed(lambda: HashingEmbedder().embed_chunks(batch))
    size = sum(len(chunked.document.text) for chunked in batch) / 1e6
    print(f"hashing     {len(batch) / spent:9.0f} chunks/s {size / spent:.1f} MB/s")


if __name__ == "__main__":
    main()
