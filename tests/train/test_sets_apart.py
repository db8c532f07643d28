"""Sets that share questions or documents: what one holds out, no other teaches."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ragkit.config import PartConfig
from ragkit.eval.experiment.workshop import Workshop
from ragkit.eval.types import EvalSet
from ragkit.selectors.agent_file import Aim
from ragkit.train import agent_training, calibration, reranker
from ragkit.train.apart import repeated, repeated_in_each
from ragkit.train.mining import asked_of
from ragkit.train.reranker import Settings
from ragkit.train.settings import Steps
from tests.train.conftest import make_set


def renamed(evalset: EvalSet, name: str, fingerprint: str) -> EvalSet:
    """Return the same questions under other ids, of documents that have other ids too."""
    documents = {
        f"{name} {doc_id}": replace(one, doc_id=f"{name} {doc_id}", source=f"{name}/{doc_id}")
        for doc_id, one in evalset.documents.items()
    }
    queries = tuple(
        replace(
            query,
            query_id=f"{name} {query.query_id}",
            question=query.question.upper(),
            evidence=tuple(replace(span, doc_id=f"{name} {span.doc_id}") for span in query.evidence),
        )
        for query in evalset.queries
    )
    return EvalSet(name, documents, queries, fingerprint=fingerprint)


@pytest.fixture(scope="module")
def twice(things) -> list[EvalSet]:
    return [things, renamed(things, "copy", "copy-6")]


def test_the_same_question_or_a_document_of_the_same_text_is_found(things, twice):
    first, copy = twice
    held = copy.queries[:3]
    assert repeated((first, first.queries), [(copy, held)]) == {
        one.query_id for one in first.queries if one.evidence[0].doc_id == "house 0"
    }
    elsewhere = tuple(replace(one, evidence=()) for one in held)
    assert repeated((first, first.queries), [(copy, elsewhere)]) == {one.query_id for one in first.queries[:3]}
    other = make_set("other", 2)
    changed = {doc_id: replace(one, text=one.text + " End.") for doc_id, one in other.documents.items()}
    asked = tuple(replace(one, question=f"Else: {one.question}") for one in other.queries)
    assert repeated((first, first.queries), [(replace(other, documents=changed), asked)]) == set()
    assert repeated_in_each([(things, things.queries[:5], things.queries[5:])]) == [set()], "a set is apart by itself"


def test_a_reranker_learns_nothing_that_another_set_holds_out(tmp_path, twice, config):
    settings = Settings(held_out=0.2, k=12, steps=Steps())
    train, held, data = reranker._data(twice, tmp_path, settings, config, None)
    words = [{one.query.question.casefold() for one in part} for part in (train, held)]
    assert all(words)
    assert not words[0] & words[1]
    assert sum(row["held out by another set"] for row in data) > 0


def test_an_agent_learns_nothing_that_another_set_holds_out(tmp_path, twice, config):
    base = config.model_dump(include={"chunker", "embedder", "retriever"})
    aim = Aim(measure="Recall@tokens(60)", cost=0.2, budget=60, candidates=8, tokenizer="words")
    settings = [{"name": "top_k", "k": 1}, {"name": "top_k", "k": 4}]
    with Workshop(tmp_path, "words") as workshop:
        trained = agent_training.train(workshop, twice, agent_training.Plan(aim, settings, base))
    learnt = {question.casefold() for question in trained.file.questions}
    every = {query.question.casefold() for query in twice[0].queries}
    assert learnt < every
    assert trained.result.questions >= len(every - learnt) > 0
    assert any("another set holds" in note for note in trained.notes)
    assert sum(one.questions for one in trained.file.data) == len(trained.file.questions)


def test_a_calibration_learns_nothing_that_another_set_holds_out(twice):
    plan = calibration.CalibrationPlan(PartConfig(name="cosine"), {})
    halves, notes = calibration._halves(twice, plan)
    learnt, judged = ({one.question.casefold() for pair in halves for one in pair[at].queries} for at in (0, 1))
    assert learnt
    assert not learnt & judged
    assert len(notes) == 2


def test_sets_apart_lose_nothing(tmp_path, things, config):
    other = make_set("others", 5)
    changed = {doc_id: replace(one, text=f"{one.text} End.") for doc_id, one in other.documents.items()}
    queries = tuple(replace(one, question=f"Else: {one.question}") for one in other.queries)
    sets = [things, EvalSet("others", changed, queries, fingerprint="others-5")]
    train, held, data = reranker._data(sets, tmp_path, Settings(held_out=0.2, k=12), config, None)
    counts = [len(asked_of(one, tmp_path / one.fingerprint[:16], config, k=12)) for one in sets]
    assert len(train) + len(held) == sum(counts)
    assert [row["held out by another set"] for row in data] == [0, 0]
