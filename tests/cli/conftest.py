"""A command line in process, over a pipeline that is scripted by each test."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from ragkit.config import PipelineConfig
from ragkit.schema import Chunk, Hit, Selection


@dataclass(frozen=True)
class Outcome:
    status: int
    out: str
    err: str

    @property
    def reply(self) -> Any:
        """The one JSON object on standard output; nothing else may be there or on standard error."""
        assert self.err == ""
        assert self.out.count("\n") == 1
        return json.loads(self.out, parse_constant=lambda name: pytest.fail(f"{name} in JSON"))

    @property
    def error(self) -> Any:
        """The one JSON object on standard error; nothing may be on standard output."""
        assert self.out == ""
        assert self.err.count("\n") == 1
        return json.loads(self.err)


@pytest.fixture
def ragkit(capfd: pytest.CaptureFixture[str]) -> Callable[..., Outcome]:
    """Return a function that runs `ragkit arguments...` in this process."""
    from ragkit.cli.app import run

    def call(*arguments: str | Path) -> Outcome:
        capfd.readouterr()
        status = run([str(argument) for argument in arguments])
        return Outcome(status, *capfd.readouterr())

    return call


@dataclass
class Script:
    """What the fake pipeline answers, and what it was asked."""

    answers: dict[str, Any] = field(default_factory=dict)
    calls: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = field(default_factory=list)
    configs: list[PipelineConfig | None] = field(default_factory=list)
    stored: PipelineConfig = field(default_factory=PipelineConfig)
    chunked: list[Any] = field(default_factory=list)

    def asked(self, name: str) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Return the arguments of the only call of `name`."""
        (found,) = [(arguments, options) for called, arguments, options in self.calls if called == name]
        return found


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> Script:
    """Replace ragkit.pipeline by a fake of the same shape and return what steers it."""
    steering = Script()

    class FakePipeline:
        def __init__(self, index: Path, config: PipelineConfig | None = None, *, progress: Any = None) -> None:
            steering.configs.append(config)
            self.config = config or steering.stored

        def __enter__(self) -> FakePipeline:
            return self

        def __exit__(self, *_: object) -> None:
            return None

        def __getattr__(self, name: str) -> Callable[..., Any]:
            def method(*arguments: Any, **options: Any) -> Any:
                steering.calls.append((name, arguments, options))
                answer = steering.answers[name]
                if isinstance(answer, BaseException):
                    raise answer
                return answer(*arguments, **options) if callable(answer) else answer

            return method

    module = ModuleType("ragkit.pipeline")
    module.Pipeline = FakePipeline  # type: ignore[attr-defined]
    module.chunk_file = lambda path, config, **_: steering.configs.append(config) or iter(steering.chunked)  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "ragkit.pipeline", module)
    return steering


def make_hit(rank: int = 1, text: str = "Kilns fire clay.", **changes: Any) -> Hit:
    """Return a hit with everything filled in."""
    metadata = changes.pop("metadata", {"year": 2020})
    chunk = Chunk("d1", 0, len(text), text, metadata=metadata)
    values = {"rank": rank, "score": 0.5, "chunk_id": f"c{rank}", "chunk": chunk, "source": "a.md"}
    return Hit(**{**values, "page": None, "line": 3, "row": rank, **changes})


def keep(hits: list[Hit]) -> Selection:
    """Return a selection of all of `hits`."""
    return Selection(tuple(hits))
