"""METEORA: evidence chosen by rationales instead of a ranking, without a fixed k (arXiv 2505.16014).

A language model says what evidence would have to state; each such rationale chooses the chunk that is most like it
(E_v), an elbow over the cosines of all chunks with the mean rationale takes more (E_g), the chunks around those may be
added (E_w), and a verifier may look at each before it is kept.

| mode | pairing | elbow | neighbours | verifier |
| --- | --- | --- | --- | --- |
| ragkit | convergent | at the drop | none | none |
| paper | convergent | before it, as printed | 1 on each side | model; flags only; rationales drawn at temperature 0.7 |
| reference_code | distinct | before it | 1 | model; flags only; remembers rejected chunks too |
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from copy import copy
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ragkit.budget import Meter
from ragkit.errors import ConfigError, ContractError, UsageError
from ragkit.protocols import Corpus, Embedder, LanguageModel
from ragkit.schema import Chunk, Chunked, Document, Dropped, Hit, Selection
from ragkit.scoring.cut import Policy
from ragkit.scoring.elbow import PAPER, Elbow
from ragkit.scoring.named import make_policy
from ragkit.selectors.choices import check_choice
from ragkit.selectors.extractive_scoring import Split
from ragkit.selectors.fitting import Count, Fitting
from ragkit.selectors.rationale_pairing import Evidence, Pairing, paired
from ragkit.selectors.rationale_verifying import Judgement, Memory, ModelVerifier, RuleVerifier, Verifier
from ragkit.selectors.rationale_writing import Written, by_model, by_pseudo_relevance, by_template
from ragkit.selectors.weighing import Weights, weights_of

Mode = Literal["ragkit", "paper", "reference_code"]
Source = Literal["model", "template", "pseudo_relevance"]
Checks = Literal["none", "model", "rules"]
Order = Literal["document", "trust"]


_NOTHING = {"kept": 0, "reason": "there are no candidates"}


@dataclass(frozen=True, slots=True)
class _Preset:
    """What a mode decides where the user does not."""

    pairing: Pairing = "convergent"
    policy: Policy = field(default_factory=Elbow)
    expand: int = 0
    verifier: Checks = "none"
    filters_relevance: bool = True
    memory: Memory = "accepted"
    temperature: float = 0.0


_PAPER = _Preset("convergent", PAPER, 1, "model", filters_relevance=False, temperature=0.7)
_PRESETS: Mapping[Mode, _Preset] = {
    "ragkit": _Preset(),
    "paper": _PAPER,
    "reference_code": replace(_PAPER, pairing="distinct", memory="all"),
}


@dataclass(slots=True)
class _Candidates:
    """The chunks in question with their numbers: the first `given` came from the retriever, the rest are neighbours."""

    hits: list[Hit]
    given: int
    evidence: Evidence
    order: list[int]
    """The order in which they are examined and kept: the most trusted first."""
    batches: list[list[int]]


class RationaleSelector:
    """Keeps what rationales choose, verified, in the order of the documents, within the limit of tokens."""

    name = "rationale"

    def __init__(
        self,
        mode: Mode = "ragkit",
        source: Source = "model",
        *,
        rationales: int = 8,
        note: str = "",
        pairing: Pairing | None = None,
        policy: str | Mapping[str, Any] | None = None,
        expand: int | None = None,
        verifier: Checks | None = None,
        filters_relevance: bool | None = None,
        memory: Memory | None = None,
        batched: bool = False,
        prefilter: int | None = None,
        temperature: float | None = None,
        seed: int = 0,
        order: Order = "document",
        language_model: LanguageModel | None = None,
        embedder: Embedder | None = None,
        sentences: Split | None = None,
        count: Count | None = None,
        meter: Meter | None = None,
    ) -> None:
        """Choose evidence by rationales; None leaves a setting to the mode.

        Args:
            mode: ragkit, paper, or reference_code.
            source: Who writes rationales: the model; template and pseudo_relevance need none.
            rationales: Most of them.
            note: What the documents are about, for the model.
            pairing: convergent lets rationales choose the same chunk; distinct gives each its own.
            policy: The elbow over all chunks, or any other cut rule.
            expand: Chunks added on each side of a chosen one, from its document; 0 adds none.
            verifier: none, model, or rules (a few patterns, no protection).
            filters_relevance: The verifier also turns out what does not help with the question.
            memory: The verifier compares with accepted chunks, or with all as the published script does.
            batched: Verify E_v, E_g and neighbours in three calls; chunks of one call are not compared.
            prefilter: Only the retriever's best so many hits are candidates.
            temperature: Of the rationales.
            seed: Of their draw.
            order: Of the result: by document, or the most trusted first.
            language_model: Writes and verifies.
            embedder: Embeds rationales, and chunks whose vectors no corpus has.
            sentences: Splits texts, for pseudo_relevance.
            count: Measures texts in the answering model's tokens.
            meter: Is charged for what the language model does.
        """
        preset = _checked(mode, source, order)
        self._mode, self._source, self._order, self._note = mode, source, order, note
        self._rationales = _at_least(1, rationales, "rationales")
        self._pairing = pairing or preset.pairing
        self._policy = preset.policy if policy is None else make_policy(policy)
        self._expand = preset.expand if expand is None else _at_least(0, expand, "expand")
        self._checks: Checks = verifier or preset.verifier
        self._filters = preset.filters_relevance if filters_relevance is None else filters_relevance
        self._memory: Memory = memory or preset.memory
        self._batched = batched
        self._prefilter = None if prefilter is None else _at_least(1, prefilter, "prefilter")
        self._sampling = (preset.temperature if temperature is None else _temperature(temperature), seed)
        self._weights: Weights | None = None
        if "model" in (source, self._checks):
            _required(language_model, "language_model")
        self._model = language_model
        self._embedder: Embedder = _required(embedder, "embedder")
        self._sentences = _required(sentences, "sentences") if source == "pseudo_relevance" else None
        self._count = count
        self._meter = meter

    @property
    def fetches(self) -> int:
        """How many neighbours on each side of a hit it may add to what it was given."""
        return self._expand

    @property
    def ranked(self) -> bool:
        """Whether what is kept stands best first."""
        return self._order == "trust"

    def weighted(self, weights: Weights) -> RationaleSelector:
        """Return this selector with the cosines of chunks weighed (`ragkit.selectors.weighing`).

        Neighbours that are added have no cosine, so nothing of theirs is weighed.
        """
        made = copy(self)
        made._weights = weights
        return made

    def select(
        self, query: str, hits: Sequence[Hit], limit: int | None = None, corpus: Corpus | None = None
    ) -> Selection:
        """Return the evidence, and why the rest fell; nothing where the verifier accepts nothing.

        Raises UsageError where neighbours are asked for without a corpus, and for scores that the policy cannot read;
        ServerError and BudgetExceededError of the model.
        """
        fitting, ranked = Fitting.of(hits, limit, self._count)
        if not ranked:
            trace = {"selector": self.name, "mode": self._mode, "cut": _NOTHING, "all_rejected": False}
            return replace(fitting.selection(), trace=trace)
        pool = ranked[: self._prefilter]
        written = self._written(query, pool)
        evidence = self._evidence(written, pool, corpus)
        found = self._candidates(pool, ranked, evidence, corpus)
        if self._count is not None:
            fetched = [hit for hit in found.hits if hit.chunk_id not in fitting.costs]
            fitting.costs |= zip(
                [hit.chunk_id for hit in fetched], self._count([hit.chunk.text for hit in fetched]), strict=True
            )
        for hit in ranked[len(pool) :]:
            if hit not in found.hits:  # it may be back as a neighbour
                fitting.drop(hit, f"rank {hit.rank} is beyond the best {self._prefilter} that are candidates")
        judgements = self._verified(query, written, found, fitting)
        self._drop_unchosen(found, fitting)
        return self._selection(fitting, found, written, judgements)

    def _written(self, query: str, pool: Sequence[Hit]) -> Written:
        most = self._rationales
        match self._source:
            case "template":
                return by_template(query, most)
            case "pseudo_relevance":
                return by_pseudo_relevance(query, pool, self._sentences, most)
            case "model":
                model = _required(self._model, "language_model")
                temperature, seed = self._sampling
                return by_model(
                    query, model, most, note=self._note, temperature=temperature, seed=seed, meter=self._meter
                )

    def _evidence(self, written: Written, pool: Sequence[Hit], corpus: Corpus | None) -> Evidence:
        rationales = self._embedder.embed_queries([one.need for one in written.rationales])
        if corpus is not None and all(hit.row >= 0 for hit in pool):
            chunks = corpus.vectors([hit.row for hit in pool])
        else:
            texts = [Document(hit.chunk.index_text, "candidate") for hit in pool]
            batch = [Chunked(text, [Chunk.of(text, 0, len(text.text))]) for text in texts]
            chunks = self._embedder.embed_chunks(batch)
        places = sorted(range(len(pool)), key=lambda at: _position(pool[at]))  # equal cosines: the lower position
        try:
            weights = None if self._weights is None else weights_of(self._weights, pool)[places]
            found = paired(_floats(rationales), _floats(chunks)[places], self._pairing, self._policy, weights)
        except ContractError as error:
            raise UsageError(error.message, hint=error.hint) from None
        pooled = np.empty(len(places))
        pooled[places] = found.pooled
        pairs = tuple(None if pair is None else places[pair] for pair in found.pairs)
        return replace(found, pairs=pairs, pooled=pooled, order=tuple(places[at] for at in found.order))

    def _candidates(
        self, pool: Sequence[Hit], ranked: Sequence[Hit], evidence: Evidence, corpus: Corpus | None
    ) -> _Candidates:
        """Return the pool and the neighbours of what is chosen, in the order of trust."""
        chosen = evidence.by_trust()
        first = [at for at in chosen if at in evidence.paired]
        second = [at for at in chosen if at not in evidence.paired]
        hits = list(pool)
        if not self._expand:
            return _Candidates(hits, len(pool), evidence, chosen, [first, second])
        if corpus is None:
            raise UsageError(
                f"expand is {self._expand}, but no corpus was given to look up neighbours in.",
                hint="Pass `corpus`, or set expand: 0.",
            )
        places = {hit.chunk_id: at for at, hit in enumerate(pool)}
        known = {hit.chunk_id: hit for hit in ranked}
        added: list[int] = []
        for at in chosen:
            for near in corpus.neighbours(pool[at].row, self._expand, self._expand):
                place = places.get(near.chunk_id)
                if place is None:
                    place = places[near.chunk_id] = len(hits)
                    hits.append(known.get(near.chunk_id) or replace(near, rank=len(ranked) + len(hits) + 1))
                if place not in chosen and place not in added:
                    added.append(place)
        return _Candidates(hits, len(pool), evidence, [*chosen, *added], [first, second, added])

    def _verified(self, query: str, written: Written, found: _Candidates, fitting: Fitting) -> dict[int, Judgement]:
        """Keep what fits and is accepted, in the order of trust; return the judgements by candidate."""
        verifier = self._verifier()
        rules = [one.reject_if.strip() for one in written.rationales if one.reject_if.strip()]
        judgements: dict[int, Judgement] = {}
        batches = found.batches if self._batched else [[at] for at in found.order]
        for batch in batches:
            fits = []
            for at in batch:
                if fitting.fits(found.hits[at]):
                    fits.append(at)
                else:
                    fitting.take(found.hits[at])  # which says why it does not fit; it is not worth a question
            asked = [found.hits[at] for at in fits]
            judged = verifier.judged(query, asked, rules) if verifier is not None and asked else None
            for place, at in enumerate(fits):
                if judged is not None:
                    judgements[at] = judged[place]
                    if not judged[place].accepted:
                        flags = judged[place].flags or ("irrelevant",)
                        fitting.dropped.append(Dropped(found.hits[at], judged[place].reason, flags))
                        continue
                fitting.take(found.hits[at])
        return judgements

    def _verifier(self) -> Verifier | None:
        match self._checks:
            case "none":
                return None
            case "rules":
                return RuleVerifier()
            case "model":
                model = _required(self._model, "language_model")
                return ModelVerifier(model, filters_relevance=self._filters, memory=self._memory, meter=self._meter)

    def _drop_unchosen(self, found: _Candidates, fitting: Fitting) -> None:
        evidence = found.evidence
        examined = set(found.order)
        for place, at in enumerate(evidence.order):
            if at not in examined:
                cut = evidence.cut
                reason = (
                    f"no rationale chose it; its cosine with their mean, {evidence.pooled[at]:.4g}, is place "
                    f"{place + 1}, and the cut keeps {cut.kept}: {cut.reason}"
                )
                fitting.drop(found.hits[at], reason)

    def _selection(
        self, fitting: Fitting, found: _Candidates, written: Written, judgements: Mapping[int, Judgement]
    ) -> Selection:
        kept = fitting.kept if self._order == "trust" else sorted(fitting.kept, key=_position)
        trace = self._trace(found, written, judgements)
        trace["all_rejected"] = bool(judgements) and not any(one.accepted for one in judgements.values())
        trace["reasons"] = {
            found.hits[at].chunk_id: _why(at, found, written, judgements.get(at))
            for at in found.order
            if found.hits[at] in fitting.kept
        }
        ordered = self._order == "document"
        return Selection(tuple(kept), tuple(fitting.dropped), fitting.tokens, ordered, trace)

    def _trace(self, found: _Candidates, written: Written, judgements: Mapping[int, Judgement]) -> dict[str, Any]:
        evidence, ids = found.evidence, [hit.chunk_id for hit in found.hits]
        return {
            "selector": self.name,
            "mode": self._mode,
            "source": written.source,
            "note": written.note,
            "model": None if self._model is None else self._model.name,
            "pairing": self._pairing,
            "policy": {"name": self._policy.name, **asdict(self._policy)},  # type: ignore[call-overload] # a dataclass
            "verifier": self._checks if self._checks != "rules" else RuleVerifier.name,
            "rationales": [
                {**one.model_dump(), "chunk_id": None if pair is None else ids[pair], "cosine": cosine}
                for one, pair, cosine in zip(written.rationales, evidence.pairs, evidence.similarities, strict=True)
            ],
            "scores": [[ids[at], float(evidence.pooled[at])] for at in evidence.order],
            "cut": {"kept": evidence.cut.kept, "reason": evidence.cut.reason},
            "sizes": {
                "rationales": len(written.rationales),
                "paired": len(evidence.paired),
                "pooled": len(evidence.pooled_best),
                "examined": len(found.order),
            },
            "verdicts": [
                {"chunk_id": ids[at], "accepted": one.accepted, "flags": list(one.flags), "reason": one.reason}
                | one.trace
                for at, one in judgements.items()
            ],
            "flags": {ids[at]: list(one.flags) for at, one in judgements.items() if one.flags},
        }


def _why(at: int, found: _Candidates, written: Written, judgement: Judgement | None) -> str:
    """Return why a chunk was kept."""
    evidence = found.evidence
    by = [number for number, pair in enumerate(evidence.pairs, 1) if pair == at]
    if by:
        labels = ", ".join(f"{number} ({written.rationales[number - 1].label or 'unnamed'})" for number in by)
        reason = f"chosen by rationale {labels}"
    elif at in evidence.pooled_best:
        reason = f"before the elbow: {evidence.cut.reason}"
    else:
        reason = "next to a chosen chunk"
    if judgement is not None and judgement.flags:
        reason += f"; flagged as {', '.join(judgement.flags)}, not certain enough to reject"
    return reason


def _position(hit: Hit) -> tuple[str, str, int, int, int]:
    return hit.source, hit.chunk.doc_id, hit.chunk.start, hit.chunk.end, hit.rank


def _floats(vectors: Any) -> NDArray[np.float64]:
    return np.asarray(vectors, np.float64)


def _at_least(least: int, value: int, option: str) -> int:
    if value < least:
        raise ConfigError(f"{option} is {value}; expected at least {least}.", hint=f"Raise {option}.")
    return value


def _checked(mode: Mode, source: Source, order: Order) -> _Preset:
    """Return what the mode decides; raise ConfigError for a word that is none of the known."""
    for option, given, words in (("mode", mode, Mode), ("source", source, Source), ("order", order, Order)):
        check_choice(option, given, words)
    return _PRESETS[mode]


def _temperature(value: float) -> float:
    if not 0 <= value < math.inf:
        raise ConfigError(f"temperature is {value}; expected 0 or more, and finite.", hint="0 draws nothing.")
    return value


def _required(resource: Any, name: str) -> Any:
    if resource is None:
        raise UsageError(
            f"The rationale selector needs `{name}`, which was not given.",
            hint="Make it through a Pipeline, or pass it.",
        )
    return resource
