"""Fetch model files from the model hub; fails within seconds where there is no network."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import NamedTuple

from huggingface_hub import HfApi, hf_hub_download, snapshot_download

from ragkit.errors import ModelError
from ragkit.models.known import KnownModel, PinnedFile
from ragkit.protocols import Progress

_TIMEOUT_SECONDS = 5.0

_SAFE_FILES = ("*.json", "*.safetensors", "*.txt", "*.model", "*.jinja")
"""Weights as safetensors, and text. Pickled weights are never fetched."""


class Snapshot(NamedTuple):
    """A model's files as the hub published them at one commit."""

    folder: Path
    revision: str


def fetch_known(model: KnownModel, target: Path, progress: Progress | None) -> None:
    """Put the pinned files of `model` into `target`, taken from the hub at the pinned revision.

    Raises ModelError where the hub cannot be reached or a file has another hash.
    """
    _reach(model.hub_id, model.hub_revision)
    done = 0
    for file in model.files:
        if progress is not None:
            progress("download", done, model.bytes)
        try:
            hf_hub_download(
                model.hub_id,
                file.path,
                revision=model.hub_revision,
                local_dir=target,
                etag_timeout=_TIMEOUT_SECONDS,
            )
        except Exception as error:  # the client raises many unrelated types
            raise ModelError(f"hub {model.hub_id}, file {file.path}: {_first_line(error)}") from error
        _check(target / file.path, file)
        done += file.bytes


def snapshot(name: str, *, fetch: bool) -> Snapshot:
    """Return the files of the hub id `name`, from the hub's own local cache or else from the network.

    Raises ModelError where neither has them, or where the model has no safetensors weights.
    """
    try:
        folder = Path(snapshot_download(name, local_files_only=True))
        if _complete(folder):
            return Snapshot(folder, folder.name)
        reason = "the hub's local cache holds only a part of it"
    except Exception as error:  # the client raises many unrelated types
        reason = f"not in the hub's local cache ({_first_line(error)})"
    if not fetch:
        raise ModelError(reason)
    revision = _reach(name, None)
    try:
        folder = Path(
            snapshot_download(name, revision=revision, allow_patterns=list(_SAFE_FILES), etag_timeout=_TIMEOUT_SECONDS)
        )
    except Exception as error:
        raise ModelError(f"hub {name}: {_first_line(error)}") from error
    if not _complete(folder):
        raise ModelError(f"hub {name}: it has no config.json with safetensors weights; pickled weights are not loaded")
    return Snapshot(folder, revision)


def _reach(name: str, revision: str | None) -> str:
    """Return the commit of `name`, asking once: the client's own look-ups retry for 20 seconds without a network."""
    try:
        sha = HfApi().model_info(name, revision=revision, timeout=_TIMEOUT_SECONDS).sha
    except Exception as error:
        raise ModelError(f"hub {name}: {_first_line(error)}") from error
    return sha or revision or "main"


def _complete(folder: Path) -> bool:
    return (folder / "config.json").is_file() and any(folder.rglob("*.safetensors"))


def _check(path: Path, file: PinnedFile) -> None:
    with path.open("rb") as content:
        found = hashlib.file_digest(content, "sha256").hexdigest()
    if found != file.sha256:
        raise ModelError(f"{file.path} from the hub has SHA-256 {found}, expected {file.sha256}")


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
