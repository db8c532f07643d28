"""Live requests that really diverge switch reuse off, here and in the next process; the gate measured again clears it.

Real weights: with nothing repaired, chunks in another order than they were cached in diverge by a few hundredths of a
nat, which is above a bound of 0.0001; with everything repaired they do not.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import pytest

from ragkit.cachecraft import probe_set
from ragkit.cachecraft import session as session_module
from ragkit.cachecraft.gate_file import GateFile, GateResult
from ragkit.cachecraft.language_model import ReusingLanguageModel
from ragkit.cachecraft.report import collected_reports
from ragkit.cachecraft.spaces import space_stats
from ragkit.cachecraft.watch import Watch
from ragkit.config import KvReuseConfig
from ragkit.errors import RagkitWarning

from .conftest import prompt

PASSED = GateResult("none", 0.0, None, 1, 0.0, 0.0, 1.0, 8, 1.0, probe_set.VERSION)
ORDERS = [(2, 1, 0), (1, 2, 0), (2, 0, 1), (1, 0, 2), (0, 2, 1)]


@pytest.fixture
def made(smollm, tmp_path, monkeypatch):
    """Return a function that makes a model whose gate has passed, with all requests sampled."""
    monkeypatch.setattr(session_module, "run_gate", lambda *_, **__: PASSED)
    models = []

    def make(**changes) -> ReusingLanguageModel:
        settings = {"store": str(tmp_path), "share": 0.0, "sample_share": 1.0, "gate_divergence": 1e-4, **changes}
        models.append(ReusingLanguageModel(smollm, smollm, KvReuseConfig(**settings)))
        return models[-1]

    yield make
    for model in models:
        model.close()


def ask(model: ReusingLanguageModel, orders: Sequence[tuple[int, ...]] = ORDERS) -> list:
    """Fill the cache, and ask over the same chunks in other orders; return the reports of the latter."""
    model.generate(prompt((0, 1, 2), "Who dredged the harbour?"), max_tokens=1)
    with collected_reports() as reports:
        for order in orders:
            model.generate(prompt(order, "What do barges carry?"), max_tokens=1)
    return reports


def test_what_diverges_is_switched_off_here_and_in_the_next_process_until_it_is_measured_again(made, smollm, tmp_path):
    model = made()
    with pytest.warns(RagkitWarning, match="switched off") as told:
        reports = ask(model)
    assert sum("switched off" in str(one.message) for one in told) == 1, "it is said once"
    live = [report for report in reports if not report.off]
    assert 1 <= len(live) < len(ORDERS)
    assert [bool(report.stopped) for report in live] == [*[False] * (len(live) - 1), True]
    assert "0.0001 that are allowed" in reports[-1].off
    assert reports[-1].computed_tokens == 0, "the plain model answered"
    model.close()

    settings = model.config
    (space,) = space_stats(settings)
    assert len(space.switched_off) == 1
    assert "query_probe, share 0, runs of 1" in space.switched_off[0]

    again = made()
    with pytest.warns(RagkitWarning, match="stays off"):
        again.open()
    question = prompt((0, 1), "Who dredged the harbour?")
    assert again.generate(question, max_tokens=4) == smollm.generate(question, max_tokens=4)
    again.open(again=True)
    assert again.open().off == "", "measured again"
    again.close()
    assert not space_stats(settings)[0].switched_off
    with warnings.catch_warnings():
        warnings.simplefilter("error", RagkitWarning)
        assert made().open().off == ""


def test_what_is_computed_again_stays_on_under_the_same_bound(made):
    model = made(share=1.0)
    reports = ask(model)
    assert not any(report.off or report.stopped for report in reports)
    live = model.open().file.read().all_live
    assert live.requests == len(ORDERS)
    assert live.mean < 1e-6


def test_without_the_gate_requests_are_counted_only(made):
    model = made(gate=False)
    reports = ask(model, ORDERS[:1])
    assert not reports[0].off
    assert model.open().file.read().all_live.mean > 1e-4


def test_another_share_and_a_looser_bound_are_watched_apart(tmp_path):
    settings = KvReuseConfig(gate_divergence=1e-4)
    watch = Watch(GateFile(tmp_path), settings, "small")
    with pytest.warns(RagkitWarning, match="switched off"):
        assert watch.add(1.0, parted=True)
    for changes, off in [({}, True), ({"gate_divergence": 1e-5}, True), ({"gate_divergence": 1.0}, False)]:
        assert bool(Watch(GateFile(tmp_path), settings.model_copy(update=changes), "small").off) is off, changes
    for changes in ({"share": 0.5}, {"policy": "epic"}, {"gate": False}):
        assert not Watch(GateFile(tmp_path), settings.model_copy(update=changes), "small").off


def test_a_folder_that_cannot_be_written_keeps_the_verdict_in_this_process(tmp_path):
    (tmp_path / "file").write_text("")
    watch = Watch(GateFile(tmp_path / "file"), KvReuseConfig(), "small")
    with warnings.catch_warnings(record=True, action="always") as told:
        for _ in range(30):
            watch.add(1.0, parted=True)
    assert ["small" in str(one.message) for one in told] == [True]
    assert "are allowed" in watch.off


@pytest.mark.filterwarnings("ignore:Chunk reuse is switched off")
def test_processes_share_what_they_have_seen(tmp_path):
    one, other, alone = (Watch(GateFile(tmp_path / at), KvReuseConfig(), "small") for at in ("all", "all", "alone"))
    while not one.add(0.8, parted=False):
        assert not alone.add(0.8, parted=False)
        other.add(0.8, parted=False)
    assert not alone.off
    assert Watch(GateFile(tmp_path / "all"), KvReuseConfig(), "small").off
