"""Extractive: exact spans under Hypothesis, EXIT's worked example, merged runs, limits, bad input."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ragkit.chunkers.sentences import split_sentences
from ragkit.errors import ConfigError, ContractError, ModelError, UsageError
from ragkit.models.hashing import HashingEmbedder
from ragkit.schema import Chunk, Document, Hit
from ragkit.selectors.extractive import ExtractiveSelector
from ragkit.selectors.extractive_fusion import FusedSentences
from ragkit.selectors.extractive_parts import merged, narrowed
from ragkit.testing.scripted import ScriptedLanguageModel
from ragkit.testing.selector import check_selector

TEXT = "The harbour opened in 1931.\nSwallows winter in Africa. The harbour has four cranes. Nobody paints them."
EMBEDDER = HashingEmbedder()


def count(texts):
    return [len(text.split()) for text in texts]


def hit(rank, text=TEXT, start=0, line=1):
    document = Document("x" * start + text, f"s{rank}.md")
    chunk = Chunk.of(document, start, start + len(text))
    return Hit(rank, 1.0 / rank, f"c{rank}", chunk, document.source, 7, line, rank)


def cosine(**options):
    return ExtractiveSelector(embedder=EMBEDDER, sentences=split_sentences, count=count, **options)


def says(yes, **options):
    """Return a selector whose model gives Yes a probability by the words of the sentence."""

    def labels(prompt, names):
        assert list(names) == ["Yes", "No"]
        sentence = prompt.rpartition("Sentence: ")[2].partition("\n")[0]
        return next((pair for word, pair in yes.items() if word in sentence), (0.1, 0.9))

    model = ScriptedLanguageModel(labels=labels)
    selector = ExtractiveSelector(
        "yes_no", language_model=model, embedder=EMBEDDER, sentences=split_sentences, count=count, **options
    )
    return selector, model


sentences = st.sampled_from(
    ["The harbour opened in 1931.", "Cranes lift!", "中文句子。", "a", "\n\n", "Who paints it? ", "  ", "No. 5 is red."]
)
texts = st.lists(sentences, min_size=1, max_size=7).map(" ".join)
hit_lists = st.lists(texts, max_size=5).map(lambda found: [hit(rank, text) for rank, text in enumerate(found, 1)])
policies = st.sampled_from(["auto", "elbow", "fixed", "share", {"name": "threshold", "least": 0.3}, "drop"])


@given(hit_lists, policies, st.floats(0, 1), st.integers(1, 4))
def test_the_contract_with_exact_spans(hits, policy, context, k):
    check_selector(cosine(policy=policy, context=context, k=k), "harbour cranes", hits, count=count)


def test_exits_example_keeps_from_one_half():
    p = {"opened": (math.exp(2), math.exp(1)), "cranes": (math.exp(0), math.exp(1))}
    total = math.exp(2) + math.exp(1)
    selector, model = says({word: (a / total, b / total) for word, (a, b) in p.items()})
    selection = selector.select("When did the harbour open?", [hit(1)])
    assert [part.chunk.text for part in selection.hits] == ["The harbour opened in 1931."]
    assert selection.trace["narrowed"][0]["best"] == pytest.approx(0.731, abs=1e-3)
    assert all(prompt.startswith(TEXT) for _, prompt in model.calls), "the chunk comes first, for caches"
    assert len(model.calls) == 4


def test_runs_become_one_span_and_separate_ones_several_hits():
    assert merged([(0, 4), (5, 9), (10, 14)], {0, 2}) == [(0, 4), (10, 14)]
    selector, _ = says({"1931": (0.9, 0.1), "Swallows": (0.8, 0.1), "Nobody": (0.7, 0.1)})
    selection = selector.select("q", [hit(1, start=5, line=3)])
    first, second = selection.hits
    assert first.chunk.text == "The harbour opened in 1931.\nSwallows winter in Africa."
    assert (first.chunk.start, first.line, first.page, first.row) == (5, 3, 7, 1)
    assert (second.chunk.text, second.line) == ("Nobody paints them.", 4)
    assert first.part_of == second.part_of == "c1"
    assert len({"c1", first.chunk_id, second.chunk_id}) == 3, "a cache must not take a part for the chunk"
    assert selection.tokens == 12
    assert selection.trace["narrowed"][0]["kept"] == [0, 1, 3]


def test_a_chunk_that_is_kept_whole_stays_the_chunk():
    selector, _ = says({"": (0.9, 0.1)})
    assert selector.select("q", [hit(1)]).hits == (hit(1),)


def test_nothing_reaches_the_threshold_and_the_best_sentence_is_kept():
    selector, _ = says({"cranes": (0.3, 0.6)})
    (part,) = selector.select("q", [hit(1)]).hits
    assert part.chunk.text == "The harbour has four cranes."


def test_a_model_that_says_neither_yes_nor_no_is_reported():
    selector, _ = says({"": (0.0, 0.0)})
    selection = selector.select("q", [hit(1)])
    assert selection.trace["scorer"]["evasive"] == 1.0
    assert len(selection.hits) == 1


def test_a_limit_takes_the_best_sentences_that_fit():
    selector, _ = says({"Swallows": (0.9, 0.1), "1931": (0.8, 0.1), "Nobody": (0.7, 0.1)})
    selection = selector.select("q", [hit(1)], limit=7)
    assert [part.chunk.text for part in selection.hits] == ["Swallows winter in Africa.", "Nobody paints them."]
    none = selector.select("q", [hit(1)], limit=1)
    assert (none.hits, none.tokens) == ((), 0)
    assert none.dropped[0].reason == "its best sentence needs 4 tokens; 0 of the limit of 1 are taken"


def test_the_embedder_prefers_the_sentence_about_the_question():
    selector = cosine(policy={"name": "fixed", "k": 1}, context=0.0)
    (part,) = selector.select("How many cranes has the harbour?", [hit(1)]).hits
    assert part.chunk.text == "The harbour has four cranes."


def test_reasons_and_what_is_beyond():
    selection = cosine(policy={"name": "fixed", "k": 1}, k=2).select(
        "cranes", [hit(1), hit(2, "Sun."), hit(3, "Moon.")]
    )
    reasons = {dropped.hit.chunk_id: dropped.reason for dropped in selection.dropped}
    assert reasons["c3"] == "rank 3 is beyond the best 2 that are read"
    assert "is not among the best 1: only the best 1 are kept" in reasons["c2"]
    assert selection.trace["reasons"][selection.hits[0].chunk_id].startswith("1 of 4 sentences")


def test_equal_scores_duplicates_and_no_hits():
    selector, _ = says({"": (0.5, 0.5)})
    selection = selector.select("q", [hit(1), hit(2), hit(1)])
    assert [part.chunk_id for part in selection.hits] == ["c1", "c2"]
    assert selection.dropped[0].reason == "the same chunk stands higher in the list"
    assert selector.select("q", []).hits == ()


def test_scores_that_are_no_numbers_are_refused_and_a_dead_model_is_not_hidden():
    selector, _ = says({"": (math.nan, 0.5)})
    with pytest.raises(ContractError, match="nan"):
        selector.select("q", [hit(1)])
    model = ScriptedLanguageModel(labels=lambda *_: (_ for _ in ()).throw(ModelError("No server answers.")))
    dead = ExtractiveSelector("yes_no", language_model=model, sentences=split_sentences)
    with pytest.raises(ModelError, match="No server"):
        dead.select("q", [hit(1)])


def test_a_part_of_a_part_names_the_chunk():
    part = narrowed(hit(1, start=3), 28, len(TEXT))
    again = narrowed(part, 0, 26)
    assert (again.part_of, again.chunk.text) == ("c1", "Swallows winter in Africa.")
    assert again.chunk.start == 3 + 28


def test_wrong_use():
    with pytest.raises(ConfigError, match="k is 0"):
        cosine(k=0)
    with pytest.raises(ConfigError, match="context is 2"):
        cosine(context=2)
    with pytest.raises(UsageError, match="needs `embedder`"):
        ExtractiveSelector(sentences=split_sentences)
    with pytest.raises(UsageError, match="`count`"):
        ExtractiveSelector(embedder=EMBEDDER, sentences=split_sentences).select("q", [hit(1)], limit=3)


def test_kept_parts_are_what_the_kit_checks():
    class Broken:
        name = "broken"
        narrows = True

        def __init__(self, change):
            self._inner = cosine(policy={"name": "fixed", "k": 1})
            self._change = change

        def select(self, query, hits, limit=None, corpus=None):
            return self._change(self._inner.select(query, hits, limit, corpus))

    def moved(selection):
        return replace(
            selection,
            hits=tuple(
                replace(part, chunk=replace(part.chunk, start=part.chunk.start + 1)) if part.part_of else part
                for part in selection.hits
            ),
        )

    def doubled(selection):
        return replace(selection, hits=selection.hits * 2, tokens=selection.tokens * 2)

    with pytest.raises(ContractError, match="no exact span"):
        check_selector(Broken(moved), "cranes", [hit(1)], count=count)
    with pytest.raises(ContractError, match="overlap"):
        check_selector(Broken(doubled), "cranes", [hit(1)], count=count)


def test_scores_do_not_depend_on_what_else_is_asked():
    alone = cosine().select("cranes", [hit(1)]).trace["narrowed"][0]["best"]
    among = cosine().select("cranes", [hit(1), hit(2, "The moon. A lake.")]).trace["narrowed"][0]["best"]
    assert np.isclose(alone, among, rtol=0, atol=0)


def fusion(**options):
    return ExtractiveSelector("fusion", embedder=EMBEDDER, sentences=split_sentences, count=count, **options)


@given(hit_lists, st.floats(0.05, 1), st.integers(1, 4), st.sampled_from([None, 1, 3]))
def test_fusion_keeps_the_contract_and_its_budget(hits, share, of, k):
    selector = fusion(share=share, of=of, k=k)
    check_selector(selector, "harbour cranes", hits, count=count)
    budget = int(share * sum(count([one.chunk.text for one in hits[:of]])))
    assert selector.select("harbour cranes", hits).tokens <= budget


def test_fusion_spends_the_budget_on_the_best_sentences_of_all_hits():
    filler = "Swallows winter in Africa. They return in spring. Nobody counts them."
    hits = [hit(1, filler), hit(2, filler.replace("Swallows", "Storks")), hit(3)]
    selection = fusion(share=0.5, of=1).select("How many cranes has the harbour?", hits)
    assert [part.chunk.text for part in selection.hits] == ["The harbour has four cranes."]
    assert selection.trace["budget"] == {"share": 0.5, "of": 1, "tokens": 5}
    assert [one.hit.rank for one in selection.dropped] == [1, 2]


def test_fusion_scores_are_mean_deviations_over_all_sentences():
    scorer = FusedSentences(EMBEDDER)
    hits = [hit(1), hit(2, "Cranes lift! The harbour pays.")]
    spans = [split_sentences(one.chunk.text) for one in hits]
    first, second = scorer.score("harbour cranes", hits, spans)
    assert np.concatenate([first, second]).mean() == pytest.approx(0, abs=1e-9)
    assert first[2] == max(first), "the sentence with both words"
    assert min(second) > np.median(first), "a chunk about the matter lifts its sentences"


def test_fusion_of_equal_sentences_keeps_the_retrievers_order():
    hits = [hit(rank, "The harbour opened.") for rank in (1, 2, 3)]
    assert [one.rank for one in fusion(share=0.4, of=5).select("tea", hits).hits] == [1]


@pytest.mark.parametrize("options", [{"share": 0.0}, {"share": 1.5}, {"of": 0}])
def test_a_budget_that_is_none_is_refused(options):
    with pytest.raises(ConfigError, match="share"):
        fusion(**options)


def test_a_share_needs_something_to_count_with():
    selector = ExtractiveSelector("fusion", embedder=EMBEDDER, sentences=split_sentences)
    with pytest.raises(UsageError, match="count"):
        selector.select("q", [hit(1)])
