"""Content hashes: one way to turn tagged fields into an id, the same in every process and on every machine.

Fields are tagged and length-prefixed, so that ("ab", "c") and ("a", "bc"), None and "", or 1 and "1" never collide.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence

Field = str | bytes | int | float | bool | None | Sequence["Field"] | Mapping[str, "Field"]


def content_hash(kind: str, **fields: Field) -> str:
    """Return 32 hexadecimal digits (128 bits of BLAKE2b) that identify `fields` under the tag `kind`.

    >>> content_hash("chunk", start=0, end=12) == content_hash("chunk", end=12, start=0)
    True
    >>> content_hash("chunk", start=0, end=12) == content_hash("span", start=0, end=12)
    False
    """
    digest = hashlib.blake2b(digest_size=16)
    digest.update(_encode(kind))
    digest.update(_encode(fields))
    return digest.hexdigest()


def _encode(value: Field) -> bytes:  # noqa: PLR0911 - one return for each type reads best
    """Return `value` as one tag byte, its length and its bytes."""
    match value:
        case None:
            return b"n"
        case bool():
            return b"t" if value else b"f"
        case int():
            return _prefixed(b"i", str(value).encode("ascii"))
        case float():
            return _prefixed(b"d", value.hex().encode("ascii"))
        case str():
            return _prefixed(b"s", value.encode("utf-8"))
        case bytes():
            return _prefixed(b"b", value)
        case Mapping():
            pairs = [_encode(key) + _encode(value[key]) for key in sorted(value)]
            return _prefixed(b"m", b"".join(pairs))
        case _:
            return _prefixed(b"l", b"".join(_encode(item) for item in value))


def _prefixed(tag: bytes, payload: bytes) -> bytes:
    return tag + len(payload).to_bytes(8, "big") + payload
