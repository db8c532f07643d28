"""Every built-in chunker keeps the span contract and its limits, with every class of tokenizer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ragkit.chunkers.recursive import RecursiveChunker
from ragkit.chunkers.semantic import SemanticChunker
from ragkit.chunkers.sentence import SentenceChunker
from ragkit.chunkers.token import TokenChunker
from ragkit.errors import ConfigError
from ragkit.models.tokenizer import HfTokenizer
from ragkit.protocols import Chunker
from ragkit.schema import Chunked, Document
from ragkit.testing.chunker import check_chunker, documents_strategy

EXAMPLES = settings().max_examples // 5
LETTERS = "etaoinshrdlu中。"


class LetterEmbedder:
    """Unit vectors of letter counts: deterministic, and different texts differ."""

    fingerprint = "letters"

    def embed_chunks(self, batch: Sequence[Chunked], progress: object = None) -> np.ndarray:
        texts = [chunk.text for _, chunks in batch for chunk in chunks]
        counts = np.array([[1 + text.count(letter) for letter in LETTERS] for text in texts], np.float32)
        counts = counts.reshape(-1, len(LETTERS))
        return counts / np.linalg.norm(counts, axis=1, keepdims=True)


def make(name: str, tokenizer: HfTokenizer, size: int, **options: Any) -> Chunker:
    if name == "semantic":
        return SemanticChunker(tokenizer, LetterEmbedder(), size, percentile=80, **options)
    kind: Callable[..., Chunker] = {"token": TokenChunker, "sentence": SentenceChunker}.get(name, RecursiveChunker)
    return kind(tokenizer, size, **options)


NAMES = ["token", "sentence", "recursive", "semantic"]


@pytest.mark.parametrize("size", [32, 200])
@pytest.mark.parametrize("name", NAMES)
def test_built_in_chunkers_pass_the_kit(name: str, size: int, tokenizer: HfTokenizer) -> None:
    check_chunker(make(name, tokenizer, size), tokenizer=tokenizer, limit=size)


@pytest.mark.parametrize("name", ["token", "sentence", "recursive"])
def test_overlapping_chunkers_pass_the_kit(name: str, tokenizer: HfTokenizer) -> None:
    check_chunker(make(name, tokenizer, 40, overlap=15), tokenizer=tokenizer, limit=40)


@pytest.mark.parametrize("name", NAMES)
@settings(suppress_health_check=list(HealthCheck), max_examples=EXAMPLES)
@given(documents=st.lists(documents_strategy(), max_size=3), size=st.integers(32, 64))
def test_random_documents(name: str, tokenizer: HfTokenizer, documents: list[Document], size: int) -> None:
    check_chunker(make(name, tokenizer, size), documents, tokenizer=tokenizer, limit=size, streaming=False)


@pytest.mark.parametrize("name", ["token", "sentence", "recursive"])
@settings(suppress_health_check=list(HealthCheck), max_examples=EXAMPLES)
@given(document=documents_strategy(), size=st.integers(32, 64), data=st.data())
def test_random_overlaps(name: str, tokenizer: HfTokenizer, document: Document, size: int, data: st.DataObject) -> None:
    overlap = data.draw(st.integers(0, size - 1))
    check_chunker(
        make(name, tokenizer, size, overlap=overlap), [document], tokenizer=tokenizer, limit=size, streaming=False
    )


@pytest.mark.parametrize("name", NAMES)
@settings(suppress_health_check=list(HealthCheck), max_examples=EXAMPLES)
@given(document=documents_strategy(), size=st.integers(8, 24), cap=st.integers(24, 60))
def test_tiny_limits_and_character_caps(
    name: str, tokenizer: HfTokenizer, document: Document, size: int, cap: int
) -> None:
    chunker = make(name, tokenizer, size, max_characters=cap)
    if max(tokenizer.count(list(document.text)), default=0) > size:
        with pytest.raises(ConfigError, match="alone has"):
            list(chunker.chunk([document]))
        return
    check_chunker(chunker, [document], tokenizer=tokenizer, limit=size, streaming=False)
    for _, chunks in chunker.chunk([document]):
        assert all(len(chunk.text) <= cap for chunk in chunks)


def stranger(extra: int, per_character: int) -> Any:
    """Return a third party's tokenizer: so many tokens a character, and `extra` ones in every text counted alone."""
    return SimpleNamespace(
        fingerprint="stranger",
        offsets=lambda texts: [
            np.array([[at, at + 1] for at in range(len(text)) for _ in range(per_character)], np.int64).reshape(-1, 2)
            for text in texts
        ],
        count=lambda texts: [len(text) * per_character + extra for text in texts],
    )


@pytest.mark.parametrize("name", NAMES)
def test_any_tokenizer_of_the_protocol_will_do(name: str) -> None:
    tokenizer = stranger(extra=5, per_character=2)
    check_chunker(make(name, tokenizer, 20), tokenizer=tokenizer, limit=20)


def test_a_character_over_the_limit_is_refused_by_name() -> None:
    document = Document("word \ufdfa word", source="basmala.txt")
    with pytest.raises(ConfigError, match=r"basmala.txt: the character at 0 alone has 18 tokens; size allows 8"):
        list(TokenChunker(stranger(extra=0, per_character=18), 8).chunk([document]))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"size": 7}, "size is 7; expected at least 8"),
        ({"size": 20, "max_characters": 19}, "max_characters is 19"),
    ],
)
def test_bad_limits_are_refused(
    name: str, options: dict[str, int], message: str, tiny_tokenizer: Callable[[str], HfTokenizer]
) -> None:
    with pytest.raises(ConfigError, match=message):
        make(name, tiny_tokenizer("wordpiece"), **options)


@pytest.mark.parametrize("name", ["token", "sentence"])
@pytest.mark.parametrize("overlap", [-1, 50, 51])
def test_bad_overlaps_are_refused(name: str, overlap: int, tiny_tokenizer: Callable[[str], HfTokenizer]) -> None:
    with pytest.raises(ConfigError, match=f"overlap is {overlap}; expected at least 0 and less than size"):
        make(name, tiny_tokenizer("wordpiece"), 50, overlap=overlap)


@pytest.mark.parametrize("name", NAMES)
def test_fingerprints_tell_every_option(name: str, tiny_tokenizer: Callable[[str], HfTokenizer]) -> None:
    one, other = tiny_tokenizer("wordpiece"), tiny_tokenizer("byte_level")
    made = [make(name, one, 50), make(name, one, 51), make(name, other, 50), make(name, one, 50, max_characters=99)]
    if name in ("token", "sentence"):
        made.append(make(name, one, 50, overlap=5))
    if name == "semantic":
        made += [make(name, one, 50, threshold=0.5), make(name, one, 50, buffer=2)]
    assert len({chunker.fingerprint for chunker in made}) == len(made)
    assert make(name, one, 50).fingerprint == make(name, one, 50).fingerprint
