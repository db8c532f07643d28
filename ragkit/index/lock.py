"""One writer at a time: a file lock that the operating system releases even after a kill, and the holder's name."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from filelock import FileLock, Timeout

from ragkit.errors import IndexLockedError


@contextmanager
def writer_lock(folder: Path) -> Iterator[None]:
    """Hold the writer's lock of the index in `folder`; raise IndexLockedError naming the holder if it is taken."""
    holder = folder / "writer.json"
    lock = FileLock(folder / "writer.lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise IndexLockedError(
            f"{folder} is being written by {_holder(holder)}.", hint="Wait until it has finished; readers may go on."
        ) from None
    try:
        started = datetime.now(UTC).isoformat(timespec="seconds")
        holder.write_text(json.dumps({"pid": os.getpid(), "host": socket.gethostname(), "started": started}))
        yield
    finally:
        lock.release()


def _holder(path: Path) -> str:
    """Return who holds the lock, as far as the holder has written it down."""
    try:
        fields = json.loads(path.read_text())
        return f"process {fields['pid']} on {fields['host']}, since {fields['started']}"
    except (OSError, ValueError, KeyError):
        return "another process"
