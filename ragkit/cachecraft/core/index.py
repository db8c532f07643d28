"""Which variants are stored, which come in, which go: decided by expected saving, within a budget of bytes.

Metadata only, in memory: choosing never touches keys and values. Not safe to share between threads; the store that owns
an index has a lock.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

from ragkit.cachecraft.core.decay import log_sum, log_weight, value_at
from ragkit.cachecraft.core.popularity import Popularity
from ragkit.cachecraft.core.shelf import NOTHING, Shelf
from ragkit.cachecraft.core.variant import Variant
from ragkit.cachecraft.core.worth import WorthOrder
from ragkit.errors import UsageError

SEEN_ENOUGH = 1.5
"""A decayed count above one sighting: a chunk is wanted when it is seen for the second time within a half-life."""


PATIENCE = 2.0
"""How many times over the repairs of a beginning must have cost what computing it exactly would, before it is."""


class Admission(NamedTuple):
    """Whether a variant came in, which went for it, and why it did not."""

    admitted: bool
    evicted: tuple[Variant, ...] = ()
    reason: str = ""


class VariantIndex:
    """The variants of one store, never above `capacity_bytes`.

    A variant's worth is what it is expected to save: over its uses u, the sum of decay^(requests since u) *
    (1 - r_u) * tokens / bytes, where r_u is the share that was computed again, which is the CFO where that is the
    budget (cachecraft.md 2.6; the cost per token is the same for all variants of one model).
    A newcomer's worth is how often its chunk was shown lately times what a use saved on average, shared with the
    chunk's other variants. Variants above `per_chunk` of one chunk go first when bytes are needed, else the least
    worth; never a pinned one, nor one worth more than the newcomer. Variants of a generation above `max_generation`
    do not come in. Time counts requests: call `tick` once for each.
    """

    def __init__(
        self,
        capacity_bytes: int,
        per_chunk: int = 5,
        decay: float = 0.998,
        *,
        max_generation: int = 1,
        admission: str = "reuse",
        ghosts: int = 65_536,
    ) -> None:
        if capacity_bytes < 0 or per_chunk < 1 or not 0 < decay <= 1 or ghosts < 1:
            raise UsageError(
                f"capacity_bytes={capacity_bytes}, per_chunk={per_chunk}, decay={decay}, ghosts={ghosts} was given; "
                "expected a capacity of 0 or more, 1 or more variants per chunk, 0 < decay <= 1, 1 or more ghosts."
            )
        if admission not in {"reuse", "room", "always"}:
            raise UsageError(f"The admission {admission!r} was given; expected 'reuse', 'room' or 'always'.")
        self.capacity_bytes = capacity_bytes
        self.per_chunk = per_chunk
        self.max_generation = max_generation
        self.admission = admission
        self.now = 0
        self.used_bytes = 0
        self.saved_tokens = 0.0
        """Tokens of reused variants that were not computed again, over all uses."""
        self._rate = -math.log(decay)
        self._variants: dict[str, Variant] = {}
        self._chunks: dict[str, Shelf] = {}
        self._crowded: set[str] = set()
        self._tokens = 0
        self._pins: dict[str, int] = {}
        self._order = WorthOrder()
        self._popularity, self._beginnings = Popularity(self._rate, ghosts), Popularity(self._rate, ghosts)
        self._repairs: dict[str, float] = {}
        """What exact variants of chunks, asked for in this request, would save: repairs, as uses of whole chunks."""
        self._uses, self._savings = 1, 0.5  # before any use: half, as the least CCI makes it behind another context

    def __len__(self) -> int:
        return len(self._variants)

    def __contains__(self, name: object) -> bool:
        return name in self._variants

    def __iter__(self) -> Iterator[Variant]:
        return iter(tuple(self._variants.values()))

    def tick(self) -> int:
        """Count one request and return its number."""
        self.now += 1
        self._repairs.clear()
        return self.now

    def candidates(self, key: str) -> Shelf:
        """Return the stored variants of a chunk, the first that came in first."""
        return self._chunks.get(key, NOTHING)

    def get(self, name: str) -> Variant | None:
        """Return the variant of that name, None where it is not stored."""
        return self._variants.get(name)

    def used(self, variant: Variant, share: float) -> None:
        """Count a use, of which the `share` was computed again; one that is no longer stored is ignored."""
        self._popularity.see(variant.chunk, self.now)
        worth = self._order.get(variant.name)
        if worth is None:
            return
        saving = 1.0 - share
        self._uses, self._savings = self._uses + 1, self._savings + saving
        self.saved_tokens += saving * variant.tokens
        gain = log_weight(saving * variant.tokens / max(variant.size, 1), self._rate, self.now)
        self._order.set(variant.name, log_sum(worth, gain))

    def wanted(self, key: str) -> bool:
        """Count that a prompt shows a chunk for which nothing fits, and return whether storing it is worth it.

        It is when the chunk was seen often enough lately, and would save more than what it might drive out; with the
        admission "room" also when it is new and nothing has to go for it. Asking again within one request counts no
        second time.
        """
        self._popularity.see(key, self.now)
        if self.admission == "always":
            return True
        least = self._order.least()
        mean = self.used_bytes / len(self) if len(self) else 0.0
        room = self.capacity_bytes > 0 and (least is None or self.used_bytes + mean <= self.capacity_bytes)
        if self._popularity.count(key, self.now) < SEEN_ENOUGH:
            return room and self.admission == "room"
        if room or least is None:
            return room
        return self._newcomer(key, self._tokens / max(self.used_bytes, 1)) > least

    def recurs(self, key: str, beginning: str, share: float) -> bool:
        """Count that a prompt begins so, up to the end of a chunk; return whether to compute the chunk exactly now.

        It is when repairing the `share` of it lately cost more than that, `PATIENCE` times over, and the exact variant
        would come in. From then on the beginning costs nothing, as with a prefix cache. Counts once for each request.
        """
        self._beginnings.see(beginning, self.now)
        repaired = share * self._beginnings.count(beginning, self.now)
        if not 0 < share < 1 or repaired < PATIENCE * (1 - share):
            return False
        self._repairs[key] = repaired
        return self.wanted(key)

    def add(self, variant: Variant, *, always: bool = False) -> Admission:
        """Let a variant in if there is room or it is worth more than what has to go, and say which go.

        Ask `wanted` first: a chunk seen once is not worth the capture. With `always` (builders) a newcomer need not be
        worth more. A variant of the same chunk behind the same history is replaced by one of a lower generation, and
        else keeps its place.
        """
        always = always or self.admission == "always"
        same = [
            one
            for one in self.candidates(variant.chunk)
            if (one.prefix, one.history) == (variant.prefix, variant.history)
        ]
        refusal = self._refusal(variant, same)
        if refusal:
            return Admission(False, (), refusal)
        worth = self._newcomer(variant.chunk, variant.tokens / max(variant.size, 1))
        victims = self._victims(variant, same, None if always else worth)
        if victims is None:
            return Admission(False, (), "all that could go is pinned or worth more")
        for one in victims:
            self.remove(one.name)
        if variant.statistics is not None:
            variant.statistics.derive()
        self._variants[variant.name] = variant
        self._chunks[variant.chunk] = Shelf.of((*self.candidates(variant.chunk), variant))
        self.used_bytes += variant.size
        self._tokens += variant.tokens
        self._order.set(variant.name, worth)
        self._count_crowd(variant.chunk)
        return Admission(True, tuple(victims))

    def remove(self, name: str) -> Variant | None:
        """Forget a variant, pinned or not (its blob is broken or gone), and return it; None where it is not stored."""
        variant = self._variants.pop(name, None)
        if variant is None:
            return None
        left = [one for one in self._chunks.pop(variant.chunk) if one.name != name]
        if left:
            self._chunks[variant.chunk] = Shelf.of(left)
        self.used_bytes -= variant.size
        self._tokens -= variant.tokens
        self._order.drop(name)
        self._count_crowd(variant.chunk)
        return variant

    @contextmanager
    def pin(self, names: Iterable[str]) -> Iterator[frozenset[str]]:
        """Keep variants from being evicted within the block; gives the names of those that are stored."""
        held = frozenset(name for name in names if name in self._variants)
        for name in held:
            self._pins[name] = self._pins.get(name, 0) + 1
        try:
            yield held
        finally:
            for name in held:
                self._pins[name] -= 1
                if not self._pins[name]:
                    del self._pins[name]

    def hot(self, n: int, *, inexact: bool = False) -> list[str]:
        """Return the keys of the n chunks shown most lately; `inexact`: of those without a variant of generation 0."""
        if not inexact:
            return self._popularity.first(n)
        hottest = self._popularity.hottest()
        lacking = (key for key in hottest if all(one.generation for one in self.candidates(key)))
        return [key for key, _ in zip(lacking, range(n), strict=False)]

    def popularity(self, key: str) -> float:
        """Return the decayed count of requests that showed a chunk."""
        return self._popularity.count(key, self.now)

    def worth(self, name: str) -> float:
        """Return what a stored variant is expected to save, in tokens per byte, as of now."""
        return value_at(self._order[name], self._rate, self.now)

    def remember(self, name: str, worth: float, popularity: float, *, at: int) -> None:
        """Give a variant that came back after a restart the worth and its chunk the popularity of the tick `at`."""
        self._order.set(name, log_weight(worth, self._rate, at))
        self._popularity.remember(self._variants[name].chunk, popularity, at)

    def _newcomer(self, key: str, tokens_per_byte: float) -> float:
        """Return the logarithm of the worth that one more variant of a chunk would have."""
        expected = self._repairs.get(key)
        if expected is None:
            sightings = self._popularity.count(key, self.now)
            expected = sightings * self._savings / self._uses / (1 + len(self.candidates(key)))
        return log_weight(expected * tokens_per_byte, self._rate, self.now)

    def _refusal(self, variant: Variant, same: list[Variant]) -> str:
        if variant.generation > self.max_generation:
            return f"its generation is {variant.generation}, above {self.max_generation}"
        if variant.size > self.capacity_bytes:
            return f"its {variant.size} bytes are more than the capacity, {self.capacity_bytes}"
        if variant.name in self or any(one.generation <= variant.generation for one in same):
            return "one as good is stored"
        if any(one.name in self._pins for one in same):
            return "the one it would replace is pinned"
        return ""

    def _victims(self, variant: Variant, same: list[Variant], worth: float | None) -> list[Variant] | None:
        """Return what has to go, None if room cannot be made; `worth`, where given, is what no victim may exceed."""
        gone = {one.name: one for one in same}
        need = self.used_bytes + variant.size - self.capacity_bytes - sum(one.size for one in same)
        for one in self._crowding(variant, gone) if need > 0 else ():
            gone[one.name] = one
            need -= one.size
            if need <= 0:
                break
        for name in self._order.ascending() if need > 0 else ():
            if need <= 0 or (worth is not None and self._order[name] >= worth):
                break
            if name not in gone and name not in self._pins:
                gone[name] = self._variants[name]
                need -= self._variants[name].size
        return list(gone.values()) if need <= 0 else None

    def _crowding(self, newcomer: Variant, gone: Iterable[str]) -> list[Variant]:
        """Return the variants above the soft cap of their chunks, the newcomer counted, the least worth first."""
        above = []
        for key in {*self._crowded, newcomer.chunk}:
            staying = [one for one in self.candidates(key) if one.name not in gone]
            spare = len(staying) + (key == newcomer.chunk) - self.per_chunk
            free = sorted((one for one in staying if one.name not in self._pins), key=self._rank)
            above += free[: max(spare, 0)]
        return sorted(above, key=self._rank)

    def _rank(self, variant: Variant) -> tuple[float, int]:
        return self._order.rank(variant.name)

    def _count_crowd(self, key: str) -> None:
        if len(self.candidates(key)) > self.per_chunk:
            self._crowded.add(key)
        else:
            self._crowded.discard(key)
