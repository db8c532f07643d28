"""Replies and forced continuations from the caches that partial forwards left."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import TYPE_CHECKING

import numpy as np
import torch

from ragkit.cachecraft.core.prompt import Ids
from ragkit.cachecraft.hf.state import State
from ragkit.cachecraft.hf.visibility import PAD
from ragkit.errors import UsageError
from ragkit.inference import Sampling
from ragkit.models.causal.generation import Replies

if TYPE_CHECKING:
    from ragkit.cachecraft.hf.backend import HfBackend


def stream(backend: HfBackend, state: State, max_tokens: int, sampling: Sampling, ends: Sequence[int]) -> Iterator[int]:
    """Yield the tokens of one reply."""
    _need_room([state], max_tokens - 1)
    for tokens in _steps(backend, [state], _replies([state], max_tokens, sampling, ends), max_tokens):
        yield tokens[0]


def decode(
    backend: HfBackend, states: Sequence[State], max_tokens: int, sampling: Sampling, ends: Sequence[int]
) -> list[list[int]]:
    """Return the tokens of each reply; states of one cache are decoded together."""
    _need_room(states, max_tokens - 1)
    found: dict[int, list[int]] = {}
    for places in _runs(states):
        rows = [states[place] for place in places]
        replies = _replies(rows, max_tokens, sampling, ends)
        for _ in _steps(backend, rows, replies, max_tokens):
            pass
        found.update(zip(places, replies.tokens, strict=True))
    return [found[place] for place in range(len(states))]


def forced(backend: HfBackend, states: Sequence[State], replies: Sequence[Sequence[int] | Ids]) -> list[torch.Tensor]:
    """Return the logits (tokens, vocabulary) in front of each token of the given replies."""
    if len(states) != len(replies) or any(len(reply) == 0 for reply in replies):
        raise UsageError("Each state needs a reply of at least one token.")
    for state, reply in zip(states, replies, strict=True):
        _need_room([state], len(reply) - 1)
    found: dict[int, torch.Tensor] = {}
    for places in _runs(states):
        rows = [states[place] for place in places]
        given = [np.array(replies[place], dtype=np.int64) for place in places]
        width = max(map(len, given)) - 1
        if not width:
            found.update((place, states[place].logits[None]) for place in places)
            continue
        ids = np.zeros((len(rows), width), np.int64)
        positions = np.full((len(rows), width), PAD, np.int64)
        for row, (state, tokens) in enumerate(zip(rows, given, strict=True)):
            at = width - (len(tokens) - 1)
            ids[row, at:] = tokens[:-1]
            positions[row, at:] = state.length + np.arange(len(tokens) - 1)
        logits = backend.advance(rows[0].key_values, ids, positions, first=rows[0].row, keep=width)
        for row, (place, tokens) in enumerate(zip(places, given, strict=True)):
            own = logits[row, width - (len(tokens) - 1) :]
            found[place] = torch.cat([rows[row].logits[None], own])
    return [found[place] for place in range(len(states))]


def _steps(backend: HfBackend, rows: Sequence[State], replies: Replies, max_tokens: int) -> Iterator[list[int]]:
    """Yield the next token of each row until all replies are complete; complete rows run along."""
    cache, first = rows[0].key_values, rows[0].row
    lengths = np.array([row.length for row in rows], np.int64)
    logits = torch.stack([row.logits for row in rows])
    ids = torch.zeros(len(rows), 1, dtype=torch.int64)
    for step in range(max_tokens):
        scores = replies.choose(ids, logits)
        ids = scores.argmax(-1, keepdim=True).cpu()
        stopped = replies.stop(ids, scores)
        yield ids[:, 0].tolist()
        if bool(stopped.all()) or step == max_tokens - 1:
            return
        logits = backend.advance(cache, ids.numpy(), lengths[:, None] + step, first=first)[:, 0]


def _replies(rows: Sequence[State], max_tokens: int, sampling: Sampling, ends: Sequence[int]) -> Replies:
    prompts = [row.plan.layout.ids.tolist() for row in rows]
    return Replies(prompts, max_tokens, ends, sampling, None)


def _runs(states: Sequence[State]) -> list[list[int]]:
    """Return the places of states in groups that are neighbouring rows of one cache."""
    order = sorted(range(len(states)), key=lambda place: (id(states[place].key_values), states[place].row))
    found = []
    numbered = enumerate(order)
    for _, group in groupby(numbered, key=lambda item: (id(states[item[1]].key_values), states[item[1]].row - item[0])):
        found.append([place for _, place in group])
    return found


def _need_room(states: Sequence[State], tokens: int) -> None:
    short = min((state.room for state in states), default=tokens)
    if short < tokens:
        raise UsageError(
            f"{tokens} further tokens are to be run, and a state has room for {short}.",
            hint=f"Run the plan with room={tokens}.",
        )
