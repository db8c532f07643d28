"""What a forward computed becomes variants in the store."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from ragkit.cachecraft.core.choice import history, prefix_key
from ragkit.cachecraft.core.generation import generation
from ragkit.cachecraft.core.keys import context_key, variant_name
from ragkit.cachecraft.core.plan import Plan
from ragkit.cachecraft.core.prompt import Kind
from ragkit.cachecraft.core.statistics import chunk_statistics
from ragkit.cachecraft.core.variant import ChunkStatistics, Variant
from ragkit.cachecraft.hf.backend import HfBackend
from ragkit.cachecraft.hf.device_cache import DeviceCache
from ragkit.cachecraft.hf.state import State
from ragkit.cachecraft.store import ChunkStore

MAX_GENERATION = 1
"""A chunk computed behind repaired ones is kept, one behind such a chunk is not: errors would add up."""


def worth_keeping(plan: Plan, keys: Mapping[int, str], wanted: Callable[[str], bool]) -> list[int]:
    """Return the chunks of `plan` that are computed whole and whose keys are `wanted`, each once, in order."""
    reused = {one.piece for one in plan.reused}
    cold = [at for at in plan.layout.chunks if at not in reused]
    first = {keys[at]: at for at in reversed(cold)}
    chosen = sorted(at for at in first.values() if wanted(keys[at]))
    return [at for at in chosen if generation(plan, at) <= MAX_GENERATION]


@dataclass(frozen=True, slots=True)
class Keeper:
    """Captures pieces of a computed prompt and puts them into the store."""

    backend: HfBackend
    store: ChunkStore
    held: DeviceCache

    def keep(self, state: State, keys: Mapping[int, str], cold: list[int]) -> int:
        """Return how many of the chunks `cold`, and of the prefix where it was computed, the store has kept."""
        plan = state.plan
        kept = sum(self.save(state, keys, at) for at in cold)
        if len(plan.layout.prefix) and not any(one.piece == 0 for one in plan.reused):
            kept += self.save(state, keys, 0)
        return kept

    def save(self, state: State, keys: Mapping[int, str], piece: int, *, always: bool = False) -> bool:
        """Keep one piece that `state` holds computed; return whether it is kept. The prefix always is, if it fits."""
        variant = new_variant(state, keys, piece)
        tensor = self.backend.capture(state, piece)
        blob = self.backend.to_blob(tensor)
        blob.flags.writeable = False  # nobody else has it, so that the store need not copy it
        always = always or state.plan.layout.pieces[piece].kind is Kind.PREFIX
        kept = self.store.save(variant, blob, always=always)
        if kept:
            self.held.put(variant.name, tensor)
        return kept


def observable(plan: Plan, keys: Mapping[int, str], cold: list[int]) -> list[int]:
    """Return the chunks whose attention has to be watched for their statistics: those with a chunk before them."""
    return [at for at in cold if history(plan.layout, keys, at)[0]]


def new_variant(state: State, keys: Mapping[int, str], piece: int) -> Variant:
    """Return the metadata of a piece as `state` computed it, with statistics where its attention was observed."""
    layout, key = state.plan.layout, keys[piece]
    is_chunk = layout.pieces[piece].kind is Kind.CHUNK
    before, lengths = history(layout, keys, piece)
    prefix = prefix_key(layout, keys) if is_chunk else ""
    start, age = layout.spans[piece].start, generation(state.plan, piece)
    masses = state.masses.get(piece)
    known = chunk_statistics(masses, layout, piece) if masses is not None else None
    if is_chunk and not before:
        known = _behind_nothing(len(layout.pieces[piece].ids))
    context = context_key(layout.ids[:start])
    return Variant(
        name=variant_name(key, prefix, before, start, age, context=context),
        chunk=key,
        ids=layout.pieces[piece].ids,
        prefix=prefix,
        start=start,
        history=before,
        lengths=lengths,
        generation=age,
        statistics=known,
        context=context,
    )


def _behind_nothing(tokens: int) -> ChunkStatistics:
    """Return the statistics of a chunk behind no other one: no attention to a history, so the least CCI, 0.5."""
    return ChunkStatistics(np.zeros(0), 0.0, 0.0, np.zeros(tokens, np.float32))
