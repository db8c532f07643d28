"""A trained agent as a JSON file: settings, questions, their vectors and utilities, their origin, how good it is.

Vectors are stored as base64 of little-endian 16-bit floats, and the agent is judged with what the file holds.
"""

from __future__ import annotations

import base64
import binascii
import json
import math
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ragkit.errors import ConfigError, StorageError
from ragkit.selectors.agent import Agent, Floats, Rule, Setting, Table

FORMAT = "ragkit corag-agent 1"
_MOST_BYTES = 512 * 2**20

Content = dict[str, Any]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class SettingRecord(_Part):
    """A selector with its options."""

    name: str
    options: Content = Field(default_factory=dict)


class Source(_Part):
    """A data set that questions came from, with the fingerprint of its content and how many were used to train."""

    name: str
    fingerprint: str
    questions: int


class Aim(_Part):
    """What utility is: `measure` - `cost` * tokens kept / `budget`, for `candidates` retrieved chunks."""

    measure: str
    cost: float
    budget: int
    candidates: int
    tokenizer: str


class AgentFile(_Part):
    """Everything that the file holds; `prior` None is an infinite one, `pipeline` what was searched with."""

    format: Literal["ragkit corag-agent 1"] = FORMAT  # type: ignore[assignment] # the one value it can have
    embedder: str
    dimension: int = Field(ge=1)
    data: list[Source]
    pipeline: Content = Field(default_factory=dict)
    aim: Aim
    rule: Rule
    neighbours: int
    prior: float | None
    least_cosine: float
    default: SettingRecord
    settings: list[SettingRecord]
    questions: list[str]
    features: str
    utilities: list[list[float]]
    evaluation: Content = Field(default_factory=dict)

    def agent(self) -> Agent:
        """Return the agent; raise ConfigError where vectors, utilities and questions do not fit together."""
        settings = tuple(Setting(one.name, one.options) for one in self.settings)
        for one in (*settings, Setting(self.default.name, self.default.options)):
            if one.name == "configured":
                raise ConfigError("An agent chose the selector 'configured', itself.", hint="Train it on others.")
        features = _decoded(self.features, self.dimension)
        lengths = {len(row) for row in self.utilities}
        utilities = np.array(self.utilities, np.float64) if len(lengths) == 1 else np.zeros((0, 0))
        table = Table(settings, tuple(self.questions), features, utilities)
        default = Setting(self.default.name, self.default.options)
        prior = math.inf if self.prior is None else self.prior
        return Agent(table, default, self.neighbours, prior, self.rule, self.least_cosine)

    def write(self, path: Path) -> None:
        """Write the file, whole or not at all; raise StorageError where that is not possible."""
        part = path.with_name(f"{path.name}.part")
        try:
            part.write_text(json.dumps(self.model_dump(), ensure_ascii=False) + "\n", encoding="utf-8")
            part.replace(path)
        except OSError as error:
            raise StorageError(f"{path}: {error.strerror}.", hint="Choose another file with --out.") from error


def read_agent(path: Path) -> AgentFile:
    """Return what the file holds; raise ConfigError naming the file and what is wrong with it."""
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise ConfigError(f"{path} has more than {_MOST_BYTES:,} bytes; no agent is as large.", hint="Check it.")
        return AgentFile.model_validate_json(path.read_bytes())
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}.", hint=_HINT) from error
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(step) for step in first["loc"])
        raise ConfigError(f"{path} is no trained agent: {place or 'content'}: {first['msg']}.", hint=_HINT) from None


_HINT = "Make one with: ragkit train corag-agent --data jsonl:FOLDER --out FILE."


def stored(vectors: Floats) -> tuple[str, Floats]:
    """Return unit vectors as text, and as they will be read again."""
    text = base64.b64encode(np.asarray(vectors, "<f2").tobytes()).decode("ascii")
    return text, _decoded(text, vectors.shape[1])


def _decoded(text: str, dimension: int) -> Floats:
    try:
        flat = np.frombuffer(base64.b64decode(text, validate=True), "<f2").astype(np.float64)
        vectors = flat.reshape(-1, dimension)
    except (binascii.Error, ValueError) as error:
        raise ConfigError(f"The vectors of an agent cannot be read: {error}.", hint=_HINT) from None
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors / np.where(lengths > 0, lengths, 1.0))
