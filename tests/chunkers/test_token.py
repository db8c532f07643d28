"""What is particular to the token chunker."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

from ragkit.chunkers.token import TokenChunker
from ragkit.models.tokenizer import HfTokenizer
from ragkit.schema import Document

TEXT = "The quick brown fox jumps over the lazy dog. Why? Nobody knows; it happens every day, in every town. " * 12


def texts(chunker: TokenChunker, text: str) -> list[str]:
    ((_, chunks),) = chunker.chunk([Document(text, source="test")])
    return [chunk.text for chunk in chunks]


def test_chunks_are_full_and_end_between_words(tokenizer: HfTokenizer) -> None:
    pieces = texts(TokenChunker(tokenizer, 40), TEXT)
    assert " ".join(pieces) == TEXT.strip()
    assert all(30 <= count <= 40 for count in tokenizer.count(pieces[:-1]))


def test_overlap_is_whole_words_within_the_limit(tokenizer: HfTokenizer) -> None:
    ((_, chunks),) = TokenChunker(tokenizer, 40, overlap=12).chunk([Document(TEXT, source="test")])
    for before, after in pairwise(chunks):
        shared = TEXT[after.start : before.end]
        assert shared
        assert TEXT[after.start - 1] == " "
        assert tokenizer.count([shared])[0] <= 12 + 1  # alone, a byte-level tokenizer may need one more


def test_chinese_is_cut_between_characters(tiny_tokenizer: Callable[[str], HfTokenizer]) -> None:
    text = "机器学习研究什么？研究算法。" * 20
    pieces = texts(TokenChunker(tiny_tokenizer("wordpiece"), 16), text)
    assert "".join(pieces) == text
    assert all(len(piece) >= 14 for piece in pieces[:-1])
    assert not any(piece[0] in "？。" for piece in pieces)


def test_a_line_without_spaces_is_cut_by_the_character_cap(tokenizer: HfTokenizer) -> None:
    pieces = texts(TokenChunker(tokenizer, 20, max_characters=50), "a" * 10_000)
    assert "".join(pieces) == "a" * 10_000
    assert max(map(len, pieces)) <= 50
    assert max(tokenizer.count(pieces)) <= 20


def test_text_without_tokens_is_covered(tokenizer: HfTokenizer) -> None:
    pieces = texts(TokenChunker(tokenizer, 8, max_characters=30), "\x00" * 100)
    assert "".join(pieces) == "\x00" * 100


def test_blank_documents_have_no_chunks(tokenizer: HfTokenizer) -> None:
    assert texts(TokenChunker(tokenizer), "") == []
    assert texts(TokenChunker(tokenizer), " \n\t\r\n") == []
