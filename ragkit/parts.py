"""Parts made from a configuration, each with the resources that its constructor asks for."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Protocol, cast

from pydantic import ValidationError

from ragkit.config import PartConfig, PipelineConfig
from ragkit.enriching import EnrichedChunker
from ragkit.errors import ConfigError
from ragkit.index.snapshot import Snapshot
from ragkit.models.trace import Trace
from ragkit.plugins import asks_for, check_options, create, part
from ragkit.protocols import Chunker, Embedder, Enricher, LanguageModel, Progress, Reranker, Retriever, Selector
from ragkit.retrievers.store import Store

RESOURCES = frozenset({"tokenizer", "embedder", "snapshot", "store", "count", "language_model", "progress"}) | {
    "reranker",
    "members",
}
"""What parts are given besides their options."""


class Watch(Protocol):
    """Is told of the language models that are made and of every call of them."""

    @property
    def trace(self) -> Trace:
        """Takes the calls, cached or not."""
        ...

    def made(self, part: PartConfig, model: LanguageModel) -> None:
        """Take note that `model` was made from `part`."""
        ...


_WATCH: ContextVar[Watch | None] = ContextVar("watch", default=None)


@contextmanager
def watched(watch: Watch) -> Iterator[None]:
    """Let `watch` see every language model that is made inside, such as those of chunkers and enrichers."""
    token = _WATCH.set(watch)
    try:
        yield
    finally:
        _WATCH.reset(token)


def make_embedder(config: PipelineConfig) -> Embedder:
    """Return the configured embedder behind the on-disk cache; no weights are loaded before they are needed."""
    from ragkit.models.cache import cached_embedder

    return cached_embedder(cast(Embedder, _make("embedders", config.embedder)))


def make_chunker(config: PipelineConfig, embedder: Embedder, progress: Progress | None = None) -> Chunker:
    """Return the configured chunker, its chunks enriched as configured; sizes count the tokens of `embedder`.

    `progress` hears of the work of language models, in the chunker and in the enrichers: the slow part where there is
    any.
    """
    chosen, asked = _with_language_model("chunkers", config.chunker)
    made = _make("chunkers", chosen, tokenizer=embedder.tokenizer, embedder=embedder, progress=progress, **asked)
    return enriched(cast(Chunker, made), config, embedder, progress)


def enriched(chunker: Chunker, config: PipelineConfig, embedder: Embedder, progress: Progress | None = None) -> Chunker:
    """Return `chunker` with the configured enrichers behind it; `chunker` itself where there are none."""
    if not config.enrichers:
        return chunker
    return EnrichedChunker(chunker, make_enrichers(config, embedder), progress)


def make_enrichers(config: PipelineConfig, embedder: Embedder) -> list[Enricher]:
    """Return the configured enrichers, in order."""
    made = []
    for part_config in config.enrichers:
        chosen, asked = _with_language_model("enrichers", part_config)
        made.append(cast(Enricher, _make("enrichers", chosen, embedder=embedder, **asked)))
    return made


def check_part(kind: str, chosen: PartConfig) -> None:
    """Raise what making `chosen` would raise for its name, its options and the language model that they name."""
    if asks_for(kind, chosen.name, "language_model"):
        model = _named_model(chosen)
        check_options("language_models", model.name, model.options, RESOURCES)
        chosen = _without(chosen, "model")
    if asks_for(kind, chosen.name, "reranker"):
        reranker = _named_reranker(kind, chosen)
        if reranker is not None:
            check_part("rerankers", reranker)
        chosen = _without(chosen, "reranker")
    if asks_for(kind, chosen.name, "members"):
        for member in _named_members(chosen):
            check_part("rerankers", member)
        chosen = _without(chosen, "rerankers")
    check_options(kind, chosen.name, chosen.options, RESOURCES)


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


def make_selector(
    config: PipelineConfig,
    name: str | None,
    count: Callable[[Sequence[str]], list[int]],
    embedder: Callable[[], Embedder] | None = None,
) -> Selector:
    """Return the selector `name` (None: the configured one); `count` counts the answering model's tokens.

    `embedder` (None: the configured one is made) is called only if the selector's reranker asks for it.
    """
    chosen = config.selector if name in (None, config.selector.name) else PartConfig(name=str(name))
    resources: dict[str, object] = {"count": count}
    if asks_for("selectors", chosen.name, "reranker"):
        reranker = _named_reranker("selectors", chosen)
        if reranker is not None:
            resources["reranker"] = make_reranker(reranker, embedder or (lambda: make_embedder(config)))
        chosen = _without(chosen, "reranker")
    return cast(Selector, _make("selectors", chosen, **resources))


def make_reranker(chosen: PartConfig, embedder: Callable[[], Embedder]) -> Reranker:
    """Return the reranker `chosen`; no weights are loaded before they are needed.

    `embedder` is called only where it is asked for. The option `model` names the language model of one that asks for
    such a model, the option `rerankers` the members of a fusion (without it: cosine and bm25).
    """
    resources: dict[str, object] = {}
    if asks_for("rerankers", chosen.name, "embedder"):
        resources["embedder"] = embedder()
    if asks_for("rerankers", chosen.name, "members"):
        resources["members"] = [make_reranker(member, embedder) for member in _named_members(chosen)]
        chosen = _without(chosen, "rerankers")
    chosen, asked = _with_language_model("rerankers", chosen)
    return cast(Reranker, _make("rerankers", chosen, **resources, **asked))


def make_language_model(config: PipelineConfig) -> LanguageModel:
    """Return the configured language model; no weights are loaded before they are needed."""
    return language_model(config.language_model)


def language_model(chosen: PartConfig) -> LanguageModel:
    """Return the language model `chosen` behind the on-disk cache; no weights are loaded before they are needed."""
    from ragkit.models.cached import cached_language_model

    watch = _WATCH.get()
    made = cast(LanguageModel, _make("language_models", chosen))
    model = cached_language_model(made, trace=None if watch is None else watch.trace)
    if watch is not None:
        watch.made(chosen, model)
    return model


def _with_language_model(kind: str, chosen: PartConfig) -> tuple[PartConfig, dict[str, object]]:
    """Return `chosen` without its option `model`, and the language model which that option names.

    `model` is one word as on the command line (`ragkit.models.spec`) or a part with options; without it a part that
    asks for a language model gets the default one, whatever answers questions: an index must not depend on that.
    """
    if not asks_for(kind, chosen.name, "language_model"):
        return chosen, {}
    return _without(chosen, "model"), {"language_model": language_model(_named_model(chosen))}


def _named_model(chosen: PartConfig) -> PartConfig:
    from ragkit.models.spec import parse_llm

    named = chosen.options.get("model", PartConfig(name="local"))
    return parse_llm(named) if isinstance(named, str) else PartConfig.model_validate(named)


def _named_reranker(kind: str, chosen: PartConfig) -> PartConfig | None:
    """Return the reranker that the option `reranker` names, or else the part's own default; None for "none"."""
    named = chosen.options.get("reranker", getattr(part(kind, chosen.name), "default_reranker", "none"))
    return None if named in ("none", None) else _part_config(named, "reranker")


def _named_members(chosen: PartConfig) -> list[PartConfig]:
    named = chosen.options.get("rerankers", ["cosine", "bm25"])
    if not isinstance(named, list):
        raise ConfigError(
            f"The option 'rerankers' of {chosen.name!r} cannot be {named!r}; expected a list of rerankers.",
            hint="Give, for instance, rerankers: [cosine, bm25].",
        )
    return [_part_config(one, "rerankers") for one in named]


def _part_config(named: object, option: str) -> PartConfig:
    try:
        return PartConfig.model_validate(named)
    except ValidationError:
        raise ConfigError(
            f"The option {option!r} cannot name {named!r}; expected a name, or a mapping with `name` and options.",
            hint="Give, for instance, {name: cross_encoder, model: FOLDER}.",
        ) from None


def _without(chosen: PartConfig, option: str) -> PartConfig:
    return PartConfig(name=chosen.name, options={key: value for key, value in chosen.options.items() if key != option})


def _make(kind: str, chosen: PartConfig, **resources: object) -> object:
    return create(kind, chosen.name, chosen.options, **resources)
