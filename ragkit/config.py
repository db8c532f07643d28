"""Pipeline configuration: one typed object, read from YAML; unknown keys are refused with a suggestion.

Each part is a mapping with its `name` and that part's own options, which are the keyword arguments of its class:

    chunker: {name: recursive, size: 200}
    enrichers: [{name: summary, model: SmolLM2-135M-Instruct}]
    embedder: {name: sentence_transformer, model: all-MiniLM-L6-v2}
    store: {name: faiss}
    retriever: {name: hybrid}
    selector: {name: top_k, k: 5}
    controller: {name: feedback, rounds: 2}
    language_model: {name: local, model: SmolLM2-135M-Instruct}
    kv_reuse: {policy: query_probe, share: 0.3}
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from ragkit.errors import ConfigError
from ragkit.plugins import suggestion


class PartConfig(BaseModel):
    """A part by name, with its options."""

    model_config = ConfigDict(frozen=True)

    name: str
    options: dict[str, Any] = Field(default_factory=dict)

    @model_validator(mode="before")
    @classmethod
    def _gather_options(cls, value: object) -> object:
        """Accept `recursive`, `{name: recursive, size: 200}` and `{name: recursive, options: {size: 200}}`."""
        if isinstance(value, str):
            return {"name": value}
        if isinstance(value, Mapping):
            rest = {key: item for key, item in value.items() if key not in ("name", "options")}
            return {"name": value.get("name"), "options": {**value.get("options", {}), **rest}}
        return value

    def with_options(self, **options: Any) -> PartConfig:
        """Return this part with `options` laid over its own."""
        return PartConfig(name=self.name, options={**self.options, **options})


class LoadingConfig(BaseModel):
    """Caps that keep a hostile or broken file from costing more than an error, and the walk's ignore rules."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    max_file_bytes: int = 512 * 2**20
    """Largest file that is opened, in bytes."""
    max_text_characters: int = 64 * 2**20
    """Most characters one document may have after extraction: a hundred long novels."""
    max_expansion: float = 200.0
    """Most bytes that one byte of a compressed container (DOCX, gzip) may become."""
    max_pages: int = 10_000
    """Most pages of one document."""
    max_seconds: float = 120.0
    """Longest time that parsing one file may take."""
    max_memory_bytes: int = 2 * 2**30
    """Most memory of the process that parses untrusted formats, its code included (where the system can limit it)."""
    ignore: list[str] = Field(default_factory=list)
    """Further patterns in .gitignore syntax; .gitignore and .ragkitignore files in the folders are obeyed."""
    text_field: str = "text"
    """The field of a JSONL record that holds the text."""
    id_field: str = "doc_id"
    """The field of a JSONL record that holds its id; records without it are named by their content."""


class KvReuseConfig(BaseModel):
    """How the keys and values of chunks are kept and used again by a local model (docs/kv_reuse.md)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    policy: Literal["cachecraft", "epic", "hkvd", "query_probe", "random", "none", "full"] = "query_probe"
    """Which tokens of reused chunks are computed again; "full" reuses nothing."""
    share: float = Field(default=0.3, ge=0, le=1)
    """The share of the tokens of reused chunks that is computed again."""
    alpha: float | None = Field(default=None, ge=0, allow_inf_nan=False)
    """Where given, it takes the place of `share`: Cache-Craft's own rule of how much (eq. 12)."""
    run_length: int = Field(default=1, ge=1)
    """Tokens are computed again in runs of so many."""
    order: Literal["best_last", "document", "cached"] = "best_last"
    """The order of the sources in the prompt; "cached" puts them so that what is stored fits best."""
    store: str | None = None
    """Folder of the store; None: below ragkit's cache folder."""
    memory_bytes: int = Field(default=2 << 30, ge=0)
    disk_bytes: int = Field(default=16 << 30, ge=0)
    device_bytes: int = Field(default=1 << 30, ge=0)
    """Most bytes that stay on a GPU between requests."""
    remote: str | None = None
    """Address of a Valkey or Redis server behind the disk, as valkey://host:6379/0."""
    remote_bytes: int = Field(default=64 << 30, ge=0)
    remote_seconds: float = Field(default=1.0, gt=0, le=600)
    """Seconds that the remote server may take to answer, beyond those that the bytes take at `remote_rate`."""
    remote_rate: float = Field(default=50e6, gt=0, allow_inf_nan=False)
    """Bytes a second that the remote server must reach; what comes more slowly is a miss."""
    admission: Literal["room", "reuse", "always"] = "room"
    """"room" keeps what is new while there is room, then what was shown before and saves more than what goes for it;
    "reuse" only the latter; "always" every chunk that was computed."""
    domain: str = ""
    """Chunks are never used again across trust domains, such as tenants."""
    gate: bool = True
    """Check the quality on a fixed probe set before a model's first reuse."""
    gate_divergence: float = Field(default=0.2, gt=0)
    """Reuse stays off above this mean divergence (nats) of the first answer token from that of full recompute."""
    gate_agreement: float = Field(default=0.85, ge=0, le=1)
    """Reuse stays off where fewer of full recompute's answer tokens are those that reuse finds most likely."""
    sample_share: float = Field(default=0.0, ge=0, le=1)
    """Share of the requests that are computed a second time in full, to count where the answers part."""


