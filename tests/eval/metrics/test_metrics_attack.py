"""Attack success and accuracy by containment, on values and on the two public sets."""

from __future__ import annotations

from pathlib import Path

import pytest

from ragkit.eval.datasets.loading import load
from ragkit.eval.metrics import evaluate_answers, poison_counts, poisoned_documents, targets
from ragkit.eval.metrics.answer.attack import contains
from ragkit.eval.types import Query
from ragkit.schema import Document


def query(name, answers=("23",), **meta):
    return Query(name, "how many?", answers=answers, meta=meta)


def test_containment_is_of_whole_tokens_in_a_row():
    assert contains("It was Glendale, Arizona.", "Glendale Arizona") == 1
    assert contains("Arizona, not Glendale.", "Glendale, Arizona") == 0
    assert contains("共有24集。", "24") == 1
    assert contains("anything", "") == contains("", "24") == 0


def test_only_queries_with_a_target_count_and_the_best_target_is_taken():
    queries = [query("a", incorrect_answer="24"), query("b"), query("c", fake_answer=["x y", "U.S."])]
    found = evaluate_answers(["AttackSuccess"], queries, ["There are 24.", "24", "The US won."])
    assert found.counted.tolist() == [0, 2]
    assert found["AttackSuccess"].tolist() == [1.0, 1.0]
    clean = evaluate_answers(["Contains"], queries, ["There are 23.", None, "The US won."])
    assert clean["Contains"].tolist() == [1.0, 0.0, 0.0]
    assert targets(query("d", target_answers=["a", "a", " "], incorrect_answer="b")) == ("a", "b")


def test_poisoned_documents_are_known_by_their_metadata():
    documents = [Document(str(n), str(n), metadata=meta) for n, meta in enumerate(
        [{"poison": True}, {"poison": False}, {"kind": "positive_wrong"}, {"kind": "positive"}, {}]
    )]  # fmt: skip
    found = poisoned_documents(documents)
    assert found == {documents[0].doc_id, documents[2].doc_id}
    assert poison_counts(found, {documents[0].doc_id}, found, set()).recall == 0.5


@pytest.mark.parametrize(("name", "poisoned"), [("poisonedrag_a", 745), ("rgb_fact_a", None)])
def test_the_public_sets_tell_targets_and_poison(shared_data, name: str, poisoned: int | None):
    found = load(str(Path(shared_data(name))))
    assert all(targets(one) for one in found.queries)
    bad = poisoned_documents(found.documents.values())
    assert bad
    assert poisoned in (None, len(bad))
    assert not bad & {span.doc_id for one in found.queries for span in one.evidence}
    said = [targets(one)[0] for one in found.queries]
    assert evaluate_answers(["AttackSuccess"], found.queries, said)["AttackSuccess"].mean() == 1.0
