"""One prompt through chunk reuse: choose variants, load them, plan, compute the rest, answer, keep what is new.

This module imports torch; import it only to run a model.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from ragkit.cachecraft.core.choice import chunk_keys
from ragkit.cachecraft.core.plan import Plan
from ragkit.cachecraft.core.planning import full_plan, make_plan
from ragkit.cachecraft.core.policies import NEED_SCORES
from ragkit.cachecraft.core.prompt import Kind, Layout
from ragkit.cachecraft.divergence import Divergence, divergence
from ragkit.cachecraft.fetching import Fetched, Fetcher
from ragkit.cachecraft.hf.backend import HfBackend
from ragkit.cachecraft.hf.device_cache import DeviceCache
from ragkit.cachecraft.hf.key_values import KeyValues
from ragkit.cachecraft.hf.state import State
from ragkit.cachecraft.keeping import Keeper, observable, worth_keeping
from ragkit.cachecraft.report import ReuseReport
from ragkit.cachecraft.scores import token_scores
from ragkit.cachecraft.settings import repair_of
from ragkit.cachecraft.stopwatch import Stopwatch
from ragkit.cachecraft.store import ChunkStore
from ragkit.cachecraft.tiers.arriving import LostError
from ragkit.cachecraft.warm import Warm
from ragkit.config import KvReuseConfig
from ragkit.errors import UnsupportedError
from ragkit.identity import content_hash
from ragkit.inference import GREEDY, Sampling

_Result = TypeVar("_Result")


@dataclass(frozen=True, slots=True)
class Reply:
    """The tokens of an answer, its end token included, and what chunk reuse did for it."""

    tokens: list[int]
    report: ReuseReport


@dataclass(slots=True, eq=False)
class Computed:
    """A prompt whose fresh tokens were computed: ready to be answered, and to be kept."""

    state: State
    keys: Mapping[int, str]
    cold: list[int]
    """Chunks computed whole that the store wants."""
    scored: int
    """What it took to find token scores, in tokens through all layers."""
    loaded_bytes: int
    watch: Stopwatch
    failures: list[str]

    @property
    def plan(self) -> Plan:
        """What was loaded and what computed."""
        return self.state.plan


@dataclass(frozen=True, slots=True, eq=False)
class _Request:
    """A prompt that is being computed, with room for so many further tokens, and who hears of it."""

    layout: Layout
    keys: Mapping[int, str]
    room: int
    wanted: Callable[[str], bool]
    watch: Stopwatch
    failures: list[str]


@dataclass(frozen=True, slots=True, eq=False)
class _Scored:
    """The policy to plan by, its scores, what they cost in tokens through all layers, and the cache they left."""

    policy: str
    values: NDArray[np.float64] | None = None
    tokens: int = 0
    over: KeyValues | None = None


class ChunkReuse:
    """Answers prompts of one model from the chunks in a store. One call at a time.

    Whatever is wrong with the cache is a miss, and named in the report; what is wrong with the model raises.
    """

    def __init__(self, backend: HfBackend, store: ChunkStore, config: KvReuseConfig, *, layerwise: bool = True) -> None:
        """Take what answers and what stores; `layerwise` False waits for the disk before anything is computed."""
        self.backend = backend
        self.store = store
        self.config = config
        self.repair = repair_of(config)
        on_gpu = backend.device.type == "cuda"
        held = DeviceCache(config.device_bytes if on_gpu else 0)  # the host's memory is the store's own
        self._fetcher = Fetcher(backend, store, held, layerwise)
        self._keeper = Keeper(backend, store, held)
        # the policy reads which tokens, an alpha how many (CCI and CFO, eq. 11 and 12); nobody else reads statistics
        self._observes = config.policy == "cachecraft" or config.alpha is not None

    def reply(
        self,
        layout: Layout,
        max_tokens: int,
        *,
        sampling: Sampling = GREEDY,
        ends: Sequence[int] = (),
        until: Callable[[], bool] = lambda: False,
    ) -> Reply:
        """Return the answer to a prompt; `until` is asked after each token and ends it where it says so."""
        done = self.compute(layout, room=max_tokens)
        tokens: list[int] = []
        first = 0.0
        with done.watch.step("answer"):
            for token in self.backend.stream(done.state, max_tokens, sampling=sampling, ends=ends):
                first = first if tokens else done.watch.elapsed
                tokens.append(token)
                if until():
                    break
        with done.watch.step("keep"):
            kept = self.keep(done)
        checked: Divergence | None = self._attempted("check", lambda: self._checked(done), None, done.failures)
        return Reply(tokens, _report(self.config.policy, done, kept, first, checked))

    def compute(self, layout: Layout, *, room: int = 0) -> Computed:
        """Return the prompt computed, with `room` for so many further tokens; the store is asked, nothing is kept."""
        watch, failures = Stopwatch(), list[str]()
        keys = chunk_keys(layout, self.backend.space.key, self.config.domain)
        if self.config.policy == "full":
            plan = full_plan(layout, "the policy reuses nothing")
            with watch.step("compute"):
                return Computed(self.backend.run(plan, {}, room=room), keys, [], 0, 0, watch, failures)
        found = self._fetcher.fetch(layout, keys, self.repair, watch, failures)
        # `wanted` counts: it is asked once, however often the prompt is computed again
        request = _Request(layout, keys, room, cache(self.store.wanted), watch, failures)
        while True:
            try:
                return self._computed(request, found)
            except LostError as lost:
                found = self._fetcher.without(found, lost, failures)

    def _computed(self, request: _Request, found: Fetched) -> Computed:
        """Return the prompt computed from `found`; raises LostError where something of it does not arrive."""
        layout, keys, watch, failures = request.layout, request.keys, request.watch, request.failures
        scored = self._scored(request, found)
        with watch.step("plan"):
            plan = make_plan(layout, found.chosen, found.reasons, scored.policy, self.repair, scores=scored.values)
            cold: list[int] = self._attempted("wanted", lambda: worth_keeping(plan, keys, request.wanted), [], failures)
        if scored.over is None:
            with watch.step("load"):
                self._fetcher.preload(found, len(plan.fresh))
        with watch.step("compute"), self._fetcher.timed(found, len(plan.fresh)):
            state = self._run(plan, found, request, observable(plan, keys, cold), scored.over)
        self._fetcher.arrived(found)
        return Computed(state, keys, cold, scored.tokens, found.loaded_bytes, watch, failures)

    def keep(self, done: Computed) -> int:
        """Put what was computed whole into the store, note what was used, and return how many pieces it has kept."""
        if self.config.policy == "full":
            return 0
        names = [one.variant.name for one in done.plan.reused]

        def keep() -> int:
            with self.store.pinned(names):
                kept = self._keeper.keep(done.state, done.keys, done.cold)
            self.store.used(done.plan)
            return kept

        return self._attempted("keep", keep, 0, done.failures)

    def _scored(self, request: _Request, found: Fetched) -> _Scored:
        """Return the policy to plan by, and the scores it needs."""
        policy: str = self.config.policy
        if policy not in NEED_SCORES:
            return _Scored(policy)
        if self.repair.alpha is None and self.repair.share in (0, 1):
            # nothing or everything is repaired, whatever its score
            return _Scored(policy, np.zeros(len(request.layout.ids)))
        if all(request.layout.pieces[at].kind is not Kind.CHUNK or one.exact for at, one in found.chosen.items()):
            return _Scored("none")  # there is nothing to repair
        return self._asked(request, found)

    def _asked(self, request: _Request, found: Fetched) -> _Scored:
        """Return the scores of the reused tokens that the model gives.

        The question is probed over what is cached, moved together: chunks that are not would have to be computed for
        the probe, and then once more. Where all are, the probe's cache serves the repair pass too, which computes all
        that the probe did. Deviations need all tokens of the layers below. A model that does not show what is asked
        for gets `epic`, which asks for nothing.
        """
        probed = self.config.policy == "query_probe"
        layout, watch = request.layout, request.watch
        warm = Warm.of(layout, found.chosen, keep_cold=not probed)
        stitched = make_plan(warm.layout, warm.chosen, {}, "none", self.repair)
        over = None
        if probed:
            with watch.step("load"):
                self._fetcher.preload(found, len(stitched.fresh))
        with watch.step("score"), self._fetcher.timed(found, len(stitched.fresh) if probed else 0):
            if probed and warm.layout is layout:
                over = self.backend.loaded([stitched], found.tensors, request.room, lazy=True)
            try:
                scores = token_scores(self.config.policy, self.backend, stitched, found.tensors, over)
            except UnsupportedError as error:
                request.failures.append(f"scores, so that epic took its place: {error.message}")
                return _Scored("epic")
        cost = math.ceil(scores.token_layers / self.backend.shape.layers)
        return _Scored(self.config.policy, warm.spread(scores.values), cost, over)

    def _run(self, plan: Plan, found: Fetched, request: _Request, watched: list[int], over: KeyValues | None) -> State:
        """Return the state of `plan`; the attention of `watched` is captured where the model shows it."""
        if watched and self._observes:
            try:
                return self.backend.run(plan, found.tensors, observe=watched, room=request.room)
            except UnsupportedError as error:
                self._observes = False
                request.failures.append(f"statistics: {error.message}")
        return self.backend.run(plan, found.tensors, room=request.room, over=over)

    def _checked(self, done: Computed) -> Divergence | None:
        """Return how far a sampled request is from full recompute; the same prompts are sampled every time."""
        share = self.config.sample_share
        if not share or not any(done.plan.layout.pieces[one.piece].kind is Kind.CHUNK for one in done.plan.reused):
            return None
        drawn = int(content_hash("sample", ids=done.plan.layout.ids.astype("<i4").tobytes())[:8], 16) / 2**32
        if drawn >= share:
            return None
        with done.watch.step("check"):
            full = self.backend.run(full_plan(done.plan.layout), {})
            return divergence(full.logits, done.state.logits)

    @staticmethod
    def _attempted(step: str, attempt: Callable[[], _Result], otherwise: _Result, failures: list[str]) -> _Result:
        try:
            return attempt()
        except Exception as error:  # a cache, third-party tiers included, must never keep an answer back
            failures.append(f"{step}: {type(error).__name__}: {error}")
            return otherwise


def _report(policy: str, done: Computed, kept: int, first: float, checked: Divergence | None) -> ReuseReport:
    plan = done.plan
    layout = plan.layout
    chunks = [one for one in plan.reused if layout.pieces[one.piece].kind is Kind.CHUNK]
    served = sum(one.variant.tokens for one in chunks)
    repaired = sum(len(one.repaired) for one in chunks)
    return ReuseReport(
        policy=policy,
        prompt_tokens=len(layout.ids),
        context_tokens=layout.context_tokens,
        reused_tokens=served - repaired,
        repaired_tokens=repaired,
        cold_tokens=layout.context_tokens - served,
        share=plan.share,
        computed_tokens=len(plan.fresh) + done.scored,
        loaded_bytes=done.loaded_bytes,
        misses=dict(Counter(reason for _, reason in plan.reasons)),
        generations=tuple(one.variant.generation for one in chunks),
        kept=kept,
        borders=layout.borders,
        failures=tuple(dict.fromkeys(done.failures)),
        seconds=done.watch.seconds,
        first_token_seconds=first,
        divergence=None if checked is None else checked.kl,
        parted=None if checked is None else not checked.agrees,
    )
