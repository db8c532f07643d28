"""From documents to checked chunks, many documents at a time: tokenise once, cut, verify where that is needed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

from ragkit.chunkers.attempts import Failed
from ragkit.chunkers.packing import Limits, TokenView
from ragkit.chunkers.spans import Span, cut_position, skip_space, trim_end
from ragkit.errors import ConfigError
from ragkit.protocols import BoundedTokenizer, Tokenizer
from ragkit.schema import Chunk, Chunked, Document

BATCH_CHARACTERS = 1 << 21
BATCH_DOCUMENTS = 1024
"""Documents are held until they have this many characters or are this many."""

MARGIN = 2
"""Tokens left free where a piece may count more alone than in its context, so that few pieces need a second cut."""

Cut = Callable[[Document, TokenView], Iterable[Span]]
"""Cuts one tokenised document into spans, in order."""


class Tokenised(NamedTuple):
    """A document and the view of its tokens."""

    document: Document
    view: TokenView


def tokenised(documents: Iterable[Document], tokenizer: Tokenizer, limits: Limits) -> Iterator[list[Tokenised]]:
    """Yield batches of documents with their tokens; every document is tokenised once."""
    margin = 0 if _keeps_tokens(tokenizer) else MARGIN
    for batch in _batches(documents):
        offsets = tokenizer.offsets([document.text for document in batch])
        yield [
            Tokenised(document, TokenView.of(document.text, spans, limits, margin))
            for document, spans in zip(batch, offsets, strict=True)
        ]


def cut_documents(documents: Iterable[Document], tokenizer: Tokenizer, limits: Limits, cut: Cut) -> Iterator[Chunked]:
    """Yield every document with the chunks that `cut` makes, none over the limits, in order and streaming.

    Raises ConfigError where one character alone has more tokens than a chunk may have.
    """
    for batch in tokenised(documents, tokenizer, limits):
        yield from assemble([(document, list(cut(document, view))) for document, view in batch], tokenizer, limits)


def assemble(batch: Sequence[tuple[Document, list[Span]]], tokenizer: Tokenizer, limits: Limits) -> Iterator[Chunked]:
    """Yield each document with the chunks of its spans, after spans that count too many tokens alone were divided."""
    for document, spans in _verified(batch, tokenizer, limits):
        yield Chunked(document, [Chunk.of(document, start, end, metadata) for start, end, metadata in spans])


def assemble_or_fail(
    documents: Sequence[Document], cut: Sequence[list[Span] | Failed], tokenizer: Tokenizer, limits: Limits
) -> Iterator[Chunked]:
    """Yield each document with the chunks of its spans, or without any and with the reason why it could not be cut."""
    given = list(zip(documents, cut, strict=True))
    assembled = assemble(
        [(document, found) for document, found in given if not isinstance(found, Failed)], tokenizer, limits
    )
    for document, found in given:
        yield Chunked(document, [], found.reason) if isinstance(found, Failed) else next(assembled)


def _batches(documents: Iterable[Document]) -> Iterator[list[Document]]:
    batch: list[Document] = []
    characters = 0
    for document in documents:
        batch.append(document)
        characters += len(document.text)
        if characters >= BATCH_CHARACTERS or len(batch) >= BATCH_DOCUMENTS:
            yield batch
            batch, characters = [], 0
    if batch:
        yield batch


def _keeps_tokens(tokenizer: Tokenizer) -> Callable[[str, int], bool] | None:
    """Return the tokenizer's own proof that a cut changes nothing, if it has one."""
    return tokenizer.keeps_tokens if isinstance(tokenizer, BoundedTokenizer) and tokenizer.word_bounded else None


def _verified(
    batch: Sequence[tuple[Document, list[Span]]], tokenizer: Tokenizer, limits: Limits
) -> Iterator[tuple[Document, list[Span]]]:
    """Yield the documents with spans none of which has, encoded on its own, more tokens than allowed."""
    keeps = _keeps_tokens(tokenizer)
    suspects: list[tuple[int, Span]] = []
    proven: list[list[Span]] = []
    for index, (document, spans) in enumerate(batch):
        text = document.text
        trusted = []
        for span in spans:
            if keeps is not None and keeps(text, span.start) and keeps(text, span.end):
                trusted.append(span)
            else:
                suspects.append((index, span))
        proven.append(trusted)
    for index, checked in _checked(batch, suspects, tokenizer, limits).items():
        proven[index] = sorted([*proven[index], *checked], key=lambda span: span[:2])
    for (document, _), spans in zip(batch, proven, strict=True):
        yield document, spans


def _checked(
    batch: Sequence[tuple[Document, list[Span]]],
    suspects: list[tuple[int, Span]],
    tokenizer: Tokenizer,
    limits: Limits,
) -> dict[int, list[Span]]:
    """Return for each document its suspects that fit, and the parts of those that did not."""
    fitting: dict[int, list[Span]] = {}
    while suspects:
        counts = tokenizer.count([batch[index][0].text[span.start : span.end] for index, span in suspects])
        parts: list[tuple[int, Span]] = []
        for (index, span), count in zip(suspects, counts, strict=True):
            if count <= limits.size:
                fitting.setdefault(index, []).append(span)
            else:
                parts += [(index, half) for half in _halves(batch[index][0], span, count, limits)]
        suspects = parts
    return fitting


def _halves(document: Document, span: Span, count: int, limits: Limits) -> list[Span]:
    start, end, metadata = span
    if end - start == 1:
        raise ConfigError(
            f"{document.source}: the character at {start} alone has {count} tokens; size allows {limits.size}.",
            hint=f"Raise size to at least {count}.",
        )
    middle = cut_position(document.text, start, (start + end) // 2)
    second = skip_space(document.text, middle, end)
    halves = [Span(start, trim_end(document.text, start, middle), metadata), Span(second, end, metadata)]
    return [half for half in halves if half.start < half.end]
