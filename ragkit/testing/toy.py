"""A tiny causal language model for tests: real next-token distributions over a small vocabulary, in NumPy, no training.

Its tokens are bytes and a few words, written as GPT-2's vocabulary writes them, so that characters outside ASCII are
split between tokens. The next token depends on the two before it and on the first, so that windows and contexts matter.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

_WORDS = (b"Yes", b"No", b"One", b" two", b" the", b" of", b" a", b"\n\n", b". ", b"ing")
_PRINTABLE = {*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)}


class ToyModel:
    """Deterministic: equal seeds give equal models."""

    def __init__(self, seed: int = 0) -> None:
        """Draw the weights."""
        self.pieces: list[bytes] = [*(bytes([byte]) for byte in range(256)), *_WORDS]
        self.start = len(self.pieces)
        """The id of the start token, which stands for no text."""
        self._ids = {piece: token for token, piece in enumerate(self.pieces)}
        size = self.start + 1
        self._weights = np.random.default_rng(seed).normal(0.0, 1.5, (3, size, size - 1))

    def tokens(self, text: str) -> list[int]:
        """Return the ids of `text`, the longest piece first."""
        content, at, ids = text.encode("utf-8"), 0, []
        while at < len(content):
            size = next(
                size for size in (4, 3, 2, 1) if content[at : at + size] in self._ids and at + size <= len(content)
            )
            ids.append(self._ids[content[at : at + size]])
            at += size
        return ids

    def strings(self, ids: Sequence[int]) -> list[str]:
        """Return the pieces as a byte-level vocabulary writes them: "Ġ" for a space."""
        return ["<s>" if token == self.start else "".join(map(_character, self.pieces[token])) for token in ids]

    def text(self, ids: Sequence[int]) -> str:
        """Return the text of `ids`; parts of characters become U+FFFD."""
        return b"".join(self.pieces[token] for token in ids if token != self.start).decode("utf-8", "replace")

    def next_logprobs(self, ids: Sequence[int]) -> NDArray[np.float64]:
        """Return the natural log-probability of every next token after `ids`, of which there must be one at least."""
        last, earlier, first = ids[-1], ids[-2] if len(ids) > 1 else self.start, ids[0]
        logits: NDArray[np.float64] = (
            self._weights[0][last] + 0.7 * self._weights[1][earlier] + 0.4 * self._weights[2][first]
        )
        shifted: NDArray[np.float64] = logits - logits.max()
        return shifted - float(np.log(np.exp(shifted).sum()))

    def nll(self, ids: Sequence[int]) -> NDArray[np.float64]:
        """Return the negative log-likelihood of each of `ids` after those before it; the first is NaN."""
        return np.array([np.nan, *(-self.next_logprobs(ids[:at])[ids[at]] for at in range(1, len(ids)))][: len(ids)])


def _character(byte: int) -> str:
    """Return how a byte-level vocabulary writes `byte`."""
    if byte in _PRINTABLE:
        return chr(byte)
    return chr(256 + sum(other not in _PRINTABLE for other in range(byte)))
