"""Extractive with a reranker as the judge of sentences, alone and beside fusion, and with learnt weights."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import ragkit.selectors
from ragkit.chunkers.sentences import split_sentences
from ragkit.config import PartConfig, PipelineConfig
from ragkit.errors import ConfigError, ContractError, UsageError
from ragkit.models.hashing import HashingEmbedder
from ragkit.parts import check_part, make_selector
from ragkit.schema import Chunk, Document, Hit
from ragkit.selectors.extractive import ExtractiveSelector
from ragkit.selectors.extractive_fusion import FusedSentences, learnt_weights
from ragkit.selectors.extractive_judging import JudgedSentences, shown
from ragkit.testing.selector import check_selector

TEXT = "The harbour opened in 1931. Swallows winter in Africa. The harbour has four cranes. Nobody paints them."
EMBEDDER = HashingEmbedder()


class Judge:
    """Scores a text by how often its first sentence says a word."""

    name = "counting"
    fingerprint = "counting-1"
    scale = "unbounded"
    window = None

    def __init__(self, word: str = "cranes", worth: float = 1.0) -> None:
        self.word, self.worth = word, worth
        self.calls: list[list[str]] = []

    def score(self, query, texts):
        self.calls.append(list(texts))
        return np.array([self.worth * text.partition(" || ")[0].count(self.word) for text in texts])


def count(texts):
    return [len(text.split()) for text in texts]


def hit(rank, text=TEXT):
    document = Document(text, f"s{rank}.md")
    return Hit(rank, 1.0 / rank, f"c{rank}", Chunk.of(document, 0, len(text)), document.source, None, 1, rank)


def judged(judge, scorer="reranker", **options):
    return ExtractiveSelector(
        scorer, reranker=judge, embedder=EMBEDDER, sentences=split_sentences, count=count, **options
    )


def test_all_sentences_of_a_question_are_judged_in_one_call_with_their_neighbours():
    judge = Judge()
    judged(judge).select("What?", [hit(1), hit(2, "Alone.")])
    assert judge.calls == [
        [
            "The harbour opened in 1931. || The harbour opened in 1931. Swallows winter in Africa.",
            "Swallows winter in Africa. || The harbour opened in 1931. Swallows winter in Africa. The harbour has four "
            "cranes.",
            "The harbour has four cranes. || Swallows winter in Africa. The harbour has four cranes. Nobody paints "
            "them.",
            "Nobody paints them. || The harbour has four cranes. Nobody paints them.",
            "Alone.",
        ]
    ]


def test_the_best_judged_sentences_fill_half_of_the_best_hits_and_the_trace_names_the_judge():
    selection = judged(Judge(), of=1).select("What?", [hit(1), hit(2)])
    assert "The harbour has four cranes." in selection.hits[0].chunk.text
    assert selection.tokens <= 0.5 * count([TEXT])[0]
    assert selection.trace["scorer"] == {
        "name": "reranker",
        "reranker": "counting",
        "fingerprint": "counting-1",
        "neighbours": 1,
    }
    check_selector(judged(Judge()), "What?", [hit(1), hit(2)], count=count)


def test_a_heavy_judge_decides_over_fusion_and_one_of_no_weight_changes_nothing():
    hits, query = [hit(1), hit(2, "Paint dries slowly. Boats sail.")], "When did the harbour open in 1931?"
    spans = [split_sentences(one.chunk.text) for one in hits]
    plain = FusedSentences(EMBEDDER).score(query, hits, spans)
    light = FusedSentences(EMBEDDER, judge=JudgedSentences(Judge("Boats")), weight=0.0).score(query, hits, spans)
    heavy = FusedSentences(EMBEDDER, judge=JudgedSentences(Judge("Boats")), weight=1e6).score(query, hits, spans)
    for one, other in zip(plain, light, strict=True):
        np.testing.assert_allclose(one, other)
    assert heavy[1][1] == max(max(one) for one in heavy)
    assert plain[1][1] != max(max(one) for one in plain)
    trace = judged(Judge(), "fusion", weight=2.0).select(query, hits).trace["scorer"]
    assert (trace["judge"]["reranker"], trace["weight"]) == ("counting", 2.0)


def test_learned_is_the_weighted_mean_of_the_views():
    hits, query = [hit(1), hit(2, "Paint dries slowly. Boats sail.")], "How many cranes has the harbour?"
    spans = [split_sentences(one.chunk.text) for one in hits]
    fusion = FusedSentences(EMBEDDER, weights=learnt_weights())
    weights = np.array(learnt_weights())
    expected = weights @ fusion.views(query, hits, spans) / weights.sum()
    np.testing.assert_allclose(np.concatenate(fusion.score(query, hits, spans)), expected)
    trace = judged(None, "learned").select(query, hits).trace["scorer"]
    assert (trace["name"], trace["weights"]) == ("learned", list(learnt_weights()))


def test_the_file_of_weights_says_whence_and_names_no_set_that_is_measured_on():
    path = Path(ragkit.selectors.__file__).with_name("extractive_weights.json")
    content = json.loads(path.read_text(encoding="utf-8"))
    assert len(content["weights"]) == len(content["views"]) == 5
    assert content["learnt_from"]
    assert not {"chunking_eval", "contract_nli"} & set(content["learnt_from"])


def test_a_configuration_names_the_judge_like_any_reranker(tmp_path):
    named = {"name": "cross_encoder", "model": str(tmp_path)}
    part = PartConfig(name="extractive", options={"scorer": "reranker", "reranker": named})
    check_part("selectors", part)
    made = make_selector(PipelineConfig(), part, count, lambda: EMBEDDER)
    assert made.name == "extractive"
    wrong = PartConfig(
        name="extractive", options={"scorer": "reranker", "reranker": {"name": "cross_encoder", "modl": 1}}
    )
    with pytest.raises(UsageError, match="modl"):
        check_part("selectors", wrong)


def test_a_configuration_without_the_judge_is_told_to_name_one():
    part = PartConfig(name="extractive", options={"scorer": "reranker"})
    with pytest.raises(UsageError, match="needs `reranker`") as told:
        make_selector(PipelineConfig(), part, count, lambda: EMBEDDER)
    assert told.value.hint == "Name one: reranker: {name: cross_encoder, model: FOLDER}."


def test_bad_input():
    with pytest.raises(UsageError, match="reranker"):
        judged(None)
    with pytest.raises(ConfigError):
        judged(Judge(), "fusion", weight=-1.0)
    with pytest.raises(ConfigError):
        judged(Judge(), "fusion", weight=float("nan"))
    with pytest.raises(ContractError):
        judged(Judge(worth=float("nan"))).select("What?", [hit(1)])
    assert judged(Judge()).select("What?", []).hits == ()
    assert shown("One.", [(0, 4)], 0, 3) == "One."
