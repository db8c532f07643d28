"""Parts made from a configuration, each with the resources that its constructor asks for."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Protocol, cast

from pydantic import ValidationError

from ragkit.budget import Meter
from ragkit.chunkers.sentences import split_sentences
from ragkit.config import KvReuseConfig, PartConfig, PipelineConfig
from ragkit.enriching import EnrichedChunker
from ragkit.errors import ConfigError
from ragkit.index.snapshot import Snapshot
from ragkit.models.trace import Trace
from ragkit.plugins import BUILT_IN, asks_for, check_options, create, part
from ragkit.protocols import (
    Chunker,
    Controller,
    Embedder,
    Enricher,
    LanguageModel,
    Progress,
    Reranker,
    Retriever,
    Selector,
)
from ragkit.retrievers.store import Store
from ragkit.selectors.trust import Trust, TrustedSelector, make_trust

if TYPE_CHECKING:
    from ragkit.cachecraft.language_model import ReusingLanguageModel

RESOURCES = frozenset({"tokenizer", "embedder", "snapshot", "store", "count", "language_model", "progress"}) | {
    "reranker",
    "members",
    "meter",
    "sentences",
    "make",
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
    if kind == "selectors":
        chosen, _ = _with_trust(chosen)
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
    name: str | PartConfig | None,
    count: Callable[[Sequence[str]], list[int]],
    embedder: Callable[[], Embedder] | None = None,
    *,
    language_model: Callable[[], LanguageModel] | None = None,
    meter: Meter | None = None,
) -> Selector:
    """Return the selector `name` (None: the configured one); `count` counts the answering model's tokens.

    `embedder` (None: the configured one is made) and `language_model` (None: the default one) are called only if the
    selector or its reranker asks for them; the option `model` names another language model. What models do is charged
    to `meter`. The option `trust` of any selector is `ragkit.selectors.trust.Trust`.
    """
    chosen = _selector_part(config, name)
    embeds = embedder or (lambda: make_embedder(config))
    resources: dict[str, object] = {"count": count, "meter": meter}
    if asks_for("selectors", chosen.name, "make"):  # it chooses another one for each question

        def make(other: str, options: Mapping[str, object]) -> Selector:
            inner = PartConfig(name=other, options=dict(options))
            return make_selector(config, inner, count, embeds, language_model=language_model, meter=meter)

        resources["make"] = make
    if asks_for("selectors", chosen.name, "reranker"):
        reranker = _named_reranker("selectors", chosen)
        if reranker is not None:
            reranker = _speaking("rerankers", reranker, config)
            resources["reranker"] = make_reranker(reranker, embeds, meter)
        chosen = _without(chosen, "reranker")
    chosen, trust = _with_trust(_speaking("selectors", chosen, config))
    chosen, asked = _with_thinking("selectors", chosen, embeds, language_model)
    made = cast(Selector, _make("selectors", chosen, **resources, **asked))
    return made if trust is None else cast(Selector, TrustedSelector(made, trust))


def make_controller(
    config: PipelineConfig,
    name: str | None,
    *,
    embedder: Callable[[], Embedder],
    language_model: Callable[[], LanguageModel],
) -> Controller | None:
    """Return the controller `name` (None: the configured one), None where there is none or it is called "none".

    `language_model` is asked unless the option `model` names another one; both are made only if they are asked for.
    """
    configured = config.controller
    if name == "none" or (name is None and configured is None):
        return None
    chosen = configured if configured is not None and name in (None, configured.name) else PartConfig(name=str(name))
    if chosen.name == "none":
        return None
    resources: dict[str, object] = {}
    if asks_for("controllers", chosen.name, "reranker"):
        reranker = _named_reranker("controllers", chosen)
        if reranker is not None:
            resources["reranker"] = make_reranker(_speaking("rerankers", reranker, config), embedder)
        chosen = _without(chosen, "reranker")
    chosen, asked = _with_thinking("controllers", chosen, embedder, language_model)
    return cast(Controller, _make("controllers", chosen, **resources, **asked))


def selector_part(config: PipelineConfig, name: str | None) -> PartConfig:
    """Return the selector `name` as it is configured, with its default options where it is not the configured one.

    "configured:FILE" is the selector `configured` with the agent in that file.
    """
    if name is None or name == config.selector.name:
        return config.selector
    short, colon, file = name.partition(":")
    with_agent = bool(colon) and short == "configured"
    return PartConfig(name=short, options={"agent": file}) if with_agent else PartConfig(name=name)


def with_least_trust(chosen: PartConfig, least: float) -> PartConfig:
    """Return the selector `chosen` with `least` as the `min` of its option `trust`."""
    given = chosen.options.get("trust")
    rest = given if isinstance(given, Mapping) else {}
    return chosen.with_options(trust={**rest, "min": least})


def _selector_part(config: PipelineConfig, name: str | PartConfig | None) -> PartConfig:
    return name if isinstance(name, PartConfig) else selector_part(config, name)


def _with_trust(chosen: PartConfig) -> tuple[PartConfig, Trust | None]:
    """Return `chosen` without its option `trust`, and what that says; a selector may have such an option of its own."""
    if asks_for("selectors", chosen.name, "trust"):
        return chosen, None
    return _without(chosen, "trust"), make_trust(chosen.options.get("trust"))


def _with_thinking(
    kind: str,
    chosen: PartConfig,
    embedder: Callable[[], Embedder],
    model: Callable[[], LanguageModel] | None,
) -> tuple[PartConfig, dict[str, object]]:
    """Return `chosen` without its option `model`, and what it asks for: embedder, language model, sentence splitter."""
    asked: dict[str, object] = {}
    if asks_for(kind, chosen.name, "embedder"):
        asked["embedder"] = embedder()
    if asks_for(kind, chosen.name, "sentences"):
        asked["sentences"] = split_sentences
    if model is not None and asks_for(kind, chosen.name, "language_model") and "model" not in chosen.options:
        return chosen, {**asked, "language_model": model()}
    chosen, named = _with_language_model(kind, chosen)
    return chosen, {**asked, **named}


def make_reranker(chosen: PartConfig, embedder: Callable[[], Embedder], meter: Meter | None = None) -> Reranker:
    """Return the reranker `chosen`; no weights are loaded before they are needed.

    `embedder` is called only where it is asked for; what a language model does is charged to `meter`. The option
    `model` names the language model of one that asks for such a model, the option `rerankers` the members of a fusion
    (without it: cosine and bm25).
    """
    resources: dict[str, object] = {"meter": meter}
    if asks_for("rerankers", chosen.name, "embedder"):
        resources["embedder"] = embedder()
    if asks_for("rerankers", chosen.name, "members"):
        resources["members"] = [make_reranker(member, embedder, meter) for member in _named_members(chosen)]
        chosen = _without(chosen, "rerankers")
    chosen, asked = _with_language_model("rerankers", chosen)
    return cast(Reranker, _make("rerankers", chosen, **resources, **asked))


def make_language_model(config: PipelineConfig) -> LanguageModel:
    """Return the configured language model; no weights are loaded before they are needed."""
    return language_model(config.language_model)


def make_reusing_model(config: PipelineConfig) -> ReusingLanguageModel:
    """Return the configured language model, answering through chunk reuse; nothing is loaded before it is needed.

    One model with the same settings is shared: its store has one writer. Raises UnsupportedError where the model is not
    a local one.
    """
    from ragkit.cachecraft.language_model import ReusingLanguageModel
    from ragkit.cachecraft.settings import store_folder
    from ragkit.models.shared import shared_instance

    chosen, settings = config.language_model, config.kv_reuse or KvReuseConfig()
    watch = _WATCH.get()
    model, plain = language_model(chosen), _made_once(chosen)

    def make() -> ReusingLanguageModel:
        return ReusingLanguageModel(model, plain, settings, trace=None if watch is None else watch.trace)

    if watch is not None or chosen.name not in BUILT_IN["language_models"]:
        return make()
    told = {"model": chosen.model_dump_json(), "config": settings.model_dump_json(), "folder": store_folder(settings)}
    options = {key: str(value) for key, value in told.items()}
    return cast("ReusingLanguageModel", shared_instance(ReusingLanguageModel, options, make))


def language_model(chosen: PartConfig) -> LanguageModel:
    """Return the language model `chosen` behind the on-disk cache; no weights are loaded before they are needed.

    Parts that name the same built-in model with the same options share it.
    """
    from ragkit.models.cached import cached_language_model

    watch = _WATCH.get()
    made = cast(LanguageModel, _made_once(chosen))
    model = cached_language_model(made, trace=None if watch is None else watch.trace)
    if watch is not None:
        watch.made(chosen, model)
    return model


def _made_once(chosen: PartConfig) -> object:
    from ragkit.models.shared import shared_instance

    if chosen.name not in BUILT_IN["language_models"]:  # others may not be safe to share between threads
        return _make("language_models", chosen)
    constructor = part("language_models", chosen.name)
    return shared_instance(constructor, chosen.options, lambda: _make("language_models", chosen))


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
    return parse_llm(named) if isinstance(named, str) else _part_config(named, "model")


def _speaking(kind: str, chosen: PartConfig, config: PipelineConfig) -> PartConfig:
    """Return `chosen` with the option `language` of the index, where it has that option and nothing else is given."""
    speaks = asks_for(kind, chosen.name, "language") and "language" not in chosen.options
    return chosen.with_options(language=config.language) if speaks else chosen


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
            hint=f"Give, for instance, {{name: {'local' if option == 'model' else 'cross_encoder'}, model: FOLDER}}.",
        ) from None


def _without(chosen: PartConfig, option: str) -> PartConfig:
    return PartConfig(name=chosen.name, options={key: value for key, value in chosen.options.items() if key != option})


def _make(kind: str, chosen: PartConfig, **resources: object) -> object:
    return create(kind, chosen.name, chosen.options, **resources)
