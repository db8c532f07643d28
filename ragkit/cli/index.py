"""`ragkit index`: read sources, chunk, embed and commit one new generation of an index."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.text import Text

from ragkit.cli import options
from ragkit.cli.failure import InterruptedRunError
from ragkit.cli.notices import notices
from ragkit.cli.output import SOME_FAILED, show, write_reply
from ragkit.cli.progress import progress
from ragkit.cli.settings import Settings, for_indexing
from ragkit.cli.text import short_path, visible
from ragkit.errors import RagkitError, UsageError

if TYPE_CHECKING:
    from ragkit.ingest import IndexReport

_SHOWN = 20
"""Failed inputs named to people; --json names all."""

Sources = Annotated[
    list[Path], typer.Argument(metavar="SRC...", help="Files and folders to index.", show_default=False)
]
Rebuild = Annotated[bool, typer.Option("--rebuild", help="Build the index anew, for instance with other settings.")]


def index(
    sources: Sources,
    folder: options.Index,
    *,
    config: options.Config = None,
    chunker: options.Chunker = None,
    chunker_model: options.ChunkerModel = None,
    chunk_size: options.ChunkSize = None,
    overlap: options.Overlap = None,
    enrich: options.Enrich = None,
    embedder: options.Embedder = None,
    store: options.Store = None,
    rebuild: Rebuild = False,
    as_json: options.Json = False,
) -> int:
    """Index files and folders; only what changed since the last time is read again.

    Exit status 3 says that some inputs could not be read, or that a model failed on them; all others were indexed.
    """
    missing = [source for source in sources if not source.exists()]
    if missing:
        raise UsageError(
            f"There is no file or folder {str(missing[0])!r}; nothing was indexed.",
            hint="Check the spelling, or leave it out.",
        )
    settings = Settings(
        config,
        chunker,
        chunk_size,
        overlap,
        embedder,
        store,
        enrich=options.given_names(enrich),
        chunker_model=chunker_model,
    )
    report = _index(sources, folder, settings, rebuild, as_json)
    if as_json:
        from ragkit.cli.contract import IndexReply

        write_reply(IndexReply.of(report))
    else:
        _show(report, folder)
    return SOME_FAILED if report.failed else 0


def _index(sources: list[Path], folder: Path, settings: Settings, rebuild: bool, silent: bool) -> IndexReport:
    """Return what indexing did; Ctrl-C leaves the index as it was and says so."""
    before = _generation(folder)
    try:
        from ragkit.pipeline import Pipeline

        with notices(silent=silent), progress("Indexing", silent=silent) as report:
            config = for_indexing(folder, settings)
            with Pipeline(folder, config, progress=report) as pipeline:
                return pipeline.index(sources, rebuild=rebuild)
    except KeyboardInterrupt:
        raise _interrupted(folder, before) from None


def _interrupted(folder: Path, before: int | None) -> InterruptedRunError:
    """Return what to say after Ctrl-C, which may have come after the commit."""
    after = _generation(folder)
    again = "Run the same command again; what was embedded already comes from the cache."
    if after is None:
        return InterruptedRunError(f"Interrupted: there is no index in {folder} yet.", hint=again)
    if after in (before, 0):
        message = f"Interrupted: nothing of this run was committed, the index in {folder} is at generation {after}."
        return InterruptedRunError(message, hint=again)
    message = f"Interrupted after the commit: the index in {folder} is at generation {after}, complete."
    return InterruptedRunError(message, hint="Nothing needs to be done.")


def _generation(folder: Path) -> int | None:
    """Return the generation of the index in `folder`, None where there is none that opens."""
    from ragkit.index.create import index_exists
    from ragkit.pipeline import Pipeline

    if not index_exists(folder):
        return None
    try:
        with Pipeline(folder) as pipeline:
            return pipeline.snapshot.generation
    except RagkitError:
        return None


def _show(report: IndexReport, folder: Path) -> None:

    changes = ", ".join(
        f"{getattr(report, key)} {key}" for key in ("added", "updated", "unchanged", "removed") if getattr(report, key)
    )
    skipped = f", {report.skipped} skipped by the ignore rules or as not text" if report.skipped else ""
    show(
        Text.assemble(
            (f"{report.documents} documents, {report.chunks} chunks", "bold"),
            f" in {folder}: {changes or 'nothing changed'}{skipped}; {report.seconds:.1f} s, ",
            f"generation {report.generation}.",
        )
    )
    if report.failed:
        show(Text(f"{len(report.failed)} could not be indexed:", style="bold red"))
    for failure in report.failed[:_SHOWN]:
        show(Text.assemble("  ", (visible(short_path(failure.source)), "bold"), f": {visible(failure.reason)}"))
    if len(report.failed) > _SHOWN:
        show(Text(f"  and {len(report.failed) - _SHOWN} more; --json names all."))
