"""Which cached tokens the question looks at: stage 1 of ProphetKV (arXiv 2602.02579)."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata  # type: ignore[import-untyped]  # scipy has no types

from ragkit.cachecraft.core.plan import Plan
from ragkit.cachecraft.hf.backend import HfBackend
from ragkit.cachecraft.hf.key_values import KeyValues
from ragkit.cachecraft.hf.masses import SeenError, observing
from ragkit.cachecraft.hf.scores import Scores, reused_positions
from ragkit.errors import UsageError

Fusion = Literal["mean", "share", "rank", "max"]
"""How the attention of the layers becomes one score: `mean` of the masses; `share`, the same after scaling each layer's
attention on chunks to 1, so that a layer that looks mostly at the sink counts as much as others; `rank`, the mean rank;
`max`, the largest share in any layer. The paper fuses the layers into one set; which way is ours to choose."""


def probe_scores(
    backend: HfBackend,
    plan: Plan,
    blobs: Mapping[str, Any],
    *,
    fusion: Fusion = "mean",
    layers: Collection[int] | None = None,
    over: KeyValues | None = None,
) -> Scores:
    """Return how much the question attends to each token of the reused chunks, when nothing of them is repaired.

    `plan` has no repairs (policy "none"). One pass over its fresh tokens (question, glue, cold chunks) reads the
    question's attention, averaged over heads and question tokens; the layers are joined by `fusion`. Raises UsageError
    for another fusion. `over` is the cache of `plan` to run in, where it is `loaded` already; what is fresh is computed
    into it.
    """
    if fusion not in _FUSIONS:
        raise UsageError(f"The fusion {fusion!r} was given; expected one of {', '.join(_FUSIONS)}.")
    length = len(plan.layout.ids)
    question = np.arange(*plan.layout.spans[-1])
    ids = plan.layout.ids[plan.fresh].astype(np.int64)
    with backend.lock:
        cache = backend.loaded([plan], blobs, lazy=True) if over is None else over
        watched = observing(backend.model, None, question, keys=length, layers=layers, ending=True)
        try:
            _, seen = backend.forward(cache, ids[None], plan.fresh[None], observed=watched)
        except SeenError as done:  # the last layer's rest and the logits are nobody's
            seen = done.observer
    where = reused_positions(plan)
    values = np.zeros(length)
    if len(where):
        values[where] = _FUSIONS[fusion](seen.masses.mean(1, dtype=np.float64)[:, where])
    return Scores(values, len(plan.fresh), float(len(plan.fresh) * backend.shape.layers))


def _mean(attention: NDArray[np.float64]) -> NDArray[np.float64]:
    mean: NDArray[np.float64] = attention.mean(0)
    return mean


def _shares(attention: NDArray[np.float64]) -> NDArray[np.float64]:
    total = attention.sum(1, keepdims=True)
    shares: NDArray[np.float64] = np.divide(attention, total, out=np.zeros_like(attention), where=total > 0)
    return shares


def _rank(attention: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(rankdata(attention, axis=1).mean(0) / attention.shape[1])


_FUSIONS: dict[str, Callable[[NDArray[np.float64]], NDArray[np.float64]]] = {
    "mean": _mean,
    "share": lambda attention: _mean(_shares(attention)),
    "rank": _rank,
    "max": lambda attention: np.asarray(_shares(attention).max(0)),
}
