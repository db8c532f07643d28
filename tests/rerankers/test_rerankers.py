"""Rerankers: each against an independent reading of its formula; the cross-encoder on random weights of a tiny BERT."""

import math
from collections import Counter

import numpy as np
import pytest

from ragkit.budget import Budget
from ragkit.errors import BudgetExceededError, ConfigError, ModelError, RagkitWarning, UnsupportedError
from ragkit.models.cache_lm import CacheLanguageModel
from ragkit.models.hashing import HashingEmbedder
from ragkit.plugins import create, names, part
from ragkit.protocols import Reranker
from ragkit.rerankers.bm25 import Bm25Reranker
from ragkit.rerankers.cosine import CosineReranker
from ragkit.rerankers.cross_encoder import CrossEncoderReranker
from ragkit.rerankers.fusion import FusionReranker
from ragkit.rerankers.likelihood import LikelihoodReranker
from ragkit.rerankers.maxsim import MaxSimReranker
from ragkit.testing import ScriptedLanguageModel

TEXTS = ["the cat sleeps on the sofa", "income tax of 1990", "a cat and a dog sleep", "", "cats"]
QUERY = "where does the cat sleep"


class Fixed:
    """A reranker that says what it is told."""

    name, fingerprint, window = "fixed", "fixed", None

    def __init__(self, scores, scale="probability"):
        self.scores, self.scale = scores, scale

    def score(self, query, texts):
        return np.array(self.scores[: len(texts)], float)


def made():
    embedder = HashingEmbedder()
    return [
        CosineReranker(embedder),
        Bm25Reranker(),
        LikelihoodReranker(CacheLanguageModel()),
        FusionReranker([CosineReranker(embedder), Bm25Reranker()]),
        FusionReranker([CosineReranker(embedder)], method="weighted"),
    ]


@pytest.mark.parametrize("reranker", made(), ids=lambda one: one.name)
def test_the_contract(reranker):
    assert isinstance(reranker, Reranker)
    scores = reranker.score(QUERY, TEXTS)
    assert scores.shape == (len(TEXTS),)
    assert np.isfinite(scores).all()
    assert reranker.score(QUERY, []).shape == (0,)
    assert reranker.score(QUERY, TEXTS).tolist() == scores.tolist()
    assert reranker.fingerprint == reranker.fingerprint
    if not getattr(reranker, "listwise", False):
        alone = [float(reranker.score(QUERY, [text])[0]) for text in TEXTS]
        assert np.allclose(alone, scores, atol=1e-9)
    shuffled = reranker.score(QUERY, TEXTS[::-1])
    assert np.allclose(shuffled[::-1], scores)


def test_bm25_equals_its_formula():
    texts = [text.split() for text in ("red cat", "red red dog runs", "blue")]
    asked = Counter(["red", "dog", "dog"])
    average = 7 / 3
    wanted = []
    for words in texts:
        total = 0.0
        for term, times in asked.items():
            holding = sum(term in other for other in texts)
            idf = math.log(1 + (3 - holding + 0.5) / (holding + 0.5))
            tf = words.count(term)
            total += times * idf * tf * 2.2 / (tf + 1.2 * (1 - 0.75 + 0.75 * len(words) / average))
        wanted.append(total)
    found = Bm25Reranker(language="none").score("red dog dog", [" ".join(words) for words in texts])
    assert np.allclose(found, wanted)
    assert Bm25Reranker().score("", TEXTS).tolist() == [0.0] * len(TEXTS)


def test_likelihood_is_the_mean_log_likelihood_in_one_call():
    model = ScriptedLanguageModel(scores=lambda text, context: [1.0, 2.0, 3.0] if "cat" in context else [2.0, 4.0, 6.0])
    reranker = LikelihoodReranker(model)
    assert reranker.score("who sleeps here", ["a cat", "a tax"]).tolist() == [-2.0, -4.0]
    assert reranker.calibration == "exp"
    assert 0 < reranker.window < model.window
    with pytest.raises(BudgetExceededError):
        LikelihoodReranker(model, budget=Budget(tokens=1)).score("who sleeps here", ["a cat"])
    broken = ScriptedLanguageModel(scores=lambda text, context: [math.nan] * 3)
    with pytest.raises(ModelError, match="not a number"):
        LikelihoodReranker(broken).score("who sleeps here", ["a cat"])


