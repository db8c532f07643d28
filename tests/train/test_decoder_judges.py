"""Causal language models as cross-encoders, and cross-encoders that learn from another one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ragkit.errors import ModelError
from ragkit.train.groups import Group
from ragkit.train.settings import Steps

WORDS = "the red blue boat of house lamp a is black door green 1 2 3 , ?"
TEXTS = ["the red boat", "the blue boat of house 1", "a lamp", "the red boat of house 2 is black, the door is green"]


@pytest.fixture(scope="module")
def tiny_decoder(tmp_path_factory):
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import LlamaConfig, LlamaModel, PreTrainedTokenizerFast

    folder = tmp_path_factory.mktemp("tiny decoder")
    words = ["<end>", "<pad>", "<unk>", *WORDS.split()]
    tokenizer = Tokenizer(models.WordLevel({word: place for place, word in enumerate(words)}, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        eos_token="<end>",
        pad_token="<end>",
        unk_token="<unk>",
        additional_special_tokens=["<pad>"],
        chat_template="{% for message in messages %}{{ message['content'] }}{% endfor %}",
    ).save_pretrained(folder)
    torch.manual_seed(0)
    sizes = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4}
    config = LlamaConfig(
        vocab_size=len(words), num_key_value_heads=2, max_position_embeddings=128, eos_token_id=0, **sizes
    )
    LlamaModel(config).save_pretrained(folder)
    return folder


def judge(folder, **options):
    from ragkit.train.loop import Judge

    return Judge(Path(folder), Steps(epochs=2, batch=2, rate=1e-2, length=64), "cpu", **options)


def test_question_and_text_are_apart_and_padding_changes_nothing(tiny_decoder):
    one = judge(tiny_decoder)
    ids = one.tokenizer("red boat", "lamp")["input_ids"]
    end = one.tokenizer.eos_token_id
    assert [place for place, token in enumerate(ids) if token == end] == [2, 4]
    assert one.tokenizer.pad_token_id != end
    together = one.score("which boat ?", TEXTS)
    apart = [one.score("which boat ?", [text])[0] for text in TEXTS]
    np.testing.assert_allclose(together, apart, atol=1e-5)
    assert len(set(together.round(4))) == len(TEXTS)


def test_the_last_token_is_judged_as_the_library_judges_it(tiny_decoder):
    one = judge(tiny_decoder)
    features = one.tokenizer(["a boat ?"] * len(TEXTS), TEXTS, padding=True, return_tensors="pt")
    expected = one.model.eval()(**features).logits[:, 0].detach().numpy()
    np.testing.assert_allclose(one.score("a boat ?", TEXTS), expected, atol=1e-5)


def test_a_saved_decoder_scores_the_same_as_a_reranker(tiny_decoder, tmp_path):
    from ragkit.rerankers.cross_encoder import CrossEncoderReranker

    one = judge(tiny_decoder)
    one.save(tmp_path / "model")
    expected = one.score("the boat ?", TEXTS)
    np.testing.assert_allclose(
        CrossEncoderReranker(str(tmp_path / "model")).score("the boat ?", TEXTS), expected, atol=1e-5
    )
    np.testing.assert_allclose(judge(tmp_path / "model").score("the boat ?", TEXTS), expected, atol=1e-6)


def test_a_decoder_learns(tiny_decoder):
    one = judge(tiny_decoder)
    group = Group("the red boat ?", tuple(TEXTS), np.array([True, False, False, False]))
    losses = []
    one.fit(lambda _: iter([group] * 8), 8, advance=lambda _, loss: losses.append(loss))
    assert np.mean(losses[-2:]) < np.mean(losses[:2])
    assert one.score(group.question, TEXTS).argmax() == 0


def test_a_tokenizer_with_nothing_to_pad_with_is_refused(tiny_decoder):
    from types import SimpleNamespace

    from ragkit.train.decoder import prepare

    bare = SimpleNamespace(eos_token="<end>", pad_token=None, all_special_tokens=["<end>"])
    model = SimpleNamespace(config=SimpleNamespace(name_or_path="bare"))
    with pytest.raises(ModelError, match="another one to pad with"):
        prepare(bare, model)


def test_a_student_comes_nearer_to_its_teacher_than_without_one(tiny_decoder, tiny_encoder):
    teacher = judge(tiny_decoder)
    texts = tuple(f"the {colour} boat of house {number}" for colour in ("red", "blue") for number in (1, 2, 3))
    group = Group("which boat ?", texts, np.array([True] + [False] * 5))
    told = teacher.score(group.question, texts)

    def distance(one):
        one.fit(lambda _: iter([group] * 10), 10)
        said = one.score(group.question, texts)
        return np.abs((said - said.mean()) - (told - told.mean())).mean()

    assert distance(judge(tiny_encoder, teacher=teacher)) < distance(judge(tiny_encoder))
