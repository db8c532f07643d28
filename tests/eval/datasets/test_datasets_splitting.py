"""Splits that share no evidence document, and samples that are parts of larger samples."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ragkit.errors import UsageError
from ragkit.eval.datasets import load, sample, split
from ragkit.eval.types import EvalSet, EvidenceSpan, Query
from ragkit.schema import Document

DOCUMENTS = {name: Document(f"Text {name}.", source=name, doc_id=name) for name in "abcdefgh"}


def evalset(touching: list[str], **fields) -> EvalSet:
    queries = tuple(
        Query(f"q{number}", "?", evidence=tuple(EvidenceSpan(name, 0, 4) for name in names), **fields)
        for number, names in enumerate(touching)
    )
    return EvalSet("birds", DOCUMENTS, queries)


def documents_of(part: EvalSet) -> set[str]:
    return {span.doc_id for query in part.queries for span in query.evidence}


@given(
    st.lists(st.text(st.sampled_from("abcdefgh"), max_size=2), min_size=2, max_size=20),
    st.integers(0, 99),
    st.floats(0.1, 0.9),
)
def test_parts_are_disjoint_in_queries_and_documents(touching, seed, share):
    whole = evalset(touching)
    try:
        first, second = split(whole, seed, share)
    except UsageError:
        return
    ids = [query.query_id for query in (*first.queries, *second.queries)]
    assert sorted(ids) == sorted(query.query_id for query in whole.queries)
    assert first.queries
    assert second.queries
    assert not documents_of(first) & documents_of(second)
    assert first.documents == second.documents == whole.documents
    assert [part.queries for part in split(whole, seed, share)] == [first.queries, second.queries]


def test_queries_linked_through_others_stay_together():
    whole = evalset(["ab", "bc", "cd", "ef", "fg", "g"])
    first, second = split(whole, 1, 0.5)
    assert {frozenset(query.query_id for query in part.queries) for part in (first, second)} == {
        frozenset({"q0", "q1", "q2"}),
        frozenset({"q3", "q4", "q5"}),
    }


def test_scope_and_asked_of_link_as_evidence_does():
    queries = (
        Query("q0", "?", scope="a"),
        Query("q1", "?", evidence=(EvidenceSpan("a", 0, 1),)),
        Query("q2", "?", answerable=False, meta={"asked_of": {"doc_id": "a", "start": 0, "end": 2}}),
        Query("q3", "?", scope="b"),
    )
    first, second = split(EvalSet("birds", DOCUMENTS, queries), 0, 0.5)
    assert {len(first.queries), len(second.queries)} == {1, 3}


def test_one_group_cannot_be_split_by_documents():
    whole = evalset(["ab", "bc", "ca"])
    with pytest.raises(UsageError, match="3 queries form 1 groups"):
        split(whole, 0)
    first, second = split(whole, 0, by="queries")
    assert len(first.queries) + len(second.queries) == 3
    assert first.fingerprint != second.fingerprint


@pytest.mark.parametrize("share", [0, 1, -0.5, 2])
def test_a_share_outside_zero_to_one_is_refused(share):
    with pytest.raises(UsageError, match="expected more than 0 and less than 1"):
        split(evalset(["a", "b"]), 0, share)


def test_seeds_give_different_splits_near_the_share():
    whole = evalset(["abcdefgh"[number % 8] for number in range(80)])
    parts = {frozenset(query.query_id for query in split(whole, seed, 0.25)[0].queries) for seed in range(20)}
    assert len(parts) > 5
    assert {len(part) for part in parts} == {20}


def test_a_smaller_sample_is_a_part_of_a_larger_one():
    whole = evalset(["a"] * 50)
    few, more = sample(whole, 5, 1), sample(whole, 20, 1)
    assert len(few.queries) == 5
    assert {query.query_id for query in few.queries} < {query.query_id for query in more.queries}
    assert [query.query_id for query in more.queries] == sorted(
        (query.query_id for query in more.queries), key=lambda name: int(name[1:])
    )
    assert sample(whole, 5, 2).queries != few.queries
    assert sample(whole, 99, 1) is whole
    with pytest.raises(UsageError, match="expected at least 1"):
        sample(whole, 0, 1)


def test_segmentation_sets_are_divided_by_their_documents():
    whole = EvalSet("segments", DOCUMENTS, (), dict.fromkeys(DOCUMENTS, ((0, 3),)))
    first, second = split(whole, 3, 0.5)
    assert len(first.segments) == len(second.segments) == 4
    assert set(first.documents) == set(first.segments)
    assert len(sample(whole, 3, 0).documents) == 3


@pytest.mark.parametrize("name", ["squad_a", "chunking_eval", "qmsum_val"])
def test_public_sets_split_by_document(shared_data, name):
    first, second = split(load(shared_data(name)), seed=1, share=0.5)
    assert not documents_of(first) & documents_of(second)
    assert 0.2 < len(first.queries) / (len(first.queries) + len(second.queries)) < 0.8
