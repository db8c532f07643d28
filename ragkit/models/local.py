"""A causal language model in this process, through transformers: SmolLM2-135M-Instruct unless another one is named."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import date
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from ragkit.budget import Meter
from ragkit.errors import ConfigError, UsageError
from ragkit.identity import content_hash
from ragkit.inference import DEFAULT_WINDOWS, GREEDY, Sampling, TokenScores, Windows
from ragkit.models.arrival import Arrival, Arrived
from ragkit.models.hub import model_folder
from ragkit.models.local_records import parsed_record
from ragkit.models.local_windows import fitting_windows
from ragkit.models.number_format import number_format
from ragkit.models.profile import weights_fingerprint
from ragkit.models.tokenizer import HfTokenizer
from ragkit.protocols import Progress, Prompt, Record

if TYPE_CHECKING:
    from ragkit.models.causal.engine import Engine
    from ragkit.models.causal.generation import Written

Dtype = Literal["auto", "float32", "bfloat16", "float16"]


class LocalLanguageModel:
    """Replies, records, token scores and label probabilities of a causal model, by name, folder or hub id.

    Making one costs nothing; `window`, `fingerprint` and `count` read the model's files without torch, the weights are
    loaded at the first prompt. A prompt is one user message where the model has a chat template, plain text else.
    Bulk calls run in length-sorted batches; a greedy reply in float32 is the one that its prompt gets alone, while on
    a GPU in half precision two nearly equal tokens may change places. One call at a time; others wait.

    The default is a model of 135 million parameters: it scores text well, finds a short answer in a short text, and
    does little more.

    Raises ModelError where the model cannot be found, loaded or run, or a prompt does not fit its window.
    """

    tells_arrivals = True

    def __init__(
        self,
        model: str = "SmolLM2-135M-Instruct",
        device: str = "auto",
        dtype: Dtype = "auto",
        window: int | None = None,
        *,
        batch_tokens: int | None = None,
        compiled: bool = False,
        template_date: date | None = None,
    ) -> None:
        """Name the model; device and dtype "auto" are a GPU in bfloat16 if there is one, else the CPU in float32.

        `batch_tokens` bounds a batch, None lets the device decide. `compiled` makes scoring on a GPU faster after a
        first call that compiles for up to a minute. A chat template that shows today's date shows `template_date` in
        its place, so that prompts, and what is kept for them, stay the same from day to day.
        """
        if (window is not None and window < 2) or (batch_tokens is not None and batch_tokens < 1):
            raise ConfigError(
                f"window {window} and batch_tokens {batch_tokens} were given; expected at least 2 and 1 tokens.",
                hint="Correct the values, or leave them out.",
            )
        self.name = model
        self._device = device
        self._dtype = dtype
        self._wanted_window = window
        self._batch_tokens = batch_tokens
        self._compiled = compiled
        self._template_date = template_date
        self._lock = threading.RLock()

    @cached_property
    def window(self) -> int:
        """Tokens of prompt and answer together."""
        return min(self._wanted_window or self._positions, self._positions)

    @cached_property
    def fingerprint(self) -> str:
        """Identifies the weights, the number format as it was asked for, a shorter window and a pinned date."""
        weights = weights_fingerprint(self.name, lambda: self._folder)
        read: dict[str, int | str] = {}
        if self.window != self._positions:
            read["window"] = self.window  # scoring windows
        if self._template_date is not None:
            read["template_date"] = self._template_date.isoformat()
        return content_hash("local language model", weights=weights, dtype=self._dtype, **read)

    @cached_property
    def number_format(self) -> str:
        """What dtype "auto" comes to on this machine; results in different formats differ a little."""
        return number_format(self._dtype, self._device)

    @cached_property
    def template_tokens(self) -> int:
        """Tokens that the chat template puts around a message."""
        return len(self._loaded.prompt_ids("x")) - self.count(["x"])[0]

    @contextmanager
    def loaded(self) -> Iterator[Engine]:
        """Yield the model with its tokenizer and weights, to one caller at a time."""
        with self._lock:
            yield self._loaded

    def count(self, texts: Sequence[str]) -> list[int]:
        """Return the number of tokens of each text."""
        return self._counter.count(texts)

    def generate(
        self, prompt: Prompt, *, max_tokens: int, meter: Meter | None = None, sampling: Sampling = GREEDY
    ) -> str:
        """Return the reply to `prompt`, at most `max_tokens` long; an interrupt stops it between two tokens."""
        return self.generate_many([prompt], max_tokens=max_tokens, meter=meter, sampling=sampling)[0]

    def generate_many(
        self,
        prompts: Sequence[Prompt],
        *,
        max_tokens: int,
        meter: Meter | None = None,
        sampling: Sampling = GREEDY,
        progress: Progress | None = None,
        arrived: Arrived | None = None,
    ) -> list[str]:
        """Return the reply to each prompt; one that begins to repeat itself ends there.

        Replies of a temperature above 0 depend on the seed and the prompt, not on what else is asked.
        """
        found = [""] * len(prompts)

        def take(place: int, text: str) -> str:
            found[place] = text.strip()
            return found[place]

        self._write(
            prompts,
            take,
            schema=None,
            max_tokens=max_tokens,
            meter=meter,
            sampling=sampling,
            progress=progress,
            arrived=arrived,
        )
        return found

    def generate_records(
        self,
        prompts: Sequence[Prompt],
        schema: type[Record],
        *,
        max_tokens: int,
        meter: Meter | None = None,
        sampling: Sampling = GREEDY,
        progress: Progress | None = None,
        arrived: Arrived | None = None,
    ) -> list[Record]:
        """Return one instance of `schema` for each prompt; only tokens that fit its JSON schema can be written.

        A string or list that repeats itself is closed. Raises SchemaError, with the reply, where `max_tokens` ended
        the JSON too early or a validator refuses a value, once all other prompts of the batch are answered.
        """
        found: dict[int, Record] = {}

        def take(place: int, text: str) -> Record:
            found[place] = parsed_record(schema, text, place, max_tokens)
            return found[place]

        self._write(
            prompts,
            take,
            schema=schema,
            max_tokens=max_tokens,
            meter=meter,
            sampling=sampling,
            progress=progress,
            arrived=arrived,
        )
        return [found[place] for place in range(len(prompts))]

    def score(
        self,
        texts: Sequence[str],
        *,
        contexts: Sequence[str] | None = None,
        windows: Windows = DEFAULT_WINDOWS,
        meter: Meter | None = None,
        progress: Progress | None = None,
        arrived: Arrived | None = None,
    ) -> list[TokenScores]:
        """Return the scores of every token of each text, given the context of the same place (not itself scored).

        A text is tokenised whole, without special tokens, apart from its context; a character of several tokens lends
        each of them its place. An empty text has no tokens. The windows slide over context and text together, and the
        model's start token (of models without one: the end token, else a line break) stands in front of every pass, so
        no score is missing. The default windows shrink to a smaller model's window; others that exceed it raise
        ModelError. A meter is charged the tokens read, overlaps included; progress counts tokens scored.
        """
        if contexts is not None and len(contexts) != len(texts):
            raise UsageError(
                f"{len(texts)} texts came with {len(contexts)} contexts.", hint="Give one context for each text."
            )
        fitting = fitting_windows(self.name, windows, self.window)
        if not any(texts):
            return [TokenScores(np.zeros((0, 2), np.int64), np.zeros(0, np.float32)) for _ in texts]
        with self._lock:
            return self._loaded.scorer.score(
                texts, contexts or [""] * len(texts), fitting, meter=meter, progress=progress, arrived=arrived
            )

    def label_probabilities(
        self,
        prompts: Sequence[Prompt],
        labels: Sequence[str],
        *,
        meter: Meter | None = None,
        progress: Progress | None = None,
        arrived: Arrived | None = None,
    ) -> NDArray[np.float64]:
        """Return the probability of each label right after each prompt, shape (prompts, labels).

        They are those of the whole vocabulary's softmax. Labels are tokenised without special tokens; one of several
        tokens gets the product of their probabilities. A label that begins another one ("1" and "10") counts its share
        too. Raises UsageError for an empty label, ModelError for a prompt longer than the window.
        """
        if not labels or not all(labels):
            raise UsageError(
                f"The labels {list(labels)!r} were given; each needs at least one character.",
                hint="Give, for instance, ['1', '2'].",
            )
        if not prompts:
            return np.zeros((0, len(labels)))
        with self._lock:
            return self._loaded.label_probabilities(
                [_text(prompt) for prompt in prompts], labels, meter=meter, progress=progress, arrived=arrived
            )

    def _write(
        self,
        prompts: Sequence[Prompt],
        take: Callable[[int, str], Any],
        *,
        schema: type[Any] | None,
        max_tokens: int,
        meter: Meter | None,
        sampling: Sampling,
        progress: Progress | None,
        arrived: Arrived | None,
    ) -> None:
        """Write all replies; `take` turns a place and a text into what arrives, and may raise."""
        if not prompts:
            return
        loaded = self._loaded
        ids = [loaded.prompt_ids(_text(prompt)) for prompt in prompts]
        done = 0

        def deliver(place: int, reply: Written, seconds: float) -> None:
            nonlocal done
            value = take(place, loaded.text(reply.tokens))
            if arrived is not None:
                arrived(Arrival(place, value, len(ids[place]), len(reply.tokens), seconds, ended=reply.complete))
            done += 1
            if progress is not None:
                progress("generate", done, len(ids))

        with self._lock:
            loaded.writer.write_all(
                ids,
                max_tokens=max_tokens,
                sampling=sampling,
                meter=meter,
                matchers=None if schema is None else lambda rows: loaded.grammars.matchers(schema, rows),
                take=deliver,
            )

    @cached_property
    def _loaded(self) -> Engine:
        from ragkit.models.causal.engine import Engine

        return Engine(
            self.name,
            self._folder,
            device=self._device,
            dtype=self._dtype,
            window=self.window,
            batch_tokens=self._batch_tokens,
            compiled=self._compiled,
            day=self._template_date,
        )

    @cached_property
    def _positions(self) -> int:
        config = json.loads((self._folder / "config.json").read_text(encoding="utf-8"))
        text = config.get("text_config", config)
        return int(text.get("max_position_embeddings") or text.get("n_positions") or 2048)

    @cached_property
    def _counter(self) -> HfTokenizer:
        return HfTokenizer.from_folder(self._folder)

    @cached_property
    def _folder(self) -> Path:
        return model_folder(self.name)


def _text(prompt: Prompt) -> str:
    return "".join(segment.text for segment in prompt)
