"""A language model that answers prompts over chunks through chunk reuse; everything else is the model's own."""

from __future__ import annotations

import threading
import time
import weakref
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from ragkit.budget import Meter
from ragkit.cachecraft.report import ReuseReport, collect
from ragkit.cachecraft.settings import reply_fingerprint
from ragkit.config import KvReuseConfig
from ragkit.errors import UnsupportedError
from ragkit.inference import DEFAULT_WINDOWS, GREEDY, Sampling, TokenScores, Windows
from ragkit.models.local import LocalLanguageModel
from ragkit.models.trace import Trace, Traced
from ragkit.models.window import answer_room
from ragkit.protocols import LanguageModel, Progress, Prompt, Record

if TYPE_CHECKING:
    from ragkit.cachecraft.core.prompt import Layout
    from ragkit.cachecraft.losses import Losses
    from ragkit.cachecraft.session import Session

_STAGE = "generate"


class ReusingLanguageModel:
    """A `LanguageModel` whose `generate` keeps the keys and values of the chunks that a prompt shows and reuses them.

    Prompts that name no chunk, and all other abilities, are those of `model` (with its reply cache, if it has one). A
    reply through chunk reuse never comes from a reply cache and goes into none: it depends on what is stored. What was
    done is told to `ragkit.cachecraft.report.collected_reports`. Making one costs nothing; the first prompt over chunks
    loads the weights, opens the store and, if its result is not known, runs the quality gate.

    Raises UnsupportedError where `plain` is not a local model.
    """

    tells_arrivals = False

    def __init__(
        self, model: LanguageModel, plain: object, config: KvReuseConfig, *, trace: Trace | None = None
    ) -> None:
        """Take the model, the same one without anything in front of it, and the settings."""
        if not isinstance(plain, LocalLanguageModel):
            raise UnsupportedError(
                f"Chunk reuse was asked for; the language model {model.name!r} ({type(plain).__name__}) has none: its "
                "keys and values are out of reach.",
                hint="Name a local model, such as --llm SmolLM2-135M-Instruct, or go on without: --no-kv-reuse, or "
                "kv_reuse=False.",
            )
        self._model = model
        self._plain = plain
        self._trace = trace
        self._session: Session | None = None
        self._losses: Losses | None = None
        self._closing: weakref.finalize[..., ReusingLanguageModel] | None = None
        self._users = 0
        self._lock = threading.Lock()
        self.config = config

    def __getattr__(self, name: str) -> Any:
        """Return what only the model itself has, such as `template_tokens`."""
        if name.startswith("_"):
            raise AttributeError(name)
        return getattr(self._model, name)

    @property
    def name(self) -> str:
        """The model's name."""
        return self._model.name

    @property
    def fingerprint(self) -> str:
        """Another one than the model's own, as the replies are others."""
        return reply_fingerprint(self._model.fingerprint, self.config)

    @property
    def window(self) -> int:
        """Tokens of prompt and answer together."""
        return self._model.window

    def open(self, progress: Progress | None = None, *, again: bool = False) -> Session:
        """Return what answers, opened at the first call; `progress` hears of the quality gate, run `again` if asked.

        Raises UnsupportedError, by name, for a model that cannot reuse chunks.
        """
        with self._lock:
            if self._session is None or again:
                from ragkit.cachecraft.losses import Losses
                from ragkit.cachecraft.session import open_session

                self._close()
                with self._plain.loaded() as engine:
                    self._session = open_session(
                        engine, self.name, self._plain.fingerprint, self.config, progress=progress, again=again
                    )
                self._losses = Losses(self._session.store)
                self._closing = weakref.finalize(self, self._session.store.close)
            return self._session

    @contextmanager
    def using(self, progress: Progress | None = None) -> Iterator[Session]:
        """Yield what answers, for one caller at a time: nobody else runs the model meanwhile."""
        session = self.open(progress)
        with self._plain.loaded():
            yield session

    def hold(self) -> None:
        """Count one more user; `release` counts one less, and the last one closes the store."""
        with self._lock:
            self._users += 1

    def release(self) -> None:
        """Count one user less; without any, what waits is written and the store released."""
        with self._lock:
            self._users -= 1
            if self._users < 1:
                self._close()

    def close(self) -> None:
        """Write what waits and release the store; the next prompt opens it again."""
        with self._lock:
            self._close()

    def _close(self) -> None:
        if self._session is not None:
            self._session.store.close()
            self._session = self._losses = None
        if self._closing is not None:
            self._closing.detach()  # which would keep the closed store alive as long as this lives
            self._closing = None

    def layout(self, prompt: Prompt) -> Layout:
        """Return the pieces of a prompt as this model is shown them."""
        return self.open().pieces.layout(prompt)

    def fitting_order(self, prompt: Prompt) -> list[int]:
        """Return the places of the prompt's chunks in the order in which their stored variants fit best."""
        from ragkit.cachecraft.core.choice import chunk_keys, prefix_key
        from ragkit.cachecraft.order import fitting_order

        session = self.open()
        layout = session.pieces.layout(prompt)
        keys = chunk_keys(layout, session.backend.space.key, self.config.domain)
        chunks = layout.chunks
        lengths = [len(layout.pieces[at].ids) for at in chunks]
        prefix = prefix_key(layout, keys)
        return fitting_order([keys[at] for at in chunks], lengths, session.store.candidates, prefix)

    def count(self, texts: Sequence[str]) -> list[int]:
        """Return the number of tokens of each text."""
        return self._model.count(texts)

    def generate(
        self, prompt: Prompt, *, max_tokens: int, meter: Meter | None = None, sampling: Sampling = GREEDY
    ) -> str:
        """Return the reply to `prompt`, at most `max_tokens` long.

        Raises UsageError for a question before the chunks, ModelError where prompt and reply do not fit the window.
        """
        if all(segment.chunk_id is None for segment in prompt):
            return self._model.generate(prompt, max_tokens=max_tokens, meter=meter, sampling=sampling)
        session = self.open()
        off = session.off
        layout = session.pieces.layout(prompt)
        if not off and layout.borders and len(layout.ids) + max_tokens > self.window:
            off = "tokenised piece by piece the prompt does not fit the window"
        if off:
            collect(ReuseReport(self.config.policy, off=off))
            return self._model.generate(prompt, max_tokens=max_tokens, meter=meter, sampling=sampling)
        return self._reply(session, layout, max_tokens, meter, sampling)

    def _reply(self, session: Session, layout: Layout, max_tokens: int, meter: Meter | None, sampling: Sampling) -> str:
        from ragkit.cachecraft.fetching import NOT_LOADED  # which imports torch

        limit = None if meter is None else meter.budget.seconds

        def late() -> bool:
            return meter is not None and limit is not None and meter.seconds > limit

        with self._plain.loaded() as engine:
            room = answer_room(self.name, len(layout.ids), max_tokens, self.window, meter)
            started = time.monotonic()
            done = session.reuse.reply(layout, room, sampling=sampling, ends=session.ends, until=late)
            seconds = time.monotonic() - started
            text = engine.text(done.tokens).strip()
        report = done.report
        if report.divergence is not None:
            report = replace(report, stopped=session.watch.add(report.divergence, parted=bool(report.parted)))
        collect(report)
        if meter is not None:
            meter.record(_STAGE, reply_tokens=len(done.tokens), calls=1, dollars=0.0, seconds=seconds)
        self._note(Traced(_STAGE, _STAGE, self.name, len(layout.ids), len(done.tokens), seconds, cached=False))
        if (losses := self._losses) is not None:
            losses.look(trouble=bool(report.failures) or NOT_LOADED in report.misses)
        ended = done.tokens[-1] in session.ends or len(done.tokens) >= max_tokens
        if late() and not ended and meter is not None:
            meter.spend(_STAGE)  # which raises: the deadline cut the reply
        return text

    def generate_many(
        self,
        prompts: Sequence[Prompt],
        *,
        max_tokens: int,
        meter: Meter | None = None,
        sampling: Sampling = GREEDY,
        progress: Progress | None = None,
    ) -> list[str]:
        """Return the reply to each prompt; those over chunks one after another, so that each finds what is stored."""
        over = [any(segment.chunk_id is not None for segment in prompt) for prompt in prompts]
        rest = [prompt for prompt, is_over in zip(prompts, over, strict=True) if not is_over]
        report = None if any(over) else progress
        plain = iter(
            self._model.generate_many(rest, max_tokens=max_tokens, meter=meter, sampling=sampling, progress=report)
            if rest
            else ()
        )
        found = []
        for prompt, is_over in zip(prompts, over, strict=True):
            one = (
                self.generate(prompt, max_tokens=max_tokens, meter=meter, sampling=sampling) if is_over else next(plain)
            )
            found.append(one)
            if progress is not None and report is None:
                progress(_STAGE, len(found), len(prompts))
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
    ) -> list[Record]:
        """Return one instance of `schema` for each prompt, without chunk reuse."""
        return self._model.generate_records(
            prompts, schema, max_tokens=max_tokens, meter=meter, sampling=sampling, progress=progress
        )

    def score(
        self,
        texts: Sequence[str],
        *,
        contexts: Sequence[str] | None = None,
        windows: Windows = DEFAULT_WINDOWS,
        meter: Meter | None = None,
        progress: Progress | None = None,
    ) -> list[TokenScores]:
        """Return the scores of every token of each text."""
        return self._model.score(texts, contexts=contexts, windows=windows, meter=meter, progress=progress)

    def label_probabilities(
        self,
        prompts: Sequence[Prompt],
        labels: Sequence[str],
        *,
        meter: Meter | None = None,
        progress: Progress | None = None,
    ) -> NDArray[Any]:
        """Return the probability of each label right after each prompt, without chunk reuse."""
        return self._model.label_probabilities(prompts, labels, meter=meter, progress=progress)

    def _note(self, call: Traced) -> None:
        if callable(self._trace):
            self._trace(call)
        elif self._trace is not None:
            self._trace.append(call)
