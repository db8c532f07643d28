"""BEIR folders in their published shape."""

from __future__ import annotations

from pathlib import Path

import pytest

from ragkit.errors import ConfigError, LoadError
from ragkit.eval.datasets import load

CORPUS = [
    {"_id": "d1", "title": "Ducks", "text": "Ducks quack.", "metadata": {"year": 2001}},
    {"_id": "d2", "title": "", "text": "Geese honk."},
    {"_id": "d3", "title": "", "text": ""},
]
QUERIES = [{"_id": "q1", "text": "ducks?", "metadata": {}}, {"_id": "q2", "text": "geese?"}, {"_id": "q3", "text": "?"}]


@pytest.fixture
def folder(write_lines, tmp_path) -> Path:
    write_lines(CORPUS, "corpus.jsonl")
    write_lines(QUERIES, "queries.jsonl")
    (tmp_path / "qrels").mkdir()
    return tmp_path


def judge(folder: Path, *rows: str, split: str = "test") -> Path:
    text = "query-id\tcorpus-id\tscore\n" + "".join(f"{row}\n" for row in rows)
    (folder / "qrels" / f"{split}.tsv").write_text(text, encoding="utf-8")
    return folder


def test_judgements_above_zero_are_graded_whole_documents(folder):
    evalset = load(judge(folder, "q1\td1\t2", "q1\td2\t0", "q2\td2\t1"))
    assert evalset.documents["d1"].text == "Ducks\n\nDucks quack."
    assert evalset.documents["d1"].metadata["year"] == 2001
    first, second = evalset.queries
    assert [(span.doc_id, span.start, span.end, span.grade) for span in first.evidence] == [("d1", 0, 19, 2.0)]
    assert (second.evidence[0].end, first.level) == (11, "document")
    assert evalset.dropped == ("1 x query without judgements in test.tsv; first: 'q3'",)


def test_the_split_is_test_then_dev_or_the_one_asked_for(folder):
    judge(folder, "q2\td2\t1", split="train")
    assert [query.query_id for query in load(folder).queries] == ["q2"]
    judge(folder, "q1\td1\t1", split="dev")
    assert [query.query_id for query in load(folder).queries] == ["q1"]
    assert [query.query_id for query in load(f"beir:{folder}?split=train").queries] == ["q2"]
    with pytest.raises(ConfigError, match=r"no judgements for the split 'trian'.*Did you mean 'train'"):
        load(f"beir:{folder}?split=trian")


FLAWS = {
    "unknown document": ("q1\td9\t1", "it judges document 'd9', which is not in the corpus"),
    "empty document": ("q1\td3\t1", "it judges document 'd3', which has no text"),
    "duplicate judgement": ("q1\td1\t1", "again"),
    "too few": ("q1\td1", "found 2 fields"),
    "no number": ("q1\td1\thigh", "the score is 'high'"),
    "unknown query": ("q9\td1\t1", "it judges query 'q9'"),
}


@pytest.mark.parametrize(("row", "message"), FLAWS.values(), ids=FLAWS)
def test_a_flawed_judgement_falls_alone_or_is_named(folder, row, message):
    judge(folder, "q1\td1\t1", row)
    evalset = load(folder)
    assert [len(query.evidence) for query in evalset.queries] == [1]
    assert any(message in line for line in evalset.dropped)
    judge(folder, "q1\td1\t1", "q2\td2\t1", "q3\td1\t1")
    assert load(folder, strict=True).dropped == ()
    judge(folder, "q1\td1\t1", row)
    with pytest.raises(LoadError) as caught:
        load(folder, strict=True)
    assert message in caught.value.message
    assert "test.tsv" in caught.value.message


def test_a_query_with_nothing_relevant_is_dropped(folder):
    evalset = load(judge(folder, "q1\td1\t0", "q2\td2\t1"))
    assert [query.query_id for query in evalset.queries] == ["q2"]
    assert evalset.dropped[0].startswith("1 x no relevant document; ")


def test_a_folder_without_judgements_is_refused(folder):
    with pytest.raises(LoadError, match=r"there is no qrels/\*.tsv"):
        load(folder)
    (judge(folder, "q1\td1\t1") / "corpus.jsonl").unlink()
    with pytest.raises(LoadError, match=r"corpus.jsonl: No such file"):
        load(f"beir:{folder}")
