"""The header of an index: what every later run must agree with."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from ragkit.config import PipelineConfig
from ragkit.errors import IndexMismatchError

FORMAT_VERSION = 1


@dataclass(frozen=True, slots=True)
class IndexHeader:
    """Identity of an index, and the configuration and fingerprints it was built with."""

    index_id: str
    config: PipelineConfig
    embedder_fingerprint: str
    chunker_fingerprint: str
    dimension: int
    format_version: int = FORMAT_VERSION

    @property
    def language(self) -> str:
        """The language whose stemmer the lexical postings use."""
        return str(self.config.language)

    def to_json(self) -> str:
        """Return the header as JSON text, without the address of a remote chunk store, which may hold a password."""
        fields: dict[str, Any] = {name: getattr(self, name) for name in self.__slots__ if name != "config"}
        config = self.config.model_dump(exclude={"kv_reuse": {"remote"}})
        return json.dumps({**fields, "config": config}, sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> IndexHeader:
        """Return the header that `text` describes; raise IndexMismatchError for another format version."""
        fields = json.loads(text)
        version = fields.get("format_version")
        if version != FORMAT_VERSION:
            raise IndexMismatchError(
                f"The index has format version {version}; this ragkit reads version {FORMAT_VERSION}.",
                hint="Use the ragkit that built it, or index the sources again into a new folder.",
            )
        return cls(**{**fields, "config": PipelineConfig.from_mapping(fields["config"], origin="index header")})
