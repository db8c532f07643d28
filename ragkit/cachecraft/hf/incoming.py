"""Keys and values that come layer by layer: used in one layer while the next ones are being read."""

from __future__ import annotations

import time

import torch

from ragkit.cachecraft.hf.blobs import from_blob
from ragkit.cachecraft.hf.key_values import Shape
from ragkit.cachecraft.tiers.arriving import Arriving
from ragkit.cachecraft.tiers.tier import Blob


class Incoming:
    """A captured piece on its way to `device`: (layers, 2, heads, tokens, head dim). For one thread."""

    def __init__(self, arriving: Arriving, tokens: int, shape: Shape, device: torch.device) -> None:
        """Raises UsageError where it is not as long as `tokens` of this model."""
        self.arriving = arriving
        self.waited = 0.0
        """Seconds that somebody waited for a layer."""
        self._host = from_blob(arriving.blob, tokens, shape)
        on_host = device == self._host.device
        self._there = self._host if on_host else torch.empty(self._host.shape, dtype=shape.dtype, device=device)
        self._copied = shape.layers if on_host else 0
        self._bytes = arriving.size // shape.layers

    def layer(self, at: int) -> torch.Tensor:
        """Return the keys and values of a layer (2, heads, tokens, head dim); raises LostError where they are lost."""
        self.wait(at + 1)
        if self._copied <= at:
            self._there[self._copied : at + 1].copy_(self._host[self._copied : at + 1])
            self._copied = at + 1
        return self._there[at]

    def wait(self, layers: int) -> None:
        """Return when the first `layers` have come; raises LostError where they will not."""
        began = time.perf_counter()
        self.arriving.wait(layers * self._bytes)
        self.waited += time.perf_counter() - began

    def whole(self) -> torch.Tensor:
        """Return all of it, when it has come; raises LostError where it does not."""
        self.layer(len(self._there) - 1)
        return self._there


Source = torch.Tensor | Blob | Incoming
"""Where the keys and values of a variant come from."""
