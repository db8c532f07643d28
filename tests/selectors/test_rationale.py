"""METEORA: its worked examples, its properties under Hypothesis, its published defects, bad input."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ragkit.budget import Budget
from ragkit.chunkers.sentences import split_sentences
from ragkit.errors import BudgetExceededError, ConfigError, ModelError, SchemaError, ServerError, UsageError
from ragkit.models.hashing import HashingEmbedder
from ragkit.schema import Chunk, Document, Hit
from ragkit.scoring.elbow import PAPER, Elbow
from ragkit.selectors.rationale import RationaleSelector
from ragkit.selectors.rationale_pairing import choose, paired
from ragkit.selectors.rationale_verifying import ModelVerifier
from ragkit.selectors.rationale_writing import by_pseudo_relevance, salvaged
from ragkit.testing.scripted import ScriptedLanguageModel
from ragkit.testing.selector import check_selector


def count(texts):
    return [len(text.split()) for text in texts]


WORDS = ["harbour", "lantern", "river", "copper", "meadow", "engine", "winter", "signal"]
DOCUMENT = Document("\n".join(f"{word} {word} {at}." for at, word in enumerate(WORDS)), "a.md")
OTHER = Document("granite falcon.", "b.md")


def chunk_hits():
    """Return the eight chunks of one document, in order, as hits with rows 0 to 7, and one of another as row 8."""
    found, start = [], 0
    for row, line in enumerate(DOCUMENT.text.split("\n")):
        chunk = Chunk.of(DOCUMENT, start, start + len(line))
        found.append(Hit(row + 1, 1.0 / (row + 1), f"c{row}", chunk, "a.md", None, row + 1, row))
        start += len(line) + 1
    chunk = Chunk.of(OTHER, 0, len(OTHER.text))
    return [*found, Hit(9, 0.1, "c8", chunk, "b.md", None, 1, 8)]


HITS = chunk_hits()


class Store:
    """A corpus of these chunks; `vectors` by row."""

    def __init__(self, vectors):
        self._vectors = np.asarray(vectors, np.float32)

    def vectors(self, rows):
        return self._vectors[list(rows)]

    def neighbours(self, row, before, after):
        if row == 8:
            return [HITS[8]]
        return [HITS[at] for at in range(max(0, row - before), min(7, row + after) + 1)]


class Fixed:
    """An embedder that knows the vector of each rationale."""

    name = fingerprint = "fixed"
    dimension, window = 3, 100

    def __init__(self, vectors):
        self.known = vectors

    def embed_queries(self, texts):
        return np.array([self.known[text] for text in texts], np.float32)


# cosines of worked example 4: the chunks are unit vectors whose components are their cosines with r1, r2, r3
COSINES = np.full((9, 3), 0.05)
COSINES[2], COSINES[5, 0], COSINES[3, 1], COSINES[6, 2] = (0.80, 0.75, 0.1), 0.70, 0.60, 0.66
EXAMPLE = Store(np.hstack([COSINES, np.sqrt(np.maximum(0, 1 - (COSINES**2).sum(1, keepdims=True)))]))
AXES = Fixed({f"r{at + 1}": np.eye(4)[at] for at in range(3)})


def writes(*needs, verdicts=None):
    """Return a model that writes these rationales, and says of a passage what the first fitting key has."""

    def records(prompt):
        if "QUESTION" in prompt and "<passage>" not in prompt:
            return {"rationales": [{"label": f"l{n}", "need": n, "reject_if": f"not {n}"} for n in needs]}
        said = next(said for key, said in (verdicts or {}).items() if key in prompt.partition("</passage>")[0])
        if isinstance(said, Exception):
            raise said
        plain = {"relevant": True, "flagged": False, "flag_types": [], "confidence": 0, "reason": "", "summary": ""}
        return {**plain, **(said(prompt) if callable(said) else said)}

    return ScriptedLanguageModel(records=records)


def rationale(*needs, verdicts=None, embedder=AXES, **options):
    model = options.pop("model", None) or writes(*needs, verdicts=verdicts)
    return RationaleSelector(language_model=model, embedder=embedder, count=count, **options)


def rows(selection):
    return [hit.row for hit in selection.hits]


# worked examples


def test_example_4_pairing():
    cosines = COSINES[:8].T
    assert choose(cosines, "convergent")[0] == (2, 2, 6)
    assert choose(cosines, "distinct")[0] == (2, 3, 6)


@pytest.mark.parametrize(
    ("expand", "expected"), [(0, [2, 5, 6]), (1, [1, 2, 3, 4, 5, 6, 7])], ids=["without", "with neighbours"]
)
def test_example_4_expansion(expand, expected):
    # E_g = {2, 5}: the mean rationale is nearest to 2, then 5
    selector = rationale("r1", "r2", "r3", policy={"name": "fixed", "k": 2}, expand=expand)
    selection = selector.select("q", HITS[:8], corpus=EXAMPLE)
    assert rows(selection) == expected
    assert selection.trace["sizes"] == {"rationales": 3, "paired": 2, "pooled": 2, "examined": len(expected)}
    gold = {3, 6}
    precision = len(gold & set(expected)) / len(expected)
    assert precision == pytest.approx(1 / 3 if expand == 0 else 2 / 7)


def poison(prompt):
    """Say that P contradicts what is accepted, and that A or B contradicts P where P is remembered."""
    passage, _, rest = prompt.partition("</passage>")
    accepted = rest.partition("ACCEPTED:")[2].partition("QUESTION:")[0]
    against = {"harbour": "river", "river": "harbour", "lantern": "river"}
    me = next(word for word in against if word in passage)
    conflict = against[me] in accepted
    flagged = {"flagged": True, "flag_types": ["contradiction"], "confidence": 95} if conflict else {}
    return {**flagged, "summary": me, "reason": "as told"}


def examined(order, **options):
    """Return what is accepted of A (harbour), P (river) and B (lantern), examined in this order."""
    by_name = {"A": HITS[0], "P": HITS[2], "B": HITS[1]}
    axes = np.eye(4)
    store = np.zeros((9, 4))
    for place, name in enumerate(order):
        store[by_name[name].row] = axes[0] * (1 - place / 10) + axes[1] * np.sqrt(1 - (1 - place / 10) ** 2)
    selector = rationale("r1", policy={"name": "fixed", "k": 3}, verifier="model", verdicts={"": poison}, **options)
    selection = selector.select("q", list(by_name.values()), corpus=Store(store))
    return {name for name, one in by_name.items() if one in selection.hits}


def test_example_5_the_order_of_examination():
    assert examined("APB") == {"A", "B"}
    assert examined("APB", memory="all") == {"A"}, "the published script: flagged poison turns a good chunk out"
    assert examined("PAB") == {"P"}, "poison first: hence the most trusted first"


def test_most_chosen_chunks_are_examined_first():
    selector = rationale("r1", "r2", "r3", policy={"name": "fixed", "k": 2}, order="trust")
    assert rows(selector.select("q", HITS[:8], corpus=EXAMPLE)) == [2, 6, 5]


# properties

unit = st.lists(st.floats(-1, 1, width=32), min_size=4, max_size=4).map(
    lambda v: np.asarray(v, np.float64) / (np.linalg.norm(v) or 1)
)


@given(st.lists(unit, min_size=1, max_size=5), st.lists(unit, min_size=1, max_size=8), st.randoms())
def test_pairing_and_elbow(rationales, chunks, random):
    r, c = np.array(rationales), np.array(chunks)
    convergent, distinct = paired(r, c, "convergent", Elbow()), paired(r, c, "distinct", PAPER)
    assert 1 <= len(convergent.paired) <= len(r)
    assert len(distinct.paired) == min(len(r), len(c))
    assert convergent.pooled_best == frozenset(convergent.order[: len(convergent.pooled_best)])
    shuffled = list(range(len(r)))
    random.shuffle(shuffled)
    again = paired(r[shuffled], c, "convergent", Elbow())
    assert again.paired == convergent.paired
    gaps = np.diff(np.sort(convergent.pooled))
    if len(gaps) == 0 or gaps.min() > 1e-6:  # a mean is summed in another order: ties may break otherwise
        assert again.order == convergent.order


@given(
    st.lists(st.integers(0, 8), unique=True, max_size=9),
    st.sampled_from(["convergent", "distinct"]),
    st.integers(0, 2),
    st.sampled_from(["none", "model", "rules"]),
    st.booleans(),
    st.integers(1, 9),
    st.sampled_from(["document", "trust"]),
)
def test_the_contract(places, pairing, expand, verifier, batched, prefilter, order):
    hits = [HITS[place] for place in places]
    verdicts = {"engine": {"flagged": True, "flag_types": ["factual"], "confidence": 99}, "": {}}
    selector = rationale(
        "r1", "r2", "r3", pairing=pairing, expand=expand, verifier=verifier, batched=batched, prefilter=prefilter,
        order=order, verdicts=verdicts,
    )  # fmt: skip
    check_selector(selector, "q", hits, count=count, corpus=EXAMPLE, limits=(None, 0, 3, 9))
    selection = selector.select("q", hits, None, EXAMPLE)
    kept = {hit.row for hit in selection.hits}
    narrow = rationale("r1", "r2", "r3", pairing=pairing, expand=0, prefilter=prefilter)
    core = {hit.row for hit in narrow.select("q", hits, None, EXAMPLE).hits}
    if verifier == "none":
        assert core <= kept
        assert len(kept) <= (2 * expand + 1) * len(core)
    if order == "document" and hits:
        assert selection.ordered
        assert selection.hits == tuple(sorted(selection.hits, key=lambda one: (one.source, one.chunk.start)))


def test_no_neighbour_of_another_document_and_none_twice():
    selection = rationale("r1", "r2", "r3", expand=2).select("q", [HITS[8], HITS[7]], corpus=EXAMPLE)
    assert {hit.source for hit in selection.hits if hit.row != 8} == {"a.md"}
    assert len(set(rows(selection))) == len(rows(selection))


# defects


def test_defect_1_a_long_list_collapses_the_elbow_and_a_pool_helps():
    scores = np.concatenate([[0.9, 0.89, 0.87, 0.86, 0.6], np.linspace(0.5, 0.4, 500)])
    assert Elbow().decide(scores[:6]).kept == 4
    assert Elbow(pool=6).decide(scores).kept == 4
    assert Elbow().decide(np.concatenate([[0.9, 0.85], np.linspace(0.84, 0.4, 500)])).kept == 1


def test_defect_2_the_fallback_is_off_by_one_in_the_paper():
    scores = np.array([0.95, 0.90, 0.72, 0.62, 0.44, 0.28])
    assert (PAPER.decide(scores).kept, Elbow().decide(scores).kept) == (1, 2)


def test_defect_3_neighbours_are_those_of_the_document_not_of_the_ranking():
    selector = rationale("r3", policy={"name": "fixed", "k": 1}, expand=1)
    selection = selector.select("q", [HITS[6], HITS[0]], corpus=EXAMPLE)
    assert rows(selection) == [5, 6, 7], "fetched from the store, though the retriever did not list them"


def test_defect_4_spans_are_true_offsets():
    selection = rationale("r1", "r2", "r3", expand=2).select("q", HITS, corpus=EXAMPLE)
    texts = {"a.md": DOCUMENT.text, "b.md": OTHER.text}
    assert all(hit.chunk.text == texts[hit.source][hit.chunk.start : hit.chunk.end] for hit in selection.hits)


def test_defect_5_what_is_rejected_never_enters_the_memory():
    verdicts = {
        "river": {"flagged": True, "flag_types": ["factual"], "confidence": 95, "summary": "POISON"},
        "": {"summary": "GOOD"},
    }
    selector = rationale("r1", "r2", "r3", policy={"name": "fixed", "k": 4}, verifier="model", verdicts=verdicts)
    selector.select("q", HITS, corpus=EXAMPLE)
    prompts = [prompt for _, prompt in selector._model.calls if "<passage>" in prompt]
    assert any("- GOOD" in prompt for prompt in prompts)
    assert not any("- POISON" in prompt for prompt in prompts)


def test_defect_6_what_the_verifier_removes_is_all_there_to_count():
    verdicts = {
        "river": {"flagged": True, "flag_types": ["instruction"], "confidence": 85, "reason": "an order"},
        "": {},
    }
    selection = rationale("r1", "r2", verifier="model", verdicts=verdicts).select("q", HITS, corpus=EXAMPLE)
    (dropped,) = [dropped for dropped in selection.dropped if dropped.flags]
    assert dropped.hit.row == 2
    assert dropped.reason == "flagged as instruction (85 %): an order"
    assert dropped.flags == ("instruction",)
    assert selection.trace["flags"] == {"c2": ["instruction"]}


@pytest.mark.parametrize(
    ("flag", "confidence", "accepted"), [("factual", 89, True), ("factual", 90, False), ("contradiction", 80, False)]
)
def test_a_flag_rejects_only_where_it_is_certain(flag, confidence, accepted):
    said = {"flagged": True, "flag_types": [flag], "confidence": confidence}
    selection = rationale("r1", verifier="model", verdicts={"": said}).select("q", [HITS[2]], corpus=EXAMPLE)
    assert bool(selection.hits) is accepted
    assert selection.trace["flags"] == {"c2": [flag]}
    if accepted:
        assert selection.trace["reasons"]["c2"].endswith(f"flagged as {flag}, not certain enough to reject")


# modes


def test_modes_are_what_the_specification_names():
    said = {"": {"relevant": False}}
    ours = rationale("r1", "r2", "r3").select("q", HITS[:8], corpus=EXAMPLE)
    paper = rationale("r1", "r2", "r3", mode="paper", verdicts=said).select("q", HITS[:8], corpus=EXAMPLE)
    code = rationale("r1", "r2", "r3", mode="reference_code", verdicts=said).select("q", HITS[:8], corpus=EXAMPLE)
    assert (ours.trace["pairing"], ours.trace["policy"]["fallback_cut"], ours.trace["verifier"]) == (
        "convergent", "at_drop", "none",
    )  # fmt: skip
    assert (paper.trace["pairing"], paper.trace["policy"]["fallback_cut"], paper.trace["verifier"]) == (
        "convergent", "before", "model",
    )  # fmt: skip
    assert code.trace["pairing"] == "distinct"
    assert paper.hits, "flags only: the relevance filter is an addition of the later package"
    strict = rationale("r1", "r2", "r3", mode="paper", filters_relevance=True, verdicts=said)
    assert strict.select("q", HITS[:8], corpus=EXAMPLE).trace["all_rejected"]


# bad input


def test_no_rationale_that_can_be_read_leaves_the_question():
    broken = SchemaError("cut off", reply='{"rationales": [')
    model = ScriptedLanguageModel(records=lambda _: broken)
    embedder = Fixed({"r1": np.eye(4)[0]})
    selection = rationale(model=model, embedder=embedder).select("r1", HITS[:8], corpus=EXAMPLE)
    assert selection.trace["source"] == "question"
    assert "cut off" in selection.trace["note"]
    assert 2 in rows(selection)


def test_needs_without_a_word_are_none():
    selection = rationale("...", "?!", embedder=Fixed({"r1": np.eye(4)[0]})).select("r1", HITS[:8], corpus=EXAMPLE)
    assert (selection.trace["source"], selection.trace["note"]) == ("question", "the model wrote none")


def test_a_reply_that_was_cut_off_loses_its_last_item_only():
    reply = '{"rationales": [{"label": "a", "need": "r1", "reject_if": "x"}, {"label": "b", "need": "R1 "}, {"la'
    model = ScriptedLanguageModel(records=lambda _: SchemaError("cut off", reply=reply))
    selection = rationale(model=model).select("q", HITS[:8], corpus=EXAMPLE)
    assert [one["need"] for one in selection.trace["rationales"]] == ["r1"], "equal needs, case apart, are one"
    assert salvaged("no json") == []


def test_a_verifier_that_will_not_answer_rejects():
    verdicts = {"river": SchemaError("no JSON"), "": {}}
    selection = rationale("r1", "r2", "r3", verifier="model", verdicts=verdicts).select("q", HITS[:8], corpus=EXAMPLE)
    (dropped,) = [dropped for dropped in selection.dropped if dropped.flags]
    assert (dropped.hit.row, dropped.flags) == (2, ("unverified",))
    assert "does not fit its schema" in dropped.reason
    silent = rationale("r1", verifier="model", batched=True, verdicts={"": ModelError("too long")})
    nothing = silent.select("q", HITS[:8], corpus=EXAMPLE)
    assert (nothing.hits, nothing.trace["all_rejected"]) == ((), True)
    gone = rationale("r1", verifier="model", verdicts={"": ServerError("No server answers.")})
    with pytest.raises(ServerError):
        gone.select("q", HITS[:8], corpus=EXAMPLE)


def test_one_candidate_none_duplicates_and_no_room():
    selector = rationale("r1")
    assert rows(selector.select("q", [HITS[0]], corpus=EXAMPLE)) == [0]
    assert selector.select("q", [], corpus=EXAMPLE).hits == ()
    twice = selector.select("q", [HITS[2], replace(HITS[2], rank=9), HITS[3]], corpus=EXAMPLE)
    assert "the same chunk stands higher" in twice.dropped[0].reason
    none = rationale("r1", verifier="model", verdicts={}).select("q", HITS[:8], 0, EXAMPLE)
    assert none.hits == ()
    assert "limit of 0" in none.dropped[0].reason, "and nothing was asked about it"


def test_equal_cosines_go_to_the_lowest_position_whatever_the_ranks():
    store = Store(np.tile(np.eye(4)[0], (9, 1)))
    turned = [replace(hit, rank=9 - hit.rank) for hit in HITS[:8]]
    selection = rationale("r1", policy={"name": "fixed", "k": 1}).select("q", turned, corpus=store)
    assert rows(selection) == [0]


def test_ratio_policies_refuse_negative_cosines():
    store = Store(-np.tile(np.eye(4)[0], (9, 1)))
    with pytest.raises(UsageError, match="none below 0"):
        rationale("r1", policy="drop").select("q", HITS[:3], corpus=store)


def test_costs_are_counted_and_limited():
    meter = Budget().meter()
    rationale("r1", verifier="model", verdicts={"": {}}, meter=meter).select("q", HITS[:8], corpus=EXAMPLE)
    assert meter.report()["stages"]["rationales"]["calls"] == 1
    assert meter.report()["stages"]["verifier"]["calls"] >= 1
    with pytest.raises(BudgetExceededError):
        rationale("r1", meter=Budget(tokens=3).meter()).select("q", HITS[:8], corpus=EXAMPLE)


def test_the_memory_is_short():
    plain = {"relevant": True, "flagged": False, "flag_types": [], "confidence": 0, "reason": "", "summary": ""}
    said = iter(range(99))
    model = ScriptedLanguageModel(records=lambda _: {**plain, "summary": f"note {next(said)}"})
    verifier = ModelVerifier(model, filters_relevance=False, memory="accepted")
    for one in [*HITS, *HITS]:
        assert verifier.judged("q", [one], ["rule"])[0].accepted
    assert model.calls[-1][1].count("- note") == 10
    assert "- note 16\n" in model.calls[-1][1]
    assert "- note 6\n" not in model.calls[-1][1]


def test_batches_are_asked_together_and_found_alike():
    verdicts = {"river": {"flagged": True, "flag_types": ["factual"], "confidence": 95}, "": {}}
    one = rationale("r1", "r2", "r3", verifier="model", expand=1, verdicts=verdicts)
    three = rationale("r1", "r2", "r3", verifier="model", expand=1, batched=True, verdicts=verdicts)
    assert rows(one.select("q", HITS[:8], corpus=EXAMPLE)) == rows(three.select("q", HITS[:8], corpus=EXAMPLE))


def test_wrong_use():
    with pytest.raises(ConfigError, match="rationales is 0"):
        rationale("r1", rationales=0)
    with pytest.raises(ConfigError, match="expand is -1"):
        rationale("r1", expand=-1)
    with pytest.raises(UsageError, match="needs `language_model`"):
        RationaleSelector(embedder=AXES)
    with pytest.raises(UsageError, match="no corpus"):
        rationale("r1", expand=1, embedder=HashingEmbedder()).select("q", HITS[:3])
    with pytest.raises(ConfigError, match="no cut policy"):
        rationale("r1", policy="elbo")


# without a model


def test_pseudo_relevance_takes_a_telling_sentence_of_each_of_the_first_hits():
    written = by_pseudo_relevance("cranes?", HITS[:5], split_sentences, 8)
    assert [one.need for one in written.rationales] == [
        "cranes?",
        "harbour harbour 0.",
        "lantern lantern 1.",
        "river river 2.",
    ]
    for source in ("template", "pseudo_relevance"):
        selector = RationaleSelector(source=source, embedder=HashingEmbedder(), sentences=split_sentences, count=count)
        selection = selector.select("What about the copper engine?", HITS)
        assert {3, 5} & set(rows(selection))
        assert selection.trace["source"] == source
        assert json.dumps(selection.trace)


def test_rules_call_themselves_heuristic():
    selection = rationale("r1", verifier="rules").select("q", HITS[:8], corpus=EXAMPLE)
    assert selection.trace["verifier"] == "heuristic_verifier"
