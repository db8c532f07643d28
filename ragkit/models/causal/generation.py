"""Replies of a causal model in left-padded batches; a reply is the same as the one its prompt gets alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from ragkit.budget import Meter
from ragkit.inference import Sampling
from ragkit.models.causal.choosing import Chooser
from ragkit.models.causal.constraint import Matcher, masked
from ragkit.models.causal.forward import memory_error
from ragkit.models.causal.loops import loops


@dataclass(frozen=True, slots=True)
class Written:
    """The token ids of a reply, its end token included; `complete` if the model ended it and not a limit."""

    tokens: list[int]
    complete: bool


def reply_batches(lengths: Sequence[int], max_tokens: int, budget: int) -> list[list[int]]:
    """Return the indices of the prompts in batches, longest first, whose prompts and replies fit `budget` tokens.

    >>> reply_batches([10, 30, 12], 20, 100)
    [[1, 2], [0]]
    """
    order = sorted(range(len(lengths)), key=lambda index: -lengths[index])
    found, start = [], 0
    while start < len(order):
        rows = max(1, budget // (lengths[order[start]] + max_tokens))
        found.append(order[start : start + rows])
        start += rows
    return found


class Replies:
    """The state of a batch while it is written; the library calls `choose` before and `stop` after each token."""

    def __init__(
        self,
        prompts: Sequence[Sequence[int]],
        max_tokens: int,
        ends: Sequence[int],
        sampling: Sampling,
        matchers: Sequence[Matcher] | None,
    ) -> None:
        self.tokens: list[list[int]] = [[] for _ in prompts]
        self._open = [True] * len(prompts)
        self._ends = frozenset(ends)
        self._chooser = Chooser(sampling, prompts, max_tokens)
        self._matchers = matchers
        self._step = 0

    def written(self) -> list[Written]:
        """Return the replies as they are now."""
        return [Written(tokens, not alive) for tokens, alive in zip(self.tokens, self._open, strict=True)]

    def choose(self, ids: Any, scores: Any, **_: Any) -> Any:
        """Return the scores whose highest entry is the next token of each row."""
        scores = self._chooser.penalised(scores, ids[:, -1].tolist() if self._step else None)
        if self._matchers is not None:
            rows = [matcher if alive else None for matcher, alive in zip(self._matchers, self._open, strict=True)]
            scores = masked(scores, rows)
        scores = self._chooser.drawn(scores, self._step)
        self._step += 1
        return scores

    def stop(self, ids: Any, scores: Any, **_: Any) -> Any:  # noqa: ARG002 - the signature is the library's
        """Return which rows are complete: at an end token, a complete JSON, or a reply that repeats itself."""
        for row, token in enumerate(ids[:, -1].tolist()):
            if self._open[row]:
                self.tokens[row].append(token)
                self._open[row] = not self._complete(row, token)
        return torch.tensor([not alive for alive in self._open], device=ids.device)

    def _complete(self, row: int, token: int) -> bool:
        if self._matchers is not None:
            return self._matchers[row].add(token) or token in self._ends
        return token in self._ends or loops(self.tokens[row])


def write(
    name: str,
    model: Any,
    prompts: Sequence[Sequence[int]],
    *,
    max_tokens: int,
    ends: Sequence[int],
    pad: int,
    sampling: Sampling,
    meter: Meter | None = None,
    matchers: Sequence[Matcher] | None = None,
) -> list[Written]:
    """Return each reply; the meter's deadline ends all of them."""
    from transformers import GenerationConfig

    seconds = meter.budget.seconds if meter is not None else None
    settings = GenerationConfig(
        max_new_tokens=max_tokens,
        do_sample=False,
        max_time=None if meter is None or seconds is None else max(0.0, seconds - meter.seconds),
        eos_token_id=list(ends) or None,
        pad_token_id=pad,
    )
    width = max(map(len, prompts))
    ids = torch.full((len(prompts), width), pad)
    mask = torch.zeros((len(prompts), width), dtype=torch.int64)
    for row, prompt in enumerate(prompts):
        ids[row, width - len(prompt) :] = torch.tensor(list(prompt))
        mask[row, width - len(prompt) :] = 1
    replies = Replies(prompts, max_tokens, ends, sampling, matchers)
    try:
        with torch.inference_mode():
            model.generate(
                input_ids=ids.to(model.device),
                attention_mask=mask.to(model.device),
                generation_config=settings,
                logits_processor=[replies.choose],
                stopping_criteria=[replies.stop],
            )
    except torch.OutOfMemoryError as error:
        raise memory_error(name, ids.numel() + len(prompts) * max_tokens, error) from error
    return replies.written()
