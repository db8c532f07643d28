"""Tensors of keys and values as bytes and back, without a copy where the bytes lie well."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from ragkit.cachecraft.hf.key_values import Shape
from ragkit.cachecraft.tiers.tier import Blob
from ragkit.errors import UsageError


class _Writable:
    """Shows an array as writable, which torch wants to see; nothing writes to tensors that come from a blob."""

    def __init__(self, blob: Blob) -> None:
        address, _ = blob.__array_interface__["data"]
        self.__array_interface__: dict[str, Any] = {**blob.__array_interface__, "data": (address, False)}
        self.blob = blob


def to_blob(tensor: torch.Tensor) -> Blob:
    """Return the bytes of `tensor` in its own number format, shape (n,); on the CPU they are the tensor's own."""
    flat: Blob = tensor.contiguous().cpu().view(-1).view(torch.uint8).numpy()
    return flat


def from_blob(blob: Blob, tokens: int, shape: Shape) -> torch.Tensor:
    """Return a tensor (layers, 2, heads, tokens, head dim) on the CPU over the bytes of `blob`; never write to it.

    Raises UsageError where the blob has another size.
    """
    expected = tokens * shape.token_bytes
    if blob.dtype != np.uint8 or blob.size != expected:
        raise UsageError(
            f"A blob of {blob.nbytes} bytes was given for {tokens} tokens; this model has {expected} bytes for them.",
            hint="It belongs to another model or number format; keep a store for each.",
        )
    whole = blob.ctypes.data % shape.dtype.itemsize == 0 and blob.flags.c_contiguous
    flat = torch.from_numpy(np.asarray(_Writable(blob) if whole else np.array(blob)))
    return flat.view(shape.dtype).view(shape.tensor(tokens))
