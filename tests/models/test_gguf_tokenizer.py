"""The tokenizer of a converted GGUF model is what the file's metadata name, whatever the library made of them."""

from __future__ import annotations

import json

import pytest

from ragkit.errors import ModelError

FIELDS = {
    "tokenizer.ggml.model": "gpt2",
    "tokenizer.ggml.pre": "smollm",
    "tokenizer.ggml.bos_token_id": 1,
    "tokenizer.ggml.eos_token_id": 2,
    "tokenizer.ggml.unknown_token_id": 0,
    "tokenizer.ggml.padding_token_id": 2,
}


def misread(folder):
    """Return the tokenizer in `folder` as some releases of transformers read it from a GGUF file."""
    from tokenizers import decoders, normalizers, pre_tokenizers
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    backend = tokenizer.backend_tokenizer
    backend.normalizer = normalizers.Sequence([])
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.Sequence([decoders.ByteFallback(), decoders.Fuse(), decoders.ByteLevel()])
    backend.model.byte_fallback = backend.model.fuse_unk = True
    backend.model.unk_token = "<|endoftext|>"
    tokenizer.eos_token = tokenizer.pad_token = "<|im_start|>"
    return tokenizer


@pytest.mark.models
def test_a_misread_tokenizer_becomes_the_named_one(smollm_folder):
    from transformers import AutoTokenizer

    from ragkit.models.gguf import as_named

    expected = AutoTokenizer.from_pretrained(smollm_folder, local_files_only=True)
    found = misread(smollm_folder)
    assert json.loads(found.backend_tokenizer.to_str()) != json.loads(expected.backend_tokenizer.to_str())
    as_named(FIELDS, found)
    assert json.loads(found.backend_tokenizer.to_str()) == json.loads(expected.backend_tokenizer.to_str())
    for name in ("bos_token", "eos_token", "pad_token", "unk_token"):
        assert getattr(found, name) == getattr(expected, name)


@pytest.mark.models
def test_a_grammar_that_disagrees_with_its_vocabulary_says_so(smollm_folder):
    """Before, the reply was taken for one that its tokens had not sufficed for."""
    from pydantic import BaseModel

    from ragkit.models.causal.constraint import Grammars

    class Verdict(BaseModel):
        summary: str

    tokenizer = misread(smollm_folder)
    matcher = Grammars(tokenizer, len(tokenizer), [2]).matchers(Verdict, 1)[0]
    tokens = tokenizer('{"summary"::', add_special_tokens=False)["input_ids"]
    with pytest.raises(ModelError, match="refused a token"):
        [*map(matcher.add, tokens)]
