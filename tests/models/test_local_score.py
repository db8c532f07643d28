"""Token scores of the local language model, against the whole model's own logits."""

import dataclasses
import math
from functools import partial

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ragkit.budget import Budget
from ragkit.errors import BudgetExceededError, ModelError, UsageError
from ragkit.inference import DEFAULT_WINDOWS, Windows
from ragkit.models.causal import kernel
from ragkit.models.causal.batching import Job, batches
from ragkit.models.causal.forward import Forward
from ragkit.models.causal.head import Head
from ragkit.models.causal.passes import Pass, passes
from ragkit.models.causal.tokens import Tokenised
from ragkit.models.local import LocalLanguageModel

TEXT = "the cat sat on the mat and the dog ran to the house. " * 10
MIXED = ["the cat", TEXT, "", "a", "猫は座る 🙂🙂 नमस्ते", "the dog ran " * 9, "\n\n  \n"]
close = partial(np.testing.assert_allclose, rtol=2e-4, atol=2e-4)


@pytest.fixture(scope="module")
def model(tiny_causal):
    return LocalLanguageModel(str(tiny_causal), device="cpu", batch_tokens=150)


def oracle(model, ids, spans, start=0):
    """Losses out of full logits, pass by pass."""
    causal = model._loaded.model
    found = np.full(len(ids), np.nan)
    for one in spans:
        read = torch.tensor([[start, *ids[one.start : one.stop]]])
        with torch.inference_mode():
            logs = causal(read).logits[0].double().log_softmax(-1)
        for at in range(one.first, one.stop):
            found[at] = -logs[at - one.start, ids[at]]
    return found


def ids_of(model, text):
    return model._loaded._tokenizer(text, add_special_tokens=False)["input_ids"]


def test_windows_of_the_specification():
    assert passes(20, Windows(8, 4)) == [Pass(0, 0, 8), Pass(4, 8, 12), Pass(8, 12, 16), Pass(12, 16, 20)]
    assert passes(8, Windows(8, 4)) == [Pass(0, 0, 8)]
    assert passes(9, Windows(8, 4)) == [Pass(0, 0, 8), Pass(4, 8, 9)]
    assert passes(0, Windows(8, 4)) == []
    assert passes(20, Windows(8, 4), given=13) == [Pass(8, 13, 16), Pass(12, 16, 20)]
    assert passes(20, Windows(8, 8)) == [Pass(0, 0, 8), Pass(8, 8, 16), Pass(16, 16, 20)]


@given(st.integers(0, 300), st.integers(1, 40), st.integers(1, 40), st.integers(0, 300))
def test_passes_score_every_token_once(tokens, size, stride, given_):
    windows = Windows(max(size, stride), min(size, stride))
    every = passes(tokens, windows)
    assert len(every) == (1 + max(0, math.ceil((tokens - windows.size) / windows.stride)) if tokens else 0)
    found = passes(tokens, windows, min(given_, tokens))
    assert [at for one in found for at in range(one.first, one.stop)] == list(range(min(given_, tokens), tokens))
    assert all(one.stop - one.start <= windows.size and one.start <= one.first for one in found)
    assert all(one.first - one.start >= windows.size - windows.stride for one in found if one.start)


@given(st.lists(st.integers(1, 50), max_size=60), st.integers(1, 200), st.integers(1, 10))
def test_batches_hold_every_pass_within_the_budget(lengths, budget, group):
    jobs = [
        Job(Tokenised(at, np.zeros(n, np.int32), 0, np.zeros((n, 2))), Pass(0, 0, n)) for at, n in enumerate(lengths)
    ]
    found = list(batches([jobs[at : at + group] for at in range(0, len(jobs), group)], budget))
    assert sorted(job.text.index for batch in found for job in batch) == list(range(len(lengths)))
    assert all(len(batch) == 1 or len(batch) * batch[0].length <= budget for batch in found)
    assert all(batch[0].length == max(job.length for job in batch) for batch in found)


def test_the_sum_is_the_librarys_own_loss(model):
    ids = ids_of(model, TEXT)[:100]
    text = model._loaded.text(ids)
    found = model.score([text])[0]
    given_ = torch.tensor([[0, *ids]])
    with torch.inference_mode():
        loss = model._loaded.model(given_, labels=given_).loss
    assert len(found.nll) == len(ids)
    assert found.nll.dtype == np.float32
    assert found.nll.sum() == pytest.approx(float(loss) * len(ids), rel=1e-4)


def test_batched_is_alone_is_the_oracle(model):
    windows = Windows(16, 8)
    together = model.score(MIXED, windows=windows)
    for text, found in zip(MIXED, together, strict=True):
        ids = ids_of(model, text)
        close(found.nll, oracle(model, ids, passes(len(ids), windows)))
        close(found.nll, model.score([text], windows=windows)[0].nll)


