"""One pass of a transformers model over chosen positions of cached prompts."""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from ragkit.cachecraft.hf.attention import attending, switched
from ragkit.cachecraft.hf.key_values import KeyValues
from ragkit.cachecraft.hf.visibility import PAD, Pass, make_pass

Attention = Literal["sdpa", "eager"]


@dataclass(frozen=True, slots=True, eq=False)
class Forward:
    """Runs passes. `attention` "eager" uses the model's own reference attention and a written-out mask."""

    model: Any
    attention: Attention
    groups: int
    """Query heads of one key head."""

    def __call__(
        self,
        cache: KeyValues,
        ids: NDArray[np.int64],
        positions: NDArray[np.int64],
        *,
        first: int = 0,
        limits: NDArray[np.int64] | None = None,
        keep: int = 1,
        observed: AbstractContextManager[Any] | None = None,
    ) -> tuple[torch.Tensor, Any]:
        """Run rows `first`.. of `cache` over `ids` at `positions` (rows, tokens), padded on the left with `PAD`.

        Returns the logits of the last `keep` tokens, (rows, keep, vocabulary), and what `observed`, a context manager
        of `ragkit.cachecraft.hf.masses`, yields.
        """
        current = self._pass(cache, positions, first, limits)
        tokens = torch.from_numpy(np.where(positions == PAD, 0, ids)).to(self.model.device)
        mask = self._mask(current, observed=observed is not None)
        cache.current = current
        try:
            with torch.inference_mode(), self._context(current, observed) as seen:
                out = self.model(
                    input_ids=tokens,
                    attention_mask=mask,
                    position_ids=current.positions,
                    past_key_values=cache,
                    use_cache=True,
                    logits_to_keep=keep,
                )
        finally:
            cache.current = None
        exact = torch.promote_types(out.logits.dtype, torch.float32)
        return out.logits[:, -keep:].to(exact), seen

    def _mask(self, current: Pass, *, observed: bool) -> torch.Tensor | None:
        if self.attention == "eager" or (observed and not current.plain):
            return current.dense(self.model.dtype)
        # Where there is a mask of four dimensions, transformers makes none; ours is in the pass.
        return None if observed else torch.zeros(1, 1, 1, 1, device=self.model.device)

    def _context(self, current: Pass, observed: AbstractContextManager[Any] | None) -> AbstractContextManager[Any]:
        if observed is not None:
            return observed
        return switched(self.model, "eager") if self.attention == "eager" else attending(self.model, current)

    def _pass(
        self, cache: KeyValues, positions: NDArray[np.int64], first: int, limits: NDArray[np.int64] | None
    ) -> Pass:
        on_gpu = self.model.device.type == "cuda"
        return make_pass(
            positions,
            spare=cache.spare,
            dtype=self.model.dtype,
            device=self.model.device,
            limits=limits,
            first=first,
            block=512 if on_gpu else 64,
            groups=self.groups if on_gpu else 1,
        )
