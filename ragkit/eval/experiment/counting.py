"""An embedder that reports, while it works, how many characters of the documents are embedded."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ragkit.protocols import Embedder, Progress, Vectors
from ragkit.schema import Chunked


class CountingEmbedder:
    """An `Embedder` over another one; `report` is called with the characters that were embedded since the last call.

    `reported` is their sum.
    """

    def __init__(self, embedder: Embedder, report: Callable[[int], None]) -> None:
        self._embedder = embedder
        self._report = report
        self.reported = 0
        self.name = embedder.name
        self.fingerprint = embedder.fingerprint
        self.dimension = embedder.dimension
        self.window = embedder.window
        self.tokenizer = embedder.tokenizer
        self.contextual: bool = getattr(embedder, "contextual", False)

    def embed_queries(self, texts: Sequence[str]) -> Vectors:
        """Return one vector per question."""
        return self._embedder.embed_queries(texts)

    def embed_chunks(self, batch: Sequence[Chunked], progress: Progress | None = None) -> Vectors:
        """Return one vector per chunk of `batch`, concatenated in order."""
        size = sum(len(chunked.document.text) for chunked in batch)
        before = self.reported

        def embedded(stage: str, done: int, total: int | None) -> None:
            self._reach(before + (size * done // total if total else 0))
            if progress is not None:
                progress(stage, done, total)

        vectors = self._embedder.embed_chunks(batch, embedded)
        self._reach(before + size)
        return vectors

    def _reach(self, characters: int) -> None:
        """Report what lies between the last report and `characters`."""
        if characters > self.reported:
            self._report(characters - self.reported)
            self.reported = characters
