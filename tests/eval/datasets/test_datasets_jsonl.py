"""ragkit's own format, and every way in which a record of it can be wrong."""

from __future__ import annotations

import gzip
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ragkit.errors import LoadError
from ragkit.eval.datasets import load
from ragkit.eval.types import EvidenceSpan

DUCKS = {"doc_id": "ducks", "title": "Ducks", "text": "Ducks quack. Ducks swim.", "meta": {"language": "en"}}
GEESE = {"doc_id": "geese", "text": "Geese honk."}
SOUND = {
    "query_id": "q1",
    "question": "What do ducks do?",
    "answers": ["quack"],
    "evidence": [{"doc_id": "ducks", "start": 6, "end": 11, "text": "quack"}],
    "meta": {"evidence_level": "span"},
}


def changed(**fields: Any) -> dict[str, Any]:
    return {**SOUND, **fields}


def evidence(**fields: Any) -> dict[str, Any]:
    return changed(evidence=[{**SOUND["evidence"][0], **fields}])


def test_a_folder_becomes_a_set(write_set):
    evalset = load(write_set([DUCKS, GEESE], [SOUND]))
    query = evalset.queries[0]
    assert list(evalset.documents) == ["ducks", "geese"]
    assert dict(evalset.documents["ducks"].metadata) == {"title": "Ducks", "language": "en"}
    assert query.evidence == (EvidenceSpan("ducks", 6, 11, 1.0),)
    assert (query.answers, query.level, query.answerable, query.scope) == (("quack",), "span", True, None)


def test_gzip_blank_lines_and_a_byte_order_mark_are_read(tmp_path):
    content = "\ufeff" + json.dumps(DUCKS) + "\n\n"
    (tmp_path / "corpus.jsonl.gz").write_bytes(gzip.compress(content.encode()))
    (tmp_path / "queries.jsonl.gz").write_bytes(gzip.compress(json.dumps(SOUND).encode()))
    assert len(load(f"jsonl:{tmp_path}").queries) == 1


def test_the_same_content_has_the_same_fingerprint_and_other_content_another(write_set):
    first = load(write_set([DUCKS, GEESE], [SOUND]))
    again = load(write_set([DUCKS, GEESE], [SOUND]), name="other")
    graded = load(write_set([DUCKS, GEESE], [evidence(grade=2.0)]))
    retitled = load(write_set([{**DUCKS, "title": "Drakes"}, GEESE], [SOUND]))
    assert first.fingerprint == again.fingerprint
    assert len({first.fingerprint, graded.fingerprint, retitled.fingerprint}) == 3


BAD_QUERIES = {
    "wrong span": (
        evidence(start=7, end=12),
        "evidence [7, 12) of document 'ducks' is 'uack.'; expected 'quack' (which stands at 6)",
    ),
    "past the end": (evidence(end=99), "[6, 99) of document 'ducks' is out of bounds; expected 0 <= start < end <= 24"),
    "just past the end": (evidence(start=20, end=25, text=None), "[20, 25) of document 'ducks' is out of bounds"),
    "a space too much": (evidence(end=12), "is 'quack.'; expected 'quack'"),
    "a space less": (evidence(text=" quack"), "is 'quack'; expected ' quack' (which stands at 5)"),
    "negative": (evidence(start=-3), "out of bounds"),
    "reversed": (evidence(start=11, end=6), "out of bounds"),
    "empty": (evidence(start=6, end=6, text=""), "holds no visible text"),
    "only space": (evidence(start=12, end=13, text=" "), "holds no visible text"),
    "unknown document": (evidence(doc_id="duck"), "names document 'duck', which is not in the corpus"),
    "no grade": (evidence(grade=0.0), "has grade 0.0; expected more than 0"),
    "no question": (changed(question=" "), "query 'q1' has no question"),
    "no id": (changed(query_id=""), "the query id is ''; expected a text"),
    "text offset": (evidence(start="6"), "evidence.0.start is '6'"),
    "typo": (changed(answer=["quack"]), "unknown field 'answer'; Did you mean 'answers'?"),
    "missing field": ({"query_id": "q1"}, "the field 'question' is missing"),
    "unknown scope": (changed(meta={"doc_id": "swans"}), "meta.doc_id names document 'swans'"),
    "evidence elsewhere": (changed(meta={"doc_id": "geese"}), "asked of document 'geese', yet its evidence lies in"),
    "unanswerable": (changed(meta={"answerable": False}), "unanswerable, yet it has evidence"),
    "not JSON": ("{'query_id': 1}", "expected one JSON object"),
    "a list": ("[1]", "the record is"),
}


@pytest.mark.parametrize(("record", "message"), BAD_QUERIES.values(), ids=BAD_QUERIES)
def test_a_bad_query_is_named_by_file_and_line(write_set, record, message):
    folder = write_set([DUCKS, GEESE], [changed(query_id="q0"), record])
    with pytest.raises(LoadError) as caught:
        load(folder)
    assert str(folder / "queries.jsonl") + ", line 2: " in caught.value.message
    assert message in caught.value.message
    assert caught.value.hint


@pytest.mark.parametrize(("record", "message"), BAD_QUERIES.values(), ids=BAD_QUERIES)
def test_without_strictness_it_is_dropped_and_counted(write_set, record, message):
    folder = write_set([DUCKS, GEESE], [changed(query_id="q0"), record])
    evalset = load(folder, strict=False)
    assert [query.query_id for query in evalset.queries] == ["q0"]
    (dropped,) = evalset.dropped
    assert dropped.startswith("1 x ")
    assert "queries.jsonl, line 2" in dropped


def test_an_unknown_document_brings_the_nearest_id(write_set):
    with pytest.raises(LoadError, match="Did you mean 'ducks'") as caught:
        load(write_set([DUCKS, GEESE], [evidence(doc_id="duck")]))
    assert "one of its 2 ids" in caught.value.message


