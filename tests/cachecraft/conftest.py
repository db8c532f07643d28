"""A real model made ready for chunk reuse, once for all tests."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pytest

from ragkit.answering.prompt import build_prompt
from ragkit.cachecraft.pieces import Pieces
from ragkit.models.causal.loading import load_tokenizer
from ragkit.protocols import Segment
from ragkit.schema import Chunk, Hit

TEXTS = (
    "The harbour of Oke was dredged in 1931 by the engineer Runa Dahl, who later planned the canal.",
    "A canal needs a lock wherever the land rises. The lock at Brom lifts barges by nine metres.",
    "Barges carry salt from the mines of Garrow. Each of them holds two hundred tonnes.",
    "The salt mines closed for a year after the flood of 1954, and the barges lay idle at Brom.",
)


def prompt(order: Sequence[int], question: str) -> list[Segment]:
    """Return a prompt that shows some of TEXTS in that order, as `ragkit ask` writes it."""
    hits = [Hit(at, 1.0, f"c{at}", Chunk("d", 0, len(TEXTS[at]), TEXTS[at]), "a.md", None, None) for at in order]
    return build_prompt(question, hits)


@pytest.fixture(scope="session")
def backend(smollm):
    from ragkit.cachecraft.hf.backend import HfBackend

    with smollm.loaded() as engine:
        return HfBackend(engine.model, smollm.fingerprint)


@pytest.fixture(scope="session")
def tokenizer(smollm_folder):
    return load_tokenizer("smollm", smollm_folder)


@pytest.fixture(scope="session")
def pieces(tokenizer):
    return Pieces(tokenizer)


@pytest.fixture(scope="session")
def ends(smollm):
    with smollm.loaded() as engine:
        return engine.writer.ends


@pytest.fixture
def memory(backend) -> Iterator[object]:
    """Return an empty store without a folder."""
    from ragkit.cachecraft.store import ChunkStore

    with ChunkStore(backend.space.key, None, admission="always") as store:
        yield store
