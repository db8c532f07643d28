"""Prompts and variants for the tests of the bookkeeping."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ragkit.cachecraft.core.choice import Chosen, choose, chunk_keys, prefix_key
from ragkit.cachecraft.core.keys import variant_name
from ragkit.cachecraft.core.prompt import Kind, Layout, Piece
from ragkit.cachecraft.core.repair import Repair
from ragkit.cachecraft.core.variant import ChunkStatistics, Variant


def ids(tokens: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 40_000, tokens).astype(np.int32)


def prompt(*chunks: Sequence[int] | int, prefix: int = 0, glue: int = 0, question: int = 4) -> Layout:
    """Chunks are (tokens, seed) or tokens, the seed then being the place."""
    pieces = [Piece(Kind.PREFIX, ids(prefix, 7_000))] if prefix else []
    for place, chunk in enumerate(chunks):
        tokens, seed = (chunk, place) if isinstance(chunk, int) else chunk
        pieces += [Piece(Kind.GLUE, ids(glue, 8_000 + place))] if glue else []
        pieces.append(Piece(Kind.CHUNK, ids(tokens, seed)))
    return Layout((*pieces, Piece(Kind.QUESTION, ids(question, 9_000))))


def statistics(
    inter: Sequence[float], a_bar: float = 0.001, b_bar: float = 0.004, masses: Sequence[float] | int = 1
) -> ChunkStatistics:
    token_mass = np.random.default_rng(masses).random(4_000) if isinstance(masses, int) else np.array(masses)
    return ChunkStatistics(np.array(inter, np.float64), a_bar, b_bar, token_mass.astype(np.float32))


def variant(
    chunk: str,
    tokens: np.ndarray | int,
    history: Sequence[str] = (),
    inter: Sequence[float] | None = None,
    *,
    a_bar: float = 0.001,
    b_bar: float = 0.004,
    masses: Sequence[float] | int = 1,
    lengths: Sequence[int] = (),
    **more,
) -> Variant:
    """`masses` is a seed, or the tokens' masses; without `inter` there are no statistics."""
    own = ids(tokens) if isinstance(tokens, int) else tokens
    made = None
    if inter is not None:
        made = statistics(inter, a_bar, b_bar, masses)
        made = ChunkStatistics(made.inter, a_bar, b_bar, made.token_mass[: len(own)])
    fields = {"prefix": "", "start": 0, "generation": 0, "size": 100, **more}
    name = fields.pop("name", None) or variant_name(
        chunk, fields["prefix"], history, fields["start"], fields["generation"]
    )
    return Variant(name, chunk, own, history=tuple(history), lengths=tuple(lengths), statistics=made, **fields)


def stored(layout: Layout, seed: int = 3, *, known: float = 1.0, statistics: bool = True, space: str = "s"):
    """Return the keys of a prompt and, by key, a variant of each chunk behind some of the others and a stranger."""
    source = np.random.default_rng(seed)
    keys = chunk_keys(layout, space)
    prefix = prefix_key(layout, keys)
    shelf: dict[str, list[Variant]] = {}
    for at, key in keys.items():
        own = layout.pieces[at].ids
        if at not in layout.chunks:
            shelf[key] = [variant(key, own)]
        elif source.random() < known:
            others = [keys[one] for one in layout.chunks if keys[one] != key and source.random() < 0.5]
            history = [*source.permutation(others).tolist(), "stranger"][source.integers(0, 2) :]
            inter = source.random(len(history)).tolist() if statistics else None
            more = {"a_bar": float(source.random() * 0.01), "masses": int(source.integers(0, 99)), "prefix": prefix}
            shelf.setdefault(key, []).append(variant(key, own, history, inter, **more))
    return keys, prefix, shelf


def chosen_for(layout: Layout, repair: Repair, **how) -> tuple[dict[int, Chosen], dict[int, str], dict[int, str]]:
    keys, prefix, shelf = stored(layout, **how)
    return *choose(layout, keys, lambda key: shelf.get(key, []), prefix, repair), keys
