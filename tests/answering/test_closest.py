"""The closest sentences are exact spans of the sources, the best first."""

from __future__ import annotations

from ragkit.answering.closest import closest_sentences
from ragkit.models.hashing import HashingEmbedder
from ragkit.schema import Chunk, Document, Hit

TEXT = (
    "# Notes on indexing\n\nThe lock names its holder. Vectors live in segment files on disk.\n"
    "Readers never wait for writers."
)
DOCUMENT = Document(TEXT, "notes.md")


def hit(start: int, end: int, rank: int = 1) -> Hit:
    return Hit(rank, 1.0, f"c{start}", Chunk.of(DOCUMENT, start, end), "notes.md", None, 1 + TEXT.count("\n", 0, start))


def test_the_best_sentence_comes_first_with_its_exact_span_and_line():
    found = closest_sentences(
        "which files hold the vectors?", [hit(0, len(TEXT))], HashingEmbedder(64).embed_queries, 2
    )
    assert found[0].text == "Vectors live in segment files on disk."
    assert [citation.marker for citation in found] == [1, 2]
    assert [citation.line for citation in found if "Vectors" in citation.text] == [3]
    for citation in found:
        assert citation.text == TEXT[citation.start : citation.end]


def test_headings_and_fragments_are_left_out():
    texts = [
        citation.text
        for citation in closest_sentences("notes", [hit(0, len(TEXT))], HashingEmbedder(64).embed_queries, 9)
    ]
    assert not any(text.startswith("#") for text in texts)
    assert len(texts) == 3


def test_no_sentence_no_citation_and_no_embedding():
    assert closest_sentences("anything", [hit(0, 7)], None) == ()
    assert closest_sentences("anything", [], None) == ()
