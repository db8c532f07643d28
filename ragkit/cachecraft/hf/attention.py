"""The attention of a partial forward: torch's own kernel over blocks of queries, each with the keys it may see.

Ascending queries in blocks need only the keys up to the block's last one, which saves the half that a causal kernel
saves too; the masks are made once for a pass and serve all layers, and no key is repeated for its query heads.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import torch
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.masking_utils import ALL_MASK_ATTENTION_FUNCTIONS
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from ragkit.cachecraft.hf.visibility import Pass
from ragkit.errors import UnsupportedError

FUNCTION = "ragkit_partial"
"""The name of the attention function in transformers' registry."""

_REFUSED = {"softcap": "soft-capped attention scores", "s_aux": "attention sinks", "position_bias": "position biases"}

_current: ContextVar[Pass | None] = ContextVar("ragkit_pass", default=None)


@contextmanager
def attending(model: Any, current: Pass) -> Iterator[None]:
    """Let the model's layers attend as `current` says within the block.

    A model that another thread runs meanwhile attends as ever: outside of a pass the function is transformers' sdpa.
    """
    mark = _current.set(current)
    try:
        with switched(model, FUNCTION):
            yield
    finally:
        _current.reset(mark)


@contextmanager
def switched(model: Any, function: str) -> Iterator[None]:
    """Let the model use the attention function of that name within the block."""
    before = model.config._attn_implementation
    model.config._attn_implementation = function
    try:
        yield
    finally:
        model.config._attn_implementation = before


def partial_attention(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    **options: Any,
) -> tuple[torch.Tensor, None]:
    """Return the attention (rows, queries, heads, head dim) of the pass that is under way.

    Raises UnsupportedError for models whose attention takes more than queries, keys, values and a scale.
    """
    current = _current.get()
    if current is None or current.plain:
        mask = attention_mask if current is None else None
        plain: tuple[torch.Tensor, None] = ALL_ATTENTION_FUNCTIONS["sdpa"](module, query, key, value, mask, **options)
        return plain
    for name, what in _REFUSED.items():
        if options.get(name) is not None:
            raise UnsupportedError(f"The model uses {what}, which a partial forward does not compute.")
    scale = options.get("scaling")
    parts = [
        _block(query[:, :, start:end], key[:, :, :keys], value[:, :, :keys], mask, scale=scale, folded=current.groups)
        for start, end, keys, mask in current.blocks
    ]
    return (parts[0] if len(parts) == 1 else torch.cat(parts, 2)).transpose(1, 2).contiguous(), None


def _block(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    mask: torch.Tensor,
    *,
    scale: float | None,
    folded: int,
) -> torch.Tensor:
    if folded == 1:
        return scaled_dot_product_attention(query, key, value, mask, scale=scale, enable_gqa=True)
    # GPU kernels that take a mask take no groups: the query heads of one key head become further queries.
    rows, heads, queries, width = query.shape
    grouped = query.reshape(rows, heads // folded, folded * queries, width)
    return scaled_dot_product_attention(grouped, key, value, mask, scale=scale).reshape(rows, heads, queries, -1)


AttentionInterface.register(FUNCTION, partial_attention)
AttentionMaskInterface.register(FUNCTION, ALL_MASK_ATTENTION_FUNCTIONS["sdpa"])
