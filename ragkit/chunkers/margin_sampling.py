"""Chunks that end where a language model would rather split two passages than keep them: margin-sampling chunking."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Literal
from uuid import uuid4

import numpy as np

from ragkit.chunkers.attempts import Failed, attempt
from ragkit.chunkers.margins import LABELS, REMEMBERED, Margins, Weighed, kept_together, question, weighed
from ragkit.chunkers.merging import divide, merge
from ragkit.chunkers.packing import Limits
from ragkit.chunkers.spans import Span
from ragkit.chunkers.streaming import assemble_or_fail, tokenised
from ragkit.chunkers.units import Units
from ragkit.errors import ConfigError, RagkitWarning
from ragkit.identity import content_hash
from ragkit.protocols import Gaps, LanguageModel, Progress, Prompt, Tokenizer
from ragkit.schema import Chunked, Document

LITTLE = 0.5
"""Probability of both labels together below which their difference says little."""

Pair = tuple[str, str]
"""The passages on both sides of a boundary."""


class MarginSamplingChunker:
    """Ends a chunk where a language model, asked whether the next sentence goes on with the text, leans to no.

    The margin of a boundary is P(keep) - P(split), read from the next token after the question. It is kept together if
    the margin is above a threshold: 0 for the first five boundaries of a document, then the mean of the last five
    margins (Meta-Chunking, arXiv 2410.12788). So about half of all boundaries fall below it whatever the text is, and
    joining is what decides the length. Options:

    - `variant`: "sentence" (default) asks about a sentence and the one before it, all questions of many documents at
      once; "chunk" asks about the whole chunk so far (its last `size` tokens), one boundary of each document at a time.
    - `renormalise`: divide the margin by the probability of both labels.
    - `swap`: ask twice with the two labels exchanged, against a liking for one of them; doubles the cost.
    - `join`: join neighbours up to `target` tokens (0: `size`), as the paper's tables do.

    A warning says for how large a share of the questions the two labels got less than half of the probability.

    `size` is a hard maximum in tokens of `tokenizer`: a longer piece is divided at its smallest margin, a sentence that
    is too long at a clause. `max_characters` caps a chunk too (0: 12 a token). Texts that are left whole whatever the
    margins are not asked about. A document that the model fails on comes without chunks and with the reason.

    Raises ConfigError for a target above the size, and what the model raises where it is unusable.
    """

    name = "margin_sampling"
    gaps: Gaps = "whitespace"

    def __init__(
        self,
        tokenizer: Tokenizer,
        language_model: LanguageModel,
        size: int = 200,
        *,
        variant: Literal["sentence", "chunk"] = "sentence",
        renormalise: bool = False,
        swap: bool = False,
        join: bool = True,
        target: int = 0,
        max_characters: int = 0,
        progress: Progress | None = None,
    ) -> None:
        self._tokenizer = tokenizer
        self._model = language_model
        self._limits = Limits(size, 0, max_characters)
        self._by_chunk = variant == "chunk"
        self._renormalise, self._swap, self._join = renormalise, swap, join
        self._target = _checked_target(target, size, join)
        self._progress = progress
        self.fingerprint = content_hash(
            "chunker",
            name=self.name,
            version=1,
            tokenizer=tokenizer.fingerprint,
            language_model=language_model.fingerprint,
            size=size,
            max_characters=self._limits.max_characters,
            variant=variant,
            renormalise=renormalise,
            swap=swap,
            join=join,
            target=self._target,
        )

    def chunk(self, documents: Iterable[Document]) -> Iterator[Chunked]:
        """Yield every document, in order, with its chunks, in order."""
        for batch in tokenised(documents, self._tokenizer, self._limits):
            asked = [_Asked(Units.of(document, view)) for document, view in batch]
            self._ask([entry for entry in asked if self._needs_margins(entry.units)])
            cut = [self._cut(entry) for entry in asked]
            yield from assemble_or_fail([document for document, _ in batch], cut, self._tokenizer, self._limits)

    def _needs_margins(self, units: Units) -> bool:
        if len(units) < 2:
            return False
        return not (self._join and units.fit(0, len(units), min(self._target, units.view.size)))

    def _ask(self, batch: Sequence[_Asked]) -> None:
        """Find the margins of all boundaries of the documents, and warn where the labels got little probability."""
        if self._by_chunk:
            self._ask_by_chunk(batch)
        else:
            self._record(batch, [_neighbours(entry.units) for entry in batch])
        masses = [mass for entry in batch for mass in entry.masses]
        low = sum(mass < LITTLE for mass in masses)
        if low:
            warnings.warn(
                f"{self.name}: for {low / len(masses):.0%} of {len(masses):,} boundaries {self._model.name} gave the "
                f"two answers less than half of the probability (least {min(masses):.3g}); such margins say little.",
                RagkitWarning,
                stacklevel=2,
            )

    def _ask_by_chunk(self, batch: Sequence[_Asked]) -> None:
        """Ask about one boundary of every document at a time: what is left of it depends on the answers before."""
        waiting = list(batch)
        done, total = 0, sum(len(entry.units) - 1 for entry in batch)
        while waiting:
            self._record(waiting, [[entry.next_pair()] for entry in waiting])
            done += len(waiting)
            if self._progress is not None:
                self._progress("margins", done, total)
            waiting = [entry for entry in waiting if entry.failed is None and entry.goes_on()]

    def _record(self, batch: Sequence[_Asked], pairs: Sequence[Sequence[Pair]]) -> None:
        """Ask about the given boundaries of each document, and note the margins or why there are none."""
        for entry, answer in zip(batch, attempt(pairs, self._weighed, self._probe), strict=True):
            if isinstance(answer, Failed):
                entry.failed = answer
            elif not np.isfinite(answer.margins).all():
                entry.failed = Failed("the model gave a probability that is not a number.")
            else:
                entry.margins += answer.margins.tolist()
                entry.masses += answer.mass.tolist()

    def _weighed(self, batch: Sequence[Sequence[Pair]]) -> list[Weighed]:
        """Return the margins of the boundaries of each document; all questions are one call."""
        prompts: list[Prompt] = []
        for left, right in (pair for pairs in batch for pair in pairs):
            prompts.append(question(left, right))
            if self._swap:
                prompts.append(question(left, right, swapped=True))
        progress = None if self._by_chunk else self._progress
        probabilities = self._model.label_probabilities(prompts, LABELS, progress=progress)
        found = weighed(probabilities, renormalise=self._renormalise, swap=self._swap)
        edges = np.cumsum([0, *map(len, batch)]).tolist()
        return [Weighed(found.margins[first:last], found.mass[first:last]) for first, last in pairwise(edges)]

    def _probe(self) -> None:
        """Ask about something that no cache knows; raise ModelError if the model cannot even do that."""
        self._model.label_probabilities([question("Is this model there?", f"{uuid4()}")], LABELS)

    def _cut(self, entry: _Asked) -> list[Span] | Failed:
        if entry.failed is not None:
            return entry.failed
        units = entry.units
        margins: Margins = np.array(entry.margins or [0.0] * (len(units) - 1))
        split = np.flatnonzero(~kept_together(margins)) + 1 if entry.margins else np.zeros(0, np.int64)
        edges = divide([0, *split.tolist(), len(units)], np.append(np.inf, margins), units.fit_chunk)
        if self._join:
            target = min(self._target, units.view.size)
            edges = merge(edges, lambda first, last: units.fit(first, last, target))
        return units.spans(list(pairwise(edges)))


@dataclass(slots=True)
class _Asked:
    """A document with the margins found so far; in the variant "chunk" also where its current chunk begins."""

    units: Units
    margins: list[float] = field(default_factory=list)
    masses: list[float] = field(default_factory=list)
    failed: Failed | None = None
    start: int = 0

    def next_pair(self) -> Pair:
        """Return the current chunk, its last tokens if it is long, and the unit after it."""
        at = len(self.margins) + 1
        while self.start < at - 1 and not self.units.fit_chunk(self.start, at):
            self.start += 1
        left = self.units.text[self.units.borders[self.start] : self.units.borders[at]].strip()
        return left, self.units.unit(at)

    def goes_on(self) -> bool:
        """Begin a new chunk if the last margin says so; return whether a boundary is left."""
        if not kept_together(np.array(self.margins[-1 - REMEMBERED :]))[-1]:
            self.start = len(self.margins)
        return len(self.margins) < len(self.units) - 1


def _neighbours(units: Units) -> list[Pair]:
    texts = [units.unit(index) for index in range(len(units))]
    return list(pairwise(texts))


def _checked_target(target: int, size: int, join: bool) -> int:
    if not 0 <= target <= size:
        raise ConfigError(
            f"target is {target}; expected 1 to size, {size}, or 0 for size itself.", hint="Lower target or raise size."
        )
    if target and not join:
        raise ConfigError(
            f"target is {target}, but join is off: nothing aims at a length.", hint="Leave target out, or join on."
        )
    return target or size
