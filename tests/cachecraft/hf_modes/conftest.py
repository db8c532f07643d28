"""Tiny random models with grouped query heads, and prompts whose chunks are cached."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch

from ragkit.cachecraft.core.choice import Chosen
from ragkit.cachecraft.core.planning import make_plan
from ragkit.cachecraft.core.prompt import Kind, Layout, Piece
from ragkit.cachecraft.core.repair import Repair
from ragkit.cachecraft.core.variant import Variant
from ragkit.cachecraft.hf.backend import HfBackend


@pytest.fixture
def tiny() -> Callable[..., Any]:
    """Return a function that makes a random Llama of 4 query and 2 key heads; equal seeds make equal weights."""
    from transformers import LlamaConfig, LlamaForCausalLM

    def make(*, layers: int = 3, dtype: torch.dtype = torch.float32, seed: int = 0, scale: float = 1.0) -> Any:
        torch.manual_seed(seed)
        config = LlamaConfig(
            vocab_size=101,
            hidden_size=32,
            intermediate_size=48,
            num_hidden_layers=layers,
            num_attention_heads=4,
            num_key_value_heads=2,
            max_position_embeddings=256,
            initializer_range=0.2 * scale,
        )
        return LlamaForCausalLM(config).to(dtype).eval()

    return make


@dataclass
class Cached:
    """A prompt whose prefix and chunks are cached, each chunk behind the prefix alone."""

    backend: HfBackend
    layout: Layout
    chosen: dict[int, Chosen]
    blobs: dict[str, torch.Tensor]

    def plan(self, policy: str = "none", share: float = 0.0, *, scores: Any = None, seed: int = 0, run: int = 1) -> Any:
        repair = Repair(share=share, run_length=run, seed=seed)
        return make_plan(self.layout, self.chosen, {}, policy, repair, scores=scores)


@pytest.fixture
def cached() -> Callable[..., Cached]:
    """Return a function from a backend and the ids of prefix, chunks and question to a `Cached`."""

    def make(backend: HfBackend, prefix: Any, chunks: Any, question: Any, glue: Any = ()) -> Cached:
        def piece(kind: Kind, ids: Any) -> Piece:
            return Piece(kind, np.asarray(ids, np.int32))

        first = piece(Kind.PREFIX, prefix)
        pieces, blobs, chosen = [first], {}, {}
        for ids in chunks:
            if len(glue):
                pieces.append(piece(Kind.GLUE, glue))
            pieces.append(piece(Kind.CHUNK, ids))
        layout = Layout((*pieces, piece(Kind.QUESTION, question)))
        blobs["prefix"] = backend.capture(backend.prefill([first]), 0)
        chosen[0] = Chosen(0, 0, Variant("prefix", "prefix", first.ids, "", 0), 0.0)
        for at in layout.chunks:
            state = backend.prefill([first, layout.pieces[at]], observe=[1])
            blobs[f"c{at}"] = backend.capture(state, 1)
            variant = Variant(f"c{at}", f"c{at}", layout.pieces[at].ids, "prefix", len(first.ids))
            chosen[at] = Chosen(at, layout.spans[at].start, variant, 1.0)
        return Cached(backend, layout, chosen, blobs)

    return make


@pytest.fixture
def small(tiny, cached) -> Callable[..., Cached]:
    """Return a function that makes a random prompt of three chunks for a tiny model in double precision."""

    def make(
        *, seed: int = 0, layers: int = 4, dtype: torch.dtype = torch.float64, glue: Any = (), **options
    ) -> Cached:
        rng = np.random.default_rng(seed)
        backend = HfBackend(tiny(layers=layers, dtype=dtype, seed=seed, **options), "tiny")
        return cached(backend, rng.integers(0, 101, 6), rng.integers(0, 101, (3, 16)), rng.integers(0, 101, 5), glue)

    return make
