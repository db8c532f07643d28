"""`ragkit chunk`: where a chunker cuts a file, in alternating colours with token counts."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.text import Text

from ragkit.cli import options
from ragkit.cli.notices import notices
from ragkit.cli.output import SOME_FAILED, show, write_raw, write_reply
from ragkit.cli.progress import progress
from ragkit.cli.settings import Settings, for_chunking
from ragkit.cli.text import visible
from ragkit.errors import LoadError, UsageError

if TYPE_CHECKING:
    from ragkit.config import PipelineConfig
    from ragkit.protocols import Progress
    from ragkit.schema import Chunked, Document

File = Annotated[Path, typer.Argument(metavar="FILE", help="The file to chunk.", show_default=False)]
AsText = Annotated[bool, typer.Option("--text", help="Print the text that offsets count in, and nothing else.")]
DocId = Annotated[str | None, typer.Option("--doc", metavar="ID", help="Only this document of a file that holds many.")]

_COLOURS = ("on grey19", "on dark_blue")


def chunk(
    file: File,
    *,
    chunker: options.Chunker = None,
    chunker_model: options.ChunkerModel = None,
    chunk_size: options.ChunkSize = None,
    overlap: options.Overlap = None,
    enrich: options.Enrich = None,
    embedder: options.Embedder = None,
    config: options.Config = None,
    doc: DocId = None,
    as_text: AsText = False,
    as_json: options.Json = False,
) -> int:
    """Show how a chunker cuts a file; nothing is indexed.

    Exit status 3 says that a model failed on some of its documents.
    """
    if not file.is_file():
        raise UsageError(f"There is no file {str(file)!r}.", hint="Check the spelling.")
    enrichers = options.given_names(enrich)
    settings = for_chunking(
        Settings(config, chunker, chunk_size, overlap, embedder, enrich=enrichers, chunker_model=chunker_model)
    )
    if as_text:
        _write_text(file, _only(file, _documents(file, settings), doc), as_json)
        return 0
    with notices(silent=as_json), progress("Chunking", silent=as_json) as report:
        chunked = _chunked(file, settings, doc, report)
    if as_json:
        from ragkit.cli.contract import ChunkingReply

        write_reply(ChunkingReply.of(str(file.resolve()), settings.chunker.name, chunked))
    else:
        _show(chunked, settings)
    return SOME_FAILED if any(item.failure for item in chunked) else 0


def _chunked(file: Path, config: PipelineConfig, doc: str | None, report: Progress | None) -> list[Chunked]:
    """Return the documents of `file` with their chunks, only the one named `doc` if it is given."""
    from ragkit.pipeline import chunk_file

    found = list(chunk_file(file, config, progress=report))
    if doc is None:
        return found
    chosen = [chunked for chunked in found if chunked.document.doc_id == doc]
    if not chosen:
        raise _no_document(file, doc, [document for document, _ in found])
    return chosen


def _documents(file: Path, config: PipelineConfig) -> list[Document]:
    """Return the documents of `file`, uncut."""
    from ragkit.loaders.failure import Failure
    from ragkit.loaders.reading import read

    documents: list[Document] = []
    for item in read(file, config.loading):
        if isinstance(item, Failure):
            raise LoadError(f"{item.source}: {item.reason}.", hint="--text prints whole files only.")
        documents.append(item)
    return documents


def _only(file: Path, documents: Sequence[Document], doc: str | None) -> Document:
    """Return the document named `doc`, or the only one."""
    if doc is not None:
        chosen = [document for document in documents if document.doc_id == doc]
        if not chosen:
            raise _no_document(file, doc, documents)
        return chosen[0]
    if len(documents) != 1:
        raise UsageError(
            f"{file} holds {len(documents)} documents; --text prints one.",
            hint=f"Choose with --doc ID: {_names(documents)}.",
        )
    return documents[0]


def _no_document(file: Path, doc: str, documents: Sequence[Document]) -> UsageError:
    return UsageError(f"{file} holds no document {doc!r}.", hint=f"It holds {_names(documents)}.")


def _names(documents: Sequence[Document]) -> str:
    """Return the ids of the first documents."""
    more = f" and {len(documents) - 5} more" if len(documents) > 5 else ""
    return ", ".join(document.doc_id for document in documents[:5]) + more or "no document at all"


def _write_text(file: Path, document: Document, as_json: bool) -> None:
    """Write the text of `document`, byte for byte."""
    if as_json:
        from ragkit.cli.contract import TextReply

        write_reply(TextReply.of(str(file.resolve()), document))
    else:
        write_raw(document.text)


def _show(found: Sequence[Chunked], config: PipelineConfig) -> None:
    from ragkit.parts import make_embedder

    tokenizer = make_embedder(config).tokenizer
    for item in found:
        document, chunks = item
        if len(found) > 1:
            show(Text(visible(document.doc_id), style="bold"))
        if item.failure is not None:
            show(Text(f"could not be cut: {visible(item.failure)}", style="bold red"))
        counts = tokenizer.count([piece.text for piece in chunks])
        for number, (piece, tokens) in enumerate(zip(chunks, counts, strict=True), start=1):
            label = f"── {number}  [{piece.start}:{piece.end}]  {tokens} tokens"
            show(Text(label, style="dim"), Text(visible(piece.text), style=_COLOURS[number % 2]))
            if piece.index_text != piece.text:
                show(Text(f"   searched as: {visible(piece.index_text)}", style="dim"))
    total = sum(len(chunks) for _, chunks in found)
    show(Text(f"{total} chunks by {config.chunker.name!r}.", style="dim"))
