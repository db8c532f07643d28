"""A folder that appears whole or not at all."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ragkit.errors import StorageError, UsageError


def check_file(target: Path) -> None:
    """Raise UsageError where no file `target` can be written, before anything is computed; its folder is made."""
    try:
        target.absolute().parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"{target}: {error.strerror}.", hint="Choose another --out.") from error
    if target.is_dir():
        raise UsageError(
            f"{target} is a folder; expected a file.", hint=f"Give, for instance, --out {target}/out.json."
        )


@contextmanager
def written_whole(target: Path, *, force: bool = False) -> Iterator[Path]:
    """Yield an empty folder beside `target` that takes its place when all went well, and vanishes otherwise.

    Raises UsageError where `target` holds something already and not `force`, StorageError where nothing can be
    written there.
    """
    target = target.absolute()
    if target.exists() and not force and not (target.is_dir() and not any(target.iterdir())):
        raise UsageError(f"{target} exists already.", hint="Choose another --out, or give --force to replace it.")
    part = target.parent / f".{target.name}.part"
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(part, ignore_errors=True)  # what a killed process left
        part.mkdir()
    except OSError as error:
        raise StorageError(f"{part}: {error.strerror}.", hint="Choose another --out.") from error
    try:
        yield part
        if target.is_dir():
            shutil.rmtree(target)
        elif target.exists():
            target.unlink()
        part.rename(target)
    except OSError as error:
        raise StorageError(f"{target}: {error.strerror or error}.", hint="Choose another --out.") from error
    finally:
        shutil.rmtree(part, ignore_errors=True)
