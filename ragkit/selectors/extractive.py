"""Extractive compression: of each chunk only the sentences that help, as exact spans (EXIT, arXiv 2412.12559).

EXIT reads a document, the question and one sentence, takes r = P(Yes) / (P(Yes) + P(No)), and keeps r >= 0.5 in the
original order. `scorer: yes_no` is that with any language model; the published one was trained for it, others were not.
`scorer: cosine`, the default, asks the embedder and costs no model call.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any, ClassVar, Literal, cast

import numpy as np

from ragkit.budget import Meter
from ragkit.errors import ConfigError, ContractError, UsageError
from ragkit.protocols import Corpus, Embedder, LanguageModel
from ragkit.schema import Hit, Selection
from ragkit.scoring.cut import Cut, Policy, explained
from ragkit.scoring.drop import Drop
from ragkit.scoring.named import make_policy
from ragkit.scoring.order import ChunkScore, descending
from ragkit.scoring.threshold import Threshold
from ragkit.selectors.extractive_parts import Narrowing
from ragkit.selectors.extractive_scoring import CosineSentences, SentenceScorer, Split, YesNoSentences
from ragkit.selectors.fitting import Count, Fitting

_AUTO: Mapping[str, Policy] = {"cosine": Drop(g=0.4, min_k=3, compare_to="anchor"), "yes_no": Threshold()}
"""Cosines have no scale of their own: what reaches 60 % of the best sentence. EXIT's own rule for yes and no."""