BAD_DOCUMENTS = {
    "duplicate": (DUCKS, "the document id 'ducks' was given before ("),
    "surrogate": ('{"doc_id": "x", "text": "\\ud800"}', "expected one JSON object"),
    "no text": ({"doc_id": "x"}, "the field 'text' is missing"),
    "segment outside": ({**GEESE, "segments": [{"start": 0, "end": 99}]}, "segment 0 [0, 99) of document 'geese'"),
    "empty segment": ({**GEESE, "segments": [{"start": 3, "end": 3}]}, "out of bounds"),
    "overlap": (
        {**GEESE, "segments": [{"start": 0, "end": 6}, {"start": 5, "end": 8}]},
        "segment 1 [5, 8) of document 'geese' begins before 6",
    ),
}


@pytest.mark.parametrize(("record", "message"), BAD_DOCUMENTS.values(), ids=BAD_DOCUMENTS)
def test_a_bad_document_is_named_by_file_and_line(write_set, record, message):
    folder = write_set([DUCKS, record], [SOUND])
    with pytest.raises(LoadError) as caught:
        load(folder)
    assert caught.value.message.startswith(f"{folder / 'corpus.jsonl'}, line 2: ")
    assert message in caught.value.message


def test_a_duplicate_query_names_the_first_one(write_set):
    folder = write_set([DUCKS], [SOUND, SOUND])
    with pytest.raises(LoadError, match=r"line 2: the query id 'q1' was given before \(.*line 1\)"):
        load(folder)


def test_segments_may_overlap_where_the_document_says_so(write_set):
    segments = [{"start": 5, "end": 8}, {"start": 0, "end": 6, "title": "first"}]
    evalset = load(write_set([{**GEESE, "segments": segments, "meta": {"segments_may_overlap": True}}]))
    assert evalset.segments == {"geese": ((5, 8), (0, 6))}


def test_a_set_with_nothing_to_evaluate_is_refused(write_set):
    with pytest.raises(LoadError, match="1 documents, 0 queries and no segments"):
        load(write_set([DUCKS]))
    with pytest.raises(LoadError, match="1 x unknown document"):
        load(write_set([DUCKS], [evidence(doc_id="x")]), strict=False)


def test_a_folder_without_a_corpus_is_refused(tmp_path):
    with pytest.raises(LoadError, match=r"it holds no corpus.jsonl or corpus.jsonl.gz"):
        load(f"jsonl:{tmp_path}")


def test_two_files_for_one_part_are_refused(write_set):
    folder = write_set([DUCKS], [SOUND])
    (folder / "corpus.jsonl.gz").write_bytes(gzip.compress(b"{}"))
    with pytest.raises(LoadError, match=r"found corpus.jsonl and corpus.jsonl.gz; expected one"):
        load(folder)


def test_damaged_gzip_is_an_error_that_names_the_file(tmp_path):
    content = gzip.compress("\n".join(json.dumps({**GEESE, "doc_id": str(n)}) for n in range(999)).encode())
    (tmp_path / "corpus.jsonl.gz").write_bytes(content[: len(content) // 2])
    with pytest.raises(LoadError, match=r"corpus.jsonl.gz: the gzip data is damaged"):
        load(tmp_path)


@pytest.mark.parametrize(
    ("record", "scope"),
    [
        (changed(meta={"doc_id": "ducks"}), "ducks"),
        (changed(meta={"evidence_level": "turns"}), "ducks"),
        (changed(meta={"evidence_level": "sentence"}), None),
        (changed(meta={"doc_id": "geese"}, evidence=[]), "geese"),
        (
            changed(
                meta={"evidence_level": "turns"},
                evidence=[*SOUND["evidence"], {"doc_id": "geese", "start": 0, "end": 5}],
            ),
            None,
        ),
    ],
)
def test_scope(write_set, record, scope):
    assert load(write_set([DUCKS, GEESE], [record])).queries[0].scope == scope


@pytest.mark.parametrize(
    ("answers", "meta", "answerable"),
    [
        (["NotMentioned"], {}, False),
        (["Insufficient information."], {}, False),
        (["NOT_ENOUGH_INFO"], {}, False),
        (["NOT_ENOUGH_INFO"], {"answerable": True}, True),
        (["unanswerable", "three"], {}, True),
        (["no"], {}, True),
        ([], {}, True),
        (["three"], {"answerable": False}, False),
    ],
)
def test_answerability_of_a_question_without_evidence(write_set, answers, meta, answerable):
    record = changed(answers=answers, evidence=[], meta=meta)
    assert load(write_set([DUCKS], [record])).queries[0].answerable is answerable


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=60), st.data())
def test_every_true_span_is_kept_and_every_false_one_refused(tmp_path_factory, text, data):
    start = data.draw(st.integers(0, len(text) - 1))
    end = data.draw(st.integers(start + 1, len(text)))
    claimed = data.draw(st.one_of(st.just(text[start:end]), st.text(st.characters(exclude_categories=["Cs"]))))
    folder = tmp_path_factory.mktemp("own")
    record = {"query_id": "q", "question": "?", "evidence": [{"doc_id": "d", "start": start, "end": end}]}
    record["evidence"][0]["text"] = claimed
    (folder / "corpus.jsonl").write_text(json.dumps({"doc_id": "d", "text": text}) + "\n", encoding="utf-8")
    (folder / "queries.jsonl").write_text(json.dumps(record) + "\n", encoding="utf-8")
    if claimed == text[start:end] and claimed.strip():
        assert load(folder).queries[0].evidence == (EvidenceSpan("d", start, end),)
    else:
        with pytest.raises(LoadError, match="line 1"):
            load(folder)
