"""An embedder without a model: signed feature hashing (Weinberger et al. 2009, arXiv:0902.2206) with numpy alone.

Features are the words of a text and their character 3- and 4-grams, so that inflected forms meet. It knows spelling and
no meaning: it is there for tests, benchmarks and machines without torch, and any learned embedder retrieves better.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from ragkit.identity import content_hash
from ragkit.models.words import WordTokenizer
from ragkit.protocols import Progress, Vectors
from ragkit.schema import Chunked

_NGRAMS = (3, 4)
_NGRAM_WEIGHT = 0.3
"""Of a character n-gram, against log2(1 + length) of a word."""
_GROUP_CHARACTERS = 1 << 19
_GROUP_TEXTS = 1 << 11
"""Characters and texts hashed at once, which bounds memory."""

Hashes = NDArray[np.uint64]


class HashingEmbedder:
    """Unit vectors by feature hashing: the same in every process and on every machine.

    >>> cats, cat, taxes = HashingEmbedder().embed_queries(["two black cats", "one black cat", "income tax"])
    >>> bool(cats @ cat > cats @ taxes)
    True
    """

    contextual = False
    cheap = True
    """Faster than a look-up in the embedding cache, which leaves it out."""
    window = 1 << 30

    def __init__(self, dimension: int = 384) -> None:
        """Return vectors of `dimension` numbers."""
        self.dimension = dimension
        self.name = f"hashing-{dimension}"
        self.fingerprint = content_hash("hashing embedder", version=1, dimension=dimension)
        self.tokenizer = WordTokenizer()

    def embed_queries(self, texts: Sequence[str]) -> Vectors:
        """Return one vector per question, shape (n, dimension)."""
        return self._embed(texts, None)

    def embed_chunks(self, batch: Sequence[Chunked], progress: Progress | None = None) -> Vectors:
        """Return one vector per chunk of `batch`, from its `index_text`, concatenated in order."""
        return self._embed([chunk.index_text for chunked in batch for chunk in chunked.chunks], progress)

    def _embed(self, texts: Sequence[str], progress: Progress | None) -> Vectors:
        vectors = np.zeros((len(texts), self.dimension), dtype=np.float32)
        for start, group in _groups(texts):
            vectors[start : start + len(group)] = self._sums(group)
            if progress is not None:
                progress("embed", start + len(group), len(texts))
        vectors[~vectors.any(axis=1), 0] = 1.0  # a text without a word still has a direction
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        return vectors

    def _sums(self, texts: Sequence[str]) -> NDArray[np.float64]:
        """Return the signed sums of all features, shape (texts, dimension)."""
        total = np.zeros(len(texts) * self.dimension)
        for owners, hashes, weights in _features(texts):
            buckets = (hashes % np.uint64(self.dimension)).astype(np.int64)
            signs = np.where(hashes >> np.uint64(63), 1.0, -1.0)
            total += np.bincount(owners * self.dimension + buckets, weights=signs * weights, minlength=len(total))
        return total.reshape(len(texts), self.dimension)


def _groups(texts: Sequence[str]) -> Iterator[tuple[int, Sequence[str]]]:
    start = size = 0
    for index, text in enumerate(texts):
        size += len(text)
        full = size >= _GROUP_CHARACTERS or index + 1 - start >= _GROUP_TEXTS
        if full or index == len(texts) - 1:
            yield start, texts[start : index + 1]
            start, size = index + 1, 0


def _features(texts: Sequence[str]) -> Iterator[tuple[NDArray[np.int64], Hashes, NDArray[np.float64]]]:
    """Yield (owning text, hash, weight) of all words, then of all n-grams of each length."""
    lowered = [f" {text.lower()} " for text in texts]
    points = np.frombuffer("".join(lowered).encode("utf-32-le", "surrogatepass"), dtype=np.uint32)
    owners = np.repeat(np.arange(len(texts)), [len(text) for text in lowered])
    is_word = _is_word(points)
    codes = np.where(is_word, points, 0).astype(np.uint64)  # all that is not a word is one separator

    edges = np.flatnonzero(np.diff(is_word.astype(np.int8), prepend=0))
    starts, ends = edges[0::2], edges[1::2]
    if not len(starts):
        return
    yield owners[starts], _word_hashes(codes, starts, ends), np.log2(1.0 + ends - starts)
    inside = np.concatenate([[0], np.cumsum(is_word)])
    for size in _NGRAMS:
        at = np.arange(len(codes) - size + 1)
        # One separator may open and one may close the n-gram, as in " ca" and "at ".
        keep = at[inside[at + size - 1] - inside[at + 1] == size - 2]
        hashes = np.full(len(keep), size, dtype=np.uint64)
        for step in range(size):
            hashes = _mix(hashes + codes[keep + step])
        yield owners[keep], hashes, np.full(len(keep), _NGRAM_WEIGHT)


def _is_word(points: NDArray[np.uint32]) -> NDArray[np.bool_]:
    """Return which code points are letters or digits, asking Python once for each different one."""
    present = np.bincount(points)
    table = np.zeros(len(present), dtype=bool)
    for point in np.flatnonzero(present):
        table[point] = chr(point).isalnum()
    return table[points]


def _word_hashes(codes: Hashes, starts: NDArray[np.int64], ends: NDArray[np.int64]) -> Hashes:
    """Return one hash per word: the sum, modulo 2**64, of its mixed (character, place) pairs."""
    lengths = ends - starts
    place = np.arange(lengths.sum()) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    letters = codes[np.repeat(starts, lengths) + place]
    mixed = _mix(letters + (place.astype(np.uint64) << np.uint64(32)))
    return _mix(np.add.reduceat(mixed, np.cumsum(lengths) - lengths))


def _mix(value: Hashes) -> Hashes:
    """Return `value` with its bits mixed (the finalizer of SplitMix64, Steele et al. 2014)."""
    value = value + np.uint64(0x9E3779B97F4A7C15)
    value = (value ^ (value >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    value = (value ^ (value >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return value ^ (value >> np.uint64(31))
