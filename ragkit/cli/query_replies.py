"""The JSON reply of `ragkit query`, and the values that a reply may hold."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Self

from pydantic import Field, FiniteFloat

from ragkit.cli.reply import Reply
from ragkit.cli.text import encodable

if TYPE_CHECKING:
    from ragkit.schema import Dropped, Hit, Selection

JsonValue = str | bool | int | FiniteFloat | None


class HitReply(Reply):
    """One chunk that was found; `text` equals the document's text from `start` to `end`, in code points."""

    rank: int = Field(description="Place in the retriever's list, from 1", ge=1)
    score: FiniteFloat = Field(description="Higher is better; scales differ between retrievers")
    chunk_id: str = Field(description="Id of the chunk, or of the part of it; `selection` names chunks by it")
    doc_id: str = Field(description="Id of the document: the hash of its content unless the source gave one")
    source: str = Field(description="The file it came from")
    start: int = Field(ge=0)
    end: int = Field(ge=0)
    text: str
    page: int | None = Field(description="Page of `start`, from 1; null where the format has no pages")
    line: int | None = Field(description="Line of `start`, from 1; null where lines mean nothing")
    metadata: dict[str, JsonValue] = Field(description="The document's metadata overlaid with the chunk's")

    @classmethod
    def of(cls, hit: Hit) -> Self:
        """Return the reply that says what `hit` says."""
        return cls(
            rank=hit.rank,
            score=float(hit.score),
            chunk_id=hit.chunk_id,
            doc_id=hit.chunk.doc_id,
            source=encodable(hit.source),
            start=hit.chunk.start,
            end=hit.chunk.end,
            text=hit.chunk.text,
            page=hit.page,
            line=hit.line,
            metadata=finite(hit.chunk.metadata),
        )


class LeftOutReply(Reply):
    """A chunk that was found and that the selector left out."""

    reason: str = Field(description="Why it was left out")
    flags: list[str] = Field(description="What is wrong with it: distrusted, factual, contradiction, instruction, ...")
    hit: HitReply

    @classmethod
    def of(cls, dropped: Dropped) -> Self:
        """Return the reply that says what `dropped` says."""
        return cls(reason=encodable(dropped.reason), flags=list(dropped.flags), hit=HitReply.of(dropped.hit))


class QueryReply(Reply):
    """`ragkit query QUESTION --index DIR`."""

    question: str
    hits: list[HitReply] = Field(description="Best first; of a selector what it kept, in its order")
    dropped: list[LeftOutReply] = Field(description="What the selector left out and why; empty without one")
    selection: dict[str, Any] | None = Field(
        description="How the selector decided: its scores, cut, rationales, trust, as it tells; null without one"
    )

    @classmethod
    def of(cls, question: str, hits: Sequence[Hit], selection: Selection | None = None) -> Self:
        """Return the reply that lists `hits`, or what `selection` kept of them and why the rest fell."""
        if selection is None:
            return cls(question=question, hits=[HitReply.of(hit) for hit in hits], dropped=[], selection=None)
        return cls(
            question=question,
            hits=[HitReply.of(hit) for hit in selection.hits],
            dropped=[LeftOutReply.of(one) for one in selection.dropped],
            selection=finite(selection.trace),
        )


def finite(value: Any) -> Any:
    """Return `value` as plain JSON: infinities and NaN become null, mappings and sequences dicts and lists.

    >>> finite({"score": float("nan"), "rows": (1, 2)})
    {'score': None, 'rows': [1, 2]}
    """
    match value:
        case None | bool() | int():
            return value
        case float():
            return value if math.isfinite(value) else None
        case str():
            return encodable(value)
        case Mapping():
            return {encodable(str(key)): finite(item) for key, item in value.items()}
        case list() | tuple() | set() | frozenset():
            return [finite(item) for item in value]
        case _:
            return finite(value.item()) if hasattr(value, "item") else encodable(str(value))
