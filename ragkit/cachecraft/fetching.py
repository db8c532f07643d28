"""The variants that serve a prompt, with their keys and values; whatever is wrong with one makes it a miss."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch

from ragkit.cachecraft.core.choice import Chosen, choose, prefix_key
from ragkit.cachecraft.core.prompt import Layout
from ragkit.cachecraft.core.repair import Repair
from ragkit.cachecraft.hf.backend import HfBackend
from ragkit.cachecraft.hf.device_cache import DeviceCache
from ragkit.cachecraft.stopwatch import Stopwatch
from ragkit.cachecraft.store import ChunkStore
from ragkit.cachecraft.tiers.tier import Blob

_ATTEMPTS = 3
"""Choices among the variants of a chunk: the store forgets one that cannot be loaded, and the next is tried."""

NOT_LOADED = "its keys and values could not be loaded"


@dataclass(slots=True)
class Fetched:
    """By piece, what was chosen, and why not for the others; tensors by variant; bytes that came from the store."""

    chosen: dict[int, Chosen]
    reasons: dict[int, str]
    tensors: Mapping[str, torch.Tensor]
    loaded_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Fetcher:
    """Chooses and loads, from a store and what stays on the device before it."""

    backend: HfBackend
    store: ChunkStore
    held: DeviceCache

    def fetch(
        self, layout: Layout, keys: Mapping[int, str], repair: Repair, watch: Stopwatch, failures: list[str]
    ) -> Fetched:
        """Return what serves `layout`; `failures` hears of what went wrong."""
        found = Fetched({}, dict.fromkeys(keys, "the cache failed"), {})
        loader = _Loader(self.backend, self.store.load, failures)
        tensors: dict[str, torch.Tensor] = {}
        lost: set[int] = set()
        try:
            for _ in range(_ATTEMPTS):
                with watch.step("choose"):
                    chosen, reasons = choose(layout, keys, self.store.candidates, prefix_key(layout, keys), repair)
                with watch.step("load"):
                    tokens = {one.variant.name: one.variant.tokens for one in chosen.values()}
                    missing = {name: length for name, length in tokens.items() if name not in tensors}
                    tensors |= self.held.tensors(missing, loader.sized(missing), self.backend.tensor)
                kept = {at: one for at, one in chosen.items() if one.variant.name in tensors}
                lost |= chosen.keys() - kept.keys()
                # a store forgets what it cannot load: without this the next attempt would say that nothing was stored
                found = Fetched(kept, reasons | dict.fromkeys(lost - kept.keys(), NOT_LOADED), tensors, loader.bytes)
                if len(kept) == len(chosen):
                    break
        except Exception as error:  # a cache, third-party tiers included, must never keep an answer back
            failures.append(f"load: {type(error).__name__}: {error}")
            found = Fetched({}, dict.fromkeys(keys, "the cache failed"), {}, loader.bytes)
        return found


@dataclass(slots=True)
class _Loader:
    """Loads blobs and leaves out those of another size than the model's."""

    backend: HfBackend
    load: Callable[[Sequence[str]], Mapping[str, Blob]]
    failures: list[str]
    bytes: int = 0

    def sized(self, tokens: Mapping[str, int]) -> Callable[[Sequence[str]], Mapping[str, Blob]]:
        def load(names: Sequence[str]) -> Mapping[str, Blob]:
            blobs = self.load(names)
            right = {name: blob for name, blob in blobs.items() if blob.nbytes == self._size(tokens[name])}
            self.failures.extend(f"load: {name} has another size" for name in blobs if name not in right)
            self.bytes += sum(blob.nbytes for blob in right.values())
            return right

        return load

    def _size(self, tokens: int) -> int:
        return tokens * self.backend.token_bytes
