"""The recursive chunker follows the structure of documents."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from ragkit.chunkers.recursive import RecursiveChunker
from ragkit.chunkers.sections import sections
from ragkit.models.tokenizer import HfTokenizer
from ragkit.schema import Block, BlockKind, Chunk, Document

H, P, L, T, C = BlockKind.HEADING, BlockKind.PARAGRAPH, BlockKind.LIST, BlockKind.TABLE, BlockKind.CODE
Part = tuple[BlockKind, str] | tuple[BlockKind, str, int]


def document(*parts: Part, separator: str = "\n\n") -> Document:
    text, blocks = "", []
    for kind, piece, *level in parts:
        blocks.append(Block(kind, len(text), len(text) + len(piece), *level))
        text += piece + separator
    return Document(text, source="test", blocks=tuple(blocks))


def words(count: int, word: str = "dog") -> str:
    """Return `count` words, a token each for the tiny WordPiece tokenizer, as one sentence."""
    return " ".join([word] * count)


@pytest.fixture
def chunk(tiny_tokenizer: Callable[[str], HfTokenizer]) -> Callable[..., list[Chunk]]:
    tokenizer = tiny_tokenizer("wordpiece")
    assert tokenizer.count(["dog fox the"]) == [3]

    def run(source: Document, size: int = 40) -> list[Chunk]:
        ((_, chunks),) = RecursiveChunker(tokenizer, size).chunk([source])
        return list(chunks)

    return run


Chunking = Callable[..., list[Chunk]]


def test_headings_begin_chunks_and_stay_with_what_follows(chunk: Chunking) -> None:
    source = document((H, "# A", 1), (P, words(30)), (H, "# B", 1), (P, words(30, "fox")))
    assert [piece.text for piece in chunk(source)] == [f"# A\n\n{words(30)}", f"# B\n\n{words(30, 'fox')}"]


def test_the_path_of_headings_is_kept(chunk: Chunking) -> None:
    source = document(
        (P, words(20)),
        *((H, "# Guide #", 1), (P, words(30)), (H, "## Set-up", 2), (P, words(30))),
        *((H, "### Linux", 3), (P, words(30)), (H, "## Use", 2), (P, words(90))),
    )
    found = [piece.metadata.get("heading") for piece in chunk(source)]
    paths = [None, "Guide", "Guide > Set-up", "Guide > Set-up > Linux", "Guide > Use", "Guide > Use", "Guide > Use"]
    assert found == paths


def test_a_heading_at_the_end_of_a_full_chunk_goes_to_the_next(chunk: Chunking) -> None:
    source = document((H, "# A", 1), (P, words(36)), (H, "## B", 2), (P, words(20)))
    assert [piece.text[:4] for piece in chunk(source)] == ["# A\n", "## B"]


def test_subsections_share_a_chunk_with_their_section(chunk: Chunking) -> None:
    source = document((H, "# A", 1), (P, words(8)), (H, "## B", 2), (P, words(8)), (H, "## C", 2), (P, words(8)))
    assert len(chunk(source)) == 1


def test_siblings_share_a_chunk_only_if_tiny(chunk: Chunking) -> None:
    small = document((H, "# A", 1), (P, words(12)), (H, "# B", 1), (P, words(12)))
    tiny = document((H, "# A", 1), (P, words(4)), (H, "# B", 1), (P, words(4)))
    assert len(chunk(small)) == 2
    assert len(chunk(tiny)) == 1


def test_an_introduction_shares_a_chunk_with_the_first_heading_only(chunk: Chunking) -> None:
    source = document((P, words(5)), (H, "# A", 1), (P, words(10)), (H, "# B", 1), (P, words(10)))
    assert [piece.text.count("#") for piece in chunk(source)] == [1, 1]


def test_headings_in_a_row_stay_together(chunk: Chunking) -> None:
    source = document((P, words(39)), (H, "# A", 1), (H, "## B", 2), (P, words(60)))
    pieces = chunk(source)
    assert pieces[1].text.startswith("# A\n\n## B\n\ndog")
    assert pieces[1].metadata == {"heading": "A > B"}


@pytest.mark.parametrize("kind", [T, C, L, P])
def test_a_block_that_fits_stays_whole(kind: BlockKind, chunk: Chunking) -> None:
    block = "\n".join([words(5)] * 6)
    source = document((P, words(25)), (kind, block), (P, words(25)))
    assert [piece.text for piece in chunk(source)] == [words(25), block, words(25)]


@pytest.mark.parametrize("kind", [T, C, L])
def test_a_table_that_does_not_fit_is_cut_at_lines(kind: BlockKind, chunk: Chunking) -> None:
    source = document((H, "# A", 1), (kind, "\n".join([words(7)] * 20)))
    pieces = chunk(source)
    assert all(set(piece.text.splitlines()) <= {"# A", "", words(7)} for piece in pieces)
    assert len(pieces) == 4
    assert pieces[0].text.startswith("# A\n\ndog")


def test_a_paragraph_that_does_not_fit_is_cut_at_sentences(chunk: Chunking) -> None:
    sentence = f"The {words(8)}."
    source = document((P, " ".join([sentence] * 12)))
    assert [piece.text for piece in chunk(source)] == [" ".join([sentence] * 4)] * 3


def test_parts_of_a_long_block_are_packed_with_their_neighbours(chunk: Chunking) -> None:
    sentence = f"The {words(8)}."
    source = document((P, words(5)), (P, " ".join([sentence] * 5)), (P, words(5)))
    assert [piece.text.count("The") for piece in chunk(source)] == [3, 2]


def test_plain_text_is_cut_at_blank_lines(chunk: Chunking) -> None:
    text = f"{words(25)}\n \n{words(10)}\n\n\n{words(30)}\r\n\r\n{words(5)}"
    pieces = chunk(Document(text, source="test"))
    assert [piece.text.split().count("dog") for piece in pieces] == [35, 35]


def test_text_before_the_first_block_is_covered(chunk: Chunking) -> None:
    source = Document("front matter\n\ndog", source="test", blocks=(Block(P, 14, 17),))
    assert [piece.text for piece in chunk(source)] == [source.text]


def test_heading_only_and_empty_documents(chunk: Chunking) -> None:
    assert [piece.text for piece in chunk(document((H, "# A", 1)))] == ["# A"]
    assert chunk(Document("", source="test")) == []
    assert len(chunk(document((H, "# " + words(90), 1), (P, words(3))))) == 3


def test_sections_cover_the_text() -> None:
    source = document((P, "x"), (H, "Title\n=====", 1), (H, "B", 0), (P, "y"), (H, "\n", 2), (P, "z"))
    found = list(sections(source))
    assert "".join(source.text[section.start : section.end] for section in found) == source.text
    assert [section.level for section in found] == [0, 1, 2]
    assert [section.metadata.get("heading") for section in found] == [None, "B", "B"]
