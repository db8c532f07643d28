"""Rewriting: who is asked, which facts are used, which rewritten chunks are refused, and what never changes."""

from __future__ import annotations

import json
import warnings
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ragkit.enrichers.facts import Vocabulary
from ragkit.enrichers.gating import above_running_mean, margins
from ragkit.enrichers.missing import Missing, backed, chosen
from ragkit.enrichers.rewrite import RewriteEnricher
from ragkit.errors import ModelError, RagkitWarning, UnsupportedError

LAST = "It was never built, because the money ran out."
FACT = {
    "mention": "It",
    "kind": "reference",
    "supplement": "the analytical engine",
    "evidence": "notes about the analytical engine",
}


def replies(*facts, keep=(1,)):
    """Return a rule: these facts for the first question, these numbers for the second look."""

    def answer(prompt):
        return json.dumps({"keep": list(keep)} if "CANDIDATES" in prompt else {"items": list(facts)})

    return answer


def status(chunked, key="rewrite_status"):
    return [chunk.metadata.get(key) for chunk in chunked.chunks]


def index_texts(chunked):
    return [chunk.index_text for chunk in chunked.chunks]


def test_verified_facts_are_appended(scripted, embedder, story, same):
    model = scripted(record=replies(FACT))
    after = RewriteEnricher(model, embedder, gate="always").enrich([story])
    same([story], after)
    assert index_texts(after[0])[2] == f"{LAST}\nIt: the analytical engine"
    assert status(after[0]) == [
        "skipped: first chunk of its document",
        "kept: a mention is not in the passage",
        "added",
    ]
    assert after[0].chunks[2].metadata["rewrite_facts"] == 1


def test_the_first_chunk_is_never_asked_about(scripted, embedder, story):
    model = scripted(record=replies(FACT))
    RewriteEnricher(model, embedder).enrich([story])
    assert len(model.asked("labels")) == 2
    assert not any(f"PASSAGE:\n{story.chunks[0].text}" in text for _, texts in model.bulk for text in texts)


def test_the_gate_starts_at_zero_and_becomes_the_mean_of_all_margins():
    values = [0.1, -0.2, 0.3, 0.0, 0.4, 0.13, 0.11, 0.5]
    # means before the sixth, seventh and eighth: 0.12, 0.73 / 6 = 0.1217, 0.84 / 7 = 0.12
    assert above_running_mean(values) == [True, False, True, False, True, True, False, True]
    assert above_running_mean(values, threshold=0.2) == [False, False, True, False, True, False, False, True]


@given(st.lists(st.floats(-1, 1), max_size=30))
def test_the_gate_is_the_rule_of_the_specification(values):
    expected = [m > (0 if n < 5 else sum(values[:n]) / n) for n, m in enumerate(values)]
    assert above_running_mean(values) == expected


def test_a_margin_counts_capitals_too():
    assert margins(np.array([[0.1, 0.2, 0.05, 0.25], [0.0, 0.0, 1.0, 0.0]])) == pytest.approx([0.0, -1.0])


def test_the_gate_starts_anew_with_each_document(scripted, embedder, cut):
    """In the published code it goes on, so that the order of documents changes the result."""
    one = cut("\n".join(f"Line {n} of the first document, high." for n in range(8)), "one.txt")
    two = cut("\n".join(f"Line {n} of the second document, low." for n in range(8)), "two.txt")
    model = scripted(margin=lambda prompt: 0.6 if "high" in prompt.split("PASSAGE:")[1] else 0.1)
    enricher = RewriteEnricher(model, embedder)
    forward = enricher.enrich([one, two])
    backward = enricher.enrich([two, one])
    assert forward == backward[::-1]
    # equal margins are not above their mean, but 0.1 is above the 0 that a document starts with
    assert status(forward[1])[1:6] == ["kept: nothing is missing"] * 5
    assert forward[1].chunks[1].metadata["rewrite_margin"] == pytest.approx(0.1)


def test_never_asks_nothing_and_always_asks_no_judge(scripted, embedder, story):
    model = scripted(record=replies())
    assert RewriteEnricher(model, embedder, gate="never").enrich([story]) == [story]
    assert model.bulk == []
    RewriteEnricher(model, embedder, gate="always").enrich([story])
    assert model.asked("labels") == []
    assert len(model.asked("Reflection")) == 2


