"""A language model that remembers: only what was never asked before is computed."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cached_property
from hashlib import blake2b
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from ragkit.budget import Meter
from ragkit.identity import Field, content_hash
from ragkit.inference import DEFAULT_WINDOWS, GREEDY, Sampling, TokenScores, Windows
from ragkit.models.arrival import Arrived
from ragkit.models.blob_cache import BlobCache, switched_on
from ragkit.models.hub import cache_root
from ragkit.models.remembering import Compute, Question, remembered
from ragkit.models.stored import Form, record_form, row_form, score_form, text_form
from ragkit.models.trace import Trace, Traced
from ragkit.protocols import LanguageModel, Progress, Prompt, Record

__all__ = ["CachedLanguageModel", "Trace", "Traced", "cached_language_model", "reply_cache"]

_SWITCH = "RAGKIT_LLM_CACHE"
_VERSION = 1
"""Raised where the same question to the same weights may be answered differently than before: new rules for what ends a
reply, other prompts inside an ability. Older results are then not found any more."""
_MAX_BYTES = 4 << 30


def cached_language_model(model: LanguageModel, *, enabled: bool = True, trace: Trace | None = None) -> LanguageModel:
    """Return `model` with the user's cache in front; `trace` is told of every call, cached or not.

    Nothing is cached if not `enabled`, if RAGKIT_LLM_CACHE is "off", or where computing is cheaper than looking up
    (`model.cheap`); without a trace `model` itself is returned then.
    """
    caches = enabled and switched_on(_SWITCH) and not getattr(model, "cheap", False)
    if not caches and trace is None:
        return model
    # a cast, because a lazy property is no settable attribute to the type checker
    return cast(LanguageModel, CachedLanguageModel(model, reply_cache() if caches else None, trace=trace))


def reply_cache() -> BlobCache:
    """Return the cache of all language models below the user's cache folder, at most 4 GiB; the oldest go first."""
    return BlobCache(cache_root() / "replies" / "replies.sqlite", _MAX_BYTES, what="language model")


