"""Partial forwards of a transformers model: a prompt of cached chunks, of which only the fresh tokens are computed."""

from __future__ import annotations

import threading
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ragkit.cachecraft.core.keys import ModelSpace
from ragkit.cachecraft.core.plan import Plan
from ragkit.cachecraft.core.prompt import Ids, Kind, Layout, Piece
from ragkit.cachecraft.hf import decoding
from ragkit.cachecraft.hf.blobs import from_blob, to_blob
from ragkit.cachecraft.hf.forward import Attention, Forward
from ragkit.cachecraft.hf.grouping import shards, slices
from ragkit.cachecraft.hf.incoming import Incoming, Source
from ragkit.cachecraft.hf.key_values import KeyValues
from ragkit.cachecraft.hf.placing import Placed, Placing
from ragkit.cachecraft.hf.proof import prove_forward, supported
from ragkit.cachecraft.hf.state import State
from ragkit.cachecraft.hf.visibility import PAD, Mask, limits_of
from ragkit.cachecraft.tiers.arriving import Arriving
from ragkit.cachecraft.tiers.tier import Blob
from ragkit.errors import ModelError, UsageError
from ragkit.inference import GREEDY, Sampling

_PASS_TOKENS = {"cpu": 4096, "cuda": 32_768}
"""Tokens of one pass over several rows, padding included."""

_CACHE_SHARE = 0.5
_CPU_CACHE_BYTES = 2 << 30
_WASTE_FLOOR = {"cpu": 32, "cuda": 1024}


