"""The hashing embedder, against a plain reimplementation."""

import subprocess
import sys
import warnings
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ragkit.models import hashing
from ragkit.models.hashing import HashingEmbedder
from ragkit.models.words import WordTokenizer
from ragkit.protocols import Embedder, Tokenizer
from ragkit.schema import Chunk, Chunked, Document
from ragkit.testing.embedder import check_embedder

MASK = (1 << 64) - 1


def mix(value):
    value = (value + 0x9E3779B97F4A7C15) & MASK
    value = ((value ^ value >> 30) * 0xBF58476D1CE4E5B9) & MASK
    value = ((value ^ value >> 27) * 0x94D049BB133111EB) & MASK
    return value ^ value >> 31


def plain(text, dimension):
    """The same embedding, one feature at a time."""
    vector = np.zeros(dimension)

    def add(feature, weight):
        vector[feature % dimension] += weight if feature >> 63 else -weight

    codes = "".join(char if char.isalnum() else "\0" for char in f" {text.lower()} ")
    for word in codes.split("\0"):
        if word:
            add(
                mix(sum(mix(ord(char) + (place << 32)) for place, char in enumerate(word)) & MASK),
                np.log2(1 + len(word)),
            )
    for size in (3, 4):
        for start in range(len(codes) - size + 1):
            if "\0" not in codes[start + 1 : start + size - 1]:
                feature = size
                for char in codes[start : start + size]:
                    feature = mix((feature + ord(char.replace("\0", chr(0)))) & MASK)
                add(feature, 0.3)
    if not vector.astype(np.float32).any():
        vector[0] = 1
    return vector / np.linalg.norm(vector)


@given(st.lists(st.text(max_size=40), min_size=1, max_size=5))
def test_equal_to_the_plain_definition(texts):
    vectors = HashingEmbedder(64).embed_queries(texts)
    for vector, text in zip(vectors, texts, strict=True):
        assert np.allclose(vector, plain(text, 64), atol=1e-5)


def test_the_contract():
    embedder = HashingEmbedder()
    assert isinstance(embedder, Embedder)
    check_embedder(
        embedder, ["a cat", "", "中文字符", "\ud83d\ude00".encode("utf-16", "surrogatepass").decode("utf-16")]
    )


def test_groups_do_not_show(monkeypatch):
    texts = [f"text number {number} " * (number % 5) for number in range(50)]
    whole = HashingEmbedder().embed_queries(texts)
    monkeypatch.setattr(hashing, "_GROUP_CHARACTERS", 100)
    monkeypatch.setattr(hashing, "_GROUP_TEXTS", 3)
    assert np.array_equal(HashingEmbedder().embed_queries(texts), whole)


def test_the_same_in_another_process():
    script = "from ragkit.models.hashing import *; print(HashingEmbedder(8).embed_queries(['one two']).tobytes().hex())"
    out = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout.strip()
    assert out == HashingEmbedder(8).embed_queries(["one two"]).tobytes().hex()


def test_no_overflow_warnings_and_progress():
    document = Document("alpha beta", "s")
    steps = []
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        HashingEmbedder().embed_chunks(
            [Chunked(document, [Chunk.of(document, 0, 5)])], lambda *step: steps.append(step)
        )
    assert steps == [("embed", 1, 1)]


@given(st.text(max_size=60))
def test_word_tokens_are_spans_without_white_space(text):
    tokenizer = WordTokenizer()
    assert isinstance(tokenizer, Tokenizer)
    (spans,) = tokenizer.offsets([text])
    assert spans.shape == (tokenizer.count([text])[0], 2)
    assert all(text[start:end] and not any(map(str.isspace, text[start:end])) for start, end in spans)
    assert all(a <= b for (_, a), (b, _) in pairwise(spans))


@pytest.mark.parametrize(("text", "tokens"), [("中文字", 3), ("a" * 33, 3), ("1,5 x", 4)])
def test_word_counts(text, tokens):
    assert WordTokenizer().count([text]) == [tokens]
