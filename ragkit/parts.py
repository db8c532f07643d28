"""Parts made from a configuration, each with the resources that it asks for."""

from __future__ import annotations

from typing import cast

from ragkit.config import PartConfig, PipelineConfig
from ragkit.plugins import create
from ragkit.protocols import Chunker, Embedder, LanguageModel, Retriever, Selector


def make_embedder(config: PipelineConfig) -> Embedder:
    """Return the configured embedder behind the on-disk cache; no weights are loaded before they are needed."""
    from ragkit.models.cache import cached

    embedder: Embedder = create("embedders", config.embedder.name, config.embedder.options)
    return cached(embedder)


def make_chunker(config: PipelineConfig, embedder: Embedder) -> Chunker:
    """Return the configured chunker; sizes count the tokens of `embedder`."""
    part = config.chunker
    return cast(
        Chunker, create("chunkers", part.name, part.options, tokenizer=embedder.tokenizer, embedder=embedder)
    )
