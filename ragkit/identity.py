"""Content hashes: one way to turn tagged fields into an id, the same in every process and on every machine.

Fields are tagged and length-prefixed, so that ("ab", "c") and ("a", "bc"), None and "", or 1 and "1" never collide.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

Field = str | bytes | int | float | bool | None | Sequence["Field"] | Mapping[str, "Field"]


def content_hash(kind: str, **fields: Field) -> str:
    """Return 32 hexadecimal digits (128 bits of BLAKE2b) that identify `fields` under the tag `kind`.

    >>> content_hash("chunk", start=0, end=12) == content_hash("chunk", end=12, start=0)
    True
    >>> content_hash("chunk", start=0, end=12) == content_hash("span", start=0, end=12)
    False
    """
    digest = hashlib.blake2b(digest_size=16)
    _feed(digest, kind)
    _feed(digest, fields)
    return digest.hexdigest()


def content_hasher(kind: str, field: str, **others: Field) -> Callable[[bytes], str]:
    """Return a function from the bytes of `field` to their content hash; the fields that stay are encoded only once.

    >>> content_hasher("chunk", "ids", domain="a")(b"12") == content_hash("chunk", ids=b"12", domain="a")
    True
    """
    before, after = hashlib.blake2b(digest_size=16), _Written()
    _feed(before, kind)
    before.update(_map_header(len(others) + 1))
    for name in sorted([*others, field]):
        into = before if name <= field else after
        _feed(into, name)
        if name != field:
            _feed(into, others[name])
    rest = after.content

    def hashed(content: bytes) -> str:
        digest = before.copy()
        _leaf(digest, b"b", content)
        digest.update(rest)
        return digest.hexdigest()

    return hashed


class _Digest(Protocol):
    def update(self, data: bytes, /) -> None: ...


class _Written:
    """Keeps what a digest would be fed."""

    content = b""

    def update(self, data: bytes, /) -> None:
        self.content += data


def _feed(digest: _Digest, value: Field) -> None:
    """Feed `value` as a tag byte, its length and its content; long texts are never copied together."""
    match value:
        case None:
            digest.update(b"n")
        case bool():
            digest.update(b"t" if value else b"f")
        case int():
            _leaf(digest, b"i", str(value).encode("ascii"))
        case float():
            _leaf(digest, b"d", value.hex().encode("ascii"))
        case str():
            _leaf(digest, b"s", value.encode("utf-8"))
        case bytes():
            _leaf(digest, b"b", value)
        case Mapping():
            digest.update(_map_header(len(value)))
            for key in sorted(value):
                _feed(digest, key)
                _feed(digest, value[key])
        case _:
            digest.update(b"l" + len(value).to_bytes(8, "big"))
            for item in value:
                _feed(digest, item)


def _map_header(fields: int) -> bytes:
    return b"m" + fields.to_bytes(8, "big")


def _leaf(digest: _Digest, tag: bytes, payload: bytes) -> None:
    digest.update(tag + len(payload).to_bytes(8, "big"))
    digest.update(payload)