def test_a_judge_that_says_neither_yes_nor_no_is_reported_once(scripted, embedder, story):
    model = scripted(margin=lambda prompt: 0.01, mass=0.02)
    enricher = RewriteEnricher(model, embedder)
    with pytest.warns(RagkitWarning, match="yes and no together 2% of its probability"):
        enricher.enrich([story])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        enricher.enrich([story])


def item(**changes):
    return Missing.model_validate({**FACT, **changes})


DOCUMENT = f"Ada Lovelace was born in London in 1815.\nShe wrote 3 notes about the analytical engine.\n{LAST}"


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"mention": "The machine"}, "a mention is not in the passage"),
        ({"mention": "eve"}, "a mention is not in the passage"),  # a part of "never"
        ({"evidence": "the difference engine"}, "evidence is not in the document"),
        ({"evidence": "the money ran out"}, "the passage says it already"),
        ({"supplement": "the money"}, "the passage says it already"),
        ({"supplement": "the engine of Babbage"}, "'Babbage' is not in the evidence"),
        ({"supplement": "the 2 analytical engine notes"}, "'2' is not in the evidence"),
        ({"supplement": "a large steam locomotive"}, "the evidence does not support the supplement"),
        ({"supplement": "- -"}, "the evidence does not support the supplement"),
    ],
)
def test_a_fact_that_the_texts_do_not_back_is_dropped(changes, reason):
    assert backed([item(**changes)], LAST, Vocabulary(DOCUMENT)) == ([], reason)
    kept, _ = backed([item(**changes), item(), item()], LAST, Vocabulary(DOCUMENT))
    assert kept == [item()]  # and what is backed stays, once


def test_line_breaks_and_case_do_not_hide_evidence():
    assert backed([item(evidence="NOTES   about\nthe analytical engine")], LAST, Vocabulary(DOCUMENT))[0]


def test_the_second_look_chooses_by_number():
    items = [item(supplement=name) for name in ("a", "b", "c")]
    assert [found.supplement for found in chosen(items, [3, 1, 9, 0])] == ["a", "c"]


def test_the_second_look_can_drop_everything(scripted, embedder, story):
    model = scripted(record=replies(FACT, keep=()))
    (after,) = RewriteEnricher(model, embedder, gate="always").enrich([story])
    assert status(after)[2] == "kept: no fact survived the second look"
    assert len(model.asked("Refinement")) == 1  # only where something was listed
    assert '1. "It": the analytical engine' in model.asked("Refinement")[0]


def woven(reply, **options):
    def make(scripted, embedder, chunked):
        model = scripted(record=replies(FACT), text=lambda prompt: reply)
        enricher = RewriteEnricher(model, embedder, gate="always", mode="rewrite", **options)
        return model, enricher.enrich([chunked])

    return make


def test_a_rewritten_chunk_is_searched_and_the_old_one_shown(scripted, embedder, story, same):
    reply = "It (the analytical engine) was never built, because the money ran out."
    model, after = woven(reply)(scripted, embedder, story)
    same([story], after)
    assert index_texts(after[0])[2] == reply
    assert status(after[0])[2] == "rewritten"
    assert model.asked("text") == [
        f'PASSAGE:\n{LAST}\n\nFACTS:\n1. "It": the analytical engine\n\n' + model.asked("text")[0].split("\n\n")[-1]
    ]


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        ("It was never built.", "kept: only 45% of the tokens survive in order"),
        ("The money ran out, because it was never built.", "kept: only 36% of the tokens survive in order"),
        (f"{LAST} So said Babbage.", "kept: 'Babbage' is not in the document"),
        (f"{LAST} That was in 1837.", "kept: '1837' is not in the document"),
        (LAST, "kept: the model changed nothing"),
        ("", "kept: only 0% of the tokens survive in order"),
        (f"{LAST} {'engine ' * 60}", "kept: no room in the embedder's window"),
    ],
)
def test_a_rewritten_chunk_that_fails_a_guard_is_refused(scripted, embedder, story, reply, reason):
    embedder.window = 50
    _, (after,) = woven(reply)(scripted, embedder, story)
    assert (status(after)[2], index_texts(after)[2]) == (reason, LAST)


