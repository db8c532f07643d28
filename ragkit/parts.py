"""Parts made from a configuration, each with the resources that its constructor asks for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import cast

from ragkit.config import PartConfig, PipelineConfig
from ragkit.index.snapshot import Snapshot
from ragkit.plugins import asks_for, create, part
from ragkit.protocols import Chunker, Embedder, Enricher, LanguageModel, Retriever, Selector
from ragkit.retrievers.store import Store


def make_embedder(config: PipelineConfig) -> Embedder:
    """Return the configured embedder behind the on-disk cache; no weights are loaded before they are needed."""
    from ragkit.models.cache import cached_embedder

    return cached_embedder(cast(Embedder, _make("embedders", config.embedder)))


def make_chunker(config: PipelineConfig, embedder: Embedder) -> Chunker:
    """Return the configured chunker; sizes count the tokens of `embedder`."""
    chosen, asked = _with_language_model("chunkers", config.chunker)
    made = _make("chunkers", chosen, tokenizer=embedder.tokenizer, embedder=embedder, **asked)
    return cast(Chunker, made)


def make_enrichers(config: PipelineConfig, embedder: Embedder) -> list[Enricher]:
    """Return the configured enrichers, in order."""
    made = []
    for part_config in config.enrichers:
        chosen, asked = _with_language_model("enrichers", part_config)
        made.append(cast(Enricher, _make("enrichers", chosen, embedder=embedder, **asked)))
    return made


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
    return language_model(config.language_model)


def language_model(chosen: PartConfig) -> LanguageModel:
    """Return the language model `chosen` behind the on-disk cache; no weights are loaded before they are needed."""
    from ragkit.models.cached import cached_language_model

    return cached_language_model(cast(LanguageModel, _make("language_models", chosen)))


def _with_language_model(kind: str, chosen: PartConfig) -> tuple[PartConfig, dict[str, object]]:
    """Return `chosen` without its option `model`, and the language model which that option names.

    `model` is one word as on the command line (`ragkit.models.spec`) or a part with options; without it a part that
    asks for a language model gets the default one, whatever answers questions: an index must not depend on that.
    """
    if not asks_for(kind, chosen.name, "language_model"):
        return chosen, {}
    from ragkit.models.spec import parse_llm

    rest = {key: value for key, value in chosen.options.items() if key != "model"}
    named = chosen.options.get("model", PartConfig(name="local"))
    model = parse_llm(named) if isinstance(named, str) else PartConfig.model_validate(named)
    return PartConfig(name=chosen.name, options=rest), {"language_model": language_model(model)}


def _make(kind: str, chosen: PartConfig, **resources: object) -> object:
    return create(kind, chosen.name, chosen.options, **resources)
