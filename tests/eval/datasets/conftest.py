"""Small files in every published format, written by the tests."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Write = Callable[..., Path]


@pytest.fixture
def write_json(tmp_path: Path) -> Write:
    """Return a function that writes a value as a JSON file and returns its path."""

    def write(value: Any, name: str = "set.json") -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(value, ensure_ascii=False), encoding="utf-8")
        return path

    return write


@pytest.fixture
def write_lines(tmp_path: Path) -> Write:
    """Return a function that writes records (texts are written as they are) as JSON lines."""

    def write(records: list[Any], name: str) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        lines = [record if isinstance(record, str) else json.dumps(record, ensure_ascii=False) for record in records]
        path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
        return path

    return write


@pytest.fixture
def write_set(write_lines: Write) -> Write:
    """Return a function that writes a folder in ragkit's own format."""

    def write(corpus: list[Any], queries: list[Any] | None = None) -> Path:
        folder = write_lines(corpus, "own/corpus.jsonl").parent
        if queries is not None:
            write_lines(queries, "own/queries.jsonl")
        return folder

    return write
