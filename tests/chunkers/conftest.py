"""Tokenizers of every class: words independent of their context (BERT) and not (byte-level BPE, metaspace)."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest

from ragkit.models.tokenizer import HfTokenizer

CORPUS = [
    "The quick brown fox jumps over the lazy dog. Why? Nobody knows; it happens every day, in every town.",
    "Tokenizers split text into pieces; pieces that begin a word differ from those that go on with it.",
    "机器学习研究什么？研究算法。 Les élèves étudient à l'école. Größe und Länge.",
] * 20


@cache
def tiny(kind: str) -> HfTokenizer:
    """Return a tokenizer of 400 pieces, trained here: "wordpiece", "byte_level" or "metaspace"."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers

    if kind == "wordpiece":
        bare = Tokenizer(models.WordPiece(unk_token="[UNK]", max_input_chars_per_word=100))
        bare.normalizer = normalizers.BertNormalizer()
        bare.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
        trainer = trainers.WordPieceTrainer(vocab_size=400, special_tokens=["[UNK]", "[MASK]"], show_progress=False)
    elif kind == "byte_level":
        bare = Tokenizer(models.BPE())
        bare.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        alphabet = pre_tokenizers.ByteLevel.alphabet()
        trainer = trainers.BpeTrainer(vocab_size=400, initial_alphabet=alphabet, show_progress=False)
    else:
        bare = Tokenizer(models.Unigram())
        bare.normalizer = normalizers.NFKC()
        bare.pre_tokenizer = pre_tokenizers.Metaspace()
        trainer = trainers.UnigramTrainer(
            vocab_size=400, special_tokens=["<unk>"], unk_token="<unk>", show_progress=False
        )
    bare.train_from_iterator(CORPUS, trainer)
    return HfTokenizer(bare.to_str())


@pytest.fixture(params=["wordpiece", "byte_level", "metaspace", "minilm"])
def tokenizer(request: pytest.FixtureRequest) -> HfTokenizer:
    """Return each tokenizer in turn; MiniLM's is skipped where it is not cached."""
    if request.param == "minilm":
        return _loaded(request.getfixturevalue("minilm_folder"))
    return tiny(request.param)


@pytest.fixture(scope="session")
def tiny_tokenizer() -> Callable[[str], HfTokenizer]:
    """Return the function that trains a tiny tokenizer, once for each kind."""
    return tiny


@cache
def _loaded(folder: Path) -> HfTokenizer:
    return HfTokenizer.from_folder(folder)
