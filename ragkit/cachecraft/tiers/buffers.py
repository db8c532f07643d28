"""Where blobs are read to: memory on page borders, as direct reads and page-locked copies want it."""

from __future__ import annotations

import mmap
from collections.abc import Callable

import numpy as np

from ragkit.cachecraft.tiers.tier import Blob

Allocate = Callable[[int], Blob]
"""From a number of bytes to writable memory of that length; pass one that returns page-locked memory for a GPU."""


def pages(size: int) -> Blob:
    """Return `size` writable bytes that start on a page border; the last page is theirs alone."""
    return np.frombuffer(mmap.mmap(-1, max(size, 1)), np.uint8, size)


def frozen(blob: Blob) -> Blob:
    """Return a view of `blob` that cannot be written to."""
    view = blob.view()
    view.flags.writeable = False
    return view
