"""From an experiment file to the systems it names, each checked before anything is computed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from ragkit.config import PartConfig, PipelineConfig
from ragkit.errors import ConfigError, UsageError
from ragkit.eval.experiment.lines import Lines, Place
from ragkit.eval.experiment.specification import Experiment, GridSpec, SourceOrder, merged
from ragkit.eval.peers import PEERS
from ragkit.models.spec import parse_llm
from ragkit.parts import check_part
from ragkit.plugins import check_options, names, suggestion

Context = Literal["index", "none", "oracle"]
"""Where the sources of an answer come from: an index, nowhere, or the gold evidence."""

RESOURCES = frozenset({"tokenizer", "embedder", "snapshot", "store", "count"})
"""What parts are given besides their options."""


@dataclass(frozen=True, slots=True)
class System:
    """One way to get from documents to hits.

    `peer` is the other library's chunker that takes the place of the configured one. `selects` says whether hits go
    through a selector. `whole` is its name on data sets that are not chunked. `language_model` is what it answers with
    where it names one of its own, `budget_tokens` its own limit for the sources in a prompt, `order` how a prompt shows
    them where that is not as `ragkit ask` does.
    """

    name: str
    config: PipelineConfig
    whole: str
    peer: PartConfig | None = None
    selects: bool = False
    context: Context = "index"
    language_model: PartConfig | None = None
    budget_tokens: int | None = None
    order: SourceOrder | None = None

    @property
    def chunker(self) -> PartConfig:
        """The chunker, a peer's or our own."""
        return self.peer or self.config.chunker

    @property
    def chunker_label(self) -> str:
        """The chunker as a person names it, such as "recursive-200"."""
        return label(self.chunker)

    def sized(self, size: int) -> System:
        """Return this system with chunks of at most `size` tokens."""
        part = self.chunker.with_options(size=size)
        if self.peer is not None:
            return replace(self, peer=part)
        return replace(self, config=self.config.model_copy(update={"chunker": part}))


def systems_of(experiment: Experiment, lines: Lines) -> list[System]:
    """Return all systems, the explicit ones first; raise ConfigError with file and line for what is wrong."""
    found: dict[str, System] = {}
    for place, name, whole, content in _described(experiment):
        try:
            system = replace(_system(name, whole, content), **_own(experiment, place))
        except UsageError as error:
            raise lines.error(_blamed(lines, place, error), error) from None
        if name in found:
            raise ConfigError(f"{lines.where(place)}: two systems are named {name!r}.", hint="Rename one of them.")
        found[name] = system
    if not found:
        raise ConfigError(f"{lines.where(())}: there is no system.", hint="Give `systems:` or a `grid:`.")
    if experiment.baseline and experiment.baseline not in found:
        raise ConfigError(
            f"{lines.where(('baseline',))}: there is no system named {experiment.baseline!r}.",
            hint=f"{suggestion(experiment.baseline, list(found))} Systems: {', '.join(found)}.".lstrip(),
        )
    return list(found.values())


def _own(experiment: Experiment, place: Place) -> dict[str, Any]:
    """Return what the system at `place` says of its prompts, besides its configuration."""
    number = place[-1]
    if not isinstance(number, int):
        return {}
    spec = experiment.systems[number]
    if spec.order is not None and "controller" in merged(experiment.pipeline, spec.pipeline):
        raise UsageError(
            f"{spec.name!r} has a controller and order: {spec.order}; a controller writes its own prompts.",
            hint="Remove one of them.",
        )
    return {"budget_tokens": spec.budget_tokens, "order": spec.order}


def _blamed(lines: Lines, place: Place, error: UsageError) -> Place:
    """Return the place that holds what `error` quotes: the system's own, else the common configuration."""
    common: Place = ("pipeline",)
    if lines.named(place, error.message) != lines.where(place):
        return place
    return common if lines.named(common, error.message) != lines.where(common) else place


def for_whole_documents(systems: list[System]) -> dict[str, System]:
    """Return the systems that differ on documents that are not chunked, by what they do there.

    Chunkers make no difference there, so all systems that search alike are one.
    """
    found: dict[str, System] = {}
    for system in systems:
        found.setdefault(search_key(system), replace(system, peer=None, name=system.whole))
    return found


def search_key(system: System) -> str:
    """Return what `system` does apart from chunking and enriching."""
    config = system.config.model_copy(update={"chunker": PartConfig(name="whole"), "enrichers": []})
    return f"{config.model_dump_json()} {system.selects} {system.context} {system.budget_tokens} {system.order}"


def label(part: PartConfig) -> str:
    """Return a part with its options in short.

    >>> label(PartConfig(name="recursive", options={"size": 200, "overlap": 20}))
    'recursive-200-overlap20'
    """
    rest = [f"{key}{value}" for key, value in part.options.items() if key != "size"]
    size = [str(part.options["size"])] if "size" in part.options else []
    return "-".join([part.name, *size, *rest])


def grid_systems(grid: GridSpec, common: Mapping[str, Any]) -> list[System]:
    """Return the systems of `grid` over the configuration `common`; raise UsageError for what is wrong."""
    return [_system(name, whole, content) for name, whole, content in _cells(grid, common)]


