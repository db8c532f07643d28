"""A tiny random encoder and a data set whose evidence can be learnt from words alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from ragkit.config import PipelineConfig
from ragkit.eval.types import EvalSet, EvidenceSpan, Query
from ragkit.schema import Document

COLOURS = ("red", "blue", "green", "white", "black", "brown")
THINGS = ("kiln", "boat", "lamp", "door", "coat", "bowl", "cart", "drum", "flag", "gate")


def make_set(name: str = "things", documents: int = 6) -> EvalSet:
    """Return documents of ten sentences each, and ten questions for each whose evidence is its red things."""
    found, queries = {}, []
    for number in range(documents):
        doc_id, text, red = f"house {number}", "", []
        for place, thing in enumerate(THINGS):
            colour = COLOURS[(number + place) % len(COLOURS)]
            sentence = f"The {thing} of house {number} is {colour}."
            if colour == "red":
                red.append(EvidenceSpan(doc_id, len(text), len(text) + len(sentence)))
            text += sentence + " "
        for thing in THINGS:
            question = f"Which of the {thing} has the colour of house {number}?"
            queries.append(Query(f"{number} {thing}", question, ("red",), tuple(red)))
        found[doc_id] = Document(text.rstrip(), source=f"{name}/{doc_id}", doc_id=doc_id)
    return EvalSet(name, found, tuple(queries), fingerprint=f"{name}-{documents}")


@pytest.fixture(scope="session")
def things() -> EvalSet:
    return make_set()


@pytest.fixture(scope="session")
def config() -> PipelineConfig:
    return PipelineConfig.from_mapping(
        {"chunker": {"name": "recursive", "size": 24}, "embedder": "hashing", "retriever": "lexical"}
    )


@pytest.fixture(scope="session")
def tiny_encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    import torch
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
    from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

    folder = tmp_path_factory.mktemp("tiny encoder")
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *COLOURS, *THINGS, *"0123456789.?|", "the", "of", "house", "is"]
    words += ["which", "colour", "has"]
    tokenizer = Tokenizer(models.WordPiece({word: place for place, word in enumerate(words)}, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="[PAD]", unk_token="[UNK]", cls_token="[CLS]", sep_token="[SEP]"
    )
    fast.save_pretrained(str(folder))
    torch.manual_seed(0)
    shape = BertConfig(
        vocab_size=len(words),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=96,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
    )
    BertModel(shape).save_pretrained(str(folder))
    return folder