class CachedLanguageModel:
    """A `LanguageModel` over another one, with results on disk between it and the caller.

    The key is the model's fingerprint, its `number_format` where it has one, the ability, the prompt's text and every
    parameter. Replies drawn at a temperature above 0 are kept too: the seed is in the key, so another seed is another
    draw, and the same one repeats the reply. Results are written as they arrive; one that a budget may have cut short
    is not kept. A cached call costs the meter nothing and is counted as `cached`. Safe to share between threads, its
    file between processes.
    """

    tells_arrivals = False

    def __init__(self, model: LanguageModel, cache: BlobCache | None, *, trace: Trace | None = None) -> None:
        """Put `cache` (None: nothing is kept) in front of `model`."""
        self._model = model
        self._cache = cache
        self._trace = trace
        self._parameters: dict[tuple[str, str], bytes] = {}
        """Keys of calls without their prompts, made once."""

    def __getattr__(self, name: str) -> Any:
        """Return what only the model itself has, such as `template_tokens`."""
        if name.startswith("_"):
            raise AttributeError(name)
        return getattr(self._model, name)

    @cached_property
    def name(self) -> str:
        """The model's name."""
        return self._model.name

    @cached_property
    def fingerprint(self) -> str:
        """The model's fingerprint."""
        return self._model.fingerprint

    @cached_property
    def window(self) -> int:
        """Tokens of prompt and answer together."""
        return self._model.window

    def count(self, texts: Sequence[str]) -> list[int]:
        """Return the number of tokens of each text for this model."""
        return self._model.count(texts)

    def generate(
        self, prompt: Prompt, *, max_tokens: int, meter: Meter | None = None, sampling: Sampling = GREEDY
    ) -> str:
        """Return the model's reply to `prompt`, at most `max_tokens` long."""
        return self.generate_many([prompt], max_tokens=max_tokens, meter=meter, sampling=sampling)[0]

    def generate_many(
        self,
        prompts: Sequence[Prompt],
        *,
        max_tokens: int,
        meter: Meter | None = None,
        sampling: Sampling = GREEDY,
        progress: Progress | None = None,
    ) -> list[str]:
        """Return the reply to each prompt."""

        def compute(places: Sequence[int], arrived: Arrived | None, report: Progress | None) -> Sequence[Any]:
            chosen = [prompts[place] for place in places]
            if len(chosen) == 1 and arrived is None:
                return [self._model.generate(chosen[0], max_tokens=max_tokens, meter=meter, sampling=sampling)]
            return self._model.generate_many(
                chosen, max_tokens=max_tokens, meter=meter, sampling=sampling, progress=report, **_told(arrived)
            )

        texts = [_text(prompt) for prompt in prompts]
        parameters: dict[str, Field] = {"max_tokens": max_tokens, "sampling": _drawn(sampling)}
        keys = self._keys("generate", texts, **parameters)
        asked = self._question("generate", keys, text_form(), compute, texts, least=max_tokens)
        return remembered(asked, self._cache, meter, self._trace, progress)

    def generate_records(
        self,
        prompts: Sequence[Prompt],
        schema: type[Record],
        *,
        max_tokens: int,
        meter: Meter | None = None,
        sampling: Sampling = GREEDY,
        progress: Progress | None = None,
    ) -> list[Record]:
        """Return one instance of `schema` for each prompt; those that do not fit are not kept."""

        def compute(places: Sequence[int], arrived: Arrived | None, report: Progress | None) -> Sequence[Any]:
            return self._model.generate_records(
                [prompts[place] for place in places],
                schema,
                max_tokens=max_tokens,
                meter=meter,
                sampling=sampling,
                progress=report,
                **_told(arrived),
            )

        texts = [_text(prompt) for prompt in prompts]
        keys = self._keys(
            "records",
            texts,
            max_tokens=max_tokens,
            sampling=_drawn(sampling),
            schema=json.dumps(schema.model_json_schema(), sort_keys=True),
        )
        asked = self._question("records", keys, record_form(schema), compute, texts)
        return remembered(asked, self._cache, meter, self._trace, progress)

    def score(
        self,
        texts: Sequence[str],
        *,
        contexts: Sequence[str] | None = None,
        windows: Windows = DEFAULT_WINDOWS,
        meter: Meter | None = None,
        progress: Progress | None = None,
    ) -> list[TokenScores]:
        """Return the scores of every token of each text, given the context of the same place (not itself scored)."""
        if contexts is not None and len(contexts) != len(texts):
            return self._model.score(texts, contexts=contexts, windows=windows)  # which says what is wrong
        before = contexts or [""] * len(texts)

        def compute(places: Sequence[int], arrived: Arrived | None, report: Progress | None) -> Sequence[Any]:
            return self._model.score(
                [texts[place] for place in places],
                contexts=None if contexts is None else [before[place] for place in places],
                windows=windows,
                meter=meter,
                progress=report,
                **_told(arrived),
            )

        keys = [
            self._key("score", text=text, context=context, windows=[windows.size, windows.stride])
            for text, context in zip(texts, before, strict=True)
        ]
        asked = self._question("score", keys, score_form(), compute, texts)
        return remembered(asked, self._cache, meter, self._trace, progress)

    def label_probabilities(
        self,
        prompts: Sequence[Prompt],
        labels: Sequence[str],
        *,
        meter: Meter | None = None,
        progress: Progress | None = None,
    ) -> NDArray[np.float64]:
        """Return the probability of each label right after each prompt, shape (prompts, labels)."""

        def compute(places: Sequence[int], arrived: Arrived | None, report: Progress | None) -> Sequence[Any]:
            chosen = [prompts[place] for place in places]
            rows = self._model.label_probabilities(chosen, labels, meter=meter, progress=report, **_told(arrived))
            return list(rows)

        if not prompts:
            return self._model.label_probabilities(prompts, labels)
        texts = [_text(prompt) for prompt in prompts]
        keys = self._keys("labels", texts, labels=list(labels))
        asked = self._question("labels", keys, row_form(len(labels)), compute, texts)
        rows = remembered(asked, self._cache, meter, self._trace, progress)
        return np.asarray(rows, dtype=np.float64).reshape(len(prompts), len(labels))

    def close(self) -> None:
        """Close the cache's file, and the model where it can be closed."""
        if self._cache is not None:
            self._cache.close()
        close = getattr(self._model, "close", None)
        if close is not None:
            close()

    def _question(
        self,
        ability: str,
        keys: Sequence[bytes],
        form: Form,
        compute: Compute,
        texts: Sequence[str],
        *,
        least: int = 0,
    ) -> Question:
        def taken(place: int, value: Any) -> tuple[int, int]:
            written = value if isinstance(value, str) else ""
            prompt, reply = self._model.count([texts[place], written])
            return prompt, reply

        tells, paid = (bool(getattr(self._model, name, False)) for name in ("tells_arrivals", "paid"))
        stage = "generate" if ability == "records" else ability  # as the models book it
        return Question(ability, stage, self.name, keys, form, compute, taken, tells, paid, least)

    @cached_property
    def _numbers(self) -> dict[str, Field]:
        """The format that the model computes in here, where it says: "auto" is another one on another machine."""
        numbers = getattr(self._model, "number_format", None)
        return {} if numbers is None else {"numbers": str(numbers)}

    def _keys(self, ability: str, texts: Sequence[str], **fields: Field) -> list[bytes]:
        call = (ability, repr(fields))
        if call not in self._parameters:
            self._parameters[call] = self._key(ability, **fields)
        shared = self._parameters[call]  # 16 bytes, so that what follows them cannot be taken for a part of them
        return [blake2b(shared + text.encode("utf-8", "surrogatepass"), digest_size=16).digest() for text in texts]

    def _key(self, ability: str, **fields: Field) -> bytes:
        model: dict[str, Field] = {"model": self.fingerprint, **self._numbers}
        name = content_hash("language model", version=_VERSION, ability=ability, **model, **fields)
        return bytes.fromhex(name)


def _told(arrived: Arrived | None) -> dict[str, Any]:
    """Return the argument by which a model that can tell its results as they arrive is asked to."""
    return {} if arrived is None else {"arrived": arrived}


def _text(prompt: Prompt) -> str:
    return "".join(segment.text for segment in prompt)


def _drawn(sampling: Sampling) -> list[float]:
    """Return what decides the draw: without a temperature, neither the seed nor top_p does."""
    if sampling.temperature == 0:
        return [0.0, sampling.repetition_penalty]
    return [sampling.temperature, sampling.repetition_penalty, sampling.top_p, sampling.seed]
