"""Chunks narrowed to some of their sentences: exact spans, neighbouring sentences as one, nothing in between."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from ragkit.identity import content_hash
from ragkit.schema import Chunk, Hit
from ragkit.selectors.extractive_scoring import Span
from ragkit.selectors.fitting import Count


@dataclass(slots=True)
class Narrowing:
    """The sentences kept of one hit so far, and the tokens of the parts that they make."""

    hit: Hit
    sentences: Sequence[Span]
    kept: set[int] = field(default_factory=set)
    tokens: int = 0

    def cost_with(self, sentence: int, count: Count | None) -> int:
        """Return the tokens of all parts if `sentence` is kept as well; 0 without `count`."""
        return _tokens([part.chunk.text for part in self._parts(self.kept | {sentence})], count)

    def keep(self, sentence: int, tokens: int) -> None:
        """Keep `sentence`; all parts together then have `tokens`."""
        self.kept.add(sentence)
        self.tokens = tokens

    def parts(self) -> list[Hit]:
        """Return the parts in the order of the text; the hit itself where every sentence is kept."""
        return self._parts(self.kept)

    def left_out(self) -> int:
        """Return how many sentences are not kept."""
        return len(self.sentences) - len(self.kept)

    def _parts(self, kept: set[int]) -> list[Hit]:
        if len(kept) == len(self.sentences):
            return [self.hit]
        return [narrowed(self.hit, *span) for span in merged(self.sentences, kept)]


def merged(sentences: Sequence[Span], kept: set[int]) -> list[Span]:
    """Return the spans of runs of kept sentences, the white space inside a run included.

    >>> merged([(0, 4), (5, 9), (10, 14), (15, 20)], {0, 1, 3})
    [(0, 9), (15, 20)]
    """
    spans: list[Span] = []
    for place in sorted(kept):
        start, end = sentences[place]
        if spans and place - 1 in kept:
            spans[-1] = (spans[-1][0], end)
        else:
            spans.append((start, end))
    return spans


def narrowed(hit: Hit, start: int, end: int) -> Hit:
    """Return the part `[start, end)` of a hit's text, in code points: an exact span of the document with its own id.

    The id differs from the chunk's, because a cache that knows the chunk by its id must not take one for the other.
    Rank, score, row and page are the chunk's; the line is that of the part's start.
    """
    chunk = hit.chunk
    text = chunk.text[start:end]
    part = Chunk(chunk.doc_id, chunk.start + start, chunk.start + end, text, metadata=chunk.metadata)
    whole = hit.part_of or hit.chunk_id
    return replace(
        hit,
        chunk_id=content_hash("part of a chunk", chunk=whole, start=part.start, end=part.end),
        chunk=part,
        line=None if hit.line is None else hit.line + chunk.text.count("\n", 0, start),
        part_of=whole,
    )


def _tokens(texts: Sequence[str], count: Count | None) -> int:
    return sum(count(texts)) if count is not None else 0
