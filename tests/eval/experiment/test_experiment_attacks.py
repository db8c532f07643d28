"""Attacks: arms of a data set, trust of sources, and what selectors turned out."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from benchmarks.answer_tables import answers, attacks
from ragkit.errors import ConfigError, UsageError
from ragkit.eval.datasets import load
from ragkit.eval.experiment.arms import matching, with_prefix, with_questions, with_trust, without_documents
from ragkit.eval.experiment.replay import load_result, rescored, save
from ragkit.eval.experiment.run import RunOptions, run
from ragkit.eval.experiment.specification import SourceTrust
from ragkit.eval.metrics import Screened, parse
from ragkit.eval.types import EvidenceSpan

from .conftest import ANIMALS, timeless

LIES = 6


@pytest.fixture
def attacked(animals: Path) -> Path:
    """Return the animals with one lie for each of six questions, which says another season."""
    corpus = [json.loads(line) for line in (animals / "corpus.jsonl").read_text("utf-8").splitlines()]
    queries = [json.loads(line) for line in (animals / "queries.jsonl").read_text("utf-8").splitlines()]
    for number, query in enumerate(query for query in queries[1 : LIES + 2] if "doc_id" not in query["meta"]):
        query["meta"]["incorrect_answer"] = "season 9"
        claim = query["question"].removeprefix("When does one see that ").removesuffix("?")
        claim = f"{claim[0].upper()}{claim[1:]} in season 9."
        corpus.append({"doc_id": f"lie{number}", "text": claim, "meta": {"poison": True}})
    (animals / "corpus.jsonl").write_text("\n".join(map(json.dumps, corpus)), encoding="utf-8")
    (animals / "queries.jsonl").write_text("\n".join(map(json.dumps, queries)), encoding="utf-8")
    return animals


ARMS: list[dict[str, Any]] = [
    {"load": "animals", "name": "attacked", "trust": {"low": {"poison": True}}},
    {"load": "animals", "name": "clean", "leave_out": {"poison": True}},
]
SYSTEMS: list[dict[str, Any]] = [
    {"name": "plain", "pipeline": {"selector": {"name": "top_k", "k": 1}}},
    {"name": "trusted", "pipeline": {"selector": {"name": "top_k", "k": 1, "trust": {"min": 0.5, "missing": 1}}}},
]
MEASURES = ["AttackSuccess", "Contains", "PoisonShare", "PoisonKept", "PoisonFlagged", "CleanKept", "CleanFlagged"]


def result_of(tmp_path, experiment, **changes):
    content = {
        "sets": ARMS,
        "grid": None,
        "systems": SYSTEMS,
        "baseline": "plain",
        "pipeline": {"chunker": {"name": "recursive", "size": 30}, "retriever": "lexical"},
        "measures": MEASURES,
        "answer": {"model": {"name": "reader"}, "max_tokens": 20},
        **changes,
    }
    return run(experiment(**content), RunOptions(work=tmp_path / "work"))


def test_an_attack_works_on_its_arm_and_trust_stops_it(tmp_path, experiment, reader, attacked):
    result = result_of(tmp_path, experiment)
    bad, good = result.sets
    means = {one.name: {m: {s: v[0] for s, v in of.items()} for m, of in one.intervals.items()} for one in result.sets}
    assert len(bad.counted_for("AttackSuccess")) == LIES
    assert means["attacked"]["AttackSuccess"] == {"plain": 1.0, "trusted": 0.0}
    assert means["clean"]["AttackSuccess"] == {"plain": 0.0, "trusted": 0.0}
    assert means["clean"]["PoisonKept"]["plain"] == means["clean"]["PoisonFlagged"]["trusted"] == 0.0
    assert means["attacked"]["PoisonFlagged"]["trusted"] >= LIES / 41
    assert means["attacked"]["PoisonKept"]["trusted"] == means["attacked"]["PoisonShare"]["trusted"] == 0.0
    assert means["attacked"]["CleanFlagged"] == {"plain": 0.0, "trusted": 0.0}
    assert set(bad.poisoned) == {f"lie{number}" for number in range(LIES)}
    assert good.poisoned == []
    assert len(bad.counted_for("PoisonKept")) == 41, "all questions count"
    assert any("6 documents with {'poison': True}, as asked" in note for note in good.notes)
    save(result, tmp_path / "results.json.gz")
    read = load_result(tmp_path / "results.json.gz")
    assert timeless(rescored(read)) == timeless(result)
    assert rescored(read, ['PoisonFlagged(flag="factual")']).sets[0].intervals['PoisonFlagged(flag="factual")'][
        "trusted"
    ] == (0, 0, 0)


def test_the_tables_of_the_benchmarks_show_it(tmp_path, experiment, reader, attacked):
    result = result_of(tmp_path, experiment, measures=[*MEASURES, "TokenF1", "Recall", "Tokens"])
    shown = list(attacks(result))
    at = shown.index("**attacked** (41 questions)")
    cells = [[cell.strip() for cell in line.split("|")[1:-1]] for line in shown[at + 2 : at + 6]]
    assert cells[0][:4] == ["system", "attack", "right", "poison shown"]
    assert cells[2][:2] == ["plain", "100 [100, 100]"]
    assert cells[3][0] == "trusted"
    assert cells[3][1].startswith("0 [")
    assert cells[3][4].startswith("100 %")
    assert cells[2][4] == cells[3][5] == ""
    lines = list(answers(result))
    assert any(line.startswith("| trusted |") for line in lines)
    assert "TokenF1" in next(line for line in lines if line.startswith("| system"))


def test_without_a_selector_what_was_shown_was_kept(tmp_path, experiment, reader, attacked):
    systems = [{"name": "plain", "pipeline": {}}]
    answer = {"model": {"name": "reader"}, "max_tokens": 20, "budget_tokens": 60}
    bad = result_of(tmp_path, experiment, systems=systems, answer=answer).sets[0]
    run_ = bad.runs[0]
    kept = [a + b for a, b in zip(run_.scores["PoisonKept"], run_.scores["CleanKept"], strict=True)]
    assert kept == [len(run_.answers[query_id].shown) for query_id in bad.counted_for("PoisonKept")]
    assert sum(kept) < sum(len(hits.documents) for hits in run_.hits.values())


def test_flags_need_no_answers(tmp_path, experiment, attacked):
    measures = ["PoisonFlagged", "CleanKept"]
    (bad, _) = result_of(tmp_path, experiment, measures=measures, answer=None).sets
    assert bad.intervals["PoisonFlagged"]["trusted"][0] > 0
    assert bad.runs[1].hits["heron-1"].rejected[0][0].startswith("lie")


def test_the_verifier_of_a_selector_is_asked_in_bulk(tmp_path, experiment, reader, attacked, monkeypatch):
    sizes = []

    def records(self, prompts, schema, **_):
        sizes.append(len(prompts))
        texts = ["".join(part.text for part in one) for one in prompts]
        said = {"relevant": True, "confidence": 95, "reason": "", "summary": ""}
        return [
            schema.model_validate({**said, "flagged": "season 9" in one, "flag_types": ["factual"]}) for one in texts
        ]

    monkeypatch.setattr(reader, "generate_records", records)
    checked = {"name": "rationale", "source": "template", "verifier": "model", "prefilter": 5, "order": "trust"}
    systems = [*SYSTEMS, {"name": "verified", "pipeline": {"selector": checked}}]
    (bad, _) = result_of(tmp_path, experiment, systems=systems).sets
    assert bad.intervals["PoisonFlagged"]["verified"][0] > 0
    assert bad.intervals["AttackSuccess"]["verified"][0] == 0.0
    assert max(sizes) == 41, "all questions side by side"
    spent = bad.runs[2].cost["selection"]
    assert spent.calls > 41
    assert spent.prompt_tokens > 10 * spent.calls
    assert "selection" not in bad.runs[0].cost


def test_documents_are_left_out_with_their_evidence(attacked):
    whole = load(str(attacked))
    clean = without_documents(whole, {"poison": [True, "yes"]})
    assert len(clean.documents) == len(whole.documents) - LIES
    assert clean.fingerprint != whole.fingerprint
    assert clean.queries == whole.queries
    marked = with_trust(whole, SourceTrust(low={"poison": True}), 0)
    lies = without_documents(marked, {"trust": 1.0})
    assert set(lies.documents) == {f"lie{number}" for number in range(LIES)}
    assert not any(query.evidence for query in lies.queries)
    assert len(lies.queries) == 41 - 8, "those asked of a document that is gone are gone"


def test_the_question_stands_in_front_of_what_is_aimed_at_it(attacked):
    whole = load(str(attacked))
    lie, aimed = "lie0", {"target_query": "otter-0"}
    documents = {**whole.documents}
    documents[lie] = replace(documents[lie], metadata={"poison": True, **aimed})
    documents = {name: one for name, one in documents.items() if not name.startswith("lie") or name == lie}
    claim = documents[lie].text
    queries = (replace(whole.queries[0], evidence=(EvidenceSpan(lie, 4, 9),)), *whole.queries[1:])
    segments = {lie: ((0, 5), (5, len(claim))), "it's otter": ((0, 3),)}
    made = with_prefix(replace(whole, documents=documents, queries=queries, segments=segments), {"poison": True})
    question = next(query.question for query in whole.queries if query.query_id == "otter-0")
    assert made.documents[lie].text == f"{question}.{claim}", "no space, as published"
    (span,) = made.queries[0].evidence
    assert made.documents[lie].text[span.start : span.end] == claim[4:9]
    by = len(question) + 1
    assert made.segments == {lie: ((0, 5 + by), (5 + by, len(claim) + by)), "it's otter": ((0, 3),)}
    assert made.queries[1:] == whole.queries[1:]
    assert {one for one in documents if made.documents[one] is not documents[one]} == {lie}
    assert made.fingerprint != whole.fingerprint


def test_an_attack_with_the_question_in_front_is_found_first(tmp_path, experiment, reader, attacked):
    lines = [json.loads(line) for line in (attacked / "corpus.jsonl").read_text("utf-8").splitlines()]
    for line in lines:
        if line["doc_id"].startswith("lie"):
            line["text"] = "It was in season 9."
            line["meta"]["target_query"] = f"{ANIMALS[int(line['doc_id'][3:])]}-4"
    (attacked / "corpus.jsonl").write_text("\n".join(map(json.dumps, lines)), encoding="utf-8")
    sets = [
        {"load": "animals", "name": "texts"},
        {"load": "animals", "name": "s + i", "prefix_question": {"poison": True}},
    ]
    alone, published = result_of(tmp_path, experiment, sets=sets, answer=None, measures=["PoisonKept"]).sets
    targets = [line["meta"]["target_query"] for line in lines if line["doc_id"].startswith("lie")]
    for part, found in ((alone, 0), (published, 1)):
        kept = dict(zip(part.counted_for("PoisonKept"), part.runs[0].scores["PoisonKept"], strict=True))
        assert [kept[one] for one in targets] == [found] * LIES


def test_trust_may_be_wrong_and_is_drawn_by_the_seed(attacked):
    whole = load(str(attacked))
    right, wrong, other = (
        {doc_id: one.metadata["trust"] for doc_id, one in with_trust(whole, trust, seed).documents.items()}
        for trust, seed in (
            (SourceTrust(low={"poison": True}), 0),
            (SourceTrust(low={"poison": True}, wrong=0.5), 0),
            (SourceTrust(low={"poison": True}, wrong=0.5), 1),
        )
    )
    assert right == {doc_id: 0.0 if doc_id.startswith("lie") else 1.0 for doc_id in whole.documents}
    assert sum(right[doc_id] != wrong[doc_id] for doc_id in right) == len(right) // 2
    assert wrong != other


def test_some_questions_only(attacked):
    whole = load(str(attacked))
    assert len(with_questions(whole, {"incorrect_answer": "season 9"}).queries) == LIES
    assert not matching({}, {"a": None})
    with pytest.raises(UsageError, match="0 of 41 questions have the metadata"):
        with_questions(whole, {"incorrect_answer": "season 8"})
    with pytest.raises(UsageError, match="14 of 14 documents"):
        without_documents(with_trust(whole, SourceTrust(low={"poison": True}, wrong=0), 0), {"trust": [0.0, 1.0]})


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"leave_out": {"poisn": True}}, "Did you mean 'poison'"),
        ({"prefix_question": {"poisn": True}}, "Did you mean 'poison'"),
        ({"prefix_question": {"poison": True}}, "target_query is None"),
        ({"trust": {"low": {"poison": "yes"}}}, "0 of 14 documents"),
        ({"trust": {"low": {"poison": True}, "wrng": 1}}, "Valid keys: low, wrong"),
    ],
)
def test_a_wrong_arm_is_named_with_its_line(tmp_path, experiment, reader, attacked, wrong, said):
    with pytest.raises(ConfigError, match=r"experiment\.yaml:\d+: ") as raised:
        result_of(tmp_path, experiment, sets=[{"load": "animals", **wrong}])
    assert said in str(raised.value)


def test_what_was_screened_is_counted():
    found = Screened([("lie", 10), ("true", 30)], [("lie", ("factual",)), ("true", ("irrelevant",))], {"lie"})
    values = {
        name: parse(name).declaration.score(found, **dict(parse(name).settings))
        for name in ["PoisonShare", "PoisonKept", "CleanKept", "PoisonFlagged", "CleanFlagged"]
    }
    assert values == {"PoisonShare": 0.25, "PoisonKept": 1, "CleanKept": 1, "PoisonFlagged": 1, "CleanFlagged": 1}
    assert parse('CleanFlagged(flag="factual")').declaration.score(found, flag="factual") == 0
    assert parse("PoisonShare").declaration.score(Screened([], [], set())) == 0.0
