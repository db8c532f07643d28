"""The quality gate: a fixed probe set through chunk reuse and through full recompute, before a model's first reuse.

This module imports torch; import it only to run a model.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ragkit.cachecraft import probe_set
from ragkit.cachecraft.core.planning import full_plan
from ragkit.cachecraft.core.prompt import Layout
from ragkit.cachecraft.divergence import divergence
from ragkit.cachecraft.gate_file import GateResult
from ragkit.cachecraft.hf.backend import HfBackend
from ragkit.cachecraft.pieces import Pieces
from ragkit.cachecraft.reuse import ChunkReuse
from ragkit.cachecraft.store import ChunkStore
from ragkit.config import KvReuseConfig
from ragkit.protocols import Progress

STAGE = "quality gate"
_ANSWER = 16
"""Tokens of full recompute's answer that reuse has to agree with."""
_STORE_BYTES = 8 << 30


def run_gate(
    backend: HfBackend,
    pieces: Pieces,
    config: KvReuseConfig,
    *,
    ends: Sequence[int] = (),
    progress: Progress | None = None,
) -> GateResult:
    """Return how far answers of `config`'s policy and share are from full recompute, on the probe set.

    The texts are cached behind other neighbours and at other places than those at which they are used. Compared are
    the distributions of the first answer token (KL, nats), and the most likely token at each place of the answer that
    full recompute writes, given what it wrote so far. Takes 10 prompts of 400 tokens in full, and 8 through reuse.
    """
    started = time.perf_counter()
    total = len(probe_set.WARM) + len(probe_set.QUESTIONS)
    kls: list[float] = []
    same: list[NDArray[np.bool_]] = []
    with ChunkStore(backend.space.key, None, _STORE_BYTES, admission="always") as store:
        reuse = ChunkReuse(backend, store, config.model_copy(update={"sample_share": 0.0, "domain": ""}))
        for at, texts in enumerate(probe_set.WARM):
            reuse.keep(reuse.compute(pieces.layout(probe_set.prompt(texts, 0))))
            _tell(progress, at + 1, total)
        for at in range(len(probe_set.QUESTIONS)):
            kl, agrees = _compared(reuse, pieces.layout(probe_set.prompt(probe_set.order(at), at)), ends)
            kls.append(kl)
            same.append(agrees)
            _tell(progress, len(probe_set.WARM) + at + 1, total)
    return GateResult(
        policy=config.policy,
        share=None if config.alpha is not None else config.share,
        alpha=config.alpha,
        run_length=config.run_length,
        divergence=float(np.mean(kls)),
        worst=max(kls),
        agreement=float(np.mean(np.concatenate(same))),
        questions=len(kls),
        seconds=time.perf_counter() - started,
        version=probe_set.VERSION,
    )


def _compared(reuse: ChunkReuse, layout: Layout, ends: Sequence[int]) -> tuple[float, NDArray[np.bool_]]:
    """Return the divergence of the first token, and for each token of the full answer whether reuse agrees."""
    backend = reuse.backend
    full = backend.run(full_plan(layout), {}, room=_ANSWER)
    answer = np.array(backend.decode([full], _ANSWER, ends=ends)[0], np.int32)
    reused = reuse.compute(layout, room=_ANSWER).state
    (true,), (found,) = (backend.forced([state], [answer]) for state in (full, reused))
    agrees: NDArray[np.bool_] = (true.argmax(-1) == found.argmax(-1)).cpu().numpy()
    return divergence(full.logits, reused.logits).kl, agrees


def _tell(progress: Progress | None, done: int, total: int) -> None:
    if progress is not None:
        progress(STAGE, done, total)
