"""The quality gate: what it measures, what it keeps, and that a model which fails it answers as ever."""

from __future__ import annotations

import dataclasses
import json
import math

import numpy as np
import pytest
import torch

from ragkit.cachecraft import gate as gate_module
from ragkit.cachecraft import probe_set
from ragkit.cachecraft.core.planning import full_plan
from ragkit.cachecraft.divergence import divergence
from ragkit.cachecraft.gate import run_gate
from ragkit.cachecraft.gate_file import GateFile, GateResult, Live
from ragkit.cachecraft.report import ReuseReport
from ragkit.cachecraft.reuse import ChunkReuse
from ragkit.cachecraft.session import gate_refusal
from ragkit.cachecraft.settings import budget_key
from ragkit.cachecraft.store import ChunkStore
from ragkit.cli.cache_replies import GateReply
from ragkit.config import KvReuseConfig

RESULT = GateResult("cachecraft", 0.15, None, 8, 0.03, 0.1, 0.95, 8, 1.0, probe_set.VERSION)


@pytest.fixture
def short(monkeypatch):
    """Ask two of the questions, about the first answer tokens."""
    monkeypatch.setattr(probe_set, "QUESTIONS", probe_set.QUESTIONS[:2])
    monkeypatch.setattr(gate_module, "_ANSWER", 3)


def test_the_probe_set_asks_each_text_behind_others_than_it_was_cached_behind():
    for question in range(len(probe_set.QUESTIONS)):
        order = probe_set.order(question)
        assert question in order
        assert len(set(order)) == 4
        assert order not in probe_set.WARM
    assert len(probe_set.QUESTIONS) == len(probe_set.TEXTS) == sum(map(len, probe_set.WARM))


def test_at_share_one_nothing_diverges_and_progress_is_told(backend, pieces, ends, short):
    told = []
    config = KvReuseConfig(share=1.0, domain="tenant", sample_share=1.0)
    found = run_gate(backend, pieces, config, ends=ends, progress=lambda *step: told.append(step))
    assert found.divergence == pytest.approx(0.0, abs=1e-5)
    assert (found.agreement, found.questions, found.share) == (1.0, 2, 1.0)
    assert told == [("quality gate", done, 4) for done in range(1, 5)]
    assert gate_refusal(found, config, "m") == ""


def test_damaged_keys_and_values_do_not_pass(backend, pieces, ends, short, monkeypatch):
    whole = backend.tensor

    def damaged(blob, tokens: int) -> torch.Tensor:
        tensor = whole(blob, tokens)
        return tensor + torch.randn(tensor.shape, generator=torch.Generator().manual_seed(0)) * tensor.std() * 0.3

    monkeypatch.setattr(backend, "tensor", damaged)
    found = run_gate(backend, pieces, KvReuseConfig(), ends=ends)
    refused = gate_refusal(found, KvReuseConfig(), "small")
    assert "small" in refused
    assert "0.2 nats and 85%" in refused


def test_the_figures_are_those_of_reuse_against_full_recompute(backend, pieces, ends, short, monkeypatch):
    """Computed here once more, by other formulas, with damaged keys and values so that both are far from perfect."""
    whole, config = backend.tensor, KvReuseConfig(policy="none")

    def damaged(blob, tokens: int) -> torch.Tensor:
        tensor = whole(blob, tokens)
        return tensor + torch.randn(tensor.shape, generator=torch.Generator().manual_seed(0)) * tensor.std() * 0.2

    monkeypatch.setattr(backend, "tensor", damaged)
    found = run_gate(backend, pieces, config, ends=ends)
    kls, same = [], []
    with ChunkStore(backend.space.key, None, admission="always") as store:
        reuse = ChunkReuse(backend, store, config)
        for texts in probe_set.WARM:
            reuse.keep(reuse.compute(pieces.layout(probe_set.prompt(texts, 0))))
        for at in range(2):
            layout = pieces.layout(probe_set.prompt(probe_set.order(at), at))
            full = backend.run(full_plan(layout), {}, room=3)
            reused = reuse.compute(layout, room=3).state
            assert reused.plan.repaired_tokens == 0 < len(reused.plan.reused)
            true, other = (torch.softmax(state.logits.double(), -1) for state in (full, reused))
            kls.append(float((true * (true / other).log()).sum()))
            answer = backend.decode([full], 3, ends=ends)[0]
            (logits,) = backend.forced([reused], [np.array(answer, np.int32)])
            same += [int(row.argmax()) == token for row, token in zip(logits, answer, strict=True)]
    assert min(kls) > 0.01
    assert found.divergence == pytest.approx(sum(kls) / 2, rel=1e-3)
    assert found.worst == pytest.approx(max(kls), rel=1e-3)
    assert found.agreement == pytest.approx(sum(same) / len(same))
    assert found.agreement < 1


