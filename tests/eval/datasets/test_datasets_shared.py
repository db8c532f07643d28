"""The public data sets: counts as their table says, evidence verified without the code under test."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ragkit.eval.datasets import load
from ragkit.eval.types import EvalSet

SETS = [
    *("cacheblend_musique", "choi", "chunking_eval", "cmrc2018_a", "contract_nli", "cranfield", "longbench_a"),
    *("manifesto_segmentation", "multihop_rag_a", "musique", "poisonedrag_a", "policyqa_dev", "qmsum_val"),
    *("quality_a", "rgb_fact_a", "scifact", "squad_a", "tatqa_dev", "xquad_a"),
]
SCOPED = {"contract_nli": 1000, "policyqa_dev": 1000, "tatqa_dev": 1000, "qmsum_val": 272}
UNANSWERABLE = {"contract_nli": 200, "multihop_rag_a": 25, "scifact": 416, "squad_a": 150}

Records = Callable[[str, str], Iterator[dict[str, Any]]]


@pytest.fixture(scope="module")
def loaded(shared_data) -> Callable[[str], EvalSet]:
    known: dict[str, EvalSet] = {}

    def get(name: str) -> EvalSet:
        return known.setdefault(name, load(shared_data(name)))

    return get


def table(readme: Path) -> dict[str, tuple[int, int, int]]:
    """Return documents, queries and segments of each set as the table of the data folder gives them."""
    rows = {}
    for line in readme.read_text(encoding="utf-8").splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if line.startswith("|") and len(cells) == 7 and cells[1].isdigit():
            rows[cells[0]] = tuple(int(cells[column] or 0) for column in (1, 2, 4))
    return rows


@pytest.mark.parametrize("name", SETS)
def test_counts_equal_the_table(loaded, shared_data, name):
    expected = table(shared_data(name).parent / "README.md")
    evalset = loaded(name)
    segments = sum(map(len, evalset.segments.values()))
    assert (len(evalset.documents), len(evalset.queries), segments) == expected[name]
    assert evalset.name == name
    assert evalset.dropped == ()


def test_the_table_names_no_set_that_is_not_tested(shared_data):
    assert set(table(shared_data(SETS[0]).parent / "README.md")) == set(SETS)


@pytest.mark.parametrize("name", SETS)
def test_evidence_is_the_published_text(loaded, records: Records, shared_data, name):
    evalset = loaded(name)
    if not (shared_data(name) / "queries.jsonl.gz").exists():
        assert evalset.segments
        return
    for query, record in zip(evalset.queries, records(name, "queries"), strict=True):
        texts = [evalset.documents[span.doc_id].text[span.start : span.end] for span in query.evidence]
        assert texts == [item["text"] for item in record["evidence"]]
        assert query.level == record["meta"]["evidence_level"]


@pytest.mark.parametrize("name", SETS)
def test_scope_and_answerability_follow_from_the_records(loaded, name):
    queries = loaded(name).queries
    assert sum(query.scope is not None for query in queries) == SCOPED.get(name, 0)
    assert sum(not query.answerable for query in queries) == UNANSWERABLE.get(name, 0)
    assert all({span.doc_id for span in query.evidence} <= {query.scope} for query in queries if query.scope)


def test_fingerprints_tell_the_sets_apart(loaded):
    assert len({loaded(name).fingerprint for name in SETS}) == len(SETS)


def test_document_metadata_can_be_filtered_by(loaded):
    document = loaded("xquad_a").documents["xquad_en_Super_Bowl_50"]
    assert document.metadata["language"] == "en"
    assert document.metadata["title"] == "Super_Bowl_50"
