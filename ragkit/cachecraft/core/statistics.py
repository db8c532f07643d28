"""What a chunk attended to when its variant was made (Cache-Craft, eq. 3, 4, 9, 10, 11, 14)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from ragkit.cachecraft.core.prompt import Layout
from ragkit.cachecraft.core.variant import ChunkStatistics
from ragkit.errors import ContractError, UsageError

Sink = Literal["exclude", "include", "renormalise"]
"""What becomes of the attention on the system prefix and on glue, the sink of 30 to 90 % of the mass: left out, counted
as if it were one more chunk of the history that is always present again, or left out and the rest scaled to 1."""


def chunk_statistics(
    masses: NDArray[np.float32],
    layout: Layout,
    piece: int,
    *,
    sink: Sink = "exclude",
    layers: Sequence[int] | None = None,
) -> ChunkStatistics:
    """Return the statistics of the chunk `piece` of `layout`.

    `masses[l, t, p]` is the mean over heads of the attention, after the softmax, of the chunk's token t to all tokens
    of piece p in layer l; self-attention counts as intra. `layers` picks rows of `masses`; all unless given.
    Raises ContractError for masses of another shape or that are no numbers, UsageError for another sink mode.
    """
    length = len(layout.pieces[piece].ids)
    if sink not in get_args(Sink):
        raise UsageError(f"The sink mode {sink!r} was given; expected one of {get_args(Sink)}.")
    if masses.ndim != 3 or masses.shape[1:] != (length, len(layout.pieces)) or not len(masses) or not length:
        raise ContractError(
            f"Attention masses of the shape {masses.shape} were given for piece {piece}; "
            f"expected (layers, {length}, {len(layout.pieces)}), none of them 0."
        )
    picked = np.asarray(masses if layers is None else masses[list(layers)], np.float64)
    if not np.isfinite(picked).all():
        raise ContractError(f"Attention masses of piece {piece} hold NaN or infinite values; expected numbers.")
    history = [at for at in layout.chunks if at < piece]
    before = [at for at in range(piece) if at not in history and len(layout.pieces[at].ids)]
    return _summed(
        picked[:, :, history],
        picked[:, :, piece],
        picked[:, :, before].sum(axis=2),
        np.array([len(layout.pieces[at].ids) for at in history], np.float64),
        outside_tokens=sum(len(layout.pieces[at].ids) for at in before),
        sink=sink,
    )


def _summed(
    inter: NDArray[np.float64],
    intra: NDArray[np.float64],
    outside: NDArray[np.float64],
    lengths: NDArray[np.float64],
    *,
    outside_tokens: int,
    sink: Sink,
) -> ChunkStatistics:
    """Sum masses of the shapes (layers, tokens, history), (layers, tokens) and (layers, tokens)."""
    if sink == "renormalise":
        rest = inter.sum(axis=2) + intra
        scale = np.divide(1.0, rest, out=np.zeros_like(rest), where=rest > 0)
        inter, intra = inter * scale[:, :, None], intra * scale
    tokens = intra.shape[1]
    per_chunk = inter.sum(axis=1)
    a = (per_chunk / (tokens * lengths)).sum(axis=1)
    token_mass = inter.sum(axis=2)
    counted = sink == "include" and outside_tokens > 0
    if counted:
        a = a + outside.sum(axis=1) / (tokens * outside_tokens)
        token_mass = token_mass + outside
    total = per_chunk.sum(axis=0)
    return ChunkStatistics(
        inter=np.append(total, outside.sum()) if counted else total,
        a_bar=float(a.mean()),
        b_bar=float(intra.sum(axis=1).mean() / tokens**2),
        token_mass=token_mass.mean(axis=0).astype(np.float32),
        sink=sink,
    )


def cci(statistics: ChunkStatistics) -> float:
    """Return how much a chunk depends on its context, 0.5 (not at all) to 1 (eq. 11); never below 0.5."""
    return statistics.cci