def test_logits_that_are_no_numbers_diverge_without_bound():
    numbers, nothing = torch.tensor([0.0, 1.0]), torch.tensor([0.0, torch.nan])
    for full, reused in ((numbers, nothing), (nothing, numbers), (nothing, nothing)):
        assert divergence(full, reused) == (math.inf, False)
    assert divergence(torch.tensor([0.0, -torch.inf]), torch.tensor([0.0, -torch.inf])) == (0.0, True)
    assert gate_refusal(dataclasses.replace(RESULT, divergence=math.inf), KvReuseConfig(), "m")
    reply = GateReply.of(dataclasses.replace(RESULT, divergence=math.inf, worst=math.inf))
    assert json.loads(reply.model_dump_json())["worst"] is None
    assert ReuseReport("epic", divergence=math.inf, parted=True).as_dict()["divergence"] is None


def test_an_infinite_divergence_comes_back_from_the_file(tmp_path):
    broken = dataclasses.replace(RESULT, divergence=math.inf, worst=math.inf)
    GateFile(tmp_path).add_result("model", "b", broken)
    assert GateFile(tmp_path).read().result("b", probe_set.VERSION) == broken


def test_either_bound_refuses():
    config = KvReuseConfig()
    assert gate_refusal(RESULT, config, "m") == ""
    assert gate_refusal(dataclasses.replace(RESULT, divergence=0.21), config, "m")
    assert gate_refusal(dataclasses.replace(RESULT, agreement=0.84), config, "m")
    assert not gate_refusal(RESULT, KvReuseConfig(gate_divergence=0.03, gate_agreement=0.95), "m")


def test_results_and_live_counts_come_back_from_the_file(tmp_path):
    file = GateFile(tmp_path / "space")
    assert file.read().result("b", probe_set.VERSION) is None
    file.add_result("model", "b", RESULT)
    file.add_live("b", 0.5, parted=True)
    file.add_live("c", 0.25, parted=False)
    file.add_live("b", 0.0, parted=False)
    known = GateFile(tmp_path / "space").read()
    assert known.model == "model"
    assert known.result("b", probe_set.VERSION) == RESULT
    assert known.result("b", probe_set.VERSION + 1) is None, "another probe set is another question"
    assert known.result("c", probe_set.VERSION) is None
    assert known.live("b") == Live(2, 1, 0.5)
    assert known.all_live == Live(3, 1, 0.75)
    assert known.live("d") == Live()
    assert known.all_live.mean == 0.25
    file.clear()
    assert file.read().results is None


def of_other_types() -> str:
    """Return valid JSON of which a divergence is null and a count a word."""
    fields = {**dataclasses.asdict(RESULT), "divergence": None}
    return json.dumps({"model": "m", "results": {"b": fields}, "live": {"requests": "many"}})


@pytest.mark.parametrize(
    "content",
    ["", "{", "[]", '{"model": 1}', '{"model": "m", "results": {"b": {}}, "live": {}}', of_other_types()],
)
def test_a_damaged_file_counts_as_absent(tmp_path, content):
    (tmp_path / "gate.json").write_text(content)
    file = GateFile(tmp_path)
    assert file.read().result("b", probe_set.VERSION) is None
    file.add_result("model", "b", RESULT)
    assert file.read().result("b", probe_set.VERSION) == RESULT


def test_a_folder_that_cannot_be_written_costs_the_result_only(tmp_path):
    (tmp_path / "file").write_text("")
    file = GateFile(tmp_path / "file")
    file.add_result("model", "b", RESULT)
    assert file.read().results is None


def test_another_policy_or_budget_is_another_result():
    keys = [
        budget_key(KvReuseConfig(**changes))
        for changes in ({}, {"policy": "epic"}, {"share": 0.2}, {"alpha": 1.0}, {"run_length": 8})
    ]
    assert len(set(keys)) == len(keys)
    assert budget_key(KvReuseConfig(alpha=1.0, share=0.5)) == budget_key(KvReuseConfig(alpha=1.0))
    assert budget_key(KvReuseConfig(store="x", gate_divergence=1.0)) == budget_key(KvReuseConfig())
