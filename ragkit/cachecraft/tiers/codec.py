"""The header that makes a blob self-checking: what it is, whose it is, how long, and the checksums of its sections.

One page of 4,096 bytes, little-endian, then the blob:

    0   magic "ragkitKV"      8 bytes
    8   format                uint32, 2
    12  length of the scope   uint16
    14  length of the name    uint16
    16  length of the blob    uint64
    24  bytes of a section    uint64, whole pages; the last section may be shorter
    32  scope, name           UTF-8
    ..  XXH3-128 of each section, 16 bytes each
    ..  zeros
    4080 XXH3-128 of the 4,080 bytes before it

A blob is checked section by section, so that what came first may be used before the rest has come: the keys and values
of a model lie in it layer by layer. Scope (the model space) and name are part of what is checked, so a file that was
renamed, swapped or copied from the folder of another model is a miss. The page keeps the blob aligned for direct reads.
XXH3 guards against damage, not against someone who can write to the folder: such a writer can compute it as well.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

import xxhash

from ragkit.cachecraft.tiers.tier import Blob

PAGE = 4096
"""Bytes in front of a blob."""

_FORMAT = 2
_MAGIC = b"ragkitKV"
_FIXED = struct.Struct("<8sIHHQQ")
_SEAL = 16
_SECTIONS = 128
"""Sections of a large blob, some for each layer of a large model."""
_LEAST_SECTION = 16 * PAGE
_ROOM = PAGE - _FIXED.size - _SECTIONS * _SEAL - _SEAL
"""Bytes for scope and name."""


class BrokenBlobError(ValueError):
    """What was read is not the blob that was asked for; the text is one of a few short reasons, to be counted."""


class Header(NamedTuple):
    """What the page in front of a blob says."""

    scope: str
    name: str
    length: int
    section: int
    """Bytes of a section."""
    digests: tuple[bytes, ...]
    """Of each section, in order."""


def digest(blob: Blob) -> bytes:
    """Return the 16 bytes of XXH3-128 of a blob; memory bandwidth, not this, bounds the speed."""
    return xxhash.xxh3_128_digest(blob.data)


def section_of(length: int) -> int:
    """Return the bytes of a section of a blob of `length` bytes: whole pages, at most 128 sections."""
    return max(_LEAST_SECTION, -(-length // (_SECTIONS * PAGE)) * PAGE)


def fits(scope: str, name: str) -> bool:
    """Return whether a header has room for the scope and the name."""
    return len(scope.encode()) + len(name.encode()) <= _ROOM


def pack(header: Header) -> bytes:
    """Return the page of `header`, PAGE bytes."""
    scope, name = header.scope.encode(), header.name.encode()
    fixed = _FIXED.pack(_MAGIC, _FORMAT, len(scope), len(name), header.length, header.section)
    page = (fixed + scope + name + b"".join(header.digests)).ljust(PAGE - _SEAL, b"\0")
    return page + xxhash.xxh3_128_digest(page)


def unpack(page: bytes | memoryview) -> Header:
    """Return the header in `page`; raise BrokenBlobError where it is none, or was altered."""
    page = bytes(page)
    if len(page) != PAGE:
        raise BrokenBlobError("truncated")
    if xxhash.xxh3_128_digest(page[:-_SEAL]) != page[-_SEAL:]:
        raise BrokenBlobError("checksum")
    magic, version, scope, name, length, section = _FIXED.unpack_from(page)
    count = -(-length // section) if section else 0
    if magic != _MAGIC or version != _FORMAT or not section or section % PAGE or count > _SECTIONS:
        raise BrokenBlobError("format")
    texts = page[_FIXED.size : _FIXED.size + scope + name]
    first = _FIXED.size + scope + name
    digests = tuple(page[at : at + _SEAL] for at in range(first, first + count * _SEAL, _SEAL))
    return Header(texts[:scope].decode(), texts[scope:].decode(), length, section, digests)


def header_of(scope: str, name: str, blob: Blob) -> Header:
    """Return the header of `blob`."""
    section = section_of(blob.nbytes)
    digests = tuple(digest(blob[start : start + section]) for start in range(0, blob.nbytes, section))
    return Header(scope, name, blob.nbytes, section, digests)


def check_owner(header: Header, scope: str, name: str) -> None:
    """Raise BrokenBlobError unless the header is that of the blob asked for."""
    if (header.scope, header.name) != (scope, name):
        raise BrokenBlobError("another blob")


def check_body(header: Header, blob: Blob) -> None:
    """Raise BrokenBlobError unless `blob` is whole and unaltered."""
    if blob.nbytes != header.length:
        raise BrokenBlobError("truncated")
    check_sections(header, blob, 0, len(header.digests))


def check_sections(header: Header, blob: Blob, first: int, end: int) -> None:
    """Raise BrokenBlobError unless the sections [first, end) of `blob`, which may lack later ones, are unaltered."""
    for number in range(first, end):
        start = number * header.section
        if digest(blob[start : min(start + header.section, header.length)]) != header.digests[number]:
            raise BrokenBlobError("checksum")
