"""Chunks that end where a language model finds a sentence most expected: perplexity chunking."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from typing import Literal
from uuid import uuid4

import numpy as np

from ragkit.chunkers.attempts import Failed, attempt
from ragkit.chunkers.boundaries import Policy, Rules, pieces
from ragkit.chunkers.minima import Scores, SideRule
from ragkit.chunkers.packing import Limits
from ragkit.chunkers.sentence_scores import mean_of_each, sentence_means
from ragkit.chunkers.spans import Span
from ragkit.chunkers.streaming import assemble_or_fail, tokenised
from ragkit.chunkers.thresholds import Domain, RunningMinimum, Threshold, check_domain
from ragkit.chunkers.units import Units
from ragkit.errors import ConfigError
from ragkit.identity import content_hash
from ragkit.inference import Windows
from ragkit.models.cache_lm import is_approximate
from ragkit.protocols import Gaps, LanguageModel, Progress, Tokenizer
from ragkit.schema import NO_METADATA, Chunked, Document, Metadata

_CONTEXT_CHARACTERS = 4
"""Characters of context for a token of the window, where sentences are scored one by one."""


class PerplexityChunker:
    """Ends a chunk at a sentence that the model expected: a local minimum of the sentences' scores.

    The score of a sentence is the mean negative log-likelihood of its tokens in nats, each given everything before it
    (Meta-Chunking, arXiv 2410.12788; the published code too takes this mean, not a perplexity). A minimum closes its
    chunk: what the text had prepared has been said, and what follows is new. Options, by what they decide:

    - `policy`: "merge" (default) cuts at every minimum that reaches `theta` (0: all) and joins neighbours up to
      `target` tokens (0: `size`); "fixed" cuts without joining; "running_minimum" lets the threshold follow the depths
      seen (in each document, or through `running`, which the caller owns); "length_matched" searches each document for
      the threshold whose chunks have `target` tokens on average.
    - `side_rule`: "any" asks one difference to a neighbour to reach the threshold, "both" asks for both.
    - `score_domain`: "nll", or "ppl" for exponentials of the means; a threshold means something else in each.
    - `first_sentence_guard`, `plateau_guard`: ours, see `minima.local_minima`.
    - `overlap`: "boundary_sentence" puts the sentence of the minimum into both chunks where the second still fits.
    - `tokenize`: "whole" scores a text in one piece; "per_sentence" tokenises each sentence by itself as the published
      code does, at a cost that grows with the square of the sentences: for studies on short texts.
    - `window`, `stride`: how texts longer than a pass are scored (`inference.Windows`).
    - `parity`: the published code's choices: no guards, and the first token of a text never counts.

    `size` is a hard maximum in tokens of `tokenizer`: a longer piece is divided after its inner sentence of the
    smallest score before anything is joined, a sentence that is too long at a clause. `max_characters` caps a chunk too
    (0: 12 a token). Texts that the options leave whole whatever their scores are not scored. A document that the model
    fails on comes without chunks and with the reason. Chunks cut by an approximate scorer (`model: cache`) say so in
    their metadata.

    Raises ConfigError for options that do not fit together, and what the model raises where it is unusable.
    """

    name = "perplexity"
    gaps: Gaps = "whitespace"

    def __init__(
        self,
        tokenizer: Tokenizer,
        language_model: LanguageModel,
        size: int = 200,
        *,
        policy: Policy = "merge",
        theta: float | Threshold = 0.0,
        target: int = 0,
        side_rule: SideRule = "any",
        score_domain: Domain = "nll",
        first_sentence_guard: bool = True,
        plateau_guard: bool = True,
        overlap: Literal["none", "boundary_sentence"] = "none",
        tokenize: Literal["whole", "per_sentence"] = "whole",
        window: int = 4096,
        stride: int = 2048,
        parity: bool = False,
        max_characters: int = 0,
        running: RunningMinimum | None = None,
        progress: Progress | None = None,
    ) -> None:
        self._tokenizer = tokenizer
        self._model = language_model
        self._limits = Limits(size, 0, max_characters)
        self._windows = Windows(window, stride)
        self._per_sentence = tokenize == "per_sentence"
        self._running = running
        self._progress = progress
        self._metadata: Metadata = {"approximate": True} if is_approximate(language_model) else NO_METADATA
        self._rules = Rules(
            policy=policy,
            theta=theta.in_domain(score_domain) if isinstance(theta, Threshold) else float(theta),
            target=_target(policy, target, size),
            side_rule=side_rule,
            domain=score_domain,
            first_sentence_guard=first_sentence_guard and not parity,
            plateau_guard=plateau_guard and not parity,
            overlap=overlap == "boundary_sentence",
            parity=parity,
        )
        if running is not None:
            check_domain("running", running.domain, score_domain)
        self.fingerprint = content_hash(
            "chunker",
            name=self.name,
            version=1,
            tokenizer=tokenizer.fingerprint,
            language_model=language_model.fingerprint,
            size=size,
            max_characters=self._limits.max_characters,
            rules=asdict(self._rules),
            windows=asdict(self._windows),
            tokenize=tokenize,
            running=running is not None,
        )

    def chunk(self, documents: Iterable[Document]) -> Iterator[Chunked]:
        """Yield every document, in order, with its chunks, in order."""
        for batch in tokenised(documents, self._tokenizer, self._limits):
            units = [Units.of(document, view) for document, view in batch]
            scored = iter(self._scored([own for own in units if self._needs_scores(own)]))
            cut = [self._cut(own, next(scored) if self._needs_scores(own) else _unscored(own)) for own in units]
            documents_of_batch = [document for document, _ in batch]
            yield from assemble_or_fail(documents_of_batch, cut, self._tokenizer, self._limits)

    def _needs_scores(self, units: Units) -> bool:
        """Return whether the scores can make a difference: not for two sentences, nor where all is joined anyway."""
        if len(units) < 3:
            return False
        return not (self._rules.merges and units.fit(0, len(units), min(self._rules.target, units.view.size)))

    def _cut(self, units: Units, scores: Scores | Failed) -> list[Span] | Failed:
        if isinstance(scores, Failed):
            return scores
        running = self._running if self._running is not None else RunningMinimum(self._rules.domain)
        return units.spans(pieces(units, scores, self._rules, running), self._metadata)

    def _scored(self, batch: Sequence[Units]) -> list[Scores | Failed]:
        """Return the scores of the units of each document, or why there are none."""
        ask = self._sentence_by_sentence if self._per_sentence else self._whole
        return attempt(batch, ask, self._probe)

    def _whole(self, batch: Sequence[Units]) -> list[Scores | Failed]:
        scores = self._model.score([units.text for units in batch], windows=self._windows, progress=self._progress)
        drop = self._rules.parity
        return [sentence_means(units, found, drop_first=drop) for units, found in zip(batch, scores, strict=True)]

    def _sentence_by_sentence(self, batch: Sequence[Units]) -> list[Scores | Failed]:
        """Return the scores of sentences that are tokenised alone, each after the text before it as its context."""
        found: list[Scores | Failed] = []
        reach = _CONTEXT_CHARACTERS * self._windows.size
        for units in batch:
            starts = units.borders[:-1].tolist()
            scored = self._model.score(
                [units.unit(index) for index in range(len(units))],
                contexts=[units.text[max(0, start - reach) : start] for start in starts],
                windows=self._windows,
                progress=self._progress,
            )
            found.append(mean_of_each(scored, drop_first=self._rules.parity))
        return found

    def _probe(self) -> None:
        """Ask for something that no cache knows; raise ModelError if the model cannot even do that."""
        self._model.score([f"Is this model there? {uuid4()}"], windows=self._windows)


def _unscored(units: Units) -> Scores:
    return np.zeros(len(units))


def _target(policy: Policy, target: int, size: int) -> int:
    """Return the length to reach, in tokens; raise ConfigError for one that the policy has no use for."""
    if target and policy in ("fixed", "running_minimum"):
        raise ConfigError(
            f"target is {target}, but the policy {policy!r} aims at no length.",
            hint="Leave target out, or choose the policy 'merge' or 'length_matched'.",
        )
    if policy == "length_matched" and not target:
        raise ConfigError(
            "The policy 'length_matched' needs a target: the tokens that a chunk should have on average.",
            hint=f"Give a target below size, {size}.",
        )
    if not 0 <= target <= size:
        raise ConfigError(
            f"target is {target}; expected 1 to size, {size}, or 0 for size itself.", hint="Lower target or raise size."
        )
    return target or size
