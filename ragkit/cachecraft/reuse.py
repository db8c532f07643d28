"""One prompt through chunk reuse: choose variants, load them, plan, compute the rest, answer, keep what is new.

This module imports torch; import it only to run a model.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
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
from ragkit.cachecraft.hf.state import State
from ragkit.cachecraft.keeping import Keeper, observable, worth_keeping
from ragkit.cachecraft.report import ReuseReport
from ragkit.cachecraft.scores import token_scores
from ragkit.cachecraft.settings import repair_of
from ragkit.cachecraft.stopwatch import Stopwatch
from ragkit.cachecraft.store import ChunkStore
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


class ChunkReuse:
    """Answers prompts of one model from the chunks in a store. One call at a time.

    Whatever is wrong with the cache is a miss, and named in the report; what is wrong with the model raises.
    """

    def __init__(self, backend: HfBackend, store: ChunkStore, config: KvReuseConfig) -> None:
        self.backend = backend
        self.store = store
        self.config = config
        self.repair = repair_of(config)
        on_gpu = backend.device.type == "cuda"
        held = DeviceCache(config.device_bytes if on_gpu else 0)  # the host's memory is the store's own
        self._fetcher = Fetcher(backend, store, held)
        self._keeper = Keeper(backend, store, held)
        self._observes = config.policy == "cachecraft"  # no other policy reads the statistics

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
        plan, scored = self._planned(layout, found, watch, failures)
        with watch.step("plan"):
            cold: list[int] = self._attempted("wanted", lambda: worth_keeping(plan, keys, self.store), [], failures)
        with watch.step("compute"):
            state = self._run(plan, found, observable(plan, keys, cold), room, failures)
        return Computed(state, keys, cold, scored, found.loaded_bytes, watch, failures)

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

    def _planned(self, layout: Layout, found: Fetched, watch: Stopwatch, failures: list[str]) -> tuple[Plan, int]:
        policy: str = self.config.policy
        scores, cost = None, 0
        if policy in NEED_SCORES:
            if self.repair.alpha is None and self.repair.share in (0, 1):
                scores = np.zeros(len(layout.ids))  # nothing or everything is repaired, whatever its score
            elif any(layout.pieces[at].kind is Kind.CHUNK and not one.exact for at, one in found.chosen.items()):
                with watch.step("score"):
                    policy, scores, cost = self._scores(layout, found, failures)
            else:
                policy = "none"  # there is nothing to repair
        with watch.step("plan"):
            return make_plan(layout, found.chosen, found.reasons, policy, self.repair, scores=scores), cost

    def _scores(
        self, layout: Layout, found: Fetched, failures: list[str]
    ) -> tuple[str, NDArray[np.float64] | None, int]:
        """Return the policy, the scores of the reused tokens, and what they cost in tokens through all layers.

        The question is probed over what is cached, moved together: chunks that are not would have to be computed for
        the probe, and then once more. Deviations need all tokens of the layers below. A model that does not show what
        is asked for gets `epic`, which asks for nothing.
        """
        warm = Warm.of(layout, found.chosen, keep_cold=self.config.policy != "query_probe")
        stitched = make_plan(warm.layout, warm.chosen, {}, "none", self.repair)
        try:
            scored = token_scores(self.config.policy, self.backend, stitched, found.tensors)
        except UnsupportedError as error:
            failures.append(f"scores, so that epic took its place: {error.message}")
            return "epic", None, 0
        cost = math.ceil(scored.token_layers / self.backend.shape.layers)
        return self.config.policy, warm.spread(scored.values), cost

    def _run(self, plan: Plan, found: Fetched, watched: list[int], room: int, failures: list[str]) -> State:
        """Return the state of `plan`; the attention of `watched` is captured where the model shows it."""
        if watched and self._observes:
            try:
                return self.backend.run(plan, found.tensors, observe=watched, room=room)
            except UnsupportedError as error:
                self._observes = False
                failures.append(f"statistics: {error.message}")
        return self.backend.run(plan, found.tensors, room=room)

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
        failures=tuple(done.failures),
        seconds=done.watch.seconds,
        first_token_seconds=first,
        divergence=None if checked is None else checked.kl,
        parted=None if checked is None else not checked.agrees,
    )
