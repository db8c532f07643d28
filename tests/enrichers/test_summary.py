"""Summaries: what is added, what is dropped and why, and what never changes."""

from __future__ import annotations

import warnings

import pytest

from ragkit.budget import Budget
from ragkit.enrichers.prompts import draft
from ragkit.enrichers.summary import SummaryEnricher
from ragkit.errors import BudgetExceededError, ConfigError, ModelError, RagkitWarning, ServerError
from ragkit.schema import Chunked

GOOD = "The engine is that of Ada Lovelace."


def status(chunked, key="summary_status"):
    return [chunk.metadata.get(key) for chunk in chunked.chunks]


def test_the_summary_stands_before_the_chunk_and_the_text_stays(scripted, embedder, story, same):
    model = scripted(text=lambda prompt: GOOD)
    enricher = SummaryEnricher(model, embedder, stages=1)
    after = enricher.enrich([story])
    same([story], after)
    assert [chunk.index_text for chunk in after[0].chunks] == [f"{GOOD}\n{chunk.text}" for chunk in story.chunks]
    assert status(after[0]) == ["added"] * 3


def test_an_earlier_enricher_is_built_upon(scripted, embedder, story, same, passage):
    model = scripted(text=lambda prompt: GOOD)
    once = SummaryEnricher(model, embedder, stages=1).enrich([story])
    model.text = lambda prompt: "She wrote notes in London."
    twice = SummaryEnricher(model, embedder, stages=1).enrich(once)
    same([story], twice)
    last = twice[0].chunks[2]
    assert last.index_text == f"She wrote notes in London.\n{GOOD}\n{last.text}"
    assert passage(model.bulk[-1][1][2]).startswith(GOOD)  # the order of the paper: the completed chunk is summarised


def test_two_stages_condense_drafts_of_two_sentences_only(scripted, embedder, story):
    def answer(prompt):
        if "Merge the text above" in prompt:
            return "The engine of Ada Lovelace was never built."
        return f"{GOOD} It was never built." if "It was" in prompt.split("PASSAGE:")[1] else "Notes by Ada Lovelace."

    model = scripted(text=answer)
    (after,) = SummaryEnricher(model, embedder).enrich([story])
    assert [len(texts) for _, texts in model.bulk] == [3, 1]
    assert [chunk.index_text.split("\n")[0] for chunk in after.chunks] == [
        *["Notes by Ada Lovelace."] * 2,
        "The engine of Ada Lovelace was never built.",
    ]


def test_prompts_put_the_same_document_first(scripted, embedder, story):
    model = scripted(text=lambda prompt: GOOD)
    SummaryEnricher(model, embedder).enrich([story])
    (_, prompts), *_ = model.bulk
    start = f"DOCUMENT:\n{story.document.text}\n\n"
    assert all(prompt.startswith(start) for prompt in prompts)
    assert draft("d", "one")[0] == draft("d", "another")[0]


def test_all_documents_are_asked_in_one_call(scripted, embedder, cut):
    model = scripted(text=lambda prompt: "the engine of that kind")
    batch = [cut(f"the engine number {name} of all\nof that kind it is made", f"{name}.txt") for name in "abcd"]
    SummaryEnricher(model, embedder, stages=1).enrich(batch)
    assert [len(texts) for _, texts in model.bulk] == [8]


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        ("The engine of Charles Babbage.", "dropped: 'Charles' is not in the document"),
        ("It was built in 1837.", "dropped: '1837' is not in the document"),
        ("Babbage built it.", "dropped: 'Babbage' is not in the document"),
        ("It was never built, because the money ran out!", "dropped: repeats the passage"),
        ("   ", "dropped: the model wrote nothing"),
        ("notes " * 60 + "end.", "dropped: no room in the embedder's window"),
    ],
)
def test_a_summary_that_does_not_hold_is_dropped_with_the_reason(scripted, embedder, story, reply, reason):
    embedder.window = 50
    enricher = SummaryEnricher(scripted(text=lambda prompt: reply), embedder, stages=1, max_tokens=500)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RagkitWarning)
        (after,) = enricher.enrich([story])
    last = after.chunks[2]
    assert last.index_text == last.text
    assert status(after)[2] == reason


def test_it_is_said_once_that_most_summaries_are_dropped(scripted, embedder, story):
    enricher = SummaryEnricher(scripted(text=lambda prompt: "By Babbage."), embedder, stages=1)
    with pytest.warns(RagkitWarning, match="3 of the first 3 summaries by scripted were dropped"):
        enricher.enrich([story])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        enricher.enrich([story])


