"""One GPU kernel: the negative log-likelihood of each row's target, reading the logits once.

Log-sum-exp is computed in float32 as the row streams by (the running maximum and the running sum of Milakov and
Gimelshein, arXiv 1805.02867), so neither a float32 copy of the logits nor their softmax is ever written.

Without triton, which builds of torch for CUDA bring along, `available` is false.
"""

from __future__ import annotations

from typing import Any

import torch

try:
    import triton  # type: ignore[import-not-found,unused-ignore] # only CUDA builds of torch bring it
    import triton.language as tl  # type: ignore[import-not-found,unused-ignore] # the same
except ImportError:
    triton = None

_BLOCK = 4096


# Triton reads annotations inside the kernel's own globals and accepts none but its own there.
def _row_nll(logits, targets, out, stride, vocabulary, block: tl.constexpr):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN202, PLR0917 - see above
    row = tl.program_id(0).to(tl.int64)
    begin = logits + row * stride
    columns = tl.arange(0, block)
    peak = tl.full((block,), -1e30, tl.float32)
    total = tl.zeros((block,), tl.float32)
    for start in range(0, vocabulary, block):
        values = tl.load(begin + start + columns, mask=start + columns < vocabulary, other=-1e30).to(tl.float32)
        higher = tl.maximum(peak, values)
        total = total * tl.exp(peak - higher) + tl.exp(values - higher)
        peak = higher
    top = tl.max(peak, 0)
    lse = top + tl.log(tl.sum(total * tl.exp(peak - top), 0))
    chosen = tl.load(begin + tl.load(targets + row)).to(tl.float32)
    tl.store(out + row, lse - chosen)


_kernel: Any = None if triton is None else triton.jit(_row_nll)


def available() -> bool:
    """Return whether the kernel can be compiled here."""
    return _kernel is not None


def row_nll(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Return float32[n]: -log softmax(logits[i])[targets[i]] of float logits[n, vocabulary], targets int64[n]."""
    rows, vocabulary = logits.shape
    out = torch.empty(rows, dtype=torch.float32, device=logits.device)
    block = min(_BLOCK, triton.next_power_of_2(vocabulary))
    _kernel[(rows,)](logits, targets, out, logits.stride(0), vocabulary, block, num_warps=8)
    return out
