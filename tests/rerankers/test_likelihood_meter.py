"""What the likelihood reranker asks a language model is on the meter, whoever asks for it."""

from __future__ import annotations

import pytest

from ragkit.budget import Budget
from ragkit.config import PartConfig, PipelineConfig
from ragkit.controllers.grading import RerankerGrader
from ragkit.errors import BudgetExceededError
from ragkit.parts import make_selector
from ragkit.plugins import BUILT_IN
from ragkit.rerankers.bm25 import Bm25Reranker
from ragkit.rerankers.fusion import FusionReranker
from ragkit.rerankers.likelihood import LikelihoodReranker
from ragkit.schema import Chunk, Hit
from ragkit.testing.scripted import ScriptedLanguageModel


class Scoring(ScriptedLanguageModel):
    """Finds every token equally likely."""

    def __init__(self) -> None:
        super().__init__(scores=lambda text, _: [1.0] * len(text.split()), name="scoring")


def rerank_stage(meter):
    return meter.report()["stages"]["rerank"]


@pytest.mark.parametrize("budget", [None, Budget(tokens=1000)])
def test_every_call_is_booked(budget):
    meter = Budget().meter()
    LikelihoodReranker(Scoring(), budget=budget, meter=meter).score("who is it", ["a b", "c"])
    assert (rerank_stage(meter)["calls"], rerank_stage(meter)["prompt_tokens"]) == (2, 6)
    assert meter.tokens == 6


def test_a_limit_of_the_meter_holds():
    meter = Budget(tokens=4).meter()
    with pytest.raises(BudgetExceededError):
        LikelihoodReranker(Scoring(), meter=meter).score("who is it", ["a", "b"])


def test_a_fusion_and_a_grader_pass_the_meter_on():
    reranker = FusionReranker([Bm25Reranker(), LikelihoodReranker(Scoring())])
    meter = Budget().meter()
    found = reranker.charged(meter).score("who is it", ["a", "b"])
    assert found.tolist() == reranker.score("who is it", ["a", "b"]).tolist()
    assert rerank_stage(meter)["calls"] == 2
    meter = Budget().meter()
    RerankerGrader(LikelihoodReranker(Scoring())).grades("who is it", ["a"], meter)
    assert rerank_stage(meter)["calls"] == 1


def test_a_configured_selector_passes_its_meter(monkeypatch):
    monkeypatch.setitem(BUILT_IN["language_models"], "scoring", f"{__name__}:Scoring")
    meter = Budget().meter()
    reranker = {"name": "likelihood", "model": {"name": "scoring"}}
    part = PartConfig(name="score_cut", options={"reranker": reranker})
    selector = make_selector(PipelineConfig(), part, lambda texts: [1] * len(texts), meter=meter)
    hits = [Hit(n, 1.0 / n, str(n), Chunk("d", n, n + 1, "x"), "s", None, None) for n in (1, 2, 3)]
    selector.select("who is it", hits, 10)
    assert rerank_stage(meter)["calls"] == 3
