"""The kit accepts a correct chunker and names what each broken one does wrong."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given

from ragkit.errors import ContractError
from ragkit.schema import Chunk, Chunked, Document
from ragkit.testing.chunker import check_chunker, documents_strategy, sample_documents


class Lines:
    """A correct chunker: ten characters at a time, nothing left out except in blank documents."""

    name = "ten"
    fingerprint = "ten-1"
    gaps = "whitespace"

    def chunk(self, documents: Iterable[Document]) -> Iterator[Chunked]:
        for document in documents:
            yield Chunked(document, self.cut(document))

    def cut(self, document: Document) -> list[Chunk]:
        spans = [(start, min(start + 10, len(document.text))) for start in range(0, len(document.text), 10)]
        return [Chunk.of(document, *span) for span in spans if document.text[slice(*span)].strip()]


def broken(change: Callable[[Document, list[Chunk]], list[Chunk]]) -> Lines:
    chunker = Lines()
    correct = chunker.cut
    chunker.cut = lambda document: change(document, correct(document))
    return chunker


def off_by_one(document: Document, chunks: list[Chunk]) -> list[Chunk]:
    return [replace(chunk, start=chunk.start + 1) if chunk.start else chunk for chunk in chunks]


def stripped(document: Document, chunks: list[Chunk]) -> list[Chunk]:
    return [replace(chunk, text=chunk.text.strip()) for chunk in chunks]


def spans_of_one_too_many(document: Document, chunks: list[Chunk]) -> list[Chunk]:
    return [*chunks[:-1], *(Chunk.of(document, chunk.start, chunk.end + 1) for chunk in chunks[-1:])]


def with_a_gap(document: Document, chunks: list[Chunk]) -> list[Chunk]:
    return [chunk for number, chunk in enumerate(chunks) if number != 1]


def empty(document: Document, chunks: list[Chunk]) -> list[Chunk]:
    return [*chunks, Chunk(document.doc_id, 0, 0, "")]


def blank(document: Document, chunks: list[Chunk]) -> list[Chunk]:
    whole = Chunk.of(document, 0, len(document.text))
    return chunks or ([whole] if document.text else [])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (off_by_one, r"sample 4 .*, chunk 1 \[11, 20\): text is '.*', the slice is '.*'"),
        (stripped, r"text is '.*', the slice is"),
        (spans_of_one_too_many, r"expected 0 <= start < end <= 4"),
        (lambda document, chunks: chunks[:-1], r"sample 2 .*: 'One.' in \[0, 4\) is in no chunk"),
        (lambda document, chunks: chunks[1:], r"is in no chunk; gaps = 'whitespace' allows only whitespace"),
        (with_a_gap, r"in \[10, 20\) is in no chunk"),
        (lambda document, chunks: chunks[::-1], r"comes after \[\d+, \d+\), which starts later"),
        (lambda document, chunks: [*chunks, *chunks[-1:]], r"comes twice"),
        (lambda document, chunks: [replace(chunk, doc_id="other") for chunk in chunks], r"doc_id is 'other'; expected"),
        (empty, r"expected 0 <= start < end"),
        (blank, r"sample 1 .*holds only whitespace"),
    ],
)
def test_broken_spans_are_named(change: Callable[[Document, list[Chunk]], list[Chunk]], message: str) -> None:
    with pytest.raises(ContractError, match=message):
        check_chunker(broken(change))


def test_a_correct_chunker_passes() -> None:
    check_chunker(Lines())
    check_chunker(Lines(), tokenizer=characters(), limit=10)


def characters() -> Any:
    return SimpleNamespace(count=lambda texts: [len(text) for text in texts])


def test_a_limit_is_checked() -> None:
    with pytest.raises(ContractError, match=r"chunk 0 \[0, 10\) has 10 tokens; the limit is 9"):
        check_chunker(Lines(), tokenizer=characters(), limit=9)


def test_undeclared_gaps_are_found() -> None:
    chunker = Lines()
    chunker.gaps = "none"
    with pytest.raises(ContractError, match=r"gaps = 'none' allows nothing to be left out"):
        check_chunker(chunker)


@pytest.mark.parametrize(("attribute", "value"), [("name", ""), ("fingerprint", 7), ("gaps", "all")])
def test_a_wrong_header_is_found(attribute: str, value: object) -> None:
    chunker = Lines()
    setattr(chunker, attribute, value)
    with pytest.raises(ContractError, match=f"{attribute} is {value!r}; expected"):
        check_chunker(chunker)


def wrong_stream(chunk: Callable[[Lines, list[Document]], Iterable[Chunked]]) -> Lines:
    chunker = Lines()
    inner = Lines()
    chunker.chunk = lambda documents: iter(chunk(inner, documents))
    return chunker


def last_lost(inner: Lines, documents: list[Document]) -> Iterator[Chunked]:
    held = None
    for chunked in inner.chunk(documents):
        if held is not None:
            yield held
        held = chunked


def doubled(inner: Lines, documents: list[Document]) -> Iterator[Chunked]:
    for chunked in inner.chunk(documents):
        yield chunked
    yield chunked


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda inner, documents: inner.chunk(list(documents)), r"All 20000 documents .* were read before the first"),
        (lambda inner, documents: reversed(list(inner.chunk(documents))), r"sample .* came out where sample 0"),
        (last_lost, r"documents came out of \d+: sample with structure .* is missing"),
        (doubled, r"14 documents came out of 13"),
    ],
)
def test_wrong_streams_are_named(change: Callable[..., Iterable[Chunked]], message: str) -> None:
    with pytest.raises(ContractError, match=message):
        check_chunker(wrong_stream(change))


def test_changing_results_are_found() -> None:
    runs = iter(range(1000))

    def change(document: Document, chunks: list[Chunk]) -> list[Chunk]:
        if next(runs) > 20 and len(chunks) > 1:
            return [Chunk.of(document, 0, chunks[1].end), *chunks[2:]]
        return chunks

    with pytest.raises(ContractError, match="a second run gave other chunks"):
        check_chunker(broken(change))


def test_results_that_depend_on_other_documents_are_found() -> None:
    class Counting(Lines):
        def chunk(self, documents: Iterable[Document]) -> Iterator[Chunked]:
            for number, document in enumerate(documents):
                whole = number == 5 and document.text
                yield Chunked(document, [Chunk.of(document, 0, len(document.text))] if whole else self.cut(document))

    with pytest.raises(ContractError, match="a run on the document alone gave other chunks"):
        check_chunker(Counting())


def test_a_changing_fingerprint_is_found() -> None:
    class Restless(Lines):
        runs = 0

        @property
        def fingerprint(self) -> str:
            self.runs += 1
            return str(self.runs)

    with pytest.raises(ContractError, match=r"fingerprint changed from '.*' to '.*' while chunking"):
        check_chunker(Restless())


def test_samples_hold_what_breaks_chunkers() -> None:
    joined = "".join(document.text for document in sample_documents())
    assert all(rare in joined for rare in ["\x00", "\r\n", "e\u0301", "\u200d", "。", "\x0c", "\u2028", "ไ"])
    assert any(document.blocks for document in sample_documents())
    assert any(not document.text for document in sample_documents())


@given(document=documents_strategy())
def test_generated_documents_keep_the_schema(document: Document) -> None:
    ends = [0, *(block.end for block in document.blocks)]
    assert all(
        before <= block.start < block.end <= len(document.text)
        for before, block in zip(ends, document.blocks, strict=False)
    )
    check_chunker(Lines(), [document])
