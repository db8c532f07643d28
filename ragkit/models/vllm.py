"""A causal language model on a vLLM engine of this process: the fastest way to ask one model many things."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from ragkit.budget import Meter, Price
from ragkit.errors import RagkitError, UsageError
from ragkit.identity import content_hash
from ragkit.inference import DEFAULT_WINDOWS, GREEDY, Sampling, TokenScores, Windows
from ragkit.models.arrival import Arrival, Arrived
from ragkit.models.hub import model_folder
from ragkit.models.inprocess.bill import Bill
from ragkit.models.inprocess.calls import Answer, Call, answer_all, check_window
from ragkit.models.inprocess.engine import Engine, EngineSettings, engine, keep_quiet, require_vllm
from ragkit.models.inprocess.vocabulary import Vocabulary
from ragkit.models.local_records import parsed_record
from ragkit.models.local_windows import fitting_windows
from ragkit.models.number_format import number_format
from ragkit.models.profile import weights_fingerprint
from ragkit.models.tokenizer import HfTokenizer
from ragkit.protocols import Progress, Prompt, Record, Segment

Value = TypeVar("Value")
Dtype = Literal["auto", "float32", "bfloat16", "float16"]


class VllmLanguageModel:
    """All four abilities on vLLM 0.32, by name, folder or hub id of any causal model that vLLM runs.

    Making one costs nothing; `window`, `fingerprint` and `count` read the model's files, the engine starts at the first
    prompt. Models with equal settings share one engine; `close`, or leaving a `with` block, ends it and frees its
    memory. Bulk calls keep the engine full and tell each result as it arrives. The prompt is one user message where
    the model has a chat template, plain text else.

    `dtype` "auto" is float32 on a CPU and bfloat16 on a GPU. `window` is at most what the model has positions for; a
    smaller one needs a smaller KV cache. `gpu_memory_utilization` is the share of a GPU's memory for everything,
    `kv_cache_gib` the size of the KV cache alone (on a CPU, 2 GiB unless given). `max_num_seqs` prompts run at once.
    `price` in dollars per million tokens is what the meter books.

    Raises MissingExtraError where vLLM is not installed, ModelError where the model cannot be found, the engine cannot
    be started (memory, an unknown architecture) or a prompt does not fit the window.
    """

    tells_arrivals = True

    def __init__(
        self,
        model: str = "SmolLM2-135M-Instruct",
        dtype: Dtype = "auto",
        *,
        window: int | None = None,
        gpu_memory_utilization: float = 0.9,
        kv_cache_gib: float | None = None,
        max_num_seqs: int = 128,
        seed: int = 0,
        price: Price | None = None,
    ) -> None:
        require_vllm()
        keep_quiet()
        self.name = model
        self.price = price
        self._dtype = dtype
        self._wanted_window = window
        self._engine_options: dict[str, Any] = {
            "gpu_memory_utilization": gpu_memory_utilization,
            "kv_cache_gib": kv_cache_gib,
            "max_num_seqs": max_num_seqs,
            "seed": seed,
        }

    def __enter__(self) -> Self:
        """Return the model; the engine still starts at the first prompt."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the engine."""
        self.close()

    def close(self) -> None:
        """End the engine, also that of other models with equal settings; a later call starts it again.

        Without a GPU, all engines of the process end: they share what vLLM keeps for a process.
        """
        if "_engine" in self.__dict__:
            self._engine.close()

    @cached_property
    def window(self) -> int:
        """Tokens of prompt and answer together."""
        return min(self._wanted_window or self._positions, self._positions)

    @cached_property
    def fingerprint(self) -> str:
        """Identifies the weights, the number format as it was asked for, and a window shorter than the model's."""
        weights = weights_fingerprint(self.name, lambda: self._folder)
        read: dict[str, int] = {} if self.window == self._positions else {"window": self.window}  # scoring windows
        return content_hash("vllm language model", weights=weights, dtype=self._dtype, **read)

    @cached_property
    def number_format(self) -> str:
        """What dtype "auto" comes to on this machine; results in different formats differ a little."""
        return number_format(self._dtype)

    @cached_property
    def template_tokens(self) -> int:
        """Tokens that the chat template puts around a message."""
        return len(self._vocabulary.prompt([Segment("x")])) - self.count(["x"])[0]

    def count(self, texts: Sequence[str]) -> list[int]:
        """Return the number of tokens of each text."""
        return self._counter.count(texts)

    def generate(
        self, prompt: Prompt, *, max_tokens: int, meter: Meter | None = None, sampling: Sampling = GREEDY
    ) -> str:
        """Return the reply to `prompt`, at most `max_tokens` long."""
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
        """Return the reply to each prompt; one that repeats itself ends where it begins to."""
        from ragkit.models.inprocess.writing import reply_text, sampled

        def value(_: int, answer: Answer) -> str:
            return reply_text(answer, self._vocabulary)

        return self._written(
            prompts, max_tokens, sampled(sampling), value, meter=meter, progress=progress, arrived=arrived
        )

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
        """Return one instance of `schema` for each prompt; vLLM constrains decoding to its JSON schema.

        Raises SchemaError, with the reply, where `max_tokens` ended the JSON too early or a value is out of range.
        """
        from ragkit.models.inprocess.writing import constrained, sampled

        def value(place: int, answer: Answer) -> Record:
            return parsed_record(schema, self._vocabulary.text(answer.ids), place, max_tokens)

        options = {**sampled(sampling), **constrained(schema)}
        return self._written(prompts, max_tokens, options, value, meter=meter, progress=progress, arrived=arrived)

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

        As the local model does it: a text is tokenised whole, apart from its context, and the start token stands in
        front of every pass. The default windows shrink to a smaller model, others that exceed it raise ModelError; a
        pass leaves two tokens of the model's window free, for the start token and one that vLLM must always write.
        """
        from ragkit.models.inprocess.scoring import score_all

        if contexts is not None and len(contexts) != len(texts):
            raise UsageError(
                f"{len(texts)} texts came with {len(contexts)} contexts.", hint="Give one context for each text."
            )
        given = [""] * len(texts) if contexts is None else contexts
        fitting = fitting_windows(self.name, windows, self.window - 2)
        bill = Bill("score", meter, self.price)
        return score_all(
            self._engine, self._vocabulary, texts, given, windows=fitting, bill=bill, arrived=arrived, progress=progress
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

        A label of several tokens gets the product of their probabilities. Raises UsageError for an empty label.
        """
        if not labels or not all(labels):
            raise UsageError(
                f"The labels {list(labels)!r} were given; each needs at least one character.",
                hint="Give, for instance, ['1', '2'].",
            )
        from ragkit.models.inprocess.labelling import label_all

        bill = Bill("labels", meter, self.price)
        return label_all(
            self._engine,
            self._vocabulary,
            prompts,
            labels,
            name=self.name,
            bill=bill,
            arrived=arrived,
            progress=progress,
        )

    def _written(
        self,
        prompts: Sequence[Prompt],
        max_tokens: int,
        options: dict[str, Any],
        value: Callable[[int, Answer], Value],
        *,
        meter: Meter | None,
        progress: Progress | None,
        arrived: Arrived | None,
    ) -> list[Value]:
        """Return the `value` of each reply; where one has none, the others are told before that is raised."""
        calls = [Call(self._vocabulary.prompt(prompt), max_tokens, options) for prompt in prompts]
        check_window(self.name, calls, self.window)
        found: dict[int, Value] = {}
        failed: dict[int, RagkitError] = {}

        def take(place: int, answer: Answer) -> None:
            try:
                found[place] = value(place, answer)
            except RagkitError as error:
                failed[place] = error
                return
            if arrived is not None:
                read, wrote = len(calls[place].ids), len(answer.ids)
                arrived(Arrival(place, found[place], read, wrote, answer.seconds, ended=not answer.cut))
            if progress is not None:
                progress("generate", len(found), len(calls))

        answer_all(self._engine, Bill("generate", meter, self.price), calls, take)
        if failed:
            raise failed[min(failed)]
        return [found[place] for place in range(len(calls))]

    @cached_property
    def _engine(self) -> Engine:
        return engine(EngineSettings(self._folder, self.window, self._dtype, **self._engine_options))

    @cached_property
    def _vocabulary(self) -> Vocabulary:
        return Vocabulary(self.name, self._folder)

    @cached_property
    def _positions(self) -> int:
        config = json.loads((self._folder / "config.json").read_text(encoding="utf-8"))
        return int(config.get("text_config", config).get("max_position_embeddings", 2048))

    @cached_property
    def _counter(self) -> HfTokenizer:
        return HfTokenizer.from_folder(self._folder)

    @cached_property
    def _folder(self) -> Path:
        return model_folder(self.name)
