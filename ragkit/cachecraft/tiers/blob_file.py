"""One blob as one file: written beside its place, renamed into it, read past the page cache where that is possible."""

from __future__ import annotations

import errno
import os
from contextlib import suppress
from pathlib import Path

from ragkit.cachecraft.tiers.buffers import frozen, pages
from ragkit.cachecraft.tiers.codec import (
    PAGE,
    BrokenBlobError,
    Header,
    check_body,
    check_owner,
    check_sections,
    header_of,
    pack,
    unpack,
)
from ragkit.cachecraft.tiers.tier import Blob

_DIRECT = getattr(os, "O_DIRECT", 0)
_NOT_DIRECT = {errno.EINVAL, errno.EOPNOTSUPP, errno.ENOTSUP}
_AT_ONCE = 1 << 30
"""Bytes of one system call; Linux moves at most 2 GiB less a page."""


def write(path: Path, temporary: Path, scope: str, name: str, blob: Blob, *, sync: bool) -> None:
    """Write `blob` to `path` through `temporary`; raise OSError, and leave nothing, where the disk refuses it.

    The room is taken before the first byte, so that a full disk costs no half-written blob. Without `sync` a power cut
    may leave a damaged file, which is a miss; a killed process never does.
    """
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | getattr(os, "O_CLOEXEC", 0), 0o600)
    try:
        try:
            if hasattr(os, "posix_fallocate"):
                os.posix_fallocate(descriptor, 0, PAGE + blob.nbytes)
            _write_all(descriptor, memoryview(pack(header_of(scope, name, blob))))
            _write_all(descriptor, blob.data)
            if sync:
                os.fsync(descriptor)
        finally:
            os.close(descriptor)
        temporary.replace(path)
        if sync:
            _sync_folder(path.parent)
    except BaseException:
        with suppress(OSError):
            temporary.unlink()
        raise


def _write_all(descriptor: int, data: memoryview) -> None:
    while data:
        data = data[os.write(descriptor, data[:_AT_ONCE]) :]


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def read(path: Path, scope: str, name: str, *, limit: int, direct: bool) -> Blob:
    """Return the blob in `path`, read-only, its checksums proven.

    Raises BrokenBlobError where it is not whole or not the one asked for, OSError where it cannot be read; a blob of
    more than `limit` bytes is not even allocated. `direct` asks for reads past the page cache; file systems that refuse
    them are read in the ordinary way.
    """
    descriptor, is_direct = _open(path, direct=direct)
    try:
        size = os.fstat(descriptor).st_size - PAGE
        if not 0 <= size <= limit:
            raise BrokenBlobError("truncated")
        whole = -(-size // PAGE) * PAGE if is_direct else size
        page, memory = pages(PAGE), pages(whole)
        got = _read_all(descriptor, page, memory, whole=PAGE + size)
    finally:
        os.close(descriptor)
    header = unpack(page.data[: min(got, PAGE)])
    check_owner(header, scope, name)
    if got != PAGE + size:
        raise BrokenBlobError("truncated")
    body = memory[:size]
    check_body(header, body)
    return frozen(body)


def _open(path: Path, *, direct: bool) -> tuple[int, bool]:
    flags = os.O_RDONLY | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NOFOLLOW", 0)
    if direct and _DIRECT:
        try:
            return os.open(path, flags | _DIRECT), True
        except OSError as error:
            if error.errno not in _NOT_DIRECT:
                raise
    return os.open(path, flags), False


def _read_all(descriptor: int, page: Blob, body: Blob, *, whole: int) -> int:
    """Read the page and the body, and return the bytes there were; a read at the end of the file may be short."""
    got = 0
    while got < whole:
        step = os.preadv(descriptor, _rest(page, body, got), got)
        if step == 0:
            break
        got += step
    return min(got, whole)


def _rest(page: Blob, body: Blob, got: int) -> list[memoryview]:
    """Return the buffers of one call: what comes after the first `got` bytes, at most so many at once."""
    if got < PAGE:
        return [page.data[got:], body.data[:_AT_ONCE]]
    start = got - PAGE
    return [body.data[start : start + _AT_ONCE]]


class Reader:
    """Reads one blob of known size front to back, a step of whole sections at a time. For one thread.

    `blob` fills up; its first `ready` bytes are proven by their checksums. Nothing is opened before the first step.
    """

    def __init__(self, path: Path, scope: str, name: str, size: int, *, direct: bool) -> None:
        """Raises MemoryError where there is no room for the blob."""
        self.name = name
        self.size = size
        self.ready = 0
        self._memory = pages(-(-size // PAGE) * PAGE)
        self.blob = frozen(self._memory[:size])
        self._path, self._scope, self._direct = path, scope, direct
        self._descriptor = -1
        self._is_direct = False
        self._header: Header | None = None

    def step(self, least: int) -> None:
        """Read and prove at least `least` further bytes, or the rest.

        Raises BrokenBlobError where they are not those that were asked for, OSError where they cannot be read.
        """
        header = self._header = self._header or self._open()
        first = self.ready // header.section
        end = min(-(-(self.ready + least) // header.section), len(header.digests))
        self._fill(self.ready, min(end * header.section, self.size))
        check_sections(header, self.blob, first, end)
        self.ready = min(end * header.section, self.size)

    def close(self) -> None:
        """Close the file."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _open(self) -> Header:
        self._descriptor, self._is_direct = _open(self._path, direct=self._direct)
        if os.fstat(self._descriptor).st_size != PAGE + self.size:
            raise BrokenBlobError("truncated")
        page = pages(PAGE)
        got = os.preadv(self._descriptor, [page.data], 0)
        header = unpack(page.data[:got])
        check_owner(header, self._scope, self.name)
        if header.length != self.size:
            raise BrokenBlobError("truncated")
        return header

    def _fill(self, start: int, end: int) -> None:
        """Read the bytes [start, end) of the blob; `start` lies on a page border."""
        stop = -(-end // PAGE) * PAGE if self._is_direct else end
        while start < end:
            step = os.preadv(self._descriptor, [self._memory.data[start : min(stop, start + _AT_ONCE)]], PAGE + start)
            if step == 0:
                raise BrokenBlobError("truncated")
            start += step
