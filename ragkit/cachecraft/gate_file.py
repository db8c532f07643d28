"""What the quality gate found, kept beside the store: one small JSON file for each model space."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from pydantic import TypeAdapter

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
    """Requests that were sampled and computed in full besides: how many, how many parted, the sum of divergences."""

    requests: int = 0
    parted: int = 0
    divergence: float = 0.0


@dataclass(frozen=True, slots=True)
class GateState:
    """All that is known of a model space: the model's name, results by budget, and counts of live requests."""

    model: str = ""
    results: Mapping[str, GateResult] | None = None
    live: Live = Live()

    def result(self, budget: str, version: int) -> GateResult | None:
        """Return the result for a policy and budget (`settings.budget_key`), None where it is to be found out."""
        found = (self.results or {}).get(budget)
        return found if found is not None and found.version == version else None


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

    def add_result(self, model: str, budget: str, result: GateResult) -> None:
        """Keep the result for one policy and budget."""
        self._change(lambda known: GateState(model, {**(known.results or {}), budget: result}, known.live))

    def add_live(self, kl: float, parted: bool) -> None:
        """Count one sampled request."""

        def change(known: GateState) -> GateState:
            live = Live(known.live.requests + 1, known.live.parted + parted, known.live.divergence + kl)
            return GateState(known.model, known.results, live)

        self._change(change)

    def clear(self) -> None:
        """Forget everything."""
        with suppress(OSError):
            self._path.unlink(missing_ok=True)

    def _change(self, change: Any) -> None:
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with FileLock(self._path.with_suffix(".lock"), timeout=_WAIT_SECONDS):
                state = change(self.read())
                results = {budget: asdict(result) for budget, result in (state.results or {}).items()}
                content = {"model": state.model, "results": results, "live": asdict(state.live)}
                part = self._path.with_suffix(".part")
                part.write_text(json.dumps(content, indent=1), encoding="utf-8")
                part.replace(self._path)
        except (OSError, Timeout):
            return
