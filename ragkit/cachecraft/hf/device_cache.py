"""Keys and values that stay on the device: the tier in front of all others, bounded in bytes."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence

import torch

from ragkit.cachecraft.tiers.tier import Blob
from ragkit.errors import ConfigError

Load = Callable[[Sequence[str]], Mapping[str, Blob]]
"""Fetches blobs by name from the slower tiers; leaves out what is not there whole."""


class DeviceCache:
    """The least recently used tensors leave first. Safe to share between threads; tensors must not be written to."""

    def __init__(self, capacity: int) -> None:
        """Take the bytes it may hold; 0 keeps nothing."""
        if capacity < 0:
            raise ConfigError(f"A capacity of {capacity} bytes was given; expected 0 or more.")
        self.capacity = capacity
        self.hits = 0
        self.misses = 0
        self._held: OrderedDict[str, torch.Tensor] = OrderedDict()
        self._used = 0
        self._lock = threading.Lock()

    @property
    def used(self) -> int:
        """Bytes it holds."""
        return self._used

    def __len__(self) -> int:
        return len(self._held)

    def get(self, name: str) -> torch.Tensor | None:
        """Return a tensor and make it the most recently used one, or None."""
        with self._lock:
            tensor = self._held.get(name)
            if tensor is None:
                self.misses += 1
            else:
                self.hits += 1
                self._held.move_to_end(name)
            return tensor

    def put(self, name: str, tensor: torch.Tensor) -> bool:
        """Keep a tensor and return True, or return False where it alone is larger than the capacity."""
        size = tensor.nbytes
        if size > self.capacity:
            return False
        with self._lock:
            self._drop(name)
            while self._held and self._used + size > self.capacity:
                self._drop(next(iter(self._held)))
            self._held[name] = tensor
            self._used += size
        return True

    def tensors(
        self, tokens: Mapping[str, int], load: Load, restore: Callable[[Blob, int], torch.Tensor]
    ) -> dict[str, torch.Tensor]:
        """Return the tensors of `tokens` (name to length) that are here or that `load` finds; `restore` moves them."""
        found = {name: tensor for name in tokens if (tensor := self.get(name)) is not None}
        missing = [name for name in tokens if name not in found]
        for name, blob in (load(missing) if missing else {}).items():
            found[name] = restore(blob, tokens[name])
            self.put(name, found[name])
        return found

    def remove(self, name: str) -> None:
        """Forget a tensor."""
        with self._lock:
            self._drop(name)

    def clear(self) -> None:
        """Forget all tensors."""
        with self._lock:
            self._held.clear()
            self._used = 0

    def _drop(self, name: str) -> None:
        tensor = self._held.pop(name, None)
        if tensor is not None:
            self._used -= tensor.nbytes
