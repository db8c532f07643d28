"""Real indexes of real size classes: small enough to build in a second."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from ragkit.config import PipelineConfig
from ragkit.index.create import create_index
from ragkit.index.header import IndexHeader
from ragkit.index.snapshot import Snapshot
from ragkit.index.writer import Committed, IndexWriter
from ragkit.models.hashing import HashingEmbedder
from ragkit.schema import Chunk, Chunked, Document

_SUBJECTS = """
river bank loan money water fish boat commander quantum error 搜索 引擎 café valley mountain engine treaty vote market
price cell protein dose trial court judge music opera goal match team storm
"""
WORDS = tuple(_SUBJECTS.split())
EMBEDDER = HashingEmbedder(64)


def text_of(seed: int, sentences: int = 6) -> str:
    source = random.Random(seed)
    return " ".join(f"{' '.join(source.choices(WORDS, k=source.randint(3, 9)))}." for _ in range(sentences))


def cut(document: Document) -> Chunked:
    """One chunk per sentence; the blank between two is a gap."""
    chunks, start = [], 0
    for number, sentence in enumerate(document.text.split(". ")):
        end = min(start + len(sentence) + 1, len(document.text))
        chunks.append(Chunk.of(document, start, end, {"part": number % 3}))
        start = end + 1
    return Chunked(document, chunks)


class Library:
    """An index folder and a short way to change it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        header = IndexHeader("library", PipelineConfig(), EMBEDDER.fingerprint, "sentences", EMBEDDER.dimension)
        create_index(folder, header)
        self._open: list[Snapshot] = []

    def put(self, texts: dict[str, str | None]) -> Committed:
        with IndexWriter(self.folder) as writer:
            for source, text in texts.items():
                writer.remove_source(source)
                if text is not None:
                    batch = [cut(Document(text, source, metadata={"lang": ("en", "de")[len(text) % 2]}))]
                    writer.add(batch, EMBEDDER.embed_chunks(batch))
            return writer.commit()

    def snapshot(self) -> Snapshot:
        self._open.append(Snapshot(self.folder))
        return self._open[-1]

    def close(self) -> None:
        for snapshot in self._open:
            snapshot.close()


@pytest.fixture
def library(tmp_path: Path) -> Iterator[Library]:
    made = Library(tmp_path / "index")
    yield made
    made.close()


@pytest.fixture(scope="session")
def shelf(tmp_path_factory) -> Iterator[Library]:
    """300 documents of 6 chunks, some texts twice, in three generations with dead rows; never changed by a test."""
    made = Library(tmp_path_factory.mktemp("shelf") / "index")
    made.put({f"{n}.txt": text_of(n % 280) for n in range(300)})
    made.put({f"{n}.txt": None for n in range(20, 30)} | {"40.txt": text_of(1040)})
    made.put({"more.txt": text_of(2000), "0.txt": text_of(0)})
    yield made
    made.close()


@pytest.fixture(scope="session")
def snapshot(shelf: Library) -> Snapshot:
    return shelf.snapshot()


@pytest.fixture
def make_library(tmp_path: Path) -> Iterator[Callable[[], Library]]:
    made: list[Library] = []

    def make() -> Library:
        made.append(Library(tmp_path / f"library-{len(made)}"))
        return made[-1]

    yield make
    for some in made:
        some.close()


def brute_force(
    snapshot: Snapshot, query: np.ndarray, rows: np.ndarray | None = None
) -> list[tuple[float, str, str, int]]:
    """All live chunks in the total order, from double-precision products."""
    live = snapshot.live_rows() if rows is None else rows
    vectors = snapshot.vectors(live.tolist()).astype(np.float64)
    scores = (vectors * query.astype(np.float64)).sum(axis=1).astype(np.float32)
    stored = {chunk.row: chunk for chunk in snapshot.chunks(live.tolist())}
    pairs = zip(live.tolist(), scores.tolist(), strict=True)
    return sorted((-score, stored[row].chunk_id, stored[row].source, row) for row, score in pairs)