def test_verification_can_be_switched_off(scripted, embedder, story):
    reply = "The engine of Charles Babbage."
    enricher = SummaryEnricher(scripted(text=lambda prompt: reply), embedder, stages=1, verify=False)
    assert status(enricher.enrich([story])[0]) == ["added"] * 3


def test_short_chunks_keep_their_place(scripted, embedder, cut, same):
    """The published code drops them from the list, so that its indexes no longer fit."""
    batch = [cut("Ada Lovelace wrote about the engine.\nYes.\nIt was not built at that time.")]
    model = scripted(text=lambda prompt: "About the engine, of which Ada Lovelace wrote.")
    after = SummaryEnricher(model, embedder, stages=1).enrich(batch)
    same(batch, after)
    assert status(after[0]) == ["added", "skipped: shorter than 20 characters", "added"]
    assert [chunk.index_text != chunk.text for chunk in after[0].chunks] == [True, False, True]


def test_a_long_document_is_shown_by_its_head_and_what_is_similar(scripted, embedder, cut):
    words = ["harbour", "lantern", "river", "copper", "meadow", "engine", "winter", "signal", "orchard", "marble"]
    text = "\n".join(f"{word} " * 12 + f"and {word} again number {n}" for n in range(4) for word in words)
    chunked = cut(text)
    model = scripted(text=lambda prompt: "about an engine of the harbour and again")
    SummaryEnricher(model, embedder, stages=1, document_tokens=120).enrich([chunked])
    prompt = model.bulk[0][1][words.index("engine") + len(words)]
    shown = prompt.removeprefix("DOCUMENT:\n").split("\n\nPASSAGE:")[0]
    pieces = shown.split("\n[...]\n")
    assert pieces[0] == chunked.chunks[0].text  # the head
    assert len(shown.split()) <= 130
    assert all(piece in text for piece in pieces)
    assert [text.index(piece) for piece in pieces] == sorted(text.index(piece) for piece in pieces)
    assert sum("engine" in piece for piece in pieces) >= 3  # the other chunks about the same
    assert not any(piece == chunked.chunks[words.index("engine") + len(words)].text for piece in pieces)


def test_a_passage_that_leaves_no_room_is_skipped(scripted, embedder, cut):
    chunked = cut("short line of some words here\n" + "word " * 400)
    model = scripted(text=lambda prompt: "some words of a line here")
    model.window = 300
    (after,) = SummaryEnricher(model, embedder, stages=1, max_tokens=10, verify=False).enrich([chunked])
    assert status(after)[1] == "skipped: too long for the model's window"
    assert all(len(text.split()) <= 300 for text in model.asked("text"))


def test_a_window_too_small_for_anything_is_an_error(scripted, embedder, story):
    model = scripted()
    model.window = 200
    with pytest.raises(ConfigError, match="reads 200 tokens"):
        SummaryEnricher(model, embedder).enrich([story])


def test_one_failing_document_leaves_the_others(scripted, embedder, cut, story, same, broken):
    model = scripted(text=lambda prompt: broken if "poison" in prompt else GOOD)
    batch = [story, cut("The poison of the document.\nIt is in every line of it.", "bad.txt"), story]
    enricher = SummaryEnricher(model, embedder, stages=1)
    with pytest.warns(RagkitWarning, match=r"1 document is indexed without summary.*bad\.txt: the weights are gone"):
        after = enricher.enrich(batch)
    same(batch, after)
    assert [status(item)[0] for item in after] == ["added", None, "added"]
    assert status(after[1], "enrichment") == ["failed: summary: the weights are gone."] * 2
    assert all(chunk.index_text == chunk.text for chunk in after[1].chunks)


def test_a_failing_document_is_a_failure_where_that_is_required(scripted, embedder, cut, story, broken):
    model = scripted(text=lambda prompt: broken if "poison" in prompt else GOOD)
    batch = [story, cut("The poison of the document.", "bad.txt")]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        after = SummaryEnricher(model, embedder, stages=1, required=True).enrich(batch)
    assert after[1] == Chunked(batch[1].document, [], "summary: the weights are gone.")
    assert after[0].failure is None


def test_a_model_that_fails_on_everything_ends_the_run(scripted, embedder, cut, broken):
    enricher = SummaryEnricher(scripted(text=lambda prompt: broken), embedder)
    batch = [cut(f"A document with the number {number} in it.", f"{number}.txt") for number in range(5)]
    with pytest.raises(ModelError, match="weights are gone"):
        enricher.enrich(batch)


def test_a_model_that_answers_nothing_ends_the_run_at_the_first_document(scripted, embedder, cut, broken):
    model = scripted(text=lambda prompt: broken)
    with pytest.raises(ModelError, match="weights are gone"):
        SummaryEnricher(model, embedder).enrich([cut("A document of one line only.", "one.txt")])
    assert len(model.asked("text")) <= 2 + 1  # the document, in bulk and alone, and a harmless question


