"""What is particular to the sentence chunker."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

from ragkit.chunkers.sentence import SentenceChunker
from ragkit.chunkers.sentences import split_sentences
from ragkit.models.tokenizer import HfTokenizer
from ragkit.schema import Document

TEXT = "The quick brown fox jumps over the lazy dog. Why? Nobody knows; it happens every day, in every town. " * 12


def spans(chunker: SentenceChunker, text: str) -> list[tuple[int, int]]:
    ((_, chunks),) = chunker.chunk([Document(text, source="test")])
    return [(chunk.start, chunk.end) for chunk in chunks]


def test_chunks_are_whole_sentences(tokenizer: HfTokenizer) -> None:
    starts = {start for start, _ in split_sentences(TEXT)}
    ends = {end for _, end in split_sentences(TEXT)}
    found = spans(SentenceChunker(tokenizer, 120), TEXT)
    assert len(found) >= 3
    assert all(start in starts and end in ends for start, end in found)


def test_chunks_are_as_full_as_sentences_allow(tiny_tokenizer: Callable[[str], HfTokenizer]) -> None:
    tokenizer = tiny_tokenizer("wordpiece")
    found = spans(SentenceChunker(tokenizer, 60), TEXT)
    sentences = split_sentences(TEXT)
    for (start, end), (following, _) in pairwise(found):
        longer = next(last for first, last in sentences if first == following)
        assert tokenizer.count([TEXT[start:end]])[0] <= 60 < tokenizer.count([TEXT[start:longer]])[0]


def test_overlap_is_whole_sentences(tokenizer: HfTokenizer) -> None:
    sentences = split_sentences(TEXT)
    starts = {start for start, _ in sentences}
    found = spans(SentenceChunker(tokenizer, 150, overlap=60), TEXT)
    shared = [(after[0], before[1]) for before, after in pairwise(found)]
    assert all(start in starts and start < end for start, end in shared)


def test_a_long_sentence_is_cut_at_a_clause(tiny_tokenizer: Callable[[str], HfTokenizer]) -> None:
    text = "the quick fox jumps over the dog, it happens every day; and that is in every town, nobody knows it at all"
    tokenizer = tiny_tokenizer("wordpiece")
    pieces = [text[start:end] for start, end in spans(SentenceChunker(tokenizer, 24), text)]
    assert len(pieces) > 1
    assert all(piece[-1] in ",;" for piece in pieces[:-1])


def test_chinese_sentences_stay_whole(tokenizer: HfTokenizer) -> None:
    text = "机器学习研究什么？研究算法。" * 20
    pieces = [text[start:end] for start, end in spans(SentenceChunker(tokenizer, 100), text)]
    assert "".join(pieces) == text
    assert all(piece[-1] in "？。" for piece in pieces)