def test_windowed_is_one_pass_where_it_fits(model):
    text = TEXT[:120]
    length = model.count([text])[0]
    one = model.score([text])[0].nll
    close(model.score([text], windows=Windows(length, 1))[0].nll, one)
    shorter = model.score([text], windows=Windows(length - 3, 2))[0].nll
    close(shorter[: length - 3], one[: length - 3])
    assert np.abs(shorter[length - 3 :] - one[length - 3 :]).max() > 1e-3


def test_a_context_conditions_and_is_not_scored(model):
    windows = Windows(20, 10)
    for context in ("the dog ran", TEXT[:100], TEXT):
        given_, ids = ids_of(model, context), ids_of(model, " to the house and on")
        found = model.score([" to the house and on"], contexts=[context], windows=windows)[0]
        whole = oracle(model, [*given_, *ids], passes(len(given_) + len(ids), windows))
        close(found.nll, whole[len(given_) :])
        assert found.spans[0].tolist() == [0, 3]
    bare = model.score([" to the house and on"], windows=windows)[0]
    assert np.abs(bare.nll - found.nll).max() > 1e-3


@settings(max_examples=40)
@given(st.text(max_size=60))
def test_spans_cover_the_text_in_order(tiny_causal, text):
    found = SHARED.setdefault("model", LocalLanguageModel(str(tiny_causal), device="cpu")).score([text])[0]
    assert np.isfinite(found.nll).all()
    assert len(found.nll) == len(found.spans)
    covered = np.zeros(len(text), bool)
    for start, stop in found.spans:
        assert 0 <= start < stop <= len(text)
        covered[start:stop] = True
    assert covered.all()
    assert (np.diff(found.spans[:, 0]) >= 0).all()


SHARED: dict[str, LocalLanguageModel] = {}


def test_a_character_of_several_tokens_lends_each_its_place(model):
    spans = model.score(["a猫b"])[0].spans.tolist()
    assert spans == [[0, 1], [1, 2], [1, 2], [1, 2], [2, 3]]


def test_small_texts(model):
    empty, word = model.score(["", "cat"])
    assert empty.spans.shape == (0, 2)
    assert empty.nll.shape == (0,)
    assert word.nll[0] == pytest.approx(oracle(model, ids_of(model, "cat"), [Pass(0, 0, 1)])[0], rel=1e-3)
    assert model.score([]) == []
    assert [len(one.nll) for one in model.score(["", ""])] == [0, 0]


def test_windows_and_contexts_that_do_not_fit(model):
    length = model.count([TEXT])[0]
    assert length > model.window == 128
    ids = ids_of(model, TEXT)
    close(model.score([TEXT], windows=DEFAULT_WINDOWS)[0].nll, oracle(model, ids, passes(length, Windows(128, 64))))
    with pytest.raises(ModelError, match=r"Scoring windows of 129 tokens were asked for; .* reads 128"):
        model.score(["a"], windows=Windows(129, 64))
    with pytest.raises(UsageError, match="2 texts came with 1 contexts"):
        model.score(["a", "b"], contexts=["c"])
    with pytest.raises(ModelError, match="cannot be tokenised"):
        model.score(["half a pair \ud800"])


def test_the_meter_counts_what_is_read(model):
    windows = Windows(16, 8)
    meter = Budget().meter()
    seen = []
    model.score(MIXED, windows=windows, meter=meter, progress=lambda *told: seen.append(told))
    lengths = model.count(MIXED)
    assert meter.tokens == sum(one.stop - one.start for length in lengths for one in passes(length, windows))
    assert seen[-1] == ("score", sum(lengths), sum(lengths))
    assert [done for _, done, _ in seen] == sorted(done for _, done, _ in seen)
    with pytest.raises(BudgetExceededError, match="score would bring the tokens"):
        model.score(MIXED, windows=windows, meter=Budget(tokens=meter.tokens - 1).meter())
    with pytest.raises(BudgetExceededError, match="seconds"):
        model.score(["a b"], meter=Budget(seconds=0).meter())


def test_complete_texts_arrive_before_the_budget_ends(tiny_causal):
    model = LocalLanguageModel(str(tiny_causal), device="cpu", batch_tokens=16)
    arrived = []
    read = sum(one.stop - one.start for length in model.count(MIXED) for one in passes(length, Windows(16, 8)))
    with pytest.raises(BudgetExceededError):
        model.score(MIXED, windows=Windows(16, 8), meter=Budget(tokens=read - 1).meter(), arrived=arrived.append)
    assert 2 <= len(arrived) < len(MIXED)
    for one in arrived:
        close(one.value.nll, model.score([MIXED[one.place]], windows=Windows(16, 8))[0].nll)
    every = []
    model.score(MIXED, windows=Windows(16, 8), arrived=every.append)
    assert sorted(one.place for one in every) == list(range(len(MIXED)))


