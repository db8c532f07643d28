"""Extractive compression: of each chunk only the sentences that help, as exact spans (EXIT, arXiv 2412.12559).

EXIT reads a document, the question and one sentence, takes r = P(Yes) / (P(Yes) + P(No)), and keeps r >= 0.5 in the
original order. `scorer: yes_no` is that with any language model; the published one was trained for it, others were not.
`scorer: cosine`, the default, asks the embedder and costs no model call; `scorer: fusion` asks the embedder and the
question's words, and keeps the best sentences of all chunks together, within a budget; `scorer: reranker` asks the
reranker that is named beside it, such as a cross-encoder from `ragkit train reranker`, which `fusion` can hear too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import copy
from dataclasses import fields
from typing import Any, ClassVar, Literal, cast

import numpy as np

from ragkit.budget import Meter
from ragkit.errors import ConfigError, ContractError, UsageError
from ragkit.protocols import Corpus, Embedder, LanguageModel, Reranker
from ragkit.schema import Hit, Selection
from ragkit.scoring.cut import Cut, Policy, explained
from ragkit.scoring.drop import Drop
from ragkit.scoring.fixed import Fixed
from ragkit.scoring.named import make_policy
from ragkit.scoring.order import ChunkScore, Scores, descending
from ragkit.scoring.threshold import Threshold
from ragkit.scoring.within import Within
from ragkit.selectors.choices import check_choice
from ragkit.selectors.extractive_budget import Budget
from ragkit.selectors.extractive_fusion import FusedSentences, learnt_weights
from ragkit.selectors.extractive_judging import JudgedSentences
from ragkit.selectors.extractive_parts import Narrowing
from ragkit.selectors.extractive_scoring import CosineSentences, SentenceScorer, Split, YesNoSentences
from ragkit.selectors.fitting import Count, Fitting
from ragkit.selectors.weighing import Weights, weighed, weights_of

Scorer = Literal["cosine", "fusion", "learned", "reranker", "yes_no"]

_AUTO: Mapping[Scorer, Policy] = {
    "cosine": Drop(g=0.4, min_k=3, compare_to="anchor"),
    "fusion": Within(1.5),
    "learned": Within(1.5),
    "reranker": Fixed(1_000_000),
    "yes_no": Threshold(),
}
"""Cosines have no scale of their own: what reaches 60 % of the best sentence. Fused scores have no zero: a distance
from the best, in standard deviations. What a reranker's scores mean differs by its training: the budget alone cuts.
EXIT's own rule for yes and no."""
_AUTO_K: Mapping[Scorer, int | None] = {"cosine": None, "fusion": 20, "learned": 20, "reranker": 20, "yes_no": None}
_AUTO_SHARE: Mapping[Scorer, float | None] = {
    "cosine": None,
    "fusion": 0.6,
    "learned": 0.6,
    "reranker": 0.5,
    "yes_no": None,
}


