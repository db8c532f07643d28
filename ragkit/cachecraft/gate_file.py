"""What the quality gate found, kept beside the store: one small JSON file for each model space."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from filelock import FileLock, Timeout
from pydantic import TypeAdapter

from ragkit.cachecraft.evidence import Evidence

_NAME = "gate.json"
_WAIT_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class GateResult:
    """One run of the gate: divergences from full recompute over the probe set's questions."""

    policy: str
    share: float | None
    """None where Cache-Craft's alpha decides."""
    alpha: float | None
    run_length: int
    divergence: float
    """Mean KL of the first answer token, nats."""
    worst: float
    """The largest of them."""
    agreement: float
    """Share of the answers' tokens at which both find the same token most likely."""
    questions: int
    seconds: float
    version: int
    """Of the probe set."""


@dataclass(frozen=True, slots=True)
class Live:
    """Requests of one policy and budget that were sampled and computed in full besides."""

    requests: int = 0
    parted: int = 0
    """Those whose first token was another one."""
    divergence: float = 0.0
    """The sum of their divergences, nats."""
    budget: str = ""
    """Policy and budget, for people."""
    evidence: Evidence | None = None
    """That they are above the bound which it names; None where nobody asks."""
    off: bool = False
    """Whether that was shown, so that reuse is switched off."""

    @property
    def mean(self) -> float:
        """The mean divergence, nats; 0 without requests."""
        return self.divergence / self.requests if self.requests else 0.0

    def after(self, kl: float, parted: bool, bound: float | None) -> Live:
        """Return the counts with one more request, held against `bound`; another bound begins its evidence anew."""
        evidence, off = self.evidence, self.off
        if bound is not None and not self.refused(bound):
            begun = evidence if evidence is not None and evidence.bound == bound else Evidence(bound)
            evidence = begun.after(kl)
            off = evidence.shown
        return Live(self.requests + 1, self.parted + parted, self.divergence + kl, self.budget, evidence, off)

    def refused(self, bound: float) -> bool:
        """Return whether they were shown to be above `bound`, or above a larger one."""
        return self.off and self.evidence is not None and bound <= self.evidence.bound


@dataclass(frozen=True, slots=True)
class GateState:
    """All that is known of a model space: the model's name, and by budget results and counts of sampled requests."""

    model: str = ""
    results: Mapping[str, GateResult] | None = None
    sampled: Mapping[str, Live] | None = None

    def result(self, budget: str, version: int) -> GateResult | None:
        """Return the result for a policy and budget (`settings.budget_key`), None where it is to be found out."""
        found = (self.results or {}).get(budget)
        return found if found is not None and found.version == version else None

    def live(self, budget: str) -> Live:
        """Return the counts of sampled requests for a policy and budget."""
        return (self.sampled or {}).get(budget, Live())

    @property
    def all_live(self) -> Live:
        """The counts of all policies and budgets together."""
        known = (self.sampled or {}).values()
        return Live(*(sum(getattr(one, name) for one in known) for name in ("requests", "parted", "divergence")))


_STATE = TypeAdapter(GateState)


class GateFile:
    """The file in the folder of a model space. What cannot be read counts as absent; what cannot be written is lost."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / _NAME

    def read(self) -> GateState:
        """Return what is known."""
        try:
            return _STATE.validate_json(self._path.read_bytes())
        except (OSError, ValueError):
            return GateState()

    def add_result(self, model: str, budget: str, result: GateResult, *, again: bool = False) -> None:
        """Keep the result for one policy and budget; one measured `again` clears its counts of sampled requests."""

        def change(known: GateState) -> GateState:
            sampled = {key: live for key, live in (known.sampled or {}).items() if not (again and key == budget)}
            return GateState(model, {**(known.results or {}), budget: result}, sampled)

        self._change(change)

    def add_live(
        self, budget: str, kl: float, *, parted: bool, bound: float | None = None, told: str = ""
    ) -> GateState | None:
        """Count one sampled request, held against `bound` if there is one; `told` names the budget to people.

        Returns what is known then, None where it cannot be kept.
        """

        def change(known: GateState) -> GateState:
            live = replace(known.live(budget), budget=told).after(kl, parted, bound)
            return GateState(known.model, known.results, {**(known.sampled or {}), budget: live})

        return self._change(change)

    def clear(self) -> None:
        """Forget everything."""
        with suppress(OSError):
            self._path.unlink(missing_ok=True)

    def _change(self, change: Callable[[GateState], GateState]) -> GateState | None:
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with FileLock(self._path.with_suffix(".lock"), timeout=_WAIT_SECONDS):
                state = change(self.read())
                part = self._path.with_suffix(".part")
                part.write_text(json.dumps(asdict(state), indent=1), encoding="utf-8")
                part.replace(self._path)
        except (OSError, Timeout):
            return None
        return state
