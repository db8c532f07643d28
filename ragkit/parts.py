"""Parts made from a configuration, each with the resources that its constructor asks for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import cast

from ragkit.config import PartConfig, PipelineConfig
from ragkit.index.snapshot import Snapshot
from ragkit.plugins import asks_for, create, part
from ragkit.protocols import Chunker, Embedder, LanguageModel, Retriever, Selector
from ragkit.retrievers.store import Store


def make_embedder(config: PipelineConfig) -> Embedder:
    """Return the configured embedder behind the on-disk cache; no weights are loaded before they are needed."""
    from ragkit.models.cache import cached_embedder

    return cached_embedder(cast(Embedder, _make("embedders", config.embedder)))


def make_chunker(config: PipelineConfig, embedder: Embedder) -> Chunker:
    """Return the configured chunker; sizes count the tokens of `embedder`."""
    made = _make("chunkers", config.chunker, tokenizer=embedder.tokenizer, embedder=embedder)
    return cast(Chunker, made)


def make_store(config: PipelineConfig, snapshot: Snapshot) -> Store:
    """Return the configured vector store, open on `snapshot`."""
    return cast(Store, _make("stores", config.store, snapshot=snapshot))


def keeps_projection(config: PipelineConfig) -> bool:
    """Return whether the configured store holds anything of its own, to be brought up to date after a commit."""
    tell = getattr(part("stores", config.store.name), "keeps_projection", None)
    return True if tell is None else bool(tell(config.store.options))


def make_retriever(
    config: PipelineConfig, name: str, snapshot: Snapshot, embedder: Callable[[], Embedder]
) -> Retriever:
    """Return the retriever `name` on `snapshot`; its options apply where it is the configured one.

    `embedder` is called, and the store made, only if the retriever asks for them: lexical search needs no model.
    """
    chosen = config.retriever if name == config.retriever.name else PartConfig(name=name)
    resources: dict[str, object] = {"snapshot": snapshot}
    if asks_for("retrievers", name, "embedder"):
        resources["embedder"] = embedder()
    if asks_for("retrievers", name, "store"):
        resources["store"] = make_store(config, snapshot)
    return cast(Retriever, _make("retrievers", chosen, **resources))


def make_selector(config: PipelineConfig, name: str | None, count: Callable[[Sequence[str]], list[int]]) -> Selector:
    """Return the selector `name` (None: the configured one); `count` counts the answering model's tokens."""
    chosen = config.selector if name in (None, config.selector.name) else PartConfig(name=str(name))
    return cast(Selector, _make("selectors", chosen, count=count))


def make_language_model(config: PipelineConfig) -> LanguageModel:
    """Return the configured language model; no weights are loaded before they are needed."""
    return cast(LanguageModel, _make("language_models", config.language_model))


def _make(kind: str, chosen: PartConfig, **resources: object) -> object:
    return create(kind, chosen.name, chosen.options, **resources)
