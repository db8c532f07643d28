"""The last layer and the loss of a causal model, by tiles: the logits of a long text never exist at once."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch.nn import functional

from ragkit.models.causal import kernel

_TILE_BYTES = 512 << 20
"""Logits of one tile on a GPU."""

_TILE_POSITIONS = 2048
_TILE_VOCABULARY = 4096
"""Tile of the other devices: 32 MiB of float32, which a processor's cache holds better than whole rows."""

_EXACT = True
"""Whether a half-precision head gives float32 logits on a GPU: bfloat16 rounds a logit of 20 by up to 0.06 nats."""


@dataclass(frozen=True, slots=True)
class Head:
    """Hidden states to losses; what stands between the last layer and the softmax in some models is applied too.

    Without `weight`, hidden states are taken for logits already.
    """

    weight: Any
    bias: Any
    scale: float = 1.0
    cap: float | None = None
    exact: bool = _EXACT

    def logits(self, hidden: torch.Tensor, begin: int = 0, end: int | None = None) -> torch.Tensor:
        """Return the logits of the vocabulary's part [begin, end) at hidden[n, width], shape (n, end - begin)."""
        if self.weight is None:
            return hidden[:, begin:end]
        found = self._product(hidden, self.weight[begin:end])
        if self.bias is not None:
            found = found + self.bias[begin:end]
        if self.scale != 1.0:
            found = found * self.scale
        return found if self.cap is None else self.cap * torch.tanh(found / self.cap)

    def nll(self, hidden: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """Return -ln p(targets[i] | hidden[i]) in float32, shape (n,), for hidden[n, width] and int64 targets[n]."""
        if hidden.is_cuda and kernel.available():
            parts = [kernel.row_nll(self.logits(part), chosen) for part, chosen in self._tiles(hidden, targets)]
        else:
            parts = [
                self._streamed(part, chosen)
                for part, chosen in zip(hidden.split(_TILE_POSITIONS), targets.split(_TILE_POSITIONS), strict=True)
            ]
        return torch.cat(parts)

    def log_probabilities(self, hidden: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Return ln p of each of labels[k] at hidden[n, width] under the whole vocabulary's softmax, shape (n, k)."""
        logits = self.logits(hidden).float()
        return logits[:, labels] - torch.logsumexp(logits, dim=-1, keepdim=True)

    def _product(self, hidden: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        if self.exact and hidden.is_cuda and hidden.dtype != torch.float32:
            return torch.mm(hidden, weight.t(), out_dtype=torch.float32)
        return functional.linear(hidden, weight)

    def _tiles(self, hidden: torch.Tensor, targets: torch.Tensor) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        vocabulary = hidden.shape[-1] if self.weight is None else len(self.weight)
        rows = max(128, _TILE_BYTES // (vocabulary * 4) // 256 * 256)
        return zip(hidden.split(rows), targets.split(rows), strict=True)

    def _streamed(self, hidden: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """Return the losses from tiles over the vocabulary, joined by their log-sum-exp."""
        vocabulary = hidden.shape[-1] if self.weight is None else len(self.weight)
        sums = []
        chosen = torch.zeros(len(hidden), dtype=torch.float32, device=hidden.device)
        for begin in range(0, vocabulary, _TILE_VOCABULARY):
            logits = self.logits(hidden, begin, begin + _TILE_VOCABULARY).float()
            sums.append(torch.logsumexp(logits, dim=-1))
            places = targets - begin
            inside = (places >= 0) & (places < logits.shape[1])
            value = logits.gather(1, places.clamp(0, logits.shape[1] - 1)[:, None])[:, 0]
            chosen = torch.where(inside, value, chosen)
        return torch.logsumexp(torch.stack(sums), dim=0) - chosen


def head_of(model: Any) -> Head:
    """Return the head of a transformers causal model, with the scale and the soft cap that its configuration names."""
    layer = model.get_output_embeddings()
    config = model.config.get_text_config()
    scale = getattr(config, "logit_scale", None) or 1 / (getattr(config, "logits_scaling", None) or 1)
    return Head(layer.weight, getattr(layer, "bias", None), scale, getattr(config, "final_logit_softcapping", None))
