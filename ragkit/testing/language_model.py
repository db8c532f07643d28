"""The conformance kit of language models."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from ragkit.budget import Budget
from ragkit.errors import BudgetExceededError, ContractError, ModelError
from ragkit.inference import TokenScores
from ragkit.protocols import LanguageModel, Segment

Ability = Literal["generate", "records", "score", "labels"]
ALL: tuple[Ability, ...] = ("generate", "records", "score", "labels")

_HINT = "See ragkit.protocols.LanguageModel for the contract."
_PROMPTS = ("Name a colour.", "Paris is the capital of France.\n\nWhich city is the capital?", "1 + 1 =", "中文是什么?")
_TEXTS = ("The cat sat on the mat. The dog did not.", "Naïve café, 北京 and 🙂.", "word", "", "Two\n\nlines  here.")
_LABELS = ("Yes", "No", "Perhaps not")


class Sample(BaseModel):
    """What the kit asks models to fill in."""

    model_config = ConfigDict(extra="forbid")

    kind: Literal["fact", "question"]
    number: int = Field(ge=0, le=9)


def check_language_model(model: LanguageModel, abilities: Sequence[Ability] = ALL, *, max_tokens: int = 24) -> None:
    """Raise ContractError where `model` breaks its contract; `abilities` are those that it has.

    Checked: names and counts; bulk results are those of single calls, in order, and nothing comes of nothing; greedy
    replies repeat; records are instances of their schema; scores lie in order on the text and cover it, do not depend
    on what else is scored, and change with the context; probabilities are some, and follow the order of the labels; a
    budget is charged, kept, and what it does not cover is refused; so is a prompt longer than the window.
    """
    _check_names(model)
    checks: dict[Ability, Callable[[LanguageModel, int], None]] = {
        "generate": _check_replies,
        "records": _check_records,
        "score": lambda given, _: _check_scores(given),
        "labels": lambda given, _: _check_labels(given),
    }
    for ability in abilities:
        checks[ability](model, max_tokens)


def _check_names(model: LanguageModel) -> None:
    _require(isinstance(model, LanguageModel), model, "lacks a method or attribute of the protocol")
    _require(bool(model.name) and bool(model.fingerprint), model, "has an empty name or fingerprint")
    _require(model.window > 0, model, f"has a window of {model.window} tokens")
    counts = model.count(list(_TEXTS))
    _require(len(counts) == len(_TEXTS) and counts[_TEXTS.index("")] == 0, model, f"counts {counts} tokens")
    _require(all(count > 0 for count, text in zip(counts, _TEXTS, strict=True) if text), model, "counts 0 in a text")


def _check_replies(model: LanguageModel, max_tokens: int) -> None:
    prompts = [[Segment(text)] for text in _PROMPTS]
    single = [model.generate(prompt, max_tokens=max_tokens) for prompt in prompts]
    _require(all(isinstance(reply, str) for reply in single), model, "replied with something that is no text")
    many = model.generate_many([*prompts, prompts[0]], max_tokens=max_tokens)
    _require(many == [*single, single[0]], model, f"gave other replies in bulk: {many} instead of {single}")
    _require(model.generate_many([], max_tokens=max_tokens) == [], model, "made replies out of no prompt")
    pieces = [Segment(_PROMPTS[1][:7], "chunk"), Segment(_PROMPTS[1][7:])]
    _require(model.generate(pieces, max_tokens=max_tokens) == single[1], model, "read a prompt in pieces differently")
    long = [Segment("word " * model.window)]
    _refused(lambda: model.generate(long, max_tokens=max_tokens), ModelError, model, "a prompt longer than its window")
    _check_budget(model, lambda meter: model.generate_many(prompts, max_tokens=max_tokens, meter=meter))


def _check_records(model: LanguageModel, max_tokens: int) -> None:
    prompts = [[Segment(text)] for text in _PROMPTS[:2]]
    found = model.generate_records(prompts, Sample, max_tokens=max(24, max_tokens))
    _require(
        len(found) == len(prompts) and all(type(record) is Sample for record in found),
        model,
        f"gave {found} instead of {len(prompts)} records",
    )
    _require(model.generate_records([], Sample, max_tokens=max_tokens) == [], model, "made records out of no prompt")
    _check_budget(
        model, lambda meter: model.generate_records(prompts, Sample, max_tokens=max(24, max_tokens), meter=meter)
    )


def _check_scores(model: LanguageModel) -> None:
    found = model.score(list(_TEXTS))
    _require(len(found) == len(_TEXTS), model, f"gave {len(found)} scores to {len(_TEXTS)} texts")
    for text, scores in zip(_TEXTS, found, strict=True):
        _check_places(model, text, scores)
        (alone,) = model.score([text])
        same = alone.nll.shape == scores.nll.shape and np.allclose(alone.nll, scores.nll, atol=2e-2, equal_nan=True)
        _require(same, model, f"scored {text!r} differently beside other texts")
    _require(model.score([]) == [], model, "gave scores to no text")
    after = model.score([_TEXTS[0]] * 2, contexts=["", "A story about pets."])
    _require(np.allclose(after[0].nll, found[0].nll, atol=2e-2, equal_nan=True), model, "an empty context is not none")
    _require(np.array_equal(after[1].spans, found[0].spans), model, "scored the context too")
    _check_budget(model, lambda meter: model.score(list(_TEXTS), meter=meter))


def _check_places(model: LanguageModel, text: str, scores: TokenScores) -> None:
    spans, nll = scores.spans, scores.nll
    shaped = spans.shape == (len(nll), 2) and nll.ndim == 1 and nll.dtype == np.float32 and spans.dtype == np.int64
    _require(shaped, model, f"gave spans {spans.shape} {spans.dtype} and values {nll.shape} {nll.dtype}")
    places = spans.tolist()
    _require(all(0 <= a <= b <= len(text) for a, b in places), model, f"put a token outside of {text!r}")
    ordered = all(before[0] <= after[0] and before[1] <= after[1] for before, after in pairwise(places))
    _require(ordered, model, f"put the tokens of {text!r} out of order")
    covered = {place for a, b in places for place in range(a, b)}
    missed = [character for place, character in enumerate(text) if place not in covered and not character.isspace()]
    _require(not missed, model, f"left {missed} of {text!r} without a token")
    _require(not np.isnan(nll[1:]).any() and not (nll < -1e-4).any(), model, f"gave {nll} as negative log-likelihoods")


def _check_labels(model: LanguageModel) -> None:
    prompts = [[Segment(f"{text}\n\nIs that a question? Yes or no:")] for text in _PROMPTS]
    found = model.label_probabilities(prompts, _LABELS)
    shaped = found.shape == (len(prompts), len(_LABELS)) and found.dtype == np.float64
    _require(shaped, model, f"gave probabilities of shape {found.shape}, {found.dtype}")
    some = bool((found >= 0).all()) and bool((found[:, :2].sum(axis=1) <= 1 + 1e-6).all())
    _require(some, model, f"gave {found} as probabilities")
    turned = model.label_probabilities(prompts[::-1], _LABELS[::-1])
    _require(np.allclose(turned, found[::-1, ::-1], rtol=2e-2, atol=1e-6), model, "depends on the order of the labels")
    _require(model.label_probabilities([], _LABELS).shape == (0, len(_LABELS)), model, "gave rows to no prompt")
    _check_budget(model, lambda meter: model.label_probabilities(prompts, _LABELS, meter=meter))


def _check_budget(model: LanguageModel, call: Callable[[Any], object]) -> None:
    meter = Budget(tokens=10**9, seconds=10**6).meter()
    call(meter)
    rows = meter.report()["stages"].values()
    asked = sum(row["calls"] + row["cached"] for row in rows)
    _require(bool(asked), model, "booked no call on the meter")
    cached = all(row["calls"] == 0 for row in rows)
    _require(cached or meter.tokens > 0, model, "booked no token on the meter")
    if not cached:
        _refused(lambda: call(Budget(tokens=1).meter()), BudgetExceededError, model, "a budget of one token")


def _refused(call: Callable[[], object], error: type[Exception], model: LanguageModel, what: str) -> None:
    try:
        call()
    except error:
        return
    raise ContractError(f"{model.name}: took {what}; expected {error.__name__}.", hint=_HINT)


def _require(holds: bool, model: LanguageModel, otherwise: str) -> None:
    if not holds:
        raise ContractError(f"{getattr(model, 'name', model)}: {otherwise}.", hint=_HINT)