class HfBackend:
    """Chunk reuse on a loaded transformers causal model; the model may be used elsewhere between calls.

    One call at a time; others wait. `pass_tokens` bounds one pass of several prompts and `cache_bytes` the keys and
    values that a batch holds; None lets the device decide.

    Raises UnsupportedError, by name, for a model that cannot reuse chunks (`ragkit.cachecraft.hf.support`, `.proof`).
    """

    def __init__(
        self,
        model: Any,
        fingerprint: str,
        *,
        adapter: str = "",
        attention: Attention = "sdpa",
        pass_tokens: int | None = None,
        cache_bytes: int | None = None,
    ) -> None:
        self.model = model
        known = supported(model)
        self.rotary = known.rotary
        self.shape = known.shape
        self.dtype: torch.dtype = model.dtype
        self.device: torch.device = model.device
        self.space = ModelSpace(fingerprint, str(model.dtype).removeprefix("torch."), known.description, adapter)
        groups = model.config.num_attention_heads // self.shape.heads
        self.forward = Forward(model, attention, groups)
        prove_forward(self.forward, known)
        kind = "cuda" if self.device.type == "cuda" else "cpu"
        self._floor = _WASTE_FLOOR[kind]
        self._pass_tokens = pass_tokens or _PASS_TOKENS[kind]
        self._cache_bytes = cache_bytes
        self.lock = threading.RLock()
        """Held while the model runs; whoever runs it otherwise takes it too."""

    @property
    def token_bytes(self) -> int:
        """Bytes of the keys and values of one token."""
        return self.shape.token_bytes

    def run(
        self,
        plan: Plan,
        blobs: Mapping[str, Source],
        *,
        observe: Collection[int] = (),
        mask: Mask = "exact",
        room: int = 0,
        over: KeyValues | None = None,
    ) -> State:
        """Return the state after one forward over `plan.fresh`; `blobs` has the variants of the plan by name.

        `room` is for that many further tokens. `observe` names pieces, all of whose tokens are fresh, whose attention
        is wanted. With everything fresh the result is that of a whole prefill, bit for bit. `over` is a cache of the
        same prompt and room into which the reused pieces were `loaded` before, and of which nothing but fresh tokens
        of this plan was computed since: a probe's. A piece that is on its way and does not arrive raises LostError.
        """
        if over is None:
            return self.run_many([plan], blobs, observe=observe, mask=mask, room=room)[0]
        self._check(plan, blobs)
        with self.lock, _memory([plan]):
            return self.compute(over, [plan], observe=observe, mask=mask)[0]

    def run_many(
        self,
        plans: Sequence[Plan],
        blobs: Mapping[str, Source],
        *,
        observe: Collection[int] = (),
        mask: Mask = "exact",
        room: int = 0,
    ) -> list[State]:
        """Return the states of many plans, over one layout or several, in their order.

        Rows of about as many fresh tokens share a pass; a piece that stands at one place in several rows is moved
        once. Raises UsageError for a variant without a blob, or a plan that computes nothing.
        """
        for plan in plans:
            self._check(plan, blobs)
        found: dict[int, State] = {}
        with self.lock, _memory(plans):
            sizes = [len(plan.layout.ids) + room + 1 for plan in plans]
            for group in shards(sizes, self._slots()):
                order = sorted(group, key=lambda at: (-len(plans[at].fresh), at))
                states = self._run_shard([plans[at] for at in order], blobs, observe, mask, room)
                found.update(zip(order, states, strict=True))
        return [found[at] for at in range(len(plans))]

    def prefill(self, pieces: Sequence[Piece], *, observe: Collection[int] = ()) -> State:
        """Return the state of `pieces` (a prefix and a chunk, say) computed whole; `capture` takes pieces out of it."""
        return self.prefill_many([pieces], observe=observe)[0]

    def prefill_many(self, prompts: Sequence[Sequence[Piece]], *, observe: Collection[int] = ()) -> list[State]:
        """Return the states of many sequences of pieces without a question, each computed whole."""
        plans = []
        for pieces in prompts:
            layout = Layout((*pieces, Piece(Kind.QUESTION, np.zeros(1, np.int32))))
            plans.append(Plan(layout, (), np.arange(len(layout.ids) - 1)))
        return self.run_many(plans, {}, observe=observe)

    def loaded(
        self, plans: Sequence[Plan], blobs: Mapping[str, Source], room: int = 0, *, lazy: bool = False
    ) -> KeyValues:
        """Return a cache with a row for each plan, into which the reused pieces are placed whole, moved as needed.

        With `lazy`, what is still on its way is placed layer by layer when a pass comes to the layer, which then raises
        LostError where it does not arrive.
        """
        capacity = max(len(plan.layout.ids) for plan in plans) + room
        cache = KeyValues(self.shape, len(plans), capacity, self.device, blank=False)
        rows: dict[tuple[str, int, int, int], list[int]] = {}
        for row, plan in enumerate(plans):
            for one in plan.reused:
                key = one.variant.name, one.variant.tokens, one.variant.start, one.start
                rows.setdefault(key, []).append(row)
        later: list[tuple[Placed, Incoming]] = []
        with torch.inference_mode():
            for row, plan in enumerate(plans):
                for start, end in _gaps(plan, capacity + 1):
                    cache.clear(row, start, end)
            for (name, tokens, old, new), where in rows.items():
                placed = Placed(where, slice(new, new + tokens), self.rotary.turn(old, new, tokens))
                source = blobs[name]
                if lazy and isinstance(source, Incoming):
                    later.append((placed, source))
                else:
                    placed.put(cache, slice(None), self.tensor(source, tokens))
        cache.pending = Placing(cache, later) if later else None
        return cache

    def capture(self, state: State, piece: int) -> torch.Tensor:
        """Return a copy of the keys and values of a piece, (layers, 2, heads, tokens, head dim), on the device."""
        start, end = state.span(piece)
        return state.key_values.piece(state.row, start, end)

    def to_blob(self, tensor: torch.Tensor) -> Blob:
        """Return the bytes of a captured piece."""
        return to_blob(tensor)

    def from_blob(self, blob: Blob, tokens: int) -> torch.Tensor:
        """Return a captured piece on the CPU over the bytes of `blob`; never write to it."""
        return from_blob(blob, tokens, self.shape)

    def incoming(self, arriving: Arriving, tokens: int) -> Incoming:
        """Return a captured piece that is on its way; raises UsageError where its size is not that of `tokens`."""
        return Incoming(arriving, tokens, self.shape, self.device)

    def tensor(self, blob: Source, tokens: int) -> torch.Tensor:
        """Return a captured piece on the model's device; one on its way is waited for."""
        if isinstance(blob, Incoming):
            return blob.whole()
        if isinstance(blob, torch.Tensor):
            if tuple(blob.shape) != self.shape.tensor(tokens) or blob.dtype != self.dtype:
                raise UsageError(
                    f"Keys and values of shape {tuple(blob.shape)} in {blob.dtype} were given; this model has "
                    f"{self.shape.tensor(tokens)} in {self.dtype} for {tokens} tokens."
                )
            return blob.to(self.device, non_blocking=True)
        return self.from_blob(blob, tokens).to(self.device, non_blocking=True)

    def stream(
        self, state: State, max_tokens: int, *, sampling: Sampling = GREEDY, ends: Sequence[int] = ()
    ) -> Iterator[int]:
        """Yield the reply's tokens one by one, its end token included; see `decode`."""
        yield from decoding.stream(self, state, max_tokens, sampling, ends)

    def decode(
        self, states: Sequence[State], max_tokens: int, *, sampling: Sampling = GREEDY, ends: Sequence[int] = ()
    ) -> list[list[int]]:
        """Return each reply's tokens, chosen and ended as the local language model's are, `ends` tokens included.

        Raises UsageError where the states have less room than `max_tokens - 1`.
        """
        return decoding.decode(self, states, max_tokens, sampling, ends)

    def forced(self, states: Sequence[State], replies: Sequence[Sequence[int] | Ids]) -> list[torch.Tensor]:
        """Return for each state the logits (tokens, vocabulary) from which each token of its given reply would come."""
        return decoding.forced(self, states, replies)

    def advance(
        self, cache: KeyValues, ids: NDArray[np.int64], positions: NDArray[np.int64], *, first: int, keep: int = 1
    ) -> torch.Tensor:
        """Return the logits (rows, keep, vocabulary) after running further tokens (rows, tokens) of a cache's rows."""
        with self.lock:
            return self.forward(cache, ids, positions, first=first, keep=keep)[0]

    def _run_shard(
        self,
        plans: Sequence[Plan],
        blobs: Mapping[str, Source],
        observe: Collection[int],
        mask: Mask,
        room: int,
    ) -> list[State]:
        cache = self.loaded(plans, blobs, room, lazy=True)
        states = []
        for first, end in self._slices(plans, alone=bool(observe)):
            states += self.compute(cache, plans[first:end], first, observe=observe, mask=mask)
        return states

    def compute(
        self,
        cache: KeyValues,
        plans: Sequence[Plan],
        first: int = 0,
        *,
        observe: Collection[int] = (),
        mask: Mask = "exact",
    ) -> list[State]:
        """Return the states after one pass over the fresh tokens of `plans`, rows `first`.. of a loaded cache."""
        positions, ids = _batch(plans)
        lengths = np.array([int(plan.fresh[-1]) + 1 for plan in plans])
        limits = limits_of(positions, lengths, mask)
        observed = self._observed(plans, observe) if observe else None
        logits, seen = self.forward(cache, ids, positions, first=first, limits=limits, observed=observed)
        states = [State(plan, cache, first + row, logits[row, -1]) for row, plan in enumerate(plans)]
        for row, state in enumerate(states):
            if observe:
                state.masses = _split(seen.of(row), plans[row].layout, observe)
        return states

    def _observed(self, plans: Sequence[Plan], observe: Collection[int]) -> Any:
        from ragkit.cachecraft.hf.masses import observing

        tokens = [np.concatenate([np.arange(*plan.layout.spans[at]) for at in sorted(observe)]) for plan in plans]
        return observing(self.model, plans[0].layout.spans, tokens)

    def _slices(self, plans: Sequence[Plan], *, alone: bool) -> list[tuple[int, int]]:
        if alone and any(plan.layout.spans != plans[0].layout.spans for plan in plans):
            return [(row, row + 1) for row in range(len(plans))]
        return slices([len(plan.fresh) for plan in plans], self._pass_tokens, floor=self._floor)

    def _slots(self) -> int:
        """The cache slots that fit the device."""
        if self._cache_bytes is not None:
            room = self._cache_bytes
        elif self.device.type == "cuda":
            room = int(torch.cuda.mem_get_info(self.device)[0] * _CACHE_SHARE)
        else:
            room = _CPU_CACHE_BYTES
        return max(1, room // self.token_bytes)

    @staticmethod
    def _check(plan: Plan, blobs: Mapping[str, Source]) -> None:
        if not len(plan.fresh):
            raise UsageError("A plan without fresh tokens was given.", hint="The question is always computed.")
        for one in plan.reused:
            if one.variant.name not in blobs:
                raise UsageError(
                    f"The plan reuses {one.variant.name!r}, whose keys and values were not given.",
                    hint="Plan again without the variants that could not be loaded.",
                )


@contextmanager
def _memory(plans: Sequence[Plan]) -> Iterator[None]:
    try:
        yield
    except torch.OutOfMemoryError as error:
        tokens = sum(len(plan.layout.ids) for plan in plans)
        raise ModelError(
            f"The device has too little memory for {len(plans)} prompts of {tokens} tokens together: {error}",
            hint="Give HfBackend a smaller pass_tokens or cache_bytes, or name a smaller model.",
        ) from error


def _gaps(plan: Plan, end: int) -> list[tuple[int, int]]:
    """Return the slots before `end` that no reused piece covers, as ranges."""
    borders = [(0, 0), *sorted((one.start, one.start + one.variant.tokens) for one in plan.reused), (end, end)]
    return [(before[1], after[0]) for before, after in pairwise(borders) if before[1] < after[0]]


def _batch(plans: Sequence[Plan]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return fresh positions and their ids, (rows, tokens), padded on the left: the last token is in one column."""
    width = max(len(plan.fresh) for plan in plans)
    positions = np.full((len(plans), width), PAD, np.int64)
    ids = np.zeros((len(plans), width), np.int64)
    for row, plan in enumerate(plans):
        positions[row, width - len(plan.fresh) :] = plan.fresh
        ids[row, width - len(plan.fresh) :] = plan.layout.ids[plan.fresh]
    return positions, ids


def _split(masses: NDArray[np.float32], layout: Layout, observe: Collection[int]) -> dict[int, NDArray[np.float32]]:
    """Return the masses of each observed piece, which are observed in ascending order, one behind the other."""
    found, at = {}, 0
    for piece in sorted(observe):
        tokens = len(layout.pieces[piece].ids)
        found[piece] = masses[:, at : at + tokens]
        at += tokens
    return found
