"""Keys: which cached keys and values may stand for which tokens, as hashes of tagged fields."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import xxhash

from ragkit.cachecraft.core.prompt import Ids
from ragkit.identity import content_hash, content_hasher

_IDS = np.dtype("<i4")


@dataclass(frozen=True, slots=True)
class ModelSpace:
    """Everything of a model that keys and values depend on: its weights, their type, its rotary table, its adapter."""

    fingerprint: str
    dtype: str
    rotary: str
    adapter: str = ""

    @property
    def key(self) -> str:
        """The space as 32 hexadecimal digits; blobs of different spaces never meet."""
        return content_hash(
            "model space", fingerprint=self.fingerprint, dtype=self.dtype, rotary=self.rotary, adapter=self.adapter
        )


def chunk_key(space: str, ids: Ids, domain: str = "") -> str:
    """Return the key of the tokens `ids` in a model's `space`, for one trust domain (HijackKV: never across domains).

    >>> ids = np.array([5, 6], np.int32)
    >>> chunk_key("s", ids, "a") == chunk_key("s", ids, "b")
    False
    """
    return _hasher(space, domain)(np.asarray(ids, _IDS).tobytes())


@lru_cache(maxsize=64)
def _hasher(space: str, domain: str) -> Callable[[bytes], str]:
    return content_hasher("chunk", "ids", space=space, domain=domain)


def context_key(ids: Ids) -> str:
    """Return the key of all the ids before a chunk: what it was computed behind, label by label; xxHash, for speed."""
    return xxhash.xxh3_128_hexdigest(np.ascontiguousarray(ids, _IDS).data)


def beginning_keys(ids: Ids, ends: Sequence[int]) -> list[str]:
    """Return `context_key(ids[:end])` of each end, which must ascend, in one pass over the ids."""
    running = xxhash.xxh3_128()
    content = np.ascontiguousarray(ids, _IDS)
    keys, last = [], 0
    for end in ends:
        running.update(content[last:end].data)
        keys.append(running.hexdigest())
        last = end
    return keys


def variant_name(
    chunk: str, prefix: str, history: Sequence[str], start: int, generation: int = 0, *, context: str = ""
) -> str:
    """Return the name of the blob made for `chunk` behind `prefix` and the chunks `history`, from position `start`.

    `context` is the key of all ids before it (`context_key`): a blob that a tier kept from an earlier computation is
    then never taken for one made behind other labels.
    """
    return content_hash(
        "variant",
        chunk=chunk,
        prefix=prefix,
        history=list(history),
        start=start,
        generation=generation,
        context=context,
    )
