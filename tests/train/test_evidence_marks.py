"""Which sentences count as evidence: by offsets alone, with hand-made cases and an oracle over characters."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ragkit.errors import UsageError
from ragkit.eval.types import EvalSet, EvidenceSpan, Query
from ragkit.schema import Chunk, Document, Hit
from ragkit.train.asked import marked
from ragkit.train.evidence import exact_evidence, held
from ragkit.train.mining import asked_of

spans = st.tuples(st.integers(0, 60), st.integers(1, 30)).map(lambda pair: (pair[0], pair[0] + pair[1]))


@given(spans, st.lists(spans, max_size=4))
def test_held_is_half_of_either_by_counting_characters(span, evidence):
    own = set(range(*span))
    common = [(len(own & set(range(*one))), min(len(own), one[1] - one[0])) for one in evidence]
    expected = True if any(shared and 2 * shared >= least for shared, least in common) else None
    if not any(shared for shared, _ in common):
        expected = False
    assert held(span, evidence) is expected


def query_of(level: str, evidence: tuple[int, int], *answers: str) -> Query:
    return Query("q", "what?", answers, (EvidenceSpan("d", *evidence),), level=level)


TEXT = "Clay is dug. The kiln reaches 900 degrees. Pots cool. A second kiln reaches 700 degrees."
DOCUMENTS = {"d": Document(TEXT, "d", doc_id="d")}


@pytest.mark.parametrize("level", ["span", "sentence"])
def test_exact_levels_are_taken_as_they_are(level):
    query = query_of(level, (13, 42), "nowhere in it")
    assert exact_evidence(query, DOCUMENTS) == query.evidence


def test_a_paragraph_is_narrowed_to_the_only_place_of_the_answer():
    (found,) = exact_evidence(query_of("paragraph", (0, len(TEXT)), "900"), DOCUMENTS)
    assert TEXT[found.start : found.end] == "900"


@pytest.mark.parametrize("answer", ["kiln", "1200", "9", ""])
def test_an_answer_in_several_places_in_none_or_too_short_says_nothing(answer):
    assert exact_evidence(query_of("paragraph", (0, len(TEXT)), answer), DOCUMENTS) == ()


def test_only_the_sentence_with_the_evidence_is_marked():
    hit = Hit(1, 1.0, "c", Chunk("d", 13, len(TEXT), TEXT[13:]), "d", None, None)
    found = marked("set", query_of("span", (30, 33)), [hit], {"d": ((30, 33),)})
    assert [TEXT[13 + start : 13 + end] for start, end in found.sentences[0]] == [
        "The kiln reaches 900 degrees.",
        "Pots cool.",
        "A second kiln reaches 700 degrees.",
    ]
    assert found.labels == ((True, False, False),)
    assert found.chunk_labels == (True,)
    assert found.found


def test_a_set_without_evidence_is_refused_by_name(tmp_path, config):
    bare = EvalSet("bare", DOCUMENTS, (Query("q", "what?"),))
    with pytest.raises(UsageError, match="bare: none of its 1 questions has evidence"):
        asked_of(bare, tmp_path / "index", config)


def test_mining_marks_the_evidence_of_every_question(tmp_path, things, config):
    asked = asked_of(things, tmp_path / "index", config, k=10)
    assert len(asked) == len(things.queries)
    for one in asked:
        for hit, own, labels in zip(one.hits, one.sentences, one.labels, strict=True):
            wanted = hit.chunk.doc_id == one.query.evidence[0].doc_id
            for (start, end), label in zip(own, labels, strict=True):
                assert label is (wanted and "is red." in hit.chunk.text[start:end])
    assert sum(one.found for one in asked) >= 0.5 * len(asked)
