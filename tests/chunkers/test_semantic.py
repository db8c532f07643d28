"""The semantic chunker cuts where meaning changes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

from ragkit.chunkers.semantic import SemanticChunker
from ragkit.errors import ConfigError
from ragkit.models.tokenizer import HfTokenizer
from ragkit.schema import Chunked, Document

DOG = "The lazy dog sat. The dog ran. A dog knows the town. "
FOX = "The quick fox jumps. A fox jumps over it. Every fox jumps every day. "


class TopicEmbedder:
    """Two axes, dogs and foxes; counts its calls."""

    fingerprint = "topics"

    def __init__(self) -> None:
        self.calls = 0

    def embed_chunks(self, batch: Sequence[Chunked], progress: object = None) -> np.ndarray:
        self.calls += 1
        texts = [chunk.text for _, chunks in batch for chunk in chunks]
        vectors = np.array([[text.count("dog") + 0.01, text.count("fox") + 0.01] for text in texts], np.float32)
        vectors = vectors.reshape(-1, 2)
        return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


@pytest.fixture
def make(tiny_tokenizer: Callable[[str], HfTokenizer]) -> Callable[..., SemanticChunker]:
    def build(size: int = 100, **options: Any) -> SemanticChunker:
        embedder = options.pop("embedder", None) or TopicEmbedder()
        return SemanticChunker(tiny_tokenizer("wordpiece"), embedder, size, **options)

    return build


def texts(chunker: SemanticChunker, text: str) -> list[str]:
    ((_, chunks),) = chunker.chunk([Document(text, source="test")])
    return [chunk.text for chunk in chunks]


Make = Callable[..., SemanticChunker]


def test_topics_are_told_apart(make: Make) -> None:
    assert texts(make(threshold=0.5, buffer=0), DOG + FOX + DOG) == [DOG.strip(), FOX.strip(), DOG.strip()]


def test_the_percentile_is_of_one_document(make: Make) -> None:
    documents = [Document(text, source="test") for text in (DOG + FOX, FOX + DOG)]
    found = [[chunk.text for chunk in chunks] for _, chunks in make(percentile=90, buffer=0).chunk(documents)]
    assert found == [[DOG.strip(), FOX.strip()], [FOX.strip(), DOG.strip()]]


def test_the_limit_holds_without_breakpoints(make: Make, tiny_tokenizer: Callable[[str], HfTokenizer]) -> None:
    pieces = texts(make(20, threshold=2), DOG * 10)
    assert max(tiny_tokenizer("wordpiece").count(pieces)) <= 20
    assert all(piece.endswith(".") for piece in pieces)
    assert texts(make(1000, threshold=2), DOG * 10) == [(DOG * 10).strip()]


def test_a_buffer_blurs_a_single_sentence(make: Make) -> None:
    text = DOG + "A fox jumps. " + DOG
    assert len(texts(make(threshold=0.9, buffer=0), text)) == 3
    assert len(texts(make(threshold=0.9, buffer=2), text)) == 1


def test_one_call_embeds_many_documents(make: Make) -> None:
    embedder = TopicEmbedder()
    chunker = make(embedder=embedder)
    assert len(list(chunker.chunk(Document(DOG + FOX, source=str(number)) for number in range(50)))) == 50
    assert embedder.calls == 1


def test_short_documents(make: Make) -> None:
    assert texts(make(), "") == []
    assert texts(make(), "One dog.") == ["One dog."]
    assert texts(make(), "One dog. The dog.") == ["One dog. The dog."]


@pytest.mark.parametrize("options", [{"percentile": 101}, {"percentile": -1}, {"threshold": 2.1}, {"buffer": -1}])
def test_bad_options_are_refused(options: dict[str, float], make: Make) -> None:
    ((name, value),) = options.items()
    with pytest.raises(ConfigError, match=f"{name} is {value}; expected 0 to"):
        make(**options)
