"""From options and a YAML file to one PipelineConfig. What the command line says goes over what the file says."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ragkit.config import PartConfig, PipelineConfig


@dataclass(frozen=True, slots=True)
class Settings:
    """The settings one command line gives; None means not given."""

    config: Path | None = None
    chunker: str | None = None
    chunk_size: int | None = None
    overlap: int | None = None
    embedder: str | None = None
    store: str | None = None
    llm: str | None = None
    enrich: tuple[str, ...] | None = None
    chunker_model: str | None = None

    def given(self) -> bool:
        """Return whether anything was given at all."""
        return self != Settings()

    def over(self, base: PipelineConfig) -> PipelineConfig:
        """Return `base` with these options (not the file) laid over it."""
        options = {"size": self.chunk_size, "overlap": self.overlap, "model": self.chunker_model}
        chunker = _named(base.chunker, self.chunker).with_options(
            **{key: value for key, value in options.items() if value is not None}
        )
        parts: dict[str, PartConfig | list[PartConfig]] = {
            "chunker": chunker,
            "embedder": _embedder(base.embedder, self.embedder),
            "store": _named(base.store, self.store),
            "language_model": _language_model(base.language_model, self.llm),
            "enrichers": _enrichers(base.enrichers, self.enrich),
        }
        return base.model_copy(update=parts)


def for_indexing(folder: Path, settings: Settings) -> PipelineConfig | None:
    """Return the configuration to index with, or None where the index's own (or the default one) is meant.

    A file is the whole configuration: what it leaves out has its default, so that one command always builds one index.
    Without a file, options go over what the index was built with.
    """
    from ragkit.config import PipelineConfig

    if not settings.given():
        return None
    if settings.config is not None:
        return settings.over(PipelineConfig.from_yaml(settings.config))
    return settings.over(stored(folder))


def for_asking(folder: Path, settings: Settings) -> PipelineConfig | None:
    """Return the configuration to ask an existing index with, or None where its own is meant.

    What the file does not say is as the index was built.
    """
    from ragkit.config import PipelineConfig

    if not settings.given():
        return None
    base = stored(folder)
    if settings.config is not None:
        asked = PipelineConfig.from_yaml(settings.config)
        base = base.model_copy(update={key: getattr(asked, key) for key in asked.model_fields_set})
    return settings.over(base)


def names_selector(config: Path | None) -> bool:
    """Return whether the file `config` names a selector."""
    from ragkit.config import PipelineConfig

    return config is not None and "selector" in PipelineConfig.from_yaml(config).model_fields_set


def for_chunking(settings: Settings) -> PipelineConfig:
    """Return the configuration to chunk a file with, outside any index."""
    from ragkit.config import PipelineConfig

    base = PipelineConfig.from_yaml(settings.config) if settings.config is not None else PipelineConfig()
    return settings.over(base)


def stored(folder: Path) -> PipelineConfig:
    """Return the configuration an index was built with; the default one where there is no index."""
    from ragkit.pipeline import Pipeline

    with Pipeline(folder) as pipeline:
        return pipeline.config


def _named(part: PartConfig, name: str | None) -> PartConfig:
    """Return `part`, or the one called `name` with default options: options of one part mean nothing to another."""
    from ragkit.config import PartConfig

    return part if name is None or name == part.name else PartConfig(name=name)


def _embedder(part: PartConfig, name: str | None) -> PartConfig:
    """Return the embedder `name`: a part, or else a model for sentence-transformers."""
    from ragkit.plugins import names

    if name is None or name in names("embedders"):
        return _named(part, name)
    return _named(part, "sentence_transformer").with_options(model=name)


def _enrichers(parts: list[PartConfig], named: tuple[str, ...] | None) -> list[PartConfig]:
    """Return `parts`, or the enrichers of those names in that order, with the options `parts` has for them.

    The one name "none" stands for no enricher.
    """
    from ragkit.config import PartConfig
    from ragkit.parts import check_part

    if named is None:
        return parts
    known = {part.name: part for part in parts}
    chosen = [known.get(name, PartConfig(name=name)) for name in named if named != ("none",)]
    for part in chosen:
        check_part("enrichers", part)
    return chosen


def _language_model(part: PartConfig, spec: str | None) -> PartConfig:
    """Return `part`, or the language model that `spec` names."""
    from ragkit.models.spec import parse_llm

    return part if spec is None else parse_llm(spec)
