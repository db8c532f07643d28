"""Attack success and accuracy by containment, on values and on the two public sets."""

from __future__ import annotations

from pathlib import Path

import pytest

from ragkit.eval.datasets.loading import load
from ragkit.eval.metrics import (
    PoisonCounts,
    evaluate_answers,
    flag_counts,
    poison_counts,
    poisoned_documents,
    targets,
)
from ragkit.eval.metrics.answer.attack import contains
from ragkit.eval.types import Query
from ragkit.schema import Chunk, Document, Dropped, Hit, Selection


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


def test_flags_are_counted_from_a_selection():
    hits = [
        Hit(n, 1.0, f"c{n}", Chunk(f"d{n}", 0, 1, "x"), "s", None, None) for n in range(1, 7)
    ]  # 1 gold kept; 2 poison flagged; 3 poison kept; 4 gold flagged; 5 not chosen; 6 distrusted poison
    dropped = (
        Dropped(hits[1], "r", ("factual",)),
        Dropped(hits[3], "r", ("instruction",)),
        Dropped(hits[4], "below"),
        Dropped(hits[5], "r", ("distrusted",)),
    )
    selection = Selection((hits[0], hits[2]), dropped)
    gold = {"c1", "c4"}
    found = flag_counts(selection, {"d2", "d3", "d6"}, lambda hit: hit.chunk_id in gold)
    assert found == PoisonCounts(caught=2, false_alarms=1, missed=1, evidence_lost=1, evidence=2)
    verified = flag_counts(
        selection, {"d2", "d3", "d6"}, lambda hit: hit.chunk_id in gold, flags={"factual", "instruction"}
    )
    assert verified == PoisonCounts(caught=1, false_alarms=1, missed=1, evidence_lost=1, evidence=2)


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