class PipelineConfig(BaseModel):
    """Everything that decides what an index holds and how it is asked."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    loading: LoadingConfig = LoadingConfig()
    chunker: PartConfig = PartConfig(name="recursive")
    enrichers: list[PartConfig] = Field(default_factory=list)
    """What is added to the chunks' `index_text`, in this order; none by default."""
    embedder: PartConfig = PartConfig(name="sentence_transformer")
    store: PartConfig = PartConfig(name="faiss")
    retriever: PartConfig = PartConfig(name="hybrid")
    selector: PartConfig = PartConfig(name="top_k")
    controller: PartConfig | None = None
    """What steers the steps from a question to its answer; None (or "none"): each is done once."""
    language_model: PartConfig = PartConfig(name="local")
    language: str = "english"
    """Language of the lexical stemmer, or "none"; languages without spaces are searched by character pairs anyway."""
    kv_reuse: KvReuseConfig | None = None
    """How chunks' keys and values are used again when questions are answered; None: they are not."""

    @field_validator("kv_reuse", mode="before")
    @classmethod
    def _on_or_off(cls, value: object) -> object:
        return {True: {}, False: None}[value] if isinstance(value, bool) else value

    @field_validator("controller", mode="before")
    @classmethod
    def _none_by_name(cls, value: object) -> object:
        return None if value == "none" else value

    @classmethod
    def from_yaml(cls, path: Path) -> PipelineConfig:
        """Return the configuration in `path`; raise ConfigError naming the file, the key and the nearest valid one."""
        try:
            content = yaml.safe_load(path.read_text(encoding="utf-8"))
        except OSError as error:
            raise ConfigError(f"{path}: {error.strerror}.", hint="Give a readable YAML file.") from error
        except (yaml.YAMLError, UnicodeDecodeError) as error:
            raise ConfigError(f"{path} is not valid YAML: {error}.", hint="Correct the file.") from error
        return cls.from_mapping(content or {}, origin=str(path))

    @classmethod
    def from_mapping(cls, content: object, origin: str = "configuration") -> PipelineConfig:
        """Return the configuration that `content` describes; `origin` names it in errors."""
        try:
            return cls.model_validate(content)
        except ValidationError as error:
            first = error.errors()[0]
            key = ".".join(str(step) for step in first["loc"])
            if first["type"] == "extra_forbidden":
                sections: dict[object, type[BaseModel]] = {"loading": LoadingConfig, "kv_reuse": KvReuseConfig}
                model = sections.get(first["loc"][0], cls)
                valid = list(model.model_fields)
                raise ConfigError(
                    f"{origin}: unknown key {key!r}.",
                    hint=f"{suggestion(str(first['loc'][-1]), valid)} Valid keys: {', '.join(valid)}.".lstrip(),
                ) from None
            raise ConfigError(f"{origin}: {key or 'top level'}: {first['msg']}.", hint="Correct the value.") from None
