"""Chunkers at the same mean chunk length: the size option of each is tuned until its chunks average so many tokens."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from ragkit.config import PartConfig
from ragkit.errors import ConfigError, RagkitWarning, UsageError
from ragkit.eval.experiment.chunking import chunker_of
from ragkit.eval.experiment.indexes import corpus_fingerprint
from ragkit.eval.experiment.store import key
from ragkit.eval.experiment.systems import System, label
from ragkit.eval.experiment.workshop import Workshop
from ragkit.eval.types import EvalSet

CLOSE_ENOUGH = 0.01
"""Share of the wanted length by which the mean may differ before the search goes on."""
LARGEST = 1 << 16
"""Tokens beyond which no chunk size is tried."""


@dataclass(frozen=True, slots=True)
class Reached:
    """The size that came nearest, and the mean chunk length it gives."""

    size: int
    mean_tokens: float


def at_one_length(systems: Sequence[System], wanted: int) -> dict[str, System]:
    """Return by its name each system as it is called at that length; those that differ in size alone become one.

    A name that says the size says the length instead: "recursive-200/hybrid" becomes "recursive~150/hybrid".
    """
    kept: dict[str, System] = {}
    renamed: dict[str, System] = {}
    for system in systems:
        sized = system.sized(wanted)
        part = system.chunker
        plain = label(PartConfig(name=part.name, options={k: v for k, v in part.options.items() if k != "size"}))
        name = (
            system.name.replace(system.chunker_label, f"{plain}~{wanted}", 1) if "size" in part.options else system.name
        )
        alike = f"{sized.config.model_dump_json()} {sized.peer} {sized.selects}"
        renamed[system.name] = kept.setdefault(alike, replace(system, name=name))
    return renamed


def matched(workshop: Workshop, system: System, evalset: EvalSet, wanted: int) -> Reached:
    """Return the size at which the mean chunk of `evalset` is nearest to `wanted` evaluation tokens.

    Raises ConfigError for a chunker that has no size.
    """
    embedder = workshop.embedder(system.config)
    corpus = corpus_fingerprint(evalset)

    def mean_at(size: int) -> float:
        try:
            chunker = chunker_of(system.sized(size), embedder)
        except UsageError as error:
            raise ConfigError(f"{system.name}: {error.message}", hint=error.hint) from None
        known = key("length", corpus=corpus, chunker=chunker.fingerprint, tokenizer=workshop.tokenizer.fingerprint)
        found = workshop.store.get([known]).get(known)
        if found is None:
            cut = list(chunker.chunk(evalset.documents.values()))
            texts = [chunk.text for item in cut for chunk in item.chunks]
            found = sum(workshop.tokenizer.count(texts)) / max(len(texts), 1)
            if reasons := [item.failure for item in cut if item.failure is not None]:
                _warn(system.name, evalset.name, reasons, len(cut))
            else:
                workshop.store.put(known, found)
        return float(found)

    return nearest(mean_at, wanted)


def _warn(system: str, evalset: str, reasons: Sequence[str], count: int) -> None:
    """Say that the length is that of fewer documents; it is not kept, so that the next run measures it again."""
    warnings.warn(
        f"{system}: {len(reasons)} of {count} documents of {evalset} could not be cut and have no length, such as: "
        f"{reasons[0]}",
        RagkitWarning,
        stacklevel=2,
    )


def nearest(mean_at: Callable[[int], float], wanted: int) -> Reached:
    """Return the size whose mean is nearest to `wanted`; `mean_at` grows with the size, but may stay flat.

    Bisection between a size that is too small and one that is large enough; where the chunker never reaches the
    length (short documents), the smallest size of the longest mean it can give.

    >>> nearest(lambda size: min(size * 0.8, 150), 100)
    Reached(size=125, mean_tokens=100.0)
    """
    tried: dict[int, float] = {}

    def mean(size: int) -> float:
        if size not in tried:
            tried[size] = mean_at(size)
        return tried[size]

    low, high = 1, wanted
    while mean(high) < wanted * (1 - CLOSE_ENOUGH) and high < LARGEST:
        low, high = high, high * 2
        if mean(high) <= mean(low):
            break
    while (
        mean(high) >= wanted
        and high - low > 1
        and not any(abs(found - wanted) <= CLOSE_ENOUGH * wanted for found in tried.values())
    ):
        middle = (low + high) // 2
        low, high = (middle, high) if mean(middle) < wanted else (low, middle)
    best = min(tried, key=lambda size: (abs(tried[size] - wanted), size))
    return Reached(best, tried[best])