def test_lines_of_a_rewritten_chunk_are_kept(scripted, embedder, cut):
    """The published code removes the first line of whatever was indexed, which may be the chunk's own."""
    text = "Ada Lovelace wrote notes about the analytical engine.\nIt was big."
    chunked = cut(f"{text}\nIt was never built at all.")
    reply = "It (the analytical engine)\nwas never built at all."
    model = scripted(record=replies(FACT), text=lambda prompt: reply)
    (after,) = RewriteEnricher(model, embedder, gate="always", mode="rewrite").enrich([chunked])
    assert index_texts(after)[2] == reply
    assert after.chunks[2].text == "It was never built at all."


def test_a_student_rewrites_in_one_call_under_the_same_guards(scripted, embedder, story, same):
    model = scripted(text=lambda prompt: f"{LAST} The analytical engine, that is." if LAST in prompt[-900:] else "no")
    after = RewriteEnricher(model, embedder, mode="student", gate="always").enrich([story])
    same([story], after)
    assert [kind for kind, _ in model.bulk] == ["text"]
    assert status(after[0])[2] == "rewritten"


def test_rewrite_works_inside_what_was_added_before_and_says_where_it_cannot(scripted, embedder, story):
    def with_index_text(make):
        return replace(story, chunks=[replace(chunk, index_text=make(chunk.text)) for chunk in story.chunks])

    reply = "It (the analytical engine) was never built, because the money ran out."
    _, (after,) = woven(reply)(scripted, embedder, with_index_text(lambda text: f"Title\n{text}"))
    assert index_texts(after)[2] == f"Title\n{reply}"
    _, (after,) = woven(reply)(scripted, embedder, with_index_text(str.upper))
    assert status(after)[2] == "kept: index_text no longer holds the chunk's text; put rewrite first"


def test_a_reply_that_does_not_fit_its_schema_costs_one_chunk(scripted, embedder, story, same):
    def answer(prompt):
        return '{"items": [' if "PASSAGE:\nShe" in prompt else replies(FACT)(prompt)

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        after = RewriteEnricher(scripted(record=answer), embedder, gate="always").enrich([story])
    same([story], after)
    unfit, added = status(after[0])[1:]
    assert unfit.startswith("kept: the reply does not fit its schema: ")
    assert added == "added"


@pytest.mark.parametrize("stage", ["labels", "Reflection", "Refinement"])
def test_a_failing_document_is_kept_as_it_was_whatever_the_stage(scripted, embedder, story, cut, same, stage):
    bad = cut(story.document.text.replace("money", "poison"), "bad.txt")

    def poisoned(kind, rule):
        def answer(prompt):
            wanted = {"Refinement": "CANDIDATES" in prompt, "Reflection": "List what" in prompt, "labels": True}[stage]
            return ModelError("broke.") if kind and wanted and "poison" in prompt else rule(prompt)

        return answer

    model = scripted(
        record=poisoned(stage != "labels", replies(FACT)), margin=poisoned(stage == "labels", lambda prompt: 0.9)
    )
    batch = [story, bad, story]
    with pytest.warns(RagkitWarning, match=r"1 document is indexed without rewrite.*bad\.txt: broke\."):
        after = RewriteEnricher(model, embedder).enrich(batch)
    same(batch, after)
    assert [status(item, "enrichment")[2] for item in after] == [None, "failed: rewrite: broke.", None]
    assert [status(item)[2] for item in after] == ["added", None, "added"]
    assert index_texts(after[1]) == [chunk.text for chunk in bad.chunks]


def test_a_model_without_the_ability_is_an_error_not_a_failed_document(scripted, embedder, story):
    model = scripted(margin=lambda prompt: UnsupportedError("no label probabilities."))
    with pytest.raises(UnsupportedError):
        RewriteEnricher(model, embedder).enrich([story])


def test_options_are_in_the_fingerprint(scripted, embedder):
    others = [{"mode": "rewrite"}, {"gate": "always"}, {"threshold": 0.0}, {"max_tokens": 99}, {"document_tokens": 9}]
    found = {RewriteEnricher(scripted(), embedder, **options).fingerprint for options in [{}, *others]}
    assert len(found) == 6
