"""Which code computed a result: a hash of sources, so that a change of them is never answered from an old result."""

from __future__ import annotations

from functools import cache
from importlib.metadata import version
from pathlib import Path

from ragkit.identity import content_hash

_PACKAGE = Path(__file__).parents[2]


@cache
def code_hash(*families: str) -> str:
    """Return the hash of the sources of the given families of ragkit, of all of it if none is given."""
    folders = [_PACKAGE / family for family in families] or [_PACKAGE]
    paths = sorted(path for folder in folders for path in folder.rglob("*.py"))
    return content_hash("code", files=[[str(path.relative_to(_PACKAGE)), path.read_bytes()] for path in paths])


def code_version() -> str:
    """Return the version of the package and the hash of its sources."""
    return f"ragkit {version('ragkit')}, sources {code_hash()[:12]}"
