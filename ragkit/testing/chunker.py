"""`check_chunker`: proof that a chunker keeps the span contract, or the first place where it does not."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, get_args

from ragkit.errors import ContractError
from ragkit.protocols import Chunker, Gaps, Tokenizer
from ragkit.schema import Block, BlockKind, Chunk, Chunked, Document

if TYPE_CHECKING:
    from hypothesis.strategies import SearchStrategy

STREAM = 20_000
"""Short documents offered to see whether a chunker streams; it may hold a part of them, not all."""

_SAMPLES = (
    "",
    " \n\t\r\n ",
    "One.",
    "\x00\x01\x02",
    "Dr. Smith paid $3.50. Why? “Nobody knows,” she said.\r\n\r\nA second paragraph… and it ends (here).",
    "e\u0301a\u0308 Zalgo\u0300\u0301\u0302\u0303 👩‍👩‍👧‍👦🇩🇪🇫🇷 \u200bzero\u200d width\ufeff" * 9,
    "机器学习是人工智能的一个分支。它研究什么？研究算法！" * 30,
    "ภาษาไทยไม่เว้นวรรคระหว่างคำ แต่เว้นระหว่างประโยค " * 12,
    "x" * 5000,
    "a\x0cb\x85c\x1cd\u2028e\u00a0f " * 60,
    "\r\n".join(["line"] * 400),
    "A sentence of plain words goes on and on until its end comes at last. " * 80,
)


_FRAGMENTS = (
    *(
        "word ",
        "Dr. ",
        "end. ",
        "Why? ",
        "3.14",
        "# ",
        "| a |\n",
        "- item\n",
        "\r\n",
        "\n\n",
        "\n",
        "\x00",
        "\x0c",
        "\x85",
    ),
    *("e\u0301", "👩\u200d👧", "🇩🇪", "中", "。", "， ", "ไทย", "x" * 99, "\u2028", "İß", "ﷺ", "[MASK]"),
)


def check_chunker(
    chunker: Chunker,
    documents: Sequence[Document] | None = None,
    *,
    tokenizer: Tokenizer | None = None,
    limit: int | None = None,
    streaming: bool = True,
) -> None:
    """Return if `chunker` keeps its contract on `documents` (by default on samples known to break chunkers).

    Checked: every chunk is a slice of its document, chunks come in order and once, all but the declared gaps is
    covered, blank documents have no chunks, results are the same again and do not depend on the other documents,
    documents come out in order and while they are read, the fingerprint stays. With `tokenizer` and `limit`, also that
    no chunk, encoded alone, has more than `limit` tokens. `streaming=False` leaves out whether documents come out while
    others are read, the same whatever the documents are: for many calls in a row.

    Raises ContractError that names the document, the chunk and the offset of the first violation.
    """
    given = sample_documents() if documents is None else list(documents)
    fingerprint = _checked_header(chunker)
    first = _run(chunker, given)
    for document, chunks in first:
        _check_spans(document, chunks)
        _check_coverage(document, chunks, chunker.gaps)
    if tokenizer is not None and limit is not None:
        _check_limit(first, tokenizer, limit)
    _check_same(first, _run(chunker, given), "a second run")
    _check_same(first, [_run(chunker, [document])[0] for document in given], "a run on the document alone")
    if streaming:
        _check_streaming(chunker)
    if chunker.fingerprint != fingerprint:
        raise ContractError(f"fingerprint changed from {fingerprint!r} to {chunker.fingerprint!r} while chunking.")


def sample_documents() -> list[Document]:
    """Return small documents with what breaks chunkers: nothing, NUL, joiners, CR LF, no spaces, structure."""
    plain = [Document(text, source=f"sample {number}") for number, text in enumerate(_SAMPLES)]
    return [*plain, _structured()]


def documents_strategy() -> SearchStrategy[Document]:
    """Return a Hypothesis strategy of documents with random Unicode, some with blocks; needs `hypothesis`."""
    from hypothesis import strategies as st  # an optional dependency

    fragments = st.sampled_from(_FRAGMENTS)
    text = st.lists(st.one_of(fragments, st.text(st.characters(exclude_categories=["Cs"]), max_size=20)), max_size=60)
    kinds = st.lists(st.sampled_from(list(BlockKind)), max_size=8)
    return st.builds(_document, text.map("".join), kinds, st.integers(1, 3))


def _document(text: str, kinds: list[BlockKind], level: int) -> Document:
    """Return `text` divided into blocks of about equal length, one for each of `kinds`."""
    step = max(1, len(text) // max(1, len(kinds)))
    blocks = [
        Block(kind, index * step, min((index + 1) * step, len(text)), level + index % 2 if kind == "heading" else 0)
        for index, kind in enumerate(kinds)
        if index * step < len(text)
    ]
    return Document(text, source="generated", blocks=tuple(blocks))


def _structured() -> Document:
    parts = [
        (BlockKind.HEADING, "# Title\n\n", 1),
        (BlockKind.PARAGRAPH, "An introduction of one sentence.\n\n", 0),
        (BlockKind.HEADING, "## Table\n\n", 2),
        (BlockKind.TABLE, "| name | value |\n| --- | --- |\n" + "| row | 1 |\n" * 60 + "\n", 0),
        (BlockKind.HEADING, "## Code\n\n", 2),
        (BlockKind.CODE, "```\n" + "    call(argument)  # why\n" * 50 + "```\n\n", 0),
        (BlockKind.LIST, "- one\n- two\n", 0),
    ]
    blocks, text = [], ""
    for kind, piece, level in parts:
        blocks.append(Block(kind, len(text), len(text) + len(piece.rstrip()), level))
        text += piece
    return Document(text, source="sample with structure", blocks=tuple(blocks))


def _checked_header(chunker: Chunker) -> str:
    for attribute in ("name", "fingerprint"):
        value = getattr(chunker, attribute, None)
        if not isinstance(value, str) or not value:
            raise ContractError(f"{attribute} is {value!r}; expected a non-empty string.")
    if getattr(chunker, "gaps", None) not in get_args(Gaps):
        raise ContractError(f"gaps is {getattr(chunker, 'gaps', None)!r}; expected one of {get_args(Gaps)}.")
    return chunker.fingerprint


def _run(chunker: Chunker, documents: list[Document]) -> list[Chunked]:
    """Return what comes out for `documents`, which must be all of them in order."""
    out = list(chunker.chunk(iter(documents)))
    for number, document in enumerate(documents):
        if number >= len(out):
            raise ContractError(f"{len(out)} documents came out of {len(documents)}: {_name(document)} is missing.")
        if out[number].document != document:
            raise ContractError(f"{_name(out[number].document)} came out where {_name(document)} was due.")
    if len(out) > len(documents):
        raise ContractError(f"{len(out)} documents came out of {len(documents)}.")
    return out


def _check_spans(document: Document, chunks: Sequence[Chunk]) -> None:
    before = (-1, -1)
    for number, chunk in enumerate(chunks):
        label = f"{_name(document)}, chunk {number} [{chunk.start}, {chunk.end})"
        if chunk.doc_id != document.doc_id:
            raise ContractError(f"{label}: doc_id is {chunk.doc_id!r}; expected {document.doc_id!r}.")
        if not 0 <= chunk.start < chunk.end <= len(document.text):
            raise ContractError(f"{label}: expected 0 <= start < end <= {len(document.text)}.")
        if chunk.text != document.text[chunk.start : chunk.end]:
            raise ContractError(f"{label}: text is {chunk.text[:60]!r}, the slice is {_slice(document, chunk)!r}.")
        if not chunk.text.strip():
            raise ContractError(f"{label}: holds only whitespace.")
        if (chunk.start, chunk.end) == before:
            raise ContractError(f"{label}: comes twice.")
        if (chunk.start, chunk.end) < before:
            raise ContractError(f"{label}: comes after [{before[0]}, {before[1]}), which starts later or ends later.")
        before = (chunk.start, chunk.end)


def _check_coverage(document: Document, chunks: Sequence[Chunk], gaps: Gaps) -> None:
    covered = 0
    for start, end in [*((chunk.start, chunk.end) for chunk in chunks), (len(document.text),) * 2]:
        gap = document.text[covered:start]
        left_out = gap.strip() if gaps == "whitespace" else gap
        if left_out:
            raise ContractError(
                f"{_name(document)}: {left_out[:60]!r} in [{covered}, {start}) is in no chunk; "
                f"gaps = {gaps!r} allows {'only whitespace' if gaps == 'whitespace' else 'nothing'} to be left out."
            )
        covered = max(covered, end)


def _check_limit(run: list[Chunked], tokenizer: Tokenizer, limit: int) -> None:
    for document, chunks in run:
        counts = tokenizer.count([chunk.text for chunk in chunks])
        for number, (chunk, count) in enumerate(zip(chunks, counts, strict=True)):
            if count > limit:
                raise ContractError(
                    f"{_name(document)}, chunk {number} [{chunk.start}, {chunk.end}) has {count} tokens; "
                    f"the limit is {limit}."
                )


def _check_same(first: list[Chunked], second: list[Chunked], what: str) -> None:
    for (document, chunks), (_, others) in zip(first, second, strict=True):
        if list(chunks) != list(others):
            spans = [(chunk.start, chunk.end) for chunk in chunks]
            again = [(chunk.start, chunk.end) for chunk in others]
            raise ContractError(f"{_name(document)}: {what} gave other chunks: {again[:5]} for {spans[:5]}.")


def _check_streaming(chunker: Chunker) -> None:
    taken = 0

    def documents() -> Iterator[Document]:
        nonlocal taken
        for number in range(STREAM):
            taken += 1
            yield Document(f"Document {number} is short.", source=f"stream {number}")

    if next(iter(chunker.chunk(documents())), None) is None:
        raise ContractError("No document came out of a stream of documents.")
    if taken >= STREAM:
        raise ContractError(f"All {STREAM} documents of a stream were read before the first came out; hold fewer.")


def _name(document: Document) -> str:
    return f"{document.source} ({document.doc_id[:12]})"


def _slice(document: Document, chunk: Chunk) -> str:
    return document.text[chunk.start : min(chunk.end, chunk.start + 60)]
