"""The watch over live requests: counts what was sampled, and switches reuse off once it is shown to be too far off."""

from __future__ import annotations

import warnings

from ragkit.cachecraft.gate_file import GateFile, Live
from ragkit.cachecraft.settings import budget_key, budget_text
from ragkit.config import KvReuseConfig
from ragkit.errors import RagkitWarning


class Watch:
    """Sampled requests of one model with one policy and budget, those of other processes and of before included.

    They are held against `gate_divergence` unless the gate is left out; then they are counted only.
    """

    def __init__(self, file: GateFile, config: KvReuseConfig, name: str) -> None:
        """Take the file beside the store, the settings, and the model's name for messages."""
        self._file = file
        self._budget = budget_key(config)
        self._told = budget_text(config)
        self._bound = config.gate_divergence if config.gate else None
        self._name = name
        self._live = file.read().live(self._budget)

    @property
    def off(self) -> str:
        """Why reuse is switched off, empty where it is not."""
        bound, live = self._bound, self._live
        return live_refusal(live, self._name) if bound is not None and live.refused(bound) else ""

    def add(self, kl: float, *, parted: bool) -> str:
        """Count one request's divergence (nats), and return why reuse is off from here on, empty where it goes on.

        Warns where this request switches it off. Where nothing can be written it is known to this process only.
        """
        before = self.off
        known = self._file.add_live(self._budget, kl, parted=parted, bound=self._bound, told=self._told)
        self._live = self._live.after(kl, parted, self._bound) if known is None else known.live(self._budget)
        if self.off and not before:
            warnings.warn(f"Chunk reuse is switched off: {self.off}.", RagkitWarning, stacklevel=2)
        return self.off


def live_refusal(live: Live, name: str) -> str:
    """Return what `live`, which is off, has shown, and what to do."""
    bound = live.evidence.bound if live.evidence is not None else 0.0
    return (
        f"{live.requests} sampled requests of {name or 'the model'} ({live.budget}) begin {live.mean:.3g} nats from "
        f"full recompute on average, shown to be above the {bound:g} that are allowed; `ragkit cache gate` measures it "
        "again and clears this"
    )
