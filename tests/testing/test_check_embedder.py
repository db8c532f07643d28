"""The embedder kit finds what it is there to find."""

import numpy as np
import pytest

from ragkit.errors import ContractError
from ragkit.models.hashing import HashingEmbedder
from ragkit.testing.embedder import check_embedder

counter = iter(range(100_000))


def whole_batch(vectors):
    mixed = vectors + vectors.sum(axis=0)
    return mixed / np.linalg.norm(mixed, axis=1, keepdims=True)


BROKEN = {
    "shape": lambda vectors: vectors[:, :-1],
    "expected float32": lambda vectors: vectors.astype(np.float64),
    "unit length": lambda vectors: vectors * np.float32(2),
    "second call": lambda vectors: np.roll(vectors, next(counter), axis=1),
    "another order": lambda vectors: vectors[::-1] if len(vectors) == 2 and vectors[0, 0] > vectors[1, 0] else vectors,
    "each text alone|another order": whole_batch,
}


class Broken(HashingEmbedder):
    def __init__(self, change):
        super().__init__(16)
        self._change = change

    def _embed(self, texts, progress):
        return self._change(super()._embed(texts, progress))


def test_a_sound_embedder_passes():
    check_embedder(HashingEmbedder(), ["one", "two words", "three more words"])


@pytest.mark.parametrize("message", BROKEN)
def test_a_broken_one_is_found(message):
    with pytest.raises(ContractError, match=message):
        check_embedder(Broken(BROKEN[message]), ["one text", "another text"])
