"""The variants that serve a prompt, with their keys and values; whatever is wrong with one makes it a miss."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace

from ragkit.cachecraft.core.choice import Chosen, choose, prefix_key
from ragkit.cachecraft.core.preload import Pace
from ragkit.cachecraft.core.prompt import Layout
from ragkit.cachecraft.core.repair import Repair
from ragkit.cachecraft.core.variant import Variant
from ragkit.cachecraft.hf.backend import HfBackend
from ragkit.cachecraft.hf.device_cache import DeviceCache
from ragkit.cachecraft.hf.incoming import Incoming, Source
from ragkit.cachecraft.stopwatch import Stopwatch
from ragkit.cachecraft.store import ChunkStore
from ragkit.cachecraft.tiers.arriving import Batch, LostError
from ragkit.errors import UsageError

_ATTEMPTS = 3
"""Choices among the variants of a chunk: where one cannot be loaded, the next is tried."""

NOT_LOADED = "its keys and values could not be loaded"


@dataclass(frozen=True, slots=True)
class Fetched:
    """By piece, what was chosen, and why not for the others; keys and values by variant, some still on their way."""

    chosen: dict[int, Chosen]
    reasons: dict[int, str]
    tensors: Mapping[str, Source]
    loaded_bytes: int = 0
    """Bytes that came from the store, or are on their way."""
    batches: Sequence[Batch] = ()

    @property
    def incoming(self) -> dict[str, Incoming]:
        """What is read while it is used."""
        return {name: one for name, one in self.tensors.items() if isinstance(one, Incoming)}

    @property
    def waited(self) -> float:
        """Seconds that were waited for layers by now."""
        return sum(one.waited for one in self.incoming.values())


@dataclass(frozen=True, slots=True)
class Fetcher:
    """Chooses and loads, from a store and what stays on the device before it.

    With `layerwise`, what lies on the disk is read in the background, layer by layer, while the model uses it.
    """

    backend: HfBackend
    store: ChunkStore
    held: DeviceCache
    layerwise: bool = True
    pace: Pace = field(default_factory=Pace)

    def fetch(
        self, layout: Layout, keys: Mapping[int, str], repair: Repair, watch: Stopwatch, failures: list[str]
    ) -> Fetched:
        """Return what serves `layout`; `failures` hears of what went wrong."""
        found = Fetched({}, dict.fromkeys(keys, "the cache failed"), {})
        loader = _Loader(self, failures)
        lost: set[int] = set()
        failed: set[str] = set()

        def candidates(key: str) -> Sequence[Variant]:
            stored = self.store.candidates(key)
            return [one for one in stored if one.name not in failed] if failed else stored

        try:
            for _ in range(_ATTEMPTS):
                with watch.step("choose"):
                    prefix, recurs = prefix_key(layout, keys), self.store.recurs
                    chosen, reasons = choose(layout, keys, candidates, prefix, repair, recurs=recurs)
                with watch.step("load"):
                    loader.load({one.variant.name: one.variant.tokens for one in chosen.values()})
                kept = {at: one for at, one in chosen.items() if one.variant.name in loader.found}
                lost |= chosen.keys() - kept.keys()
                failed |= {chosen[at].variant.name for at in chosen.keys() - kept.keys()}
                # without this the next attempt would say that nothing was stored
                reasons = reasons | dict.fromkeys(lost - kept.keys(), NOT_LOADED)
                found = Fetched(kept, reasons, loader.found, loader.bytes, loader.batches)
                if len(kept) == len(chosen):
                    break
        except Exception as error:  # a cache, third-party tiers included, must never keep an answer back
            failures.append(f"load: {type(error).__name__}: {error}")
            found = Fetched({}, dict.fromkeys(keys, "the cache failed"), {}, loader.bytes)
        return found

    def preload(self, found: Fetched, tokens: int) -> int:
        """Wait for the layers that a pass of `tokens` needs to have so that it never waits, and return how many.

        Raises LostError where they do not come.
        """
        incoming = found.incoming.values()
        if not incoming:
            return 0
        layers = self.backend.shape.layers
        depth = self.pace.depth(layers, tokens, sum(one.arriving.size for one in incoming))
        for one in incoming:
            one.wait(depth)
        return depth

    @contextmanager
    def timed(self, found: Fetched, tokens: int) -> Iterator[None]:
        """Note what the pass of `tokens` in the block takes, without its waits."""
        began, waited = time.perf_counter(), found.waited
        yield
        self.pace.computed(tokens, self.backend.shape.layers, time.perf_counter() - began - (found.waited - waited))

    def arrived(self, found: Fetched) -> None:
        """Note how long loading took and keep what came on the device, after all of it was used."""
        for batch in found.batches:
            ends = [one.finished for one in batch.arriving.values() if one.finished is not None]
            if len(ends) == len(batch.arriving):
                self.pace.loaded(sum(one.size for one in batch.arriving.values()), max(ends) - batch.started)
        for name, one in found.incoming.items():
            if one.arriving.complete:
                self.held.put(name, one.whole())

    def without(self, found: Fetched, lost: LostError, failures: list[str]) -> Fetched:
        """Return what is left of `found` when something did not arrive: the rest of the pieces are misses.

        What is broken on the disk is taken from where else it is; what is late would be late again.
        """
        if lost.late:
            failures.append(f"load: {lost}")
            for batch in found.batches:
                batch.give_up()
        gone = {name for name, one in found.incoming.items() if one.arriving.error is not None}
        tensors = {name: one for name, one in found.tensors.items() if name not in gone}
        tokens = {one.variant.name: one.variant.tokens for one in found.chosen.values()}
        if not lost.late:
            loader = _Loader(replace(self, layerwise=False), failures)
            try:
                loader.load({name: tokens[name] for name in gone if name in tokens})
            except Exception as error:  # as in `fetch`
                failures.append(f"load: {type(error).__name__}: {error}")
            tensors |= loader.found
        kept = {at: one for at, one in found.chosen.items() if one.variant.name in tensors and gone}
        reasons = found.reasons | dict.fromkeys(found.chosen.keys() - kept.keys(), NOT_LOADED)
        size = sum(tokens[name] for name in {one.variant.name for one in kept.values()}) * self.backend.token_bytes
        return replace(found, chosen=kept, reasons=reasons, tensors=tensors, loaded_bytes=min(found.loaded_bytes, size))


class _Loader:
    """Loads variants, each once, and leaves out those of another size than the model's."""

    def __init__(self, fetcher: Fetcher, failures: list[str]) -> None:
        self.found: dict[str, Source] = {}
        self.bytes = 0
        self.batches: list[Batch] = []
        self._fetcher = fetcher
        self._failures = failures

    def load(self, tokens: Mapping[str, int]) -> None:
        """Add to `found` what there is of `tokens` (name to length) and is not in it."""
        missing = {name: length for name, length in tokens.items() if name not in self.found}
        held = self._fetcher.held
        self.found |= {name: tensor for name in missing if (tensor := held.get(name)) is not None}
        rest = {name: length for name, length in missing.items() if name not in self.found}
        coming = self._coming(rest) if self._fetcher.layerwise and rest else set[str]()
        rest = {name: length for name, length in rest.items() if name not in coming}
        for name, blob in (self._fetcher.store.load(list(rest)) if rest else {}).items():
            if blob.nbytes == self._size(rest[name]):
                tensor = self._fetcher.backend.tensor(blob, rest[name])
                held.put(name, tensor)
                self.found[name] = tensor
                self.bytes += blob.nbytes
            else:
                self._failures.append(f"load: {name} has another size")

    def _coming(self, tokens: Mapping[str, int]) -> set[str]:
        """Add what begins to arrive and return its names; what has another size is left to `store.load` to judge."""
        batch = self._fetcher.store.arrive(list(tokens))
        if batch is None:
            return set()
        self.batches.append(batch)
        coming = set()
        for name, arriving in batch.arriving.items():
            with suppress(UsageError):
                self.found[name] = self._fetcher.backend.incoming(arriving, tokens[name])
                self.bytes += arriving.size
                coming.add(name)
        return coming

    def _size(self, tokens: int) -> int:
        return tokens * self._fetcher.backend.token_bytes