def test_short_memory_halves_the_batches(tiny_causal, monkeypatch):
    model = LocalLanguageModel(str(tiny_causal), device="cpu", batch_tokens=400)
    expected = model.score(MIXED, windows=Windows(16, 8))
    hidden = Forward.hidden
    rows = []

    def scarce(self, batch, wanted, width):
        rows.append(len(batch) * width)
        if len(batch) * width > 60:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB")
        return hidden(self, batch, wanted, width)

    monkeypatch.setattr(Forward, "hidden", scarce)
    for one, other in zip(expected, model.score(MIXED, windows=Windows(16, 8)), strict=True):
        close(one.nll, other.nll)
    assert [size > 60 for size in rows[:4]] == [True, True, True, False]
    assert sum(size > 60 for size in rows) == 3
    with pytest.raises(ModelError, match="too little memory for 100 tokens"):
        model.score([TEXT], windows=Windows(100, 50))


def test_tiles_over_the_vocabulary_change_nothing():
    torch.manual_seed(1)
    hidden, weight, bias = torch.randn(30, 16), torch.randn(9000, 16), torch.randn(9000)
    targets = torch.randint(0, 9000, (30,))
    targets[:4] = torch.tensor([0, 4095, 4096, 8999])
    logits = 20 * torch.tanh((hidden.double() @ weight.double().T + bias) * 0.5 / 20)
    expected = torch.nn.functional.cross_entropy(logits, targets, reduction="none")
    head = Head(weight, bias, scale=0.5, cap=20.0)
    close(head.nll(hidden, targets), expected)
    close(Head(None, None).nll(logits.float(), targets), expected)
    labels = torch.tensor([5, 8999])
    close(head.log_probabilities(hidden, labels), logits.log_softmax(-1)[:, labels])


@pytest.mark.skipif(not (kernel.available() and torch.cuda.is_available()), reason="needs a CUDA device with triton")
def test_the_gpu_kernel():
    logits = torch.randn(40, 50_257, device="cuda") * 5
    targets = torch.randint(0, 50_257, (40,), device="cuda")
    for given_ in (logits, logits.bfloat16()):
        expected = torch.nn.functional.cross_entropy(given_.double(), targets, reduction="none")
        close(kernel.row_nll(given_, targets).cpu(), expected.cpu())


@pytest.mark.parametrize("kind", ["Gemma2", "Cohere", "Granite", "GPTNeoX", "whole"])
def test_other_architectures(tiny_causal, tmp_path, monkeypatch, kind):
    """Models with a soft cap, a scale, another shape, and one whose two steps do not make the whole."""
    import shutil

    import transformers

    name = "Llama" if kind == "whole" else kind
    sizes = {"vocab_size": 400, "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2}
    extra = {
        "Gemma2": {"head_dim": 8, "final_logit_softcapping": 2.0, "num_key_value_heads": 2},
        "Cohere": {"logit_scale": 0.3},
        "Granite": {"logits_scaling": 3.0},
    }.get(kind, {})
    config = getattr(transformers, f"{name}Config")(
        **sizes, num_attention_heads=4, max_position_embeddings=64, initializer_range=0.4, bos_token_id=0, **extra
    )
    torch.manual_seed(2)
    shutil.copytree(tiny_causal, tmp_path, dirs_exist_ok=True)
    getattr(transformers, f"{name}ForCausalLM")(config).save_pretrained(tmp_path)
    if kind == "whole":
        from ragkit.models.causal import forward

        monkeypatch.setattr(
            forward, "head_of", lambda model: dataclasses.replace(Head(model.lm_head.weight, None), scale=2.0)
        )
    model = LocalLanguageModel(str(tmp_path), device="cpu")
    found = model.score([TEXT, "the cat"], windows=Windows(32, 16))
    assert model._loaded.forward.whole == (kind == "whole")
    for text, one in zip([TEXT, "the cat"], found, strict=True):
        ids = ids_of(model, text)
        close(one.nll, oracle(model, ids, passes(len(ids), Windows(32, 16))), rtol=1e-3)


@pytest.mark.models
def test_the_real_model_scores_as_the_library_does(smollm):
    model = smollm
    text = "The capital of France is Paris, and the capital of Italy is Rome. नमस्ते"
    found = model.score([text, "Paris"])
    ids = ids_of(model, text)
    close(found[0].nll, oracle(model, ids, [Pass(0, 0, len(ids))], start=1))
    assert found[0].nll[-12:].mean() > 1
    assert text[slice(*found[0].spans[4])] == " Paris" or " Paris" in [text[a:b] for a, b in found[0].spans]