class ExtractiveSelector:
    """Keeps the best sentences of all hits together; neighbouring ones become one span, whole chunks stay whole."""

    name = "extractive"
    narrows: ClassVar[bool] = True
    """What is kept may be parts of the hits given (`Hit.part_of`); the conformance kit checks their spans."""

    def __init__(
        self,
        scorer: Literal["cosine", "yes_no"] = "cosine",
        policy: str | Mapping[str, Any] = "auto",
        *,
        k: int | None = None,
        context: float = 0.5,
        neighbours: int = 1,
        embedder: Embedder | None = None,
        language_model: LanguageModel | None = None,
        sentences: Split | None = None,
        count: Count | None = None,
        meter: Meter | None = None,
    ) -> None:
        """Narrow hits to sentences.

        Args:
            scorer: cosine (the embedder), or yes_no (label probabilities of the language model, one prompt a sentence).
            policy: Where the sentences of all hits, best first, are cut: drop, elbow, share, fixed, threshold, or auto:
                for cosine drop at 60 % of the best (three at least), for yes_no threshold 0.5 (one at least).
            k: Only the best-ranked k hits are read; None: all.
            context: Weight of a sentence's neighbours in cosine, 0 to 1.
            neighbours: How many on each side.
            embedder: Compares sentences with the question.
            language_model: Says yes or no.
            sentences: Splits a text.
            count: Measures texts in the answering model's tokens.
            meter: Is charged for what the language model does.
        """
        if k is not None and k < 1:
            raise ConfigError(f"k is {k}; expected at least 1.", hint="Read one hit or more.")
        if not 0.0 <= context <= 1.0 or neighbours < 1:
            raise ConfigError(
                f"context is {context} and neighbours {neighbours}; expected 0 to 1, and 1 or more.",
                hint="context: 0 compares each sentence alone.",
            )
        self._policy = _AUTO[scorer] if policy == "auto" else make_policy(policy)
        self._k = k
        self._split = _given(sentences, "sentences", scorer)
        self._count = count
        self._scorer: SentenceScorer = (
            CosineSentences(_given(embedder, "embedder", scorer), context, neighbours)
            if scorer == "cosine"
            else YesNoSentences(_given(language_model, "language_model", scorer), meter)
        )

    def select(
        self,
        query: str,
        hits: Sequence[Hit],
        limit: int | None = None,
        corpus: Corpus | None = None,  # noqa: ARG002 - the protocol's
    ) -> Selection:
        """Return the parts, those of better hits first and in the order of the text within one, and why hits fell.

        Raises what the language model raises; UsageError for scores that the policy cannot read.
        """
        fitting, ranked = Fitting.of(hits, limit, self._count)
        read, beyond = ranked[: self._k], ranked[len(ranked) if self._k is None else self._k :]
        work = [Narrowing(hit, self._split(hit.chunk.text)) for hit in read]
        scores = self._scorer.score(query, read, [item.sentences for item in work])
        cut, kept, order = self._cut(read, scores)
        tokens, refused = _fill(work, order[: cut.kept], limit, self._count)
        for hit in beyond:
            fitting.drop(hit, f"rank {hit.rank} is beyond the best {self._k} that are read")
        for place, item in enumerate(work):
            if not item.kept:
                fitting.drop(item.hit, _reason(item, scores[place], cut, refused.get(place)))
        chosen = sorted((item for item in work if item.kept), key=lambda item: item.hit.rank)
        parts = tuple(part for item in chosen for part in item.parts())
        return Selection(parts, tuple(fitting.dropped), tokens, trace=self._trace(work, scores, kept, cut))

    def _cut(
        self, hits: Sequence[Hit], scores: Sequence[np.ndarray[Any, Any]]
    ) -> tuple[Cut, float | None, list[tuple[int, int]]]:
        """Return the cut, the last score that it keeps, and all (hit, sentence) from best to worst."""
        pairs = [(at, sentence) for at, own in enumerate(scores) for sentence in range(len(own))]
        scored = [
            ChunkScore(float(scores[at][sentence]), hits[at].rank, f"{hits[at].chunk_id} {sentence:09}")
            for at, sentence in pairs
        ]
        places = descending(scored)
        values = np.array([scored[place].score for place in places])
        if not self._policy.signed:
            values = np.maximum(values, 0.0)  # a cosine below 0 is as little to a ratio as 0 is
        try:
            cut = explained(values, self._policy)
        except ContractError as error:
            raise UsageError(error.message, hint=error.hint) from None
        last = float(values[cut.kept - 1]) if cut.kept else None
        return cut, last, [pairs[place] for place in places]

    def _trace(
        self, work: Sequence[Narrowing], scores: Sequence[np.ndarray[Any, Any]], last: float | None, cut: Cut
    ) -> dict[str, Any]:
        policy: Any = self._policy
        options = {field.name: getattr(policy, field.name) for field in fields(cast(Any, policy))}
        narrowings = [
            {
                "chunk_id": item.hit.chunk_id,
                "sentences": len(item.sentences),
                "kept": sorted(item.kept),
                "best": float(max(own)) if len(own) else None,
                "parts": [[part.chunk.start, part.chunk.end] for part in (item.parts() if item.kept else [])],
            }
            for item, own in zip(work, scores, strict=True)
        ]
        return {
            "selector": self.name,
            "scorer": self._scorer.trace(),
            "policy": {"name": policy.name, **options},
            "cut": {"kept": cut.kept, "reason": cut.reason, "least": last, "of": sum(len(own) for own in scores)},
            "scores": [
                [item.hit.chunk_id, float(max(own))] for item, own in zip(work, scores, strict=True) if len(own)
            ],
            "narrowed": narrowings,
            "reasons": {
                part.chunk_id: f"{len(item.kept)} of {len(item.sentences)} sentences are among the best {cut.kept}"
                for item in work
                if item.kept
                for part in item.parts()
            },
        }


def _fill(
    work: Sequence[Narrowing], order: Sequence[tuple[int, int]], limit: int | None, count: Count | None
) -> tuple[int, dict[int, str]]:
    """Keep sentences, best first, while all parts fit; return their tokens, and by hit why its best did not fit."""
    tokens = 0
    refused: dict[int, str] = {}
    for at, sentence in order:
        item = work[at]
        cost = item.cost_with(sentence, count)
        after = tokens - item.tokens + cost
        if limit is not None and after > limit:
            refused.setdefault(
                at, f"its best sentence needs {cost - item.tokens} tokens; {tokens} of the limit of {limit} are taken"
            )
            continue
        item.keep(sentence, cost)
        tokens = after
    return tokens, refused


def _reason(item: Narrowing, scores: np.ndarray[Any, Any], cut: Cut, refused: str | None) -> str:
    if not item.sentences:
        return "it has no sentence"
    if refused is not None:
        return refused
    return f"its best sentence, {float(max(scores)):.4g}, is not among the best {cut.kept}: {cut.reason}"


def _given(resource: Any, name: str, scorer: str) -> Any:
    if resource is None:
        raise UsageError(
            f"The extractive selector with the scorer {scorer!r} needs `{name}`, which was not given.",
            hint="Make it through a Pipeline, or pass it.",
        )
    return resource