class ExtractiveSelector:
    """Keeps the best sentences of all hits together; neighbouring ones become one span, whole chunks stay whole."""

    name = "extractive"
    narrows: ClassVar[bool] = True
    """What is kept may be parts of the hits given (`Hit.part_of`); the conformance kit checks their spans."""

    def __init__(
        self,
        scorer: Scorer = "cosine",
        policy: str | Mapping[str, Any] = "auto",
        *,
        k: int | Literal["auto"] | None = "auto",
        share: float | Literal["auto"] | None = "auto",
        of: int = 5,
        context: float = 0.5,
        neighbours: int = 1,
        language: str = "english",
        weight: float = 5.0,
        embedder: Embedder | None = None,
        reranker: Reranker | None = None,
        language_model: LanguageModel | None = None,
        sentences: Split | None = None,
        count: Count | None = None,
        meter: Meter | None = None,
    ) -> None:
        """Narrow hits to sentences.

        Args:
            scorer: cosine (the embedder), fusion (the embedder and the question's words, see `FusedSentences`), learned
                (the same with weights learnt on several data sets), reranker (see `JudgedSentences`), or yes_no (label
                probabilities of the language model, one prompt a sentence).
            policy: Where the sentences of all hits, best first, are cut: drop, elbow, knee, share, fixed, threshold,
                within, or auto: for cosine drop at 60 % of the best (three at least), for yes_no threshold 0.5 (one at
                least), for fusion and learned within 1.5 of the best, for reranker only `share`.
            k: Only the best-ranked k hits are read; None: all; auto: 20 for fusion, learned and reranker, else all.
            share: Sentences are kept, best first, up to this share of the tokens of the best `of` hits; None: no such
                budget; auto: 0.6 for fusion and learned, 0.5 for reranker, else none. Needs `count`.
            of: How many of the best hits `share` speaks of.
            context: Weight of a sentence's neighbours in cosine, 0 to 1.
            neighbours: How many on each side, for cosine and reranker; 0 shows a sentence alone.
            language: Of the words that fusion compares, as in the lexical index.
            weight: Of the reranker in fusion, whose five other views weigh 1 each.
            embedder: Compares sentences with the question.
            reranker: Judges sentences, for reranker and, where one is given, for fusion and learned.
            language_model: Says yes or no.
            sentences: Splits a text.
            count: Measures texts in the answering model's tokens.
            meter: Is charged for what the language model does.
        """
        check_choice("scorer", scorer, Scorer)
        k = _AUTO_K[scorer] if k == "auto" else k
        share = _AUTO_SHARE[scorer] if share == "auto" else share
        if k is not None and k < 1:
            raise ConfigError(f"k is {k}; expected at least 1.", hint="Read one hit or more.")
        if not 0.0 <= context <= 1.0 or neighbours < 0:
            raise ConfigError(
                f"context is {context} and neighbours {neighbours}; expected 0 to 1, and 0 or more.",
                hint="context: 0 or neighbours: 0 looks at each sentence alone.",
            )
        self._policy = make_policy(policy, _AUTO[scorer])
        self._weights: Weights | None = None
        self._k = k
        self._budget = None if share is None else Budget(share, of)
        self._split = _given(sentences, "sentences", scorer)
        self._count = count
        options = (context, neighbours, language, weight)
        self._scorer = _made(scorer, options, embedder=embedder, reranker=reranker, model=language_model, meter=meter)

    def weighted(self, weights: Weights) -> ExtractiveSelector:
        """Return this selector with the scores of sentences weighed, by chunk (`ragkit.selectors.weighing`)."""
        made = copy(self)
        made._weights = weights
        return made

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
        scores = self._weighed(read, self._scorer.score(query, read, [item.sentences for item in work]))
        cut, kept, order = self._cut(read, scores)
        budget = None if self._budget is None or not ranked else self._budget.tokens(ranked, self._count)
        least = limit if budget is None else budget if limit is None else min(limit, budget)
        tokens, refused = _fill(work, order[: cut.kept], least, self._count)
        for hit in beyond:
            fitting.drop(hit, f"rank {hit.rank} is beyond the best {self._k} that are read")
        for place, item in enumerate(work):
            if not item.kept:
                fitting.drop(item.hit, _reason(item, scores[place], cut, refused.get(place)))
        chosen = sorted((item for item in work if item.kept), key=lambda item: item.hit.rank)
        parts = tuple(part for item in chosen for part in item.parts())
        trace = self._trace(work, scores, kept, cut)
        if self._budget is not None and budget is not None:
            trace["budget"] = self._budget.trace(budget)
        return Selection(parts, tuple(fitting.dropped), tokens, trace=trace)

    def _weighed(self, hits: Sequence[Hit], scores: Sequence[Scores]) -> Sequence[Scores]:
        """Return the scores of the sentences of each hit, weighed where there are weights."""
        if self._weights is None or not scores:
            return scores
        sizes = [len(own) for own in scores]
        flat = np.concatenate(scores)
        if not self._policy.signed:
            flat = np.maximum(flat, 0.0)
        flat = weighed(flat, np.repeat(weights_of(self._weights, hits), sizes))
        return np.split(flat, np.cumsum(sizes)[:-1])

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
    alone = _alone(work, order, limit, count)
    for (at, sentence), own in zip(order, alone, strict=True):
        item = work[at]
        if limit is not None and tokens + own - _SLACK > limit:
            refused.setdefault(at, _too_long(own, tokens, limit))
            continue
        cost = item.cost_with(sentence, count)
        after = tokens - item.tokens + cost
        if limit is not None and after > limit:
            refused.setdefault(at, _too_long(cost - item.tokens, tokens, limit))
            continue
        item.keep(sentence, cost)
        tokens = after
    return tokens, refused


def _alone(
    work: Sequence[Narrowing], order: Sequence[tuple[int, int]], limit: int | None, count: Count | None
) -> list[int]:
    """Return the tokens of each sentence by itself, in one call; 0 where nothing limits them."""
    if limit is None or count is None or not order:
        return [0] * len(order)
    spans = [(work[at].hit.chunk.text, *work[at].sentences[sentence]) for at, sentence in order]
    return count([text[start:end] for text, start, end in spans])


def _too_long(needed: int, tokens: int, limit: int) -> str:
    return f"its best sentence needs {needed} tokens; {tokens} of the limit of {limit} are taken"


def _reason(item: Narrowing, scores: np.ndarray[Any, Any], cut: Cut, refused: str | None) -> str:
    if not item.sentences:
        return "it has no sentence"
    if refused is not None:
        return refused
    return f"its best sentence, {float(max(scores)):.4g}, is not among the best {cut.kept}: {cut.reason}"


_SLACK = 4
"""Tokens that a sentence may need less beside its neighbours than alone; what is longer is not measured again."""


def _made(
    scorer: Scorer,
    options: tuple[float, int, str, float],
    *,
    embedder: Embedder | None,
    reranker: Reranker | None,
    model: LanguageModel | None,
    meter: Meter | None,
) -> SentenceScorer:
    """Return the scorer; `options` are context, neighbours, language and weight."""
    context, neighbours, language, weight = options
    judged = None if reranker is None else JudgedSentences(reranker, neighbours)
    match scorer:
        case "cosine":
            return CosineSentences(_given(embedder, "embedder", scorer), context, neighbours)
        case "fusion":
            return FusedSentences(_given(embedder, "embedder", scorer), language, judged, weight)
        case "learned":
            return FusedSentences(_given(embedder, "embedder", scorer), language, judged, weight, learnt_weights())
        case "reranker":
            return JudgedSentences(_given(reranker, "reranker", scorer), neighbours)
        case "yes_no":
            return YesNoSentences(_given(model, "language_model", scorer), meter)


def _given(resource: Any, name: str, scorer: str) -> Any:
    if resource is None:
        named = "Name one: reranker: {name: cross_encoder, model: FOLDER}."
        raise UsageError(
            f"The extractive selector with the scorer {scorer!r} needs `{name}`, which was not given.",
            hint=named if name == "reranker" else "Make it through a Pipeline, or pass it.",
        )
    return resource
