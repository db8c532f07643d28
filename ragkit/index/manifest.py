"""A folder of immutable files with a manifest: names, sizes and checksums, written last and checked on open."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import xxhash

from ragkit.errors import CorruptIndexError
from ragkit.identity import content_hash
from ragkit.index.durable import sync_file, sync_folder

NAME = "manifest.json"
_REPAIR = "Run: ragkit repair"
_BLOCK = 2**20


def write_manifest(folder: Path, **facts: str | int) -> None:
    """Write the manifest of all files now in `folder`, together with `facts`; everything is flushed to the disk."""
    files = {}
    for path in sorted(folder.iterdir()):
        sync_file(path)
        files[path.name] = {"bytes": path.stat().st_size, "xxh3_128": file_checksum(path)}
    content: dict[str, Any] = {**facts, "files": files}
    content["checksum"] = content_hash("manifest", **content)
    with (folder / NAME).open("w", encoding="utf-8") as file:
        json.dump(content, file, indent=1)
    sync_file(folder / NAME)
    sync_folder(folder)


def read_manifest(folder: Path) -> dict[str, Any]:
    """Return the facts in the manifest of `folder`, after checking that every file is whole.

    All bytes are read: a damaged file must never be served, and XXH3 costs about 10 ms for 100,000 chunks.
    Raises CorruptIndexError naming the file that is missing, cut short or changed.
    """
    path = folder / NAME
    try:
        content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        checksum = content.pop("checksum")
        files: Mapping[str, Mapping[str, Any]] = content["files"]
        intact = content_hash("manifest", **content) == checksum
    except (OSError, ValueError, LookupError, AttributeError, TypeError) as error:
        raise CorruptIndexError(f"{path} cannot be read as a manifest: {error}.", hint=_REPAIR) from error
    if not intact:
        raise CorruptIndexError(f"{path}: its checksum does not hold.", hint=_REPAIR)
    for name, expected in files.items():
        _check_file(folder, name, expected)
    return content


def file_checksum(path: Path) -> str:
    """Return the XXH3-128 of the bytes of `path`, in hexadecimal."""
    digest = xxhash.xxh3_128()
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()


def _check_file(folder: Path, name: str, expected: Mapping[str, Any]) -> None:
    path = folder / name
    if name != Path(name).name or name in ("", ".", "..") or path.is_symlink() or not path.is_file():
        raise CorruptIndexError(f"{path} is missing or not a plain file of the index.", hint=_REPAIR)
    size = path.stat().st_size
    if size != expected["bytes"]:
        raise CorruptIndexError(f"{path} has {size:,} bytes; {expected['bytes']:,} were written.", hint=_REPAIR)
    if file_checksum(path) != expected["xxh3_128"]:
        raise CorruptIndexError(f"{path}: the checksum of its {size:,} bytes does not hold.", hint=_REPAIR)
