"""HotpotQA, 2WikiMultihopQA and MultiHop-RAG in their published shapes."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ragkit.errors import LoadError
from ragkit.eval.datasets import load
from ragkit.eval.datasets.supporting_facts import joined

RADIO = ["Radio City", ["Radio City is a station.", " It began in 2001.", ""]]
ALBANIA = ["Football", ["The season was the 45th.", " It started in 1983."]]


def question(name: str, facts: list[Any], **fields: Any) -> dict[str, Any]:
    return {
        "_id": name,
        "question": f"{name}?",
        "answer": "2001",
        "type": "bridge",
        "level": "hard",
        "context": [RADIO, ALBANIA],
        "supporting_facts": facts,
        **fields,
    }


def texts(evalset, query) -> list[str]:
    return [evalset.documents[span.doc_id].text[span.start : span.end] for span in query.evidence]


def test_hotpotqa_supporting_facts_become_sentence_spans(write_json):
    evalset = load(write_json([question("a", [["Radio City", 1], ["Football", 0]]), question("b", [["Football", 1]])]))
    assert {doc_id: document.text for doc_id, document in evalset.documents.items()} == {
        "Radio City": "Radio City is a station. It began in 2001.",
        "Football": "The season was the 45th. It started in 1983.",
    }
    first, second = evalset.queries
    assert texts(evalset, first) == ["It began in 2001.", "The season was the 45th."]
    assert texts(evalset, second) == ["It started in 1983."]
    assert first.level == "sentence"
    assert first.meta == {"ctx_doc_ids": ["Radio City", "Football"], "type": "bridge", "difficulty": "hard"}


def test_a_title_with_two_texts_is_two_documents(write_json):
    other = question("b", [["Radio City", 0]], context=[["Radio City", ["Another text."]]])
    evalset = load(write_json([question("a", [["Radio City", 0]]), other, {**other, "_id": "c"}]))
    assert list(evalset.documents) == ["Radio City", "Football", "Radio City (2)"]
    assert [query.evidence[0].doc_id for query in evalset.queries[1:]] == ["Radio City (2)"] * 2


def test_facts_that_point_nowhere_drop_the_question(write_json):
    items = [
        question("a", [["Football", 1]]),
        question("b", [["Football", 1], ["Football", 7]]),
        question("c", [["Radio City", 2]]),
        question("d", [["Cinema", 0]]),
        question("e", [["Football", "0"]]),
    ]
    evalset = load(write_json(items))
    assert [query.query_id for query in evalset.queries] == ["a"]
    reasons = [line.split(";")[0] for line in evalset.dropped]
    assert reasons == [
        *("1 x supporting fact out of range", "1 x empty span", "1 x unknown document"),
        "1 x malformed record",
    ]
    with pytest.raises(LoadError, match=r"set.json: \[1\]: the supporting fact \['Football', 7\] is out of range"):
        load(f"hotpotqa:{write_json(items)}", strict=True)


def test_the_test_set_has_neither_answers_nor_facts(write_json):
    item = question("a", [])
    del item["answer"], item["supporting_facts"]
    (query,) = load(f"hotpotqa:{write_json([item])}").queries
    assert (query.answers, query.evidence, query.level, query.answerable) == ((), (), "none", True)


def test_two_wiki_sentences_have_no_space_of_their_own(write_json):
    context = [["Film", ["A film.", "Its director is Ann."]]]
    triples = [["Film", "director", "Ann"]]
    item = question("a", [["Film", 1], ["Film", 1]], context=context, evidences=triples, type="compositional")
    evalset = load(write_json([item]))
    assert evalset.documents["Film"].text == "A film. Its director is Ann."
    assert texts(evalset, evalset.queries[0]) == ["Its director is Ann."]
    assert evalset.queries[0].meta["triples"] == triples


@given(st.lists(st.text(st.sampled_from("ab .\n"), max_size=8), max_size=6))
def test_joined_sentences_are_where_they_are_said_to_be(sentences):
    text, spans = joined(sentences)
    assert [text[start:end] for start, end in spans] == [sentence.strip() for sentence in sentences]
    assert text.split() == " ".join(sentences).split()


NEWS = [
    {
        "title": "One",
        "url": "https://a",
        "body": "Google paid\nApple. It\u00a0won.",
        "author": None,
        "category": "tech",
    },
    {"title": "Two", "url": "https://b", "body": "Nvidia grew.", "published_at": "2023-11-01"},
]


def news_query(facts: list[dict[str, str]], kind: str = "inference_query", answer: str = "Google") -> dict[str, Any]:
    return {"query": "Who?", "answer": answer, "question_type": kind, "evidence_list": facts}


def test_multihop_rag_facts_are_found_in_their_article(write_json, tmp_path):
    write_json(NEWS, "corpus.json")
    facts = [
        {"title": "One", "url": "https://a", "fact": "Google paid Apple."},
        {"title": "Two", "fact": "Nvidia grew."},
    ]
    lost = [{"title": "One", "fact": "Absent."}, {"title": "Three", "fact": "x"}, {"title": "One", "fact": " "}]
    null = news_query([], "null_query", "Insufficient information.")
    path = write_json([news_query(facts), null, *(news_query([fact]) for fact in lost)], "MultiHopRAG.json")
    evalset = load(tmp_path)
    assert texts(evalset, evalset.queries[0]) == ["Google paid\nApple.", "Nvidia grew."]
    assert [query.answerable for query in evalset.queries] == [True, False]
    assert evalset.documents["https://b"].metadata["published_at"] == "2023-11-01"
    assert evalset.dropped[0].startswith("2 x fact is not in its article; first: ")
    assert "no article has the url '' or the title 'Three'" in evalset.dropped[1]
    assert load(path).fingerprint == evalset.fingerprint


def test_multihop_rag_needs_its_corpus_and_one_file_of_queries(write_json, tmp_path):
    path = write_json([news_query([])], "a.json")
    with pytest.raises(LoadError, match=r"found a.json; expected corpus.json and one file"):
        load(path)
    write_json(NEWS, "corpus.json")
    write_json([news_query([])], "b.json")
    with pytest.raises(LoadError, match=r"found a.json, b.json, corpus.json"):
        load(tmp_path)
    assert len(load(f"multihop_rag:{path}").queries) == 1
