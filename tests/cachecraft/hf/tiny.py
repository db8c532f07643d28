"""Tiny random models and prompts for the tests of the transformers backend."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from transformers import AutoModelForCausalLM, DynamicCache, LlamaConfig

from ragkit.cachecraft.core.plan import Plan, Reused
from ragkit.cachecraft.core.prompt import Kind, Layout, Piece
from ragkit.cachecraft.core.variant import Variant
from ragkit.cachecraft.hf.backend import HfBackend

VOCABULARY = 97
SIZES = {
    "vocab_size": VOCABULARY,
    "hidden_size": 48,
    "intermediate_size": 64,
    "num_hidden_layers": 3,
    "num_attention_heads": 6,
    "num_key_value_heads": 2,
    "max_position_embeddings": 2048,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}


def model(dtype: torch.dtype = torch.float64, config: Any = None, **options: Any) -> Any:
    torch.manual_seed(0)
    config = LlamaConfig(**{**SIZES, "initializer_range": 0.2, **options}) if config is None else config
    return AutoModelForCausalLM.from_config(config, dtype=dtype).eval()


def backend(dtype: torch.dtype = torch.float64, **options: Any) -> HfBackend:
    return HfBackend(model(dtype), "tiny", **options)


def prompt(*lengths: int, seed: int = 0, question: int = 6, prefix: int = 4) -> Layout:
    drawn = np.random.default_rng(seed)
    pieces = [Piece(Kind.PREFIX, ids(drawn, prefix))] if prefix else []
    for length in lengths:
        pieces += [Piece(Kind.CHUNK, ids(drawn, length)), Piece(Kind.GLUE, ids(drawn, 2))]
    return Layout((*pieces, Piece(Kind.QUESTION, ids(drawn, question))))


def ids(drawn: np.random.Generator, length: int) -> np.ndarray:
    return drawn.integers(3, VOCABULARY, length).astype(np.int32)


def everything(layout: Layout) -> Plan:
    return Plan(layout, (), np.arange(len(layout.ids)))


def alone(engine: HfBackend, layout: Layout) -> dict[int, tuple[Variant, torch.Tensor]]:
    """Return each chunk's variant made behind the prefix only, and the prefix' own, by piece."""
    found = {}
    for at, piece in enumerate(layout.pieces):
        if piece.kind not in (Kind.PREFIX, Kind.CHUNK):
            continue
        before = [one for one in layout.pieces[:1] if one.kind is Kind.PREFIX and at > 0]
        state = engine.prefill([*before, piece])
        start = sum(len(one.ids) for one in before)
        name = f"{piece.kind}-{hash(piece.ids.tobytes())}"
        found[at] = Variant(name, name, piece.ids, "", start), engine.capture(state, len(before))
    return found


def in_place(engine: HfBackend, layout: Layout) -> dict[int, tuple[Variant, torch.Tensor]]:
    """Return the variants of prefix and chunks that a full prefill of the same prompt leaves."""
    state = engine.run(everything(layout), {})
    found = {}
    for at, piece in enumerate(layout.pieces):
        if piece.kind in (Kind.PREFIX, Kind.CHUNK):
            found[at] = (
                Variant(f"own-{at}", f"own-{at}", piece.ids, "", layout.spans[at].start),
                engine.capture(state, at),
            )
    return found


def repairing(layout: Layout, variants: dict[int, tuple[Variant, torch.Tensor]], repaired: Sequence[int]) -> Plan:
    """Return the plan that reuses `variants` and repairs the positions `repaired`."""
    reused, fresh = [], set(range(len(layout.ids)))
    for at, (variant, _) in variants.items():
        start, end = layout.spans[at]
        own = np.array([position for position in sorted(repaired) if start <= position < end], np.int64)
        fresh -= set(range(start, end)) - set(own.tolist())
        reused.append(Reused(at, start, variant, 0.0, own))
    return Plan(layout, tuple(reused), np.array(sorted(fresh), np.int64))


def blobs(variants: dict[int, tuple[Variant, torch.Tensor]]) -> dict[str, torch.Tensor]:
    return {variant.name: tensor for variant, tensor in variants.values()}


def context(layout: Layout) -> list[int]:
    return [position for at in layout.chunks for position in range(*layout.spans[at])]


def stock(engine: HfBackend, layout: Layout) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return logits, keys and values (layers, heads, tokens, dim) of transformers' own prefill."""
    cache = DynamicCache()
    with torch.inference_mode():
        out = engine.model(
            input_ids=torch.tensor(layout.ids[None].astype(np.int64)),
            past_key_values=cache,
            use_cache=True,
            logits_to_keep=1,
        )
    keys = torch.cat([layer.keys for layer in cache.layers])
    values = torch.cat([layer.values for layer in cache.layers])
    return out.logits[0, -1], keys, values
