"""Writes that survive a power cut, and the translation of a full disk into one clear error."""

from __future__ import annotations

import errno
import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ragkit.errors import CorruptIndexError, StorageError

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_DENIED = {errno.EACCES, errno.EPERM, errno.EROFS}


def sync_file(path: Path) -> None:
    """Flush the content of `path` to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_folder(path: Path) -> None:
    """Flush the entries of the folder `path`, so that a rename inside it is durable."""
    sync_file(path)


def publish(temporary: Path, final: Path) -> None:
    """Rename the already flushed `temporary` to `final` and make the rename durable."""
    temporary.replace(final)
    sync_folder(final.parent)


@contextmanager
def storage_errors(folder: Path) -> Iterator[None]:
    """Turn a full or read-only disk, and a malformed database, into errors that say what to do."""
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            raise _full(folder) from error
        if error.errno in _DENIED:
            raise StorageError(
                f"{folder} cannot be written: {error.strerror}.", hint="Choose another --index folder, or its rights."
            ) from error
        raise
    except sqlite3.DatabaseError as error:
        text = str(error)
        if "disk is full" in text or "disk I/O error" in text:
            raise _full(folder) from error
        if "readonly" in text or "unable to open" in text:
            raise StorageError(f"{folder} cannot be written: {text}.", hint="Check the folder's rights.") from error
        if "malformed" in text or "not a database" in text:
            raise CorruptIndexError(
                f"The ledger of {folder} is damaged: {text}.",
                hint="Index the sources again into a new folder; cached embeddings make that quick.",
            ) from error
        raise


def _full(folder: Path) -> StorageError:
    return StorageError(
        f"There is no space left to write the index in {folder}; its last generation is untouched.",
        hint="Free some space and run the same command again: work already embedded is not repeated.",
    )
