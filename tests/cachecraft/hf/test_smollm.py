"""Real weights: through the repair path, everything repaired, the reply is the local language model's."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from ragkit.cachecraft.core.prompt import Kind, Layout, Piece
from ragkit.cachecraft.hf.backend import HfBackend
from ragkit.inference import GREEDY
from ragkit.models.causal.engine import Engine
from tests.cachecraft.hf import tiny

TEXTS = (
    "The lighthouse of Skerry was built in 1811 by Robert Stevenson. It is 35 metres high.",
    "Robert Stevenson was born in Glasgow in 1772 and worked as an engineer all his life.",
)


@pytest.mark.models
def test_full_repair_gives_the_local_models_reply(smollm_folder: Path):
    local = Engine(
        "smollm", smollm_folder, device="cpu", dtype="float32", window=2048, batch_tokens=None, compiled=False
    )
    backend = HfBackend(local.model, "smollm")
    head = "Answer the question from the texts.\n\n"
    whole = local.prompt_ids(head + "\n\n".join(TEXTS) + "\n\nWho built the lighthouse, and where was he born?")
    cut = len(whole) // 3
    parts = [whole[:20], whole[20:cut], whole[cut : 2 * cut], whole[2 * cut :]]
    kinds = [Kind.PREFIX, Kind.CHUNK, Kind.CHUNK, Kind.QUESTION]
    layout = Layout(tuple(Piece(kind, np.array(part, np.int32)) for kind, part in zip(kinds, parts, strict=True)))
    variants = tiny.alone(backend, layout)
    plan = tiny.repairing(layout, variants, range(len(whole)))
    state = backend.run(plan, tiny.blobs(variants), room=24)
    logits, keys, _ = tiny.stock(backend, layout)
    assert torch.equal(state.logits, logits)
    assert torch.equal(state.key_values.keys[:, 0, :, : len(whole)], keys)
    found: list[str] = []
    local.writer.write_all(
        [whole],
        max_tokens=24,
        sampling=GREEDY,
        meter=None,
        matchers=None,
        take=lambda _place, reply, _seconds: found.append(local.text(reply.tokens)),
    )
    ours = backend.decode([state], 24, ends=local.writer.ends)[0]
    assert local.text(ours) == found[0]
    assert "Stevenson" in found[0]
    unrepaired = backend.run(tiny.repairing(layout, variants, []), tiny.blobs(variants))
    error = (unrepaired.logits - logits).norm() / logits.norm()
    assert 1e-4 < float(error) < 0.5  # near, and not what was computed
