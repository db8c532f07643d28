"""What of a document a model is shown beside a passage: all of it, or its head and what is most like the passage."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from ragkit.protocols import Embedder, LanguageModel
from ragkit.schema import Chunk, Chunked

MOST_SIMILAR = 8
"""Chunks of a long document that are shown besides its head (Meta-Chunking leaves the number open)."""

_TEMPLATE_TOKENS = 32
"""Kept for the chat template of a model that does not say what it adds."""
_JOIN_TOKENS = 8
"""Kept for each place where two texts meet: tokens of joined texts are not the sum of their tokens."""
GAP = "\n[...]\n"


@dataclass(frozen=True, slots=True)
class Room:
    """Tokens of the language model: of a whole prompt, and of the document in it."""

    prompt: int
    document: int

    @classmethod
    def of(cls, model: LanguageModel, reply: int, document: int) -> Room:
        """Return the room beside a `reply` of so many tokens, the document held to `document` tokens."""
        return cls(model.window - reply - int(getattr(model, "template_tokens", _TEMPLATE_TOKENS)), document)


def shown_documents(  # noqa: PLR0917 - what is shown, of which chunks, by whom, in how much room
    chunked: Chunked,
    asked: Sequence[int],
    passages: Sequence[str],
    model: LanguageModel,
    embedder: Embedder,
    room: Room,
    instruction: int,
) -> list[str | None]:
    """Return what the model is shown of the document for each asked chunk; None where the passage leaves no room.

    A document that fits is shown whole and is the same text for every chunk. Else: its first chunk, and of the
    `MOST_SIMILAR` chunks with the highest cosine similarity to the passage as many as fit, most similar first, shown in
    document order. `passages` are the asked chunks' texts in the prompt, `instruction` the tokens around all of it.
    """
    text = chunked.document.text
    whole, *own = model.count([text, *passages])
    left = [min(room.document, room.prompt - instruction - tokens - 3 * _JOIN_TOKENS) for tokens in own]
    if all(whole <= free for free in left):
        return [text] * len(asked)
    tokens = model.count([chunk.text for chunk in chunked.chunks])
    vectors = embedder.embed_chunks([chunked])
    found: list[str | None] = []
    for index, free in zip(asked, left, strict=True):
        if whole <= free:
            found.append(text)
            continue
        order = np.argsort(-(vectors @ vectors[index]), kind="stable").tolist()
        nearest = [other for other in order if other != index][:MOST_SIMILAR]
        chosen = list(_fitting([0, *nearest], index, tokens, free))
        found.append(_joined(text, [chunked.chunks[other] for other in sorted(chosen)]) or None)
    return found


def _fitting(candidates: Sequence[int], own: int, tokens: Sequence[int], free: int) -> Iterator[int]:
    """Yield the candidates, each once, that fit `free` tokens together, the passage itself left out."""
    seen = {own}
    for index in candidates:
        cost = tokens[index] + _JOIN_TOKENS
        if index not in seen and cost <= free:
            seen.add(index)
            free -= cost
            yield index


def _joined(text: str, chunks: Sequence[Chunk]) -> str:
    """Return the texts of `chunks`, in document order, as slices of the document; what is left out is marked."""
    spans: list[list[int]] = []
    for chunk in chunks:
        if spans and not text[spans[-1][1] : chunk.start].strip():
            spans[-1][1] = max(spans[-1][1], chunk.end)
        else:
            spans.append([chunk.start, chunk.end])
    return GAP.join(text[start:end] for start, end in spans)