def _described(experiment: Experiment) -> Iterator[tuple[Place, str, str, dict[str, Any]]]:
    """Yield place, name, name without chunker, and configuration of every system."""
    for number, system in enumerate(experiment.systems):
        yield ("systems", number), system.name, system.name, merged(experiment.pipeline, system.pipeline)
    if experiment.grid is not None:
        for name, whole, content in _cells(experiment.grid, experiment.pipeline):
            yield ("grid",), name, whole, content


def _cells(grid: GridSpec, common: Mapping[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Yield name, name without chunker, and configuration of every system of the grid."""
    for name, whole, content in _unenriched_cells(grid, common):
        if not grid.enrichers or context_of(content.get("retriever")) != "index":
            yield name, whole, content
            continue
        for chosen in grid.enrichers:
            enrichers = [part for part in (chosen if isinstance(chosen, list) else [chosen]) if part != "none"]
            index = "+".join([*filter(None, [name[: -len(whole) - 1]]), *map(_label_of, enrichers)])
            yield "/".join(filter(None, [index, whole])), whole, merged(content, {"enrichers": enrichers})


def _unenriched_cells(grid: GridSpec, common: Mapping[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Yield the systems of the grid with the enrichers of the common configuration."""
    for chunker, retriever, selector in _crossed(grid, common.get("chunker", "recursive")):
        search = {"retriever": retriever}
        names = [_label_of(retriever)]
        if selector != "none":
            search["selector"] = selector
            names.append(_label_of(selector))
        whole = "/".join(names)
        if chunker is None:
            yield whole, whole, merged(common, search)
        else:
            yield "/".join([_label_of(chunker), *names]), whole, merged(common, {"chunker": chunker, **search})


def _crossed(grid: GridSpec, common: Any) -> Iterator[tuple[Any, Any, Any]]:
    """Yield chunker (None: the `common` one as it is), retriever and selector of every system of the grid."""
    chunkers: list[Any] = []
    for chunker in grid.chunkers or ([common] if grid.sizes else []):
        part = dict(chunker) if isinstance(chunker, Mapping) else {"name": chunker}
        chunkers += [{**part, "size": size} for size in grid.sizes] or [part]
    for chunker in chunkers or [None]:
        for retriever in grid.retrievers:
            for selector in grid.selectors if context_of(retriever) == "index" else ():
                yield chunker, retriever, selector
    for retriever in grid.retrievers:
        if context_of(retriever) != "index":
            yield None, retriever, "none"


def _label_of(part: Any) -> str:
    if isinstance(part, Mapping) and "peer" in part:
        part = {**{key: value for key, value in part.items() if key != "peer"}, "name": part["peer"]}
    return label(PartConfig.model_validate(part))


def _system(name: str, whole: str, content: dict[str, Any]) -> System:
    """Return the system, all its parts known and their options right; raise UsageError otherwise."""
    peer: PartConfig | None = None
    chunker = content.get("chunker")
    if isinstance(chunker, Mapping) and "peer" in chunker:
        content = {key: value for key, value in content.items() if key != "chunker"}
        peer = _peer(dict(chunker))
    context = context_of(content.get("retriever"))
    if context != "index":
        content = {key: value for key, value in content.items() if key not in ("retriever", "selector", "controller")}
    model = model_part(content["language_model"]) if "language_model" in content else None
    if model is not None:
        content = {**content, "language_model": model.model_dump()}
    config = PipelineConfig.from_mapping(content, name)
    parts = {"chunkers": config.chunker, "embedders": config.embedder, "stores": config.store}
    parts |= {"retrievers": config.retriever, "selectors": config.selector}
    parts |= {} if config.controller is None else {"controllers": config.controller}
    for kind, part in [*parts.items(), *(("enrichers", enricher) for enricher in config.enrichers)]:
        check_part(kind, part)
    return System(name, config, whole, peer, "selector" in content, context, model)


def context_of(retriever: Any) -> Context:
    """Return what the retriever's name stands for."""
    name = retriever.get("name") if isinstance(retriever, Mapping) else retriever
    return name if name in ("none", "oracle") else "index"


def model_part(named: str | Mapping[str, Any]) -> PartConfig:
    """Return the language model that `named` names: one word as on the command line, or a part with options.

    Raises UsageError for a part or an option that does not exist.
    """
    if isinstance(named, str) and named not in names("language_models"):
        part = parse_llm(named)
    else:
        part = PartConfig.model_validate(named)
    check_options("language_models", part.name, part.options, RESOURCES)
    return part


def _peer(chunker: dict[str, Any]) -> PartConfig:
    """Return the peer's chunker as a part; raise UsageError for an unknown name or option."""
    name = str(chunker.pop("peer"))
    if name not in PEERS:
        raise UsageError(
            f"There is no peer named {name!r}.",
            hint=f"{suggestion(name, list(PEERS))} Available: {', '.join(PEERS)}.".lstrip(),
        )
    for key, value in chunker.items():
        if key not in ("size", "overlap") or not isinstance(value, int):
            raise UsageError(
                f"The peer {name!r} has no option {key!r} with the value {value!r}.",
                hint="Peers take size and overlap, in tokens.",
            )
    return PartConfig(name=name, options=chunker)
