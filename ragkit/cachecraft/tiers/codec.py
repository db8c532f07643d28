"""The header that makes a blob self-checking: what it is, whose it is, how long, and the checksums.

One page of 4,096 bytes, little-endian, then the blob:

    0   magic "ragkitKV"     8 bytes
    8   format               uint32, 1
    12  length of the scope  uint16
    14  length of the name   uint16
    16  length of the blob   uint64
    24  XXH3-128 of the blob 16 bytes
    40  scope, name          UTF-8
    ..  zeros
    4080 XXH3-128 of the 4,080 bytes before it

Scope (the model space) and name are part of what is checked, so a file that was renamed, swapped or copied from the
folder of another model is a miss. The page keeps the blob aligned for direct reads. XXH3 guards against damage, not
against someone who can write to the folder: such a writer can compute it as well.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

import xxhash

from ragkit.cachecraft.tiers.tier import Blob

PAGE = 4096
"""Bytes in front of a blob."""

_FORMAT = 1
_MAGIC = b"ragkitKV"
_FIXED = struct.Struct("<8sIHHQ16s")
_SEAL = 16
_ROOM = PAGE - _FIXED.size - _SEAL


class BrokenBlobError(ValueError):
    """What was read is not the blob that was asked for; the text is one of a few short reasons, to be counted."""


class Header(NamedTuple):
    """What the page in front of a blob says."""

    scope: str
    name: str
    length: int
    digest: bytes


def digest(blob: Blob) -> bytes:
    """Return the 16 bytes of XXH3-128 of a blob; memory bandwidth, not this, bounds the speed."""
    return xxhash.xxh3_128_digest(blob.data)


def fits(scope: str, name: str) -> bool:
    """Return whether a header has room for the scope and the name."""
    return len(scope.encode()) + len(name.encode()) <= _ROOM


def pack(header: Header) -> bytes:
    """Return the page of `header`, PAGE bytes."""
    scope, name = header.scope.encode(), header.name.encode()
    fixed = _FIXED.pack(_MAGIC, _FORMAT, len(scope), len(name), header.length, header.digest)
    page = (fixed + scope + name).ljust(PAGE - _SEAL, b"\0")
    return page + xxhash.xxh3_128_digest(page)


def unpack(page: bytes | memoryview) -> Header:
    """Return the header in `page`; raise BrokenBlobError where it is none, or was altered."""
    page = bytes(page)
    if len(page) != PAGE:
        raise BrokenBlobError("truncated")
    if xxhash.xxh3_128_digest(page[:-_SEAL]) != page[-_SEAL:]:
        raise BrokenBlobError("checksum")
    magic, version, scope, name, length, checksum = _FIXED.unpack_from(page)
    if magic != _MAGIC or version != _FORMAT:
        raise BrokenBlobError("format")
    texts = page[_FIXED.size : _FIXED.size + scope + name]
    return Header(texts[:scope].decode(), texts[scope:].decode(), length, checksum)


def header_of(scope: str, name: str, blob: Blob) -> Header:
    """Return the header of `blob`."""
    return Header(scope, name, blob.nbytes, digest(blob))


def check_owner(header: Header, scope: str, name: str) -> None:
    """Raise BrokenBlobError unless the header is that of the blob asked for."""
    if (header.scope, header.name) != (scope, name):
        raise BrokenBlobError("another blob")


def check_body(header: Header, blob: Blob) -> None:
    """Raise BrokenBlobError unless `blob` is whole and unaltered."""
    if blob.nbytes != header.length:
        raise BrokenBlobError("truncated")
    if digest(blob) != header.digest:
        raise BrokenBlobError("checksum")
