"""Where blobs are read to: memory on page borders, as direct reads and page-locked copies want it."""

from __future__ import annotations

import mmap
from collections.abc import Callable
from contextlib import suppress

import numpy as np

from ragkit.cachecraft.tiers.tier import Blob

Allocate = Callable[[int], Blob]
"""From a number of bytes to writable memory of that length; pass one that returns page-locked memory for a GPU."""


_LARGE = 1 << 20
"""From here on memory is mapped by itself, and huge pages are asked for: touching new memory page by page takes longer
than filling it, 3.2 against 0.5 GB/s were seen."""
_PAGE = mmap.PAGESIZE


def pages(size: int) -> Blob:
    """Return `size` writable bytes that start on a page border."""
    if size < _LARGE or not hasattr(mmap, "MAP_PRIVATE"):
        memory = np.empty(size + _PAGE, np.uint8)
        start = -memory.ctypes.data % _PAGE
        return memory[start : start + size]
    mapped = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    if hasattr(mmap, "MADV_HUGEPAGE"):
        with suppress(OSError):  # a kernel without huge pages
            mapped.madvise(mmap.MADV_HUGEPAGE)
    return np.frombuffer(mapped, np.uint8, size)


def frozen(blob: Blob) -> Blob:
    """Return a view of `blob` that cannot be written to."""
    view = blob.view()
    view.flags.writeable = False
    return view
