"""Whether a configuration may be used on an index: a mixed index is refused."""

from __future__ import annotations

from pathlib import Path

from ragkit.config import PartConfig, PipelineConfig
from ragkit.errors import IndexMismatchError
from ragkit.index.header import IndexHeader
from ragkit.protocols import Embedder


def check_embedder(folder: Path, header: IndexHeader, embedder: Embedder) -> None:
    """Raise IndexMismatchError unless `embedder` is the one whose vectors the index holds."""
    if embedder.fingerprint != header.embedder_fingerprint:
        raise IndexMismatchError(
            f"{folder} was built with the embedder {shown(header.config.embedder)}, fingerprint "
            f"{header.embedder_fingerprint[:12]}; {embedder.name}, fingerprint {embedder.fingerprint[:12]}, "
            "is of another space.",
            hint="Use the embedder that built the index, or start afresh with `ragkit index --rebuild`.",
        )


def check_built_alike(folder: Path, built: IndexHeader, asked: IndexHeader) -> None:
    """Raise IndexMismatchError unless `asked` would build the same index as `built`.

    Parts are compared by what they do (their fingerprints), not by how they are configured.
    """
    same = {
        "embedder": asked.embedder_fingerprint == built.embedder_fingerprint,
        "chunker": asked.chunker_fingerprint == built.chunker_fingerprint,
        "store": asked.config.store == built.config.store,
        "language": asked.language == built.language,
    }
    for part, is_same in same.items():
        if not is_same:
            was, wanted = (_written(part, header.config) for header in (built, asked))
            detail = f"{was}; {wanted} was asked for" if was != wanted else f"{was} of another version"
            raise IndexMismatchError(
                f"{folder} was built with the {part} {detail}.",
                hint="Keep the index's own, use another --index folder, or start afresh with --rebuild.",
            )


def _written(part: str, config: PipelineConfig) -> str:
    """Return the named part of a configuration as it is written; a chunker with the enrichers behind it."""
    also = [shown(enricher) for enricher in config.enrichers] if part == "chunker" else []
    return " + ".join([shown(getattr(config, part)), *also])


def shown(part: PartConfig | str) -> str:
    """Return a part as it is written in a configuration."""
    if isinstance(part, str):
        return repr(part)
    options = ", ".join(f"{key}={value}" for key, value in part.options.items())
    return f"{part.name!r} ({options})" if options else repr(part.name)
