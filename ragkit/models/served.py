"""A language model behind an OpenAI-compatible server: vLLM, llama.cpp, Ollama, a hosted service."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from functools import cached_property, partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ragkit.budget import Meter, Price
from ragkit.errors import ConfigError, ServerError, UsageError
from ragkit.identity import content_hash
from ragkit.inference import DEFAULT_WINDOWS, GREEDY, Sampling, TokenScores, Windows
from ragkit.models.arrival import Arrival, Arrived
from ragkit.models.serving.abilities import Abilities
from ragkit.models.serving.allowance import Allowance
from ragkit.models.serving.asking import Served
from ragkit.models.serving.bulk import gathered
from ragkit.models.serving.connection import Connection
from ragkit.models.serving.labelling import labelled
from ragkit.models.serving.loop import waited
from ragkit.models.serving.pace import Pace
from ragkit.models.serving.scoring import scored
from ragkit.models.serving.writing import recorded, written
from ragkit.protocols import Progress, Record, Segment

_DEFAULT_WINDOW = 8192
"""Where the server does not say; vLLM does (`max_model_len`)."""

_Ask = Callable[[Served, int], Awaitable[Arrival]]


class ServedLanguageModel:
    """The four abilities of a served model, as far as its server offers them, many requests at once.

    What can be retried (429, 5xx, a lost connection, half a reply) is retried with growing pauses; every wait has an
    end. In a bulk call one failing prompt does not stop the others: they are finished (and kept, behind the cache),
    then the first error is raised, saying how many succeeded. Token counts are estimates on the high side, replaced
    in the meter by what the server says it used.

    Scores and exact label probabilities need a server that tells the log-probabilities of a prompt, such as vLLM; this
    is found out at the first use. Raises ServerError with a hint (no server, no such model, refused, too slow, not a
    reply), UnsupportedError for what the server lacks, ModelError where a prompt does not fit the window.
    """

    template_tokens = 32
    """A guess of what the server's chat template adds."""

    tells_arrivals = True
    """The bulk methods take `arrived`, see `ragkit.models.arrival`."""
    paid = True
    """The cache writes each reply at once, however quickly it came."""

    def __init__(
        self,
        base_url: str,
        model: str | None = None,
        *,
        api_key_env: str = "OPENAI_API_KEY",
        timeout: float = 60.0,
        retries: int = 3,
        window: int | None = None,
        concurrency: int = 16,
        requests_per_minute: float | None = None,
        price: Price | None = None,
        chat: bool = True,
        start_token: str = "",
    ) -> None:
        """Name the server ("http://host:port/v1") and its model (None: the only one it offers).

        The key is read from the environment variable `api_key_env`; `timeout` is in seconds for each attempt. At most
        `concurrency` requests run at once. `price` is in dollars per million tokens; without it dollars are not
        counted. With `chat=False` prompts go to the model as they are: for base models without a chat template.
        `start_token` ("<|endoftext|>") is what scoring puts before every pass of a model whose tokenizer puts nothing
        there; without it the first token of a text has no score.
        """
        if not base_url.startswith(("http://", "https://")):
            raise UsageError(f"{base_url!r} is not the address of a server.", hint="Give http://host:port/v1.")
        if not 0 < timeout < math.inf or (window is not None and window < 2):
            raise ConfigError(
                f"timeout {timeout} and window {window} were given; expected seconds above 0, and at least 2 tokens.",
                hint="Correct the values.",
            )
        if concurrency < 1 or (requests_per_minute is not None and requests_per_minute <= 0) or retries < 0:
            raise ConfigError(
                f"concurrency {concurrency}, requests_per_minute {requests_per_minute}, retries {retries} were given; "
                "expected at least 1, above 0 and at least 0.",
                hint="Correct the values.",
            )
        self._model = model
        self._wanted_window = window
        self._price = price
        self._chat = chat
        self._start_token = start_token
        self._concurrency = concurrency
        pace = Pace(concurrency, requests_per_minute)
        self._connection = Connection(base_url.rstrip("/"), api_key_env, timeout, retries, pace)

    @cached_property
    def name(self) -> str:
        """The model's name at the server; asks the server where none was given."""
        if self._model is not None:
            return self._model
        offered = [str(model.get("id")) for model in self._offered]
        if len(offered) != 1:
            raise ServerError(
                f"{self._connection.url} offers {len(offered)} models ({', '.join(offered) or 'none'}); expected one.",
                hint=f"{'Name one of them' if offered else 'Does the address end in /v1? If so, name the model'}: "
                "URL#model on the command line, `model` in the configuration.",
            )
        return offered[0]

    @cached_property
    def window(self) -> int:
        """Tokens of prompt and answer together: as given, as the server says, or 8,192."""
        if self._wanted_window is not None:
            return self._wanted_window
        stated = next((model.get("max_model_len") for model in self._offered if model.get("id") == self.name), None)
        return int(stated or _DEFAULT_WINDOW)

    @cached_property
    def fingerprint(self) -> str:
        """Identifies server and model by name: what weights lie behind a name is not known here.

        A window that was given is part of it, because scores depend on it.
        """
        given: dict[str, int] = {} if self._wanted_window is None else {"window": self._wanted_window}
        return content_hash(
            "served language model",
            url=self._connection.url,
            model=self.name,
            chat=self._chat,
            start=self._start_token,
            **given,
        )

    def count(self, texts: Sequence[str]) -> list[int]:
        """Return an estimate of the tokens of each text: one per three ASCII characters, one per other character."""
        return [_estimate(text) for text in texts]

    def generate(
        self, prompt: Sequence[Segment], *, max_tokens: int, meter: Meter | None = None, sampling: Sampling = GREEDY
    ) -> str:
        """Return the reply to `prompt`, at most `max_tokens` long, without the white space around it."""
        return self.generate_many([prompt], max_tokens=max_tokens, meter=meter, sampling=sampling)[0]

    def generate_many(
        self,
        prompts: Sequence[Sequence[Segment]],
        *,
        max_tokens: int,
        meter: Meter | None = None,
        sampling: Sampling = GREEDY,
        progress: Progress | None = None,
        arrived: Arrived | None = None,
    ) -> list[str]:
        """Return the reply to each prompt."""

        def ask(served: Served, place: int) -> Awaitable[Arrival]:
            return written(served, prompts[place], max_tokens, sampling)

        return self._bulk("generate", ask, len(prompts), meter, progress=progress, arrived=arrived)

    def generate_records(
        self,
        prompts: Sequence[Sequence[Segment]],
        schema: type[Record],
        *,
        max_tokens: int,
        meter: Meter | None = None,
        sampling: Sampling = GREEDY,
        progress: Progress | None = None,
        arrived: Arrived | None = None,
    ) -> list[Record]:
        """Return one instance of `schema` for each prompt; a reply that does not fit is asked to be mended once.

        Raises SchemaError, with the reply, where it still does not fit or `max_tokens` ended it.
        """

        def ask(served: Served, place: int) -> Awaitable[Arrival]:
            return recorded(served, prompts[place], schema, max_tokens, sampling)

        return self._bulk("generate", ask, len(prompts), meter, progress=progress, arrived=arrived)

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

        As with a local model: the windows slide over context and text together, the start token stands before every
        pass, the default windows shrink to a smaller model's window and others that exceed it raise ModelError. Where
        the server's tokenizer puts no start token before a text and none was given, the first token's score is NaN.
        """
        before = [""] * len(texts) if contexts is None else contexts
        if len(before) != len(texts):
            raise UsageError(
                f"{len(texts)} texts and {len(before)} contexts were given.", hint="Give one context for each text."
            )

        def ask(served: Served, place: int) -> Awaitable[Arrival]:
            return served.reading(scored(served, texts[place], before[place], windows))

        return self._bulk("score", ask, len(texts), meter, progress=progress, arrived=arrived)

    def label_probabilities(
        self,
        prompts: Sequence[Sequence[Segment]],
        labels: Sequence[str],
        *,
        meter: Meter | None = None,
        progress: Progress | None = None,
        arrived: Arrived | None = None,
    ) -> NDArray[np.float64]:
        """Return the probability of each label right after each prompt, shape (prompts, labels).

        A server without /tokenize tells only labels that are among the likeliest 20 next tokens.
        """
        if not labels or not all(labels):
            raise UsageError(f"The labels {list(labels)} were given.", hint="Give at least one, none of them empty.")

        def ask(served: Served, place: int) -> Awaitable[Arrival]:
            return served.reading(labelled(served, prompts[place], labels))

        rows = self._bulk("labels", ask, len(prompts), meter, progress=progress, arrived=arrived)
        return np.asarray(rows, dtype=np.float64).reshape(len(prompts), len(labels))

    def _bulk(
        self,
        stage: str,
        ask: _Ask,
        count: int,
        meter: Meter | None,
        *,
        progress: Progress | None,
        arrived: Arrived | None,
    ) -> list[Any]:
        if not count:
            return []
        served = replace(self._served, allowance=Allowance(stage, meter, self._price))
        return gathered(
            lambda place: served.told(place, ask(served, place)),
            count,
            self._concurrency,
            stage=stage,
            arrived=arrived,
            progress=progress,
        )

    @cached_property
    def _served(self) -> Served:
        window, offered = self.window, self.__dict__.get("_offered")
        estimate = partial(_with_template, self.template_tokens if self._chat else 0)
        abilities = Abilities(self._connection, self.name, offered)
        return Served(
            self._connection,
            self.name,
            window,
            self._chat,
            self._start_token,
            estimate,
            abilities,
            Allowance("", None, None),
        )

    @cached_property
    def _offered(self) -> list[dict[str, Any]]:
        """The models that the server lists, none if it lists nothing."""
        return waited(Abilities(self._connection, "").offered())


def _with_template(template_tokens: int, text: str) -> int:
    return _estimate(text) + template_tokens


def _estimate(text: str) -> int:
    ascii_count = sum(character < "\x80" for character in text)
    return math.ceil(ascii_count / 3) + len(text) - ascii_count
