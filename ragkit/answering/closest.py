"""The sentences of the sources that come closest to a question: what is left to show when no answer is supported."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from ragkit.answering.text import sentences
from ragkit.protocols import Vectors
from ragkit.schema import Citation, Hit

_SHORTEST = 24
"""Characters; what is shorter is a heading or a list mark more often than a statement."""
_MOST = 80
"""Sentences compared: more take a small embedder more than half a second."""


def closest_sentences(
    question: str, hits: Sequence[Hit], embed: Callable[[Sequence[str]], Vectors], count: int = 3
) -> tuple[Citation, ...]:
    """Return up to `count` sentences of `hits` (best first) by cosine with the question, as exact spans.

    `embed` turns texts into unit vectors of shape (n, d). Markers count from 1.
    """
    found = [
        (hit, start, end)
        for hit in hits
        for start, end in sentences(hit.chunk.text)
        if end - start >= _SHORTEST and not hit.chunk.text.startswith("#", start)
    ][:_MOST]
    if not found:
        return ()
    vectors = embed([question, *(hit.chunk.text[start:end] for hit, start, end in found)])
    order = np.argsort(-(vectors[1:] @ vectors[0]), kind="stable")[:count]
    best = [found[place] for place in order.tolist()]
    return tuple(cited(hit, start, end, marker) for marker, (hit, start, end) in enumerate(best, start=1))


def cited(hit: Hit, start: int, end: int, marker: int) -> Citation:
    """Return the citation of `[start, end)` of a hit's text: offsets into the document, the line of its start."""
    chunk = hit.chunk
    return Citation(
        marker=marker,
        doc_id=chunk.doc_id,
        source=hit.source,
        start=chunk.start + start,
        end=chunk.start + end,
        text=chunk.text[start:end],
        page=hit.page,
        line=None if hit.line is None else hit.line + chunk.text.count("\n", 0, start),
    )
