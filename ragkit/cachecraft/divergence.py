"""How far the next token's distribution after chunk reuse is from that of full recompute."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch


class Divergence(NamedTuple):
    """KL(full recompute || reuse) in nats, and whether both find the same token most likely.

    Where one of them is no distribution (NaN among its logits) the KL is infinite and they do not agree.
    """

    kl: float
    agrees: bool


def divergence(full: torch.Tensor, reused: torch.Tensor) -> Divergence:
    """Return the divergence of two vectors of logits (vocabulary,), in float64.

    >>> divergence(torch.tensor([0.0, 1.0]), torch.tensor([1.0, 2.0]))
    Divergence(kl=0.0, agrees=True)
    """
    true, other = (torch.log_softmax(logits.double(), -1) for logits in (full, reused))
    if bool(true.isnan().any() | other.isnan().any()):
        return Divergence(math.inf, False)
    # 0 * (-inf - -inf) is NaN where a model rules a token out altogether.
    terms = torch.where(true > -torch.inf, true.exp() * (true - other), 0.0)
    return Divergence(max(0.0, float(terms.sum())), bool(full.argmax() == reused.argmax()))
