"""How the next token of each row is chosen: penalty, temperature, nucleus, and a draw that no batch changes."""

from __future__ import annotations

import zlib
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from ragkit.inference import Sampling


class Chooser:
    """Turns the scores of each step into scores whose highest entry is the token that `sampling` draws.

    Every row draws from its own stream, seeded by the sampling's seed and the row's prompt, so a reply does not depend
    on what else is in the batch.
    """

    def __init__(self, sampling: Sampling, prompts: Sequence[Sequence[int]], max_tokens: int) -> None:
        """Take the rows' prompts as token ids."""
        self._sampling = sampling
        self._prompts = prompts
        self._draws = np.stack([_stream(sampling.seed, prompt, max_tokens) for prompt in prompts])
        self._seen: torch.Tensor | None = None

    def penalised(self, scores: torch.Tensor, last: Sequence[int] | None) -> torch.Tensor:
        """Return `scores` with the tokens of prompt and reply made less likely (Keskar et al., arXiv 1909.05858)."""
        penalty = self._sampling.repetition_penalty
        if penalty == 1.0:
            return scores
        if self._seen is None:
            self._seen = torch.zeros(scores.shape, dtype=torch.bool, device=scores.device)
            for row, prompt in enumerate(self._prompts):
                self._seen[row, torch.tensor(list(prompt), device=scores.device)] = True
        if last is not None:
            self._seen[torch.arange(len(last)), torch.tensor(last, device=scores.device)] = True
        return torch.where(self._seen, torch.where(scores > 0, scores / penalty, scores * penalty), scores)

    def drawn(self, scores: torch.Tensor, step: int) -> torch.Tensor:
        """Return `scores` as they are for temperature 0, else -inf everywhere but at the token drawn at `step`."""
        if self._sampling.temperature == 0.0:
            return scores
        ordered, order = torch.sort((scores.float() / self._sampling.temperature).softmax(-1), -1, descending=True)
        total = ordered.double().cumsum(-1)
        kept = torch.where(total - ordered < self._sampling.top_p, ordered.double(), 0.0).cumsum(-1)
        draw = torch.from_numpy(self._draws[:, step : step + 1].copy()).to(scores.device) * kept[:, -1:]
        place = torch.searchsorted(kept, draw, right=True).clamp(max=scores.shape[-1] - 1)
        return torch.full_like(scores, -torch.inf).scatter(-1, order.gather(-1, place), 0.0)


def _stream(seed: int, prompt: Sequence[int], draws: int) -> NDArray[np.float64]:
    key = zlib.crc32(np.array(prompt, dtype="<i4").tobytes())
    return np.random.default_rng([seed % 2**32, key]).random(draws)
