"""What the files that options name hold: a trained agent, calibration or model may change while its path stays."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from ragkit.identity import content_hash
from ragkit.models.profile import folder_fingerprint

_OPTIONS = ("agent", "path", "model")
"""Options that name a file, or a model's folder, which decides the result."""


def named_files(options: object) -> list[list[str]]:
    """Return path and content hash of each file and model folder that `options` name, at any depth.

    >>> named_files({"policy": {"name": "drop"}, "calibration": {"name": "isotonic", "path": "no such file"}})
    []
    """
    return [[path, _hash(Path(path).expanduser())] for path in _named(options)]


def _hash(path: Path) -> str:
    return folder_fingerprint(path) if path.is_dir() else content_hash("file", content=path.read_bytes())


def _named(options: object) -> Iterator[str]:
    if isinstance(options, Mapping):
        for key, value in options.items():
            if key in _OPTIONS and isinstance(value, str) and Path(value).expanduser().exists():
                yield value
            else:
                yield from _named(value)
    elif isinstance(options, list | tuple):
        for one in options:
            yield from _named(one)
