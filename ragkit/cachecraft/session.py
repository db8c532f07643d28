"""A loaded model made ready for chunk reuse: its backend, its store, and what the quality gate says of it.

This module imports torch; import it only to run a model.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from ragkit.cachecraft.gate import run_gate
from ragkit.cachecraft.gate_file import GateFile, GateResult
from ragkit.cachecraft.hf.backend import HfBackend
from ragkit.cachecraft.home import space_folder
from ragkit.cachecraft.pieces import Pieces
from ragkit.cachecraft.probe_set import VERSION
from ragkit.cachecraft.reuse import ChunkReuse
from ragkit.cachecraft.settings import budget_key, open_store, store_folder
from ragkit.cachecraft.store import ChunkStore
from ragkit.cachecraft.tiers.tier import Blob
from ragkit.cachecraft.watch import Watch
from ragkit.config import KvReuseConfig
from ragkit.errors import RagkitWarning, UnsupportedError
from ragkit.models.causal.engine import Engine
from ragkit.models.chat_template import shows_today
from ragkit.protocols import Progress

_WITHOUT = "To go on without chunk reuse: --no-kv-reuse, or kv_reuse=False."


@dataclass(frozen=True, slots=True)
class Session:
    """Everything that answers through chunk reuse."""

    backend: HfBackend
    pieces: Pieces
    store: ChunkStore
    reuse: ChunkReuse
    ends: Sequence[int]
    file: GateFile
    gate: GateResult | None
    refused: str
    """What the quality gate has against it, empty where nothing."""
    watch: Watch

    @property
    def off(self) -> str:
        """Why reuse must not be used, empty where it may; sampled requests can change that."""
        return self.refused or self.watch.off


def open_session(
    engine: Engine,
    name: str,
    fingerprint: str,
    config: KvReuseConfig,
    *,
    progress: Progress | None = None,
    again: bool = False,
) -> Session:
    """Return the session of a loaded model, with the gate run unless its result is known (`again`: in any case).

    Raises UnsupportedError, by name, for a model that cannot reuse chunks.
    """
    try:
        backend = HfBackend(engine.model, fingerprint)
        pieces = Pieces(engine.tokenizer, day=engine.day)
    except UnsupportedError as error:
        raise UnsupportedError(error.message, hint=f"{error.hint} {_WITHOUT}".lstrip()) from error
    ends = engine.writer.ends
    file = GateFile(space_folder(store_folder(config), backend.space.key))
    gate = None
    if again or (config.gate and config.policy != "full"):
        budget = budget_key(config)
        gate = None if again else file.read().result(budget, VERSION)
        if gate is None:
            gate = run_gate(backend, pieces, config, ends=ends, progress=progress)
            file.add_result(name, budget, gate, again=again)
    watch = Watch(file, config, name)
    refused = "" if gate is None else gate_refusal(gate, config, name)
    if off := refused or watch.off:
        warnings.warn(f"Chunk reuse stays off: {off}.", RagkitWarning, stacklevel=2)
    elif engine.day is None and shows_today(engine.tokenizer):
        warnings.warn(_today(name), RagkitWarning, stacklevel=2)
    on_gpu = backend.device.type == "cuda"
    store = open_store(config, backend.space.key, allocate=_page_locked if on_gpu else None)
    return Session(backend, pieces, store, ChunkReuse(backend, store, config), ends, file, gate, refused, watch)


def gate_refusal(gate: GateResult, config: KvReuseConfig, name: str) -> str:
    """Return why a model must not reuse chunks, empty where it may."""
    found = (
        f"on the probe set of the quality gate the answers of {name} begin {gate.divergence:.2f} nats from full "
        f"recompute, with {gate.agreement:.0%} of its tokens"
    )
    bounds = f"allowed are {config.gate_divergence:g} nats and {config.gate_agreement:.0%}"
    passed = gate.divergence <= config.gate_divergence and gate.agreement >= config.gate_agreement
    return "" if passed else f"{found}; {bounds}"


def _today(name: str) -> str:
    return (
        f"The chat template of {name} shows today's date in front of everything, so that what is stored today is of no "
        "use tomorrow. To keep it, give the language model a day that its template shows, with and without chunk "
        "reuse, such as template_date: 2025-01-01."
    )


def _page_locked(size: int) -> Blob:
    """Return writable memory that a GPU copies from directly; MemoryError, which is a miss, where there is none."""
    try:
        memory: Blob = torch.empty(size, dtype=torch.uint8, pin_memory=True).numpy()
    except RuntimeError as error:
        raise MemoryError(str(error)) from error
    return memory
