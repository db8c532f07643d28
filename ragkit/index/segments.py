"""Immutable, checksummed files of vectors.

Layout, little-endian:

    offset 0      8 bytes   magic b"RAGKVEC1"
    offset 8      4 bytes   length of the header
    offset 12     header    JSON: count, dimension, checksum (XXH3-128 of everything from offset 4096 on)
                  8 bytes   XXH3-64 of the header
    offset 4096   float32   vectors, count x dimension, unit length
    after them    int64     ledger rows, count, ascending

The size of the file is compared with the header before anything is mapped, so that a damaged header cannot make a
reader allocate more than the file holds.
"""

from __future__ import annotations

import json
import mmap
import os
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
import xxhash

from ragkit.errors import CorruptIndexError
from ragkit.index.durable import publish
from ragkit.protocols import Rows, Vectors

_MAGIC = b"RAGKVEC1"
_BODY = 4096
_BLOCK = 2**20
_HINT = "Run `ragkit repair` to rebuild it from the ledger."


@dataclass(frozen=True, slots=True)
class Segment:
    """Vectors of one commit: `vectors[i]` belongs to ledger row `rows[i]`; both are read-only memory maps."""

    name: str
    rows: Rows
    vectors: Vectors


class SegmentWriter:
    """Streams vectors into a new segment file; memory does not grow with the vectors written."""

    def __init__(self, path: Path, dimension: int) -> None:
        self.path = path
        self.dimension = dimension
        self.count = 0
        self._temporary = path.with_suffix(".tmp")
        self._rows: list[Rows] = []
        self._hash = xxhash.xxh3_128()
        self._file: BinaryIO = self._temporary.open("wb")
        self._file.write(b"\0" * _BODY)

    def append(self, rows: Rows, vectors: Vectors) -> None:
        """Append one vector for each of `rows`, which must ascend over the whole file."""
        block = np.ascontiguousarray(vectors, dtype="<f4")
        self._write(block.data)
        self._rows.append(np.asarray(rows, dtype="<i8"))
        self.count += len(rows)

    def finish(self) -> str:
        """Write rows and header, flush, rename into place; return the checksum that the ledger records."""
        for rows in self._rows:
            self._write(np.ascontiguousarray(rows).data)
        checksum = self._hash.hexdigest()
        header = json.dumps({"count": self.count, "dimension": self.dimension, "checksum": checksum}).encode()
        self._file.seek(0)
        self._file.write(_MAGIC + struct.pack("<I", len(header)) + header + xxhash.xxh3_64_digest(header))
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        publish(self._temporary, self.path)
        return checksum

    def abandon(self) -> None:
        """Close and delete the unfinished file."""
        self._file.close()
        self._temporary.unlink(missing_ok=True)

    def _write(self, block: memoryview) -> None:
        if block.nbytes:
            self._hash.update(block)
            self._file.write(block)


def open_segment(path: Path, expected_checksum: str) -> Segment:
    """Return the segment in `path`, mapped into memory and compared with its checksum.

    Raises CorruptIndexError naming the file for any damage, and FileNotFoundError if it is not there.
    """
    with path.open("rb", buffering=0) as file:
        head = file.read(_BODY)
        count, dimension, checksum = _header(path, head)
        size = os.fstat(file.fileno()).st_size
        wanted = _BODY + count * (dimension * 4 + 8)
        if size != wanted:
            raise CorruptIndexError(f"{path} holds {size} bytes; its header asks for {wanted}.", hint=_HINT)
        mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        # Read, not mapped: checking a large file must not bring all of it into this process's memory.
        digest = xxhash.xxh3_128()
        while block := file.read(_BLOCK):
            digest.update(block)
    if checksum != expected_checksum or digest.hexdigest() != expected_checksum:
        raise CorruptIndexError(f"The checksum of {path} does not match its content.", hint=_HINT)
    vectors = np.frombuffer(mapped, dtype="<f4", count=count * dimension, offset=_BODY).reshape(count, dimension)
    rows = np.frombuffer(mapped, dtype="<i8", count=count, offset=_BODY + count * dimension * 4)
    return Segment(path.name, rows, vectors)


def _header(path: Path, head: bytes) -> tuple[int, int, str]:
    """Return (count, dimension, checksum) from the first bytes of a segment file."""
    try:
        if head[:8] != _MAGIC:
            raise ValueError("magic")
        (length,) = struct.unpack_from("<I", head, 8)
        text = head[12 : 12 + length]
        if length > _BODY - 20 or xxhash.xxh3_64_digest(text) != head[12 + length : 20 + length]:
            raise ValueError("header checksum")
        fields = json.loads(text)
        return int(fields["count"]), int(fields["dimension"]), str(fields["checksum"])
    except (ValueError, KeyError, struct.error) as error:
        raise CorruptIndexError(f"{path} is not a whole vector segment ({error}).", hint=_HINT) from error
