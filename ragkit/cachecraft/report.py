"""What chunk reuse did for one prompt."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class ReuseReport:
    """Tokens, bytes and seconds of one prompt; tokens of chunks add up: reused + repaired + cold = context.

    `off` says why nothing was tried, empty where reuse was on; `misses` counts chunks (and the prefix) by the reason
    for which nothing of them was reused.
    """

    policy: str
    prompt_tokens: int = 0
    context_tokens: int = 0
    """Tokens of chunks."""
    reused_tokens: int = 0
    """Of them, those that were loaded and not computed."""
    repaired_tokens: int = 0
    """Of them, those of reused chunks that were computed again."""
    cold_tokens: int = 0
    """Of them, those of chunks that were computed whole."""
    share: float = 0.0
    """The realised r: chunk tokens computed per chunk token; prefix, labels and question do not count."""
    computed_tokens: int = 0
    """All tokens computed before the first one of the answer, labels and question included; a scoring pass counts as
    its share of a whole one, tokens times layers."""
    loaded_bytes: int = 0
    """Bytes that came from the store."""
    misses: Mapping[str, int] = field(default_factory=dict)
    generations: tuple[int, ...] = ()
    """Of the reused chunks in order; 0 was computed behind exact context, 1 behind repaired chunks."""
    kept: int = 0
    """Chunks computed here that the store has kept, the prefix included."""
    borders: int = 0
    """Places at which the prompt's tokens are not those of the plain model: its tokenizer merges over the border of a
    chunk, or a text spells a special token, which it is not here."""
    failures: tuple[str, ...] = ()
    """What went wrong with the cache; each became a miss, or was not kept."""
    seconds: Mapping[str, float] = field(default_factory=dict)
    """Wall-clock time by step, in order."""
    first_token_seconds: float | None = None
    """From the prompt to the answer's first token; None where reuse was off."""
    divergence: float | None = None
    """Of a request that was sampled for a check: KL from the first token of full recompute, nats, or infinity."""
    parted: bool | None = None
    """Of a sampled request: whether the most likely first token is another one."""
    stopped: str = ""
    """Why reuse is off from the next prompt on, where this sampled one has switched it off."""
    off: str = ""

    def as_dict(self) -> dict[str, Any]:
        """Return the report in JSON's types, for an answer's trace; an infinite divergence is None."""
        found = {name: getattr(self, name) for name in self.__dataclass_fields__}
        finite = self.divergence is not None and math.isfinite(self.divergence)
        return found | {
            "divergence": self.divergence if finite else None,
            "misses": dict(self.misses),
            "seconds": dict(self.seconds),
            "generations": list(self.generations),
            "failures": list(self.failures),
        }


def trace_of(reports: Sequence[ReuseReport]) -> dict[str, Any]:
    """Return what an answer's trace says of its prompts, nothing without any.

    `kv_reuse` is the report of the last prompt; where a controller had several answered, `kv_reuse_earlier` has those
    before it, in order.
    """
    if not reports:
        return {}
    *earlier, last = [report.as_dict() for report in reports]
    return {"kv_reuse": last, **({"kv_reuse_earlier": earlier} if earlier else {})}


_COLLECTED: ContextVar[list[ReuseReport] | None] = ContextVar("reuse reports", default=None)


@contextmanager
def collected_reports() -> Iterator[list[ReuseReport]]:
    """Yield a list that takes the report of every prompt answered inside, in order, by this thread or task."""
    found: list[ReuseReport] = []
    token = _COLLECTED.set(found)
    try:
        yield found
    finally:
        _COLLECTED.reset(token)


def collect(report: ReuseReport) -> None:
    """Tell whoever collects reports of `report`."""
    found = _COLLECTED.get()
    if found is not None:
        found.append(report)
