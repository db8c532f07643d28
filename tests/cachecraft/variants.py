"""Variants with statistics, made from a number, for the tests of the store."""

from __future__ import annotations

import numpy as np

from ragkit.cachecraft.core.keys import chunk_key, variant_name
from ragkit.cachecraft.core.plan import Plan, Reused
from ragkit.cachecraft.core.prompt import Kind, Layout, Piece
from ragkit.cachecraft.core.variant import ChunkStatistics, Variant
from ragkit.cachecraft.tiers.tier import Blob

SPACE = "5" * 32


def variant(number: int, *, history: tuple[str, ...] = ("one", "two"), size: int = 0, space: str = SPACE) -> Variant:
    chance = np.random.default_rng(number)
    ids = chance.integers(0, 50_000, 64).astype(np.int32)
    statistics = ChunkStatistics(
        chance.random(len(history)), float(chance.random()), 0.1 + number, chance.random(64).astype(np.float32)
    )
    key = chunk_key(space, ids)
    name = variant_name(key, "prefix", history, 7)
    return Variant(name, key, ids, "prefix", 7, history, (64,) * len(history), 1, size, statistics)


def body(number: int, size: int = 20_000) -> Blob:
    return np.random.default_rng([9, number]).integers(0, 256, size, dtype=np.uint8)


def equal(one: Variant, other: Variant) -> bool:
    """Return whether two variants agree bit for bit, the size of the blob aside."""
    mine, its = one.statistics, other.statistics
    plain = ("name", "chunk", "prefix", "start", "history", "lengths", "generation", "context")
    same = all(getattr(one, name) == getattr(other, name) for name in plain) and np.array_equal(one.ids, other.ids)
    if mine is None or its is None:
        return same and mine is its
    arrays = ((mine.inter, its.inter), (mine.token_mass, its.token_mass))
    return (
        same
        and (mine.a_bar, mine.b_bar, mine.sink) == (its.a_bar, its.b_bar, its.sink)
        and all(np.array_equal(a, b) and a.dtype == b.dtype for a, b in arrays)
    )


def plan_of(*reused: Variant, cfo: float = 0.25, reasons: tuple[tuple[int, str], ...] = ()) -> Plan:
    pieces = [Piece(Kind.CHUNK, one.ids) for one in reused] + [Piece(Kind.QUESTION, np.array([1], np.int32))]
    layout = Layout(tuple(pieces))
    none = np.zeros(0, np.int64)
    served = tuple(Reused(at, layout.spans[at].start, one, cfo, none) for at, one in enumerate(reused))
    return Plan(layout, served, none, reasons)
