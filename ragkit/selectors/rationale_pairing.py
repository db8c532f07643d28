"""ECSE, the choice of evidence by rationales (METEORA, arXiv 2505.16014): pairing, then an elbow over all chunks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ragkit.scoring.cut import Cut, Policy, explained
from ragkit.scoring.order import Scores, finite
from ragkit.selectors.weighing import weighed

Pairing = Literal["convergent", "distinct"]


@dataclass(frozen=True, slots=True)
class Evidence:
    """Which chunks rationales chose.

    `pairs[i]` is the chunk of rationale i (None where all were taken), `similarities[i]` its cosine. `order` holds all
    chunks by their cosine with the mean of the rationales, `pooled` that cosine by chunk, `cut` how many of `order` the
    elbow takes.
    """

    pairs: tuple[int | None, ...]
    similarities: tuple[float, ...]
    pooled: Scores
    order: tuple[int, ...]
    cut: Cut

    @property
    def paired(self) -> frozenset[int]:
        """E_v: what a rationale chose."""
        return frozenset(chunk for chunk in self.pairs if chunk is not None)

    @property
    def pooled_best(self) -> frozenset[int]:
        """E_g: what the elbow takes."""
        return frozenset(self.order[: self.cut.kept])

    def by_trust(self) -> list[int]:
        """Return E_v and E_g: what more rationales chose comes first, then by pooled cosine, then the rest of E_g."""
        chosen = {chunk: sum(pair == chunk for pair in self.pairs) for chunk in self.paired | self.pooled_best}
        place = {chunk: at for at, chunk in enumerate(self.order)}
        return sorted(chosen, key=lambda chunk: (-chosen[chunk], place[chunk]))


def paired(
    rationales: NDArray[np.float64],
    chunks: NDArray[np.float64],
    pairing: Pairing,
    policy: Policy,
    weights: Scores | None = None,
) -> Evidence:
    """Return the evidence among `chunks` for `rationales`, unit vectors of shapes (n, d) and (m, d); n may be 0.

    `weights`, shape (m,), multiply all cosines of a chunk (`ragkit.selectors.weighing`); None: all 1. Equal cosines go
    to the earlier chunk. `distinct` serves the rationales in order, each chunk once.
    """
    if not len(chunks):
        return Evidence((), (), np.zeros(0), (), Cut(0, "there are no candidates"))
    # row by row, as a product of matrices rounds differently with the number of rows
    cosines = np.array([[float(chunk @ rationale) for chunk in chunks] for rationale in rationales])
    if weights is not None and len(rationales):
        cosines = weighed(cosines, weights)
    pairs, similarities = choose(cosines, pairing)
    mean = rationales.mean(axis=0)
    length = float(np.linalg.norm(mean))
    pooled = finite([float(chunk @ mean) / (length or 1.0) for chunk in chunks], "cosines of rationales and chunks")
    if weights is not None:
        pooled = weighed(pooled, weights)
    order = tuple(int(place) for place in np.lexsort((np.arange(len(chunks)), -pooled)))
    return Evidence(pairs, similarities, pooled, order, explained(pooled[list(order)], policy))


def choose(cosines: Scores, pairing: Pairing) -> tuple[tuple[int | None, ...], tuple[float, ...]]:
    """Return the chunk of each rationale and its cosine, from cosines of shape (rationales, chunks)."""
    pairs: list[int | None] = []
    found: list[float] = []
    open_ = np.ones(cosines.shape[1], dtype=bool)
    for row in cosines:
        if not open_.any():
            pairs.append(None)
            found.append(0.0)
            continue
        best = int(np.argmax(np.where(open_, row, -np.inf)))
        pairs.append(best)
        found.append(float(row[best]))
        open_[best] = pairing == "convergent"
    return tuple(pairs), tuple(found)
