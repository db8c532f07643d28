"""ragkit: documents to chunks, questions to answers with exact sources.

    from ragkit import Pipeline

    with Pipeline("my-index") as pipeline:
        pipeline.index(["docs"])
        answer = pipeline.ask("How do I install it?")

What is imported here is public; everything else may change without notice unless its documentation says otherwise.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ragkit.budget import Budget
    from ragkit.config import LoadingConfig, PartConfig, PipelineConfig
    from ragkit.errors import RagkitError
    from ragkit.ingest import IndexReport
    from ragkit.pipeline import Pipeline, chunk_file
    from ragkit.schema import (
        Answer,
        Block,
        BlockKind,
        Chunk,
        Chunked,
        Citation,
        Document,
        Dropped,
        Hit,
        Selection,
    )

__version__ = "0.1.0"

# Imported on first use: `ragkit --help` must not wait for numpy and the search engine.
_HOMES = {
    "Answer": "schema",
    "Block": "schema",
    "BlockKind": "schema",
    "Budget": "budget",
    "Chunk": "schema",
    "Chunked": "schema",
    "Citation": "schema",
    "Document": "schema",
    "Dropped": "schema",
    "Hit": "schema",
    "IndexReport": "ingest",
    "LoadingConfig": "config",
    "PartConfig": "config",
    "Pipeline": "pipeline",
    "PipelineConfig": "config",
    "RagkitError": "errors",
    "Selection": "schema",
    "chunk_file": "pipeline",
}

__all__ = [
    "Answer",
    "Block",
    "BlockKind",
    "Budget",
    "Chunk",
    "Chunked",
    "Citation",
    "Document",
    "Dropped",
    "Hit",
    "IndexReport",
    "LoadingConfig",
    "PartConfig",
    "Pipeline",
    "PipelineConfig",
    "RagkitError",
    "Selection",
    "__version__",
    "chunk_file",
]


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module 'ragkit' has no attribute {name!r}")
    value = getattr(import_module(f"ragkit.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