def test_fusion_by_hand():
    one, two = Fixed([0.9, 0.5, 0.1]), Fixed([0.2, 0.2, 0.8])
    fused = FusionReranker([one, two], constant=60).score("q", ["a", "b", "c"])
    assert np.allclose(fused, [1 / 61 + 1 / 62, 1 / 62 + 1 / 62, 1 / 63 + 1 / 61])
    weighted = FusionReranker([one, two], "weighted", [3, 1])
    assert np.allclose(weighted.score("q", ["a", "b", "c"]), [0.725, 0.425, 0.275])
    assert not weighted.listwise
    assert FusionReranker([one, Fixed([1, 2, 3], "unbounded")], "weighted").listwise
    with pytest.raises(ConfigError, match="1 rerankers and 2 weights"):
        FusionReranker([one], weights=[1, 2])
    with pytest.raises(ConfigError, match="not all 0"):
        FusionReranker([one, two], weights=[0, 0])


def test_options_are_checked():
    assert set(names("rerankers")) >= {"cross_encoder", "maxsim", "likelihood", "cosine", "bm25", "fusion"}
    assert all(part("rerankers", name).name == name for name in names("rerankers"))
    with pytest.raises(ConfigError, match="k1 is -1"):
        create("rerankers", "bm25", {"k1": -1})
    with pytest.raises(ConfigError, match="no option 'modle'"):
        create("rerankers", "cross_encoder", {"modle": "x"})


@pytest.fixture(scope="module")
def tiny_bert(tmp_path_factory, minilm_folder):
    """Return a function from a number of outputs to the folder of a random cross-encoder of 64 positions."""
    import torch
    from transformers import AutoTokenizer, BertConfig, BertForSequenceClassification

    def folder(outputs):
        path = tmp_path_factory.mktemp("bert")
        torch.manual_seed(0)
        sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
        config = BertConfig(vocab_size=30522, max_position_embeddings=64, num_labels=outputs, **sizes)
        config.initializer_range = 0.5
        BertForSequenceClassification(config).save_pretrained(path)
        AutoTokenizer.from_pretrained(minilm_folder).save_pretrained(path)
        return path

    return folder


@pytest.mark.models
def test_the_cross_encoder_adapter(tiny_bert):
    import torch
    from transformers import AutoTokenizer, BertForSequenceClassification

    path = tiny_bert(1)
    reranker = CrossEncoderReranker(str(path), device="cpu", batch_tokens=40)
    assert isinstance(reranker, Reranker)
    assert reranker.window == 61
    texts = [*TEXTS, "word " * 200]
    with pytest.warns(RagkitWarning, match="1 of 6 texts do not fit"):
        found = reranker.score(QUERY, texts)
    assert reranker.cut_texts == 1
    model, tokenizer = BertForSequenceClassification.from_pretrained(path).eval(), AutoTokenizer.from_pretrained(path)
    for text, score in zip(texts, found, strict=True):
        pair = tokenizer([(QUERY, text)], return_tensors="pt", truncation=True, max_length=64)
        with torch.inference_mode():
            assert float(model(**pair).logits[0, 0]) == pytest.approx(float(score), abs=1e-4)
    assert np.ptp(found) > 0.01
    assert np.allclose(CrossEncoderReranker(str(path), device="cpu").score(QUERY, texts[:3]), found[:3], atol=1e-4)
    assert CrossEncoderReranker(str(path), window=30).window == 30


@pytest.mark.models
def test_cross_encoders_that_cannot_rank(tiny_bert, tmp_path):
    with pytest.raises(UnsupportedError, match="3 outputs"):
        CrossEncoderReranker(str(tiny_bert(3)), device="cpu").score(QUERY, TEXTS)
    with pytest.raises(ModelError, match=r"config\.json"):
        CrossEncoderReranker(str(tmp_path)).score(QUERY, TEXTS)


@pytest.mark.models
def test_maxsim_equals_its_formula(minilm_folder):
    from sentence_transformers import SentenceTransformer

    reranker = MaxSimReranker(device="cpu")
    assert isinstance(reranker, Reranker)
    found = reranker.score(QUERY, TEXTS)
    model = SentenceTransformer(str(minilm_folder), device="cpu")

    def tokens(text):
        vectors = model.encode([text], output_value="token_embeddings")[0].cpu().numpy()[1:-1]
        return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)

    for text, score in zip(TEXTS, found, strict=True):
        wanted = (tokens(QUERY) @ tokens(text).T).max(axis=1).mean() if text else -1.0
        assert float(score) == pytest.approx(float(wanted), abs=1e-4)
    assert found.argmax() in (0, 2)
    assert len(reranker.fingerprint) == 32
    assert reranker.window == 510
    assert reranker.count(["cat"]) == [1]


@pytest.mark.models
def test_likelihood_with_the_local_model(smollm_folder):
    from ragkit.models.local import LocalLanguageModel

    reranker = LikelihoodReranker(LocalLanguageModel(device="cpu"))
    scores = reranker.score(
        "What is the capital of France?", ["The capital of France is Paris.", "Yeast makes bread dough rise."]
    )
    assert scores[0] > scores[1]
    assert scores.max() < 0