def test_a_server_that_nobody_reaches_is_asked_once(scripted, embedder, cut):
    model = scripted(text=lambda prompt: ServerError("nobody there.", fails="server"))
    batch = [cut("The poison of the document.", "bad.txt"), cut("Another one of one line.", "other.txt")]
    with pytest.raises(ServerError, match="nobody there"):
        SummaryEnricher(model, embedder).enrich(batch)
    assert len(model.asked("text")) == 2


def test_failures_in_a_row_are_counted_over_batches(scripted, embedder, cut, broken):
    enricher = SummaryEnricher(scripted(text=lambda prompt: broken if "PASSAGE" in prompt else "Yes."), embedder)
    batch = [cut("A document of one line only.", "one.txt")]
    for _ in range(2):
        with pytest.warns(RagkitWarning):
            enricher.enrich(batch)
    with pytest.raises(ModelError):
        enricher.enrich(batch)


@pytest.mark.parametrize("error", [KeyboardInterrupt(), BudgetExceededError("spent")])
def test_interrupts_and_spent_budgets_end_the_run(scripted, embedder, story, error):
    with pytest.raises(type(error)):
        SummaryEnricher(scripted(text=lambda prompt: error), embedder).enrich([story])


def test_the_budget_of_an_enricher_covers_all_batches(scripted, embedder, story):
    model = scripted(text=lambda prompt: GOOD)
    enricher = SummaryEnricher(model, embedder, stages=1, max_tokens=10, budget=Budget(tokens=300))
    enricher.enrich([story])
    with pytest.raises(BudgetExceededError, match=r"summary: drafts would bring the tokens spent to .* allows 300"):
        enricher.enrich([story])


def test_documents_without_chunks_and_failed_ones_pass_through(scripted, embedder, cut):
    document = cut("A document of one line only.").document
    batch = [Chunked(document, []), Chunked(document, [], "could not be cut")]
    model = scripted()
    assert SummaryEnricher(model, embedder).enrich(batch) == batch
    assert SummaryEnricher(model, embedder).enrich([]) == []
    assert model.asked("text") == []


def test_other_documents_make_no_difference(scripted, embedder, story, cut):
    model = scripted(text=lambda prompt: GOOD)
    other = cut("Another text about something else.\nWith another line in it, as well.", "other.txt")
    enricher = SummaryEnricher(model, embedder)
    assert enricher.enrich([other, story])[1] == enricher.enrich([story])[0]


def test_the_fingerprint_tells_what_changes_the_result(scripted, embedder):
    model = scripted()
    plain = SummaryEnricher(model, embedder).fingerprint
    assert plain == SummaryEnricher(model, embedder, budget=Budget(tokens=5), required=True).fingerprint
    others = [{"stages": 1}, {"max_tokens": 40}, {"document_tokens": 9}, {"min_characters": 1}, {"verify": False}]
    found = {SummaryEnricher(model, embedder, **options).fingerprint for options in others}
    model.fingerprint = "scripted 2"
    found.add(SummaryEnricher(model, embedder).fingerprint)
    assert len(found) == 6
    assert plain not in found


@pytest.mark.parametrize("options", [{"max_tokens": 0}, {"document_tokens": 0}, {"min_characters": -1}])
def test_limits_are_checked(scripted, embedder, options):
    with pytest.raises(ConfigError, match=next(iter(options))):
        SummaryEnricher(scripted(), embedder, **options)


def test_progress_is_reported_by_stage(scripted, embedder, story):
    seen = []

    class Reporting(scripted):
        def generate_many(self, prompts, *, progress=None, **options):
            progress("generate", 1, len(prompts))
            return super().generate_many(prompts, **options)

    SummaryEnricher(Reporting(text=lambda _: GOOD), embedder).enrich([story], lambda *report: seen.append(report))
    assert seen == [("summary: drafts", 1, 3)]


def test_the_failures_of_two_enrichers_are_both_told(scripted, embedder, story, broken):
    from ragkit.enrichers.rewrite import RewriteEnricher

    model = scripted(text=lambda prompt: broken if "PASSAGE" in prompt else "Yes.", margin=lambda prompt: broken)
    batch = [story]
    for enricher in (RewriteEnricher(model, embedder), SummaryEnricher(model, embedder)):
        with pytest.warns(RagkitWarning, match=f"without {enricher.name}"):
            batch = enricher.enrich(batch)
    told = "failed: rewrite: the weights are gone.; failed: summary: the weights are gone."
    assert status(batch[0], "enrichment") == [told] * 3
