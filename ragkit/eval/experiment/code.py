"""Which code computed a result: a hash of sources, so that a change of them is never answered from an old result."""

from __future__ import annotations

from functools import cache
from importlib.metadata import distributions, version
from pathlib import Path

from ragkit.identity import content_hash

_PACKAGE = Path(__file__).parents[2]


@cache
def code_hash(*families: str) -> str:
    """Return the hash of the files of the given families of ragkit, of all of it if none is given: templates too."""
    folders = [_PACKAGE / family for family in families] or [_PACKAGE]
    paths = sorted(path for folder in folders for path in folder.rglob("*") if _counts(path))
    return content_hash("code", files=[[str(path.relative_to(_PACKAGE)), path.read_bytes()] for path in paths])


def _counts(path: Path) -> bool:
    """Return whether a result depends on the file: not on what Python made of others."""
    return "__pycache__" not in path.parts and path.is_file()


def installed() -> list[list[str]]:
    """Return name and version of every installed package."""
    found = {(item.name.lower(), item.version) for item in distributions()}
    return [list(pair) for pair in sorted(found)]


def code_version() -> str:
    """Return the version of the package and the hash of its sources."""
    return f"ragkit {version('ragkit')}, sources {code_hash()[:12]}"
