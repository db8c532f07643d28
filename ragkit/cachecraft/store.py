"""The chunk store: which variants there are, and their bytes in memory, on disk and in a remote store."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Literal

from ragkit.cachecraft.core.index import VariantIndex
from ragkit.cachecraft.core.plan import Plan
from ragkit.cachecraft.core.variant import Variant
from ragkit.cachecraft.home import Home, open_home
from ragkit.cachecraft.stats import StoreStats, TierStats
from ragkit.cachecraft.tiers.arriving import PATIENCE, Batch
from ragkit.cachecraft.tiers.buffers import Allocate
from ragkit.cachecraft.tiers.counts import Counts
from ragkit.cachecraft.tiers.memory import MemoryTier
from ragkit.cachecraft.tiers.tier import Blob, BlobTier
from ragkit.cachecraft.tiers.tiered import Tiered

_NOTE_EVERY = 64
"""Requests between two writes of the use counters; a kill loses at most so many."""
_QUEUE_BYTES = 1 << 30
_CLOSE_SECONDS = 60.0


class ChunkStore:
    """Variants of one model space and their blobs. Safe to share between threads; close it, or use it in a `with`.

    In `folder` each model space has a folder of its own, so the store of another model is simply empty. One process
    writes it, and the remote tier; a second one reads what was there when it opened it and keeps what it adds in memory
    only (`read_only`). Without `folder` there is memory only. What is stored is bounded by what lasts: the disk, or the
    remote tier where that is larger and answers. Nothing but wrong arguments raises: a full disk, a damaged file or a
    dead remote store is a miss, counted in `stats().failures`.
    """

    def __init__(
        self,
        space_key: str,
        folder: Path | None = None,
        memory_bytes: int = 2 << 30,
        disk_bytes: int = 16 << 30,
        remote: BlobTier | None = None,
        *,
        per_chunk: int = 5,
        admission: Literal["room", "reuse", "always"] = "reuse",
        decay: float = 0.998,
        queue_bytes: int = _QUEUE_BYTES,
        allocate: Allocate | None = None,
        sync: bool = False,
        read_only: bool = False,
        patience: float = PATIENCE,
    ) -> None:
        """Open the store; `remote` is closed with it.

        Args:
            space_key: the key of the model space (`ModelSpace.key`).
            folder: where the disk tier and the catalog lie.
            memory_bytes: bound of the blobs in memory.
            disk_bytes: bound of the blobs on disk, 0 for memory only; headers and catalog come on top (0.1 to 0.2 % of
                blobs of 11 MiB).
            remote: a tier behind the disk.
            per_chunk: variants of one chunk, a soft bound.
            admission: "reuse" stores what is expected to be used again, "room" also what is new while there is room,
                "always" everything.
            decay: what a use counts for less with every request since.
            queue_bytes: blobs that may wait for a slower tier, beyond `memory_bytes`; more are not written there.
            allocate: gives the memory of the memory tier, page-locked for a GPU.
            sync: flush every blob to the disk, so that a power cut loses none.
            read_only: look at a folder as its reader, whoever writes it, and change nothing in it, whatever the bounds.
            patience: seconds that `arrive` gives a batch, beyond what it takes at 50 MB/s.
        """
        self.space_key = space_key
        self._lock = threading.RLock()
        self._remote = remote
        self._home: Home | None = None
        if folder:
            options = {"sync": sync, "read_only": read_only}
            self._home = open_home(folder, space_key, disk_bytes, evicted=self._pushed_out, **options)
        slower: list[BlobTier] = [self._home.disk] if self._home else []
        slower += [remote] if remote else []
        self._memory = MemoryTier(memory_bytes, allocate=allocate)
        self._tiers = Tiered(
            self._memory,
            slower,
            queue_bytes=queue_bytes,
            written=self._written,
            patience=patience,
            read_only=self.read_only,
        )
        self._others = 0
        """Bytes of the variants that are another process's to keep."""
        self._to_warn = self.read_only and not read_only
        self.index = VariantIndex(max(memory_bytes, disk_bytes), per_chunk, decay, admission=admission)
        self.index.capacity_bytes = self._bound()
        self._noted: set[str] = set()
        self._saving: set[str] = set()
        self._decay, self._reused = decay, 0
        self._misses, self._evictions = Counts(), Counts()
        self._closed = False
        if self._home:
            self._restore(self._home, elsewhere=remote is not None)

    @property
    def read_only(self) -> bool:
        """Whether nothing is written to the folder: another process does, or it cannot be written."""
        return self._home is not None and self._home.read_only

    def check_writer(self) -> None:
        """Raise IndexLockedError where another process writes the folder, StorageError where it cannot be written."""
        if self._home is not None:
            self._home.check_writer()

    def _bound(self) -> int:
        """Return the bytes that variants may have together, as of now: what would come back after a restart.

        The disk pushes out what is beyond it, which is no loss while the remote tier has it too. While that is off
        nothing is forgotten for it, but what comes in takes the place of something else.
        """
        if self.read_only:
            return self._others + self._memory.capacity
        bound = (self._home.disk.capacity if self._home else 0) or self._memory.capacity
        if self._remote is None:
            return bound
        return max(bound, self._remote.capacity if self._remote.on else self.index.used_bytes)

    @property
    def room(self) -> int:
        """Bytes of keys and values that can be added without driving anything out."""
        with self._lock:
            return max(0, self._bound() - self.index.used_bytes)

    def _restore(self, home: Home, *, elsewhere: bool) -> None:
        """Take over what the folder holds; blobs without metadata and metadata without blobs go.

        Neither goes where the other could not be read: the system may have refused that for the moment.
        """
        rows = [(variant, uses if len(uses) == 3 else (0.0, 0.0, 0.0)) for variant, uses in home.catalog.load()]
        there = set(home.disk.names())
        elsewhere = elsewhere or not home.disk.listed
        if home.read_only:  # what the writer keeps is not this one's to push out
            self._others = sum(variant.size for variant, _ in rows)
        self.index.now = now = int(max((uses[2] for _, uses in rows), default=0))
        # the least worth first: where the capacity has become smaller, each newcomer pushes out the least
        for variant, (worth, popularity, at) in sorted(
            rows, key=lambda row: row[1][0] * self._decay ** (now - row[1][2])
        ):
            if (elsewhere or variant.name in there) and self._admit(variant, always=True):
                self.index.remember(variant.name, worth, popularity, at=int(at))
        home.catalog.remove(variant.name for variant, _ in rows if variant.name not in self.index)
        if home.catalog.on:
            home.disk.delete([name for name in there if name not in self.index])
        home.disk.trim()

    def candidates(self, key: str) -> Sequence[Variant]:
        """Return the variants of a chunk; the metadata only."""
        with self._lock:
            return self.index.candidates(key)

    def load(self, names: Sequence[str]) -> dict[str, Blob]:
        """Return the blobs of variants, read-only; what did not come is left out.

        It is forgotten where it is missing or broken, not where a tier could not read it for now or in time.
        """
        found = dict(zip(names, self._tiers.get(names), strict=True))
        missing = [name for name, blob in found.items() if blob is None]
        there = self._tiers.may_have(missing)  # in memory: saved by another thread meanwhile
        self._drop([name for name, maybe in zip(missing, there, strict=True) if not maybe])
        return {name: blob for name, blob in found.items() if blob is not None}

    def arrive(self, names: Sequence[str]) -> Batch | None:
        """Return the blobs that come from the disk in the background, to be used from the front; `load` the others.

        One that turns out broken is gone from the disk when whoever waits for it hears of it; `load` then looks
        elsewhere, and forgets it where nothing has it.
        """
        return self._tiers.arrive(names)

    def prefetch(self, names: Sequence[str]) -> None:
        """Start to load blobs into memory in the background; `load` waits for what has begun."""
        self._tiers.prefetch(names)

    def wanted(self, key: str) -> bool:
        """Count that a prompt shows a chunk for which nothing fits; return whether it is worth capturing for `save`."""
        with self._lock:
            return self.index.wanted(key)

    def recurs(self, key: str, beginning: str, share: float) -> bool:
        """Count that a prompt begins so; return whether to compute the chunk at its end exactly (`VariantIndex`)."""
        with self._lock:
            return self.index.recurs(key, beginning, share)

    def save(self, variant: Variant, blob: Blob, *, always: bool = False) -> bool:
        """Keep a variant and return whether it is kept; the array is copied unless it is read-only.

        Not kept: what is not expected to be used again (unless `always`), is worth less than what it would push out, is
        no better than what is stored, or is larger than every tier.
        """
        variant = replace(variant, size=blob.nbytes)
        name = variant.name
        with self._lock:
            if not (always or self.index.wanted(variant.chunk)) or not self._admit(variant, always=always):
                return False
            self._saving.add(name)
        kept = name in self._tiers.put({name: blob})
        with self._lock:
            self._saving.discard(name)
            if not kept:
                self.index.remove(name)
            stays = name in self.index
            if not stays:  # nothing kept it, or another thread's variant pushed it out meanwhile
                self._forget(name)
            to_warn, self._to_warn = self._to_warn and stays, self._to_warn and not stays
        if to_warn and self._home is not None:
            self._home.warn_reader()
        return stays

    def _admit(self, variant: Variant, *, always: bool) -> bool:
        """Let a variant into the index and remove what goes for it."""
        self.index.capacity_bytes = self._bound()
        admission = self.index.add(variant, always=always)
        for evicted in admission.evicted:
            self._forget(evicted.name)
        self._evictions.add("index", len(admission.evicted))
        return admission.admitted

    def used(self, plan: Plan) -> None:
        """Note that a plan was run: what was reused at what cost, why the rest was not. Call it last for each request.

        The index's clock goes on by one.
        """
        with self._lock:
            for one in plan.reused:
                self.index.used(one.variant, len(one.repaired) / max(1, one.variant.tokens))
                self._noted.add(one.variant.name)
            self._reused += len(plan.reused)
            due = self.index.tick() % _NOTE_EVERY == 0
        for _, reason in plan.reasons:
            self._misses.add(reason)
        if due:
            self._note()

    @contextmanager
    def pinned(self, names: Sequence[str]) -> Iterator[frozenset[str]]:
        """Keep variants from being evicted from the index meanwhile; gives the names of those that are stored."""
        pin = self.index.pin(names)
        with self._lock:
            held = pin.__enter__()
        try:
            yield held
        finally:
            with self._lock:
                pin.__exit__(None, None, None)

    def _note(self) -> None:
        """Write the worth of what was used to the catalog."""
        with self._lock:
            stored = [one for name in self._noted if (one := self.index.get(name)) is not None]
            index, self._noted = self.index, set()
            noted = {one.name: (index.worth(one.name), index.popularity(one.chunk), index.now) for one in stored}
        if self._home is not None:
            self._home.catalog.note(noted)

    def _written(self, name: str, kept: bool) -> None:
        """Note the metadata of a blob that a slower tier has kept; called from the tier's thread."""
        if not kept or self._home is None:
            return
        with self._lock:  # held while the row is written, so that a removal comes before or after, never between
            if (variant := self.index.get(name)) is not None:
                self._home.catalog.add([variant])

    def _pushed_out(self, names: Sequence[str]) -> None:
        """Forget what the disk had no room for, unless the remote tier may have it; called from the tier's thread."""
        elsewhere = self._remote.may_have(names) if self._remote is not None else [False] * len(names)
        self._drop([name for name, maybe in zip(names, elsewhere, strict=True) if not maybe])

    def _drop(self, names: Sequence[str]) -> None:
        with self._lock:
            for name in names:
                if name not in self._saving and self.index.remove(name) is not None:
                    self._forget(name)

    def _forget(self, name: str) -> None:
        """Remove the bytes and the metadata of a variant that left the index; what a writer owns stays."""
        self._tiers.delete([name])
        if self._home is not None:
            self._home.catalog.remove([name])

    def stats(self) -> StoreStats:
        """Return what the store holds and how it has done since it was opened."""
        with self._lock:
            variants = list(self.index)
            reused = self._reused
        blobs = [len(one.names()) for one in self._tiers.tiers]  # first: a remote tier learns its bytes from it
        tiers = tuple(
            TierStats(one.name, one.used, one.capacity, count)
            for one, count in zip(self._tiers.tiers, blobs, strict=True)
        )
        evictions = {**self._evictions.snapshot(), "memory": self._memory.evictions}
        failures = dict(self._tiers.failures)
        if self._home is not None:
            evictions["disk"] = self._home.disk.evictions
            failures |= {f"catalog: {reason}": times for reason, times in self._home.catalog.failures.items()}
            failures |= self._home.failures
        return StoreStats(
            variants=len(variants),
            chunks=len({variant.chunk for variant in variants}),
            tiers=tiers,
            loads=self._tiers.hits,
            reused=reused,
            misses=self._misses.snapshot(),
            evictions=evictions,
            failures=failures,
            queued_bytes=self._tiers.queued,
            overhead_bytes=self._home.overhead if self._home else sum(map(_metadata_bytes, variants)),
            read_only=self.read_only,
        )

    def clear(self) -> list[str]:
        """Forget all variants of this model space and remove all blobs, on disk and in the remote store too.

        Waits for it and returns what still holds some: "disk", "remote", "catalog". A reader leaves what is the
        writer's.
        """
        with self._lock:
            for variant in self.index:
                self.index.remove(variant.name)
        staying = self._tiers.empty(_CLOSE_SECONDS)
        if self._home is not None and not self.read_only and not self._home.catalog.clear():
            staying.append("catalog")
        return staying

    def lasting(self, names: Sequence[str]) -> list[bool]:
        """Return which variants a restart would find by now: on disk or remote, in memory where there is no folder."""
        if self._home is None:
            return self._memory.exists(names)
        there = dict(zip(names, self._home.disk.exists(names), strict=True))
        if self._remote is not None and (lacking := [name for name in there if not there[name]]):
            there |= dict(zip(lacking, self._remote.exists(lacking), strict=True))
        return [there[name] for name in names]

    def flush(self, seconds: float | None = None) -> bool:
        """Wait, at most `seconds` per tier, until everything is written to the slower tiers; return whether it is."""
        done = self._tiers.flush(seconds)
        self._note()
        return done

    def close(self, seconds: float = _CLOSE_SECONDS) -> None:
        """Write what waits, at most for `seconds` per tier, and release threads, files and the folder."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
        self.flush(seconds)
        self._tiers.close(0)
        if self._home is not None:
            self._home.close()

    def __enter__(self) -> ChunkStore:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _metadata_bytes(variant: Variant) -> int:
    statistics = variant.statistics
    more = statistics.inter.nbytes + statistics.token_mass.nbytes if statistics else 0
    return variant.ids.nbytes + more + 8 * len(variant.lengths) + sum(map(len, variant.history))
