"""Embeddings kept on disk between runs: one file per embedder, keyed by the content that was embedded.

It never fails and never lies, see `ragkit.models.blob_cache`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ragkit.models.blob_cache import BlobCache, switched_on
from ragkit.models.hub import cache_root


class EmbeddingCache:
    """Vectors by 16-byte key, for one embedder; the oldest go when the file passes `max_bytes`.

    Safe to share between threads and processes.
    """

    def __init__(self, path: Path, dimension: int, max_bytes: int = 4 << 30) -> None:
        """Open or create the file at `path` at the first use."""
        self.path = path
        self._dimension = dimension
        self._blobs = BlobCache(path, max_bytes, what="embedding", table="vectors", value="vector")

    @classmethod
    def of(cls, fingerprint: str, dimension: int, max_bytes: int = 4 << 30) -> EmbeddingCache:
        """Return the cache of the embedder `fingerprint` below the user's cache folder."""
        return cls(cache_root() / "embeddings" / f"{fingerprint}.sqlite", dimension, max_bytes)

    def get(self, keys: Sequence[bytes]) -> dict[bytes, NDArray[np.float32]]:
        """Return the vectors of those `keys` that are cached and intact."""
        found = {}
        for key, blob in self._blobs.get(keys).items():
            if len(blob) == 4 * self._dimension:
                found[key] = np.frombuffer(blob, dtype=np.float32)
            else:
                self._blobs.forget(key)
        return found

    def put(self, vectors: Mapping[bytes, NDArray[np.float32]]) -> None:
        """Store `vectors` in one transaction; keys that are there already keep their vector."""
        self._blobs.put({key: vector.tobytes() for key, vector in vectors.items()})

    def close(self) -> None:
        """Close the file; the next use opens it again."""
        self._blobs.close()


def cache_enabled() -> bool:
    """Return False where RAGKIT_EMBEDDING_CACHE is "off", "no", "false" or "0"."""
    return switched_on("RAGKIT_EMBEDDING_CACHE")
