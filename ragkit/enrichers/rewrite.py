"""Chunks that lack facts of their document get them, in what is searched only."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from itertools import groupby
from typing import Literal

import numpy as np

from ragkit.budget import Budget
from ragkit.enrichers import prompts
from ragkit.enrichers.asking import Failed
from ragkit.enrichers.facts import survival
from ragkit.enrichers.gating import ANSWERS, above_running_mean, margins
from ragkit.enrichers.missing import Missing, Refinement, Reflection, backed, chosen
from ragkit.enrichers.outcome import Outcome, Passage
from ragkit.enrichers.tidy import passage as tidy_passage
from ragkit.enrichers.writer import Vocabularies, Writer, check_least
from ragkit.errors import RagkitWarning
from ragkit.identity import content_hash
from ragkit.protocols import Embedder, LanguageModel, Progress, Prompt
from ragkit.schema import Chunked

SURVIVAL = 0.95
"""Share of a chunk's tokens that a rewritten one must keep, in order."""

_FACTS_TOKENS = 640
"""Longest list of facts, in tokens of the model: three of the longest the schema allows."""
_NUMBERS_TOKENS = 48

Lacking = tuple[Passage, list[Missing]]


class RewriteEnricher:
    """Adds to `index_text` the facts of the document that a chunk lacks; text and span stay as they are.

    Meta-Chunking's rewriting (arXiv 2410.12788v3). A judge says how much each chunk needs its document; those above the
    running mean of their document's margins are asked what is missing (`gate` "margin"; `threshold` is a fixed margin
    instead; "always" asks about all, "never" about none). The first chunk of a document is never changed. Missing facts
    are listed, checked by string search, filtered by the model, and then by `mode`

    - "extract" (default) appended to `index_text` as lines "mention: supplement";
    - "rewrite" woven into the chunk by the model; the result is used only if 95 % of the chunk's tokens survive in
      order and every new number and capitalised word stands in the document;
    - "student" nothing is listed: one call rewrites the chunk, under the same guards, for a model trained to do it.

    `max_tokens` is the longest rewritten chunk; `document_tokens`, `min_characters`, `required` and `budget` are those
    of SummaryEnricher, as is what is raised. The metadata `rewrite_status` says what became of each chunk,
    `rewrite_margin` what the judge said.
    """

    name = "rewrite"

    def __init__(
        self,
        language_model: LanguageModel,
        embedder: Embedder,
        *,
        mode: Literal["extract", "rewrite", "student"] = "extract",
        gate: Literal["margin", "always", "never"] = "margin",
        threshold: float | None = None,
        max_tokens: int = 1280,
        document_tokens: int = 2048,
        min_characters: int = 20,
        required: bool = False,
        budget: Budget | None = None,
    ) -> None:
        check_least("max_tokens", max_tokens, 8)
        self._model = language_model
        self._writer = Writer(language_model, embedder, document_tokens, min_characters, budget or Budget())
        self._mode, self._gate, self._threshold = mode, gate, threshold
        self._max_tokens, self._required = max_tokens, required
        self._told = False
        self.fingerprint = content_hash(
            "enricher",
            name=self.name,
            version=1,
            prompts=prompts.PROMPTS,
            language_model=language_model.fingerprint,
            embedder=embedder.fingerprint,
            mode=mode,
            gate=gate,
            threshold=None if threshold is None else float(threshold),
            max_tokens=max_tokens,
            document_tokens=document_tokens,
            min_characters=min_characters,
        )

    def enrich(self, batch: Sequence[Chunked], progress: Progress | None = None) -> list[Chunked]:
        """Return the same documents and spans with what was missing added to `index_text`."""
        self._writer.progress = progress
        outcome = Outcome(self.name, batch)
        if self._gate == "never":
            return outcome.chunked(required=self._required)
        reply = self._max_tokens if self._mode == "student" else _FACTS_TOKENS
        passages = self._writer.passages(
            batch, outcome, reply=reply, text_of=lambda chunk: chunk.text, after_first=True
        )
        passages = self._flagged(passages, outcome)
        if self._mode == "student":
            self._rewrite(batch, [(one, prompts.rewrite(one.shown, one.text)) for one in passages], outcome)
        else:
            lacking = self._refined(self._lacking(passages, Vocabularies(batch), outcome), outcome)
            if self._mode == "extract":
                self._append(batch, lacking, outcome)
            else:
                self._rewrite(batch, [(one, prompts.complete(one.text, facts)) for one, facts in lacking], outcome)
        return outcome.chunked(required=self._required)

    def _flagged(self, passages: list[Passage], outcome: Outcome) -> list[Passage]:
        """Return the passages that the judge finds hard to understand alone; the others are noted as kept."""
        if self._gate == "always":
            return passages
        replies = self._writer.ask(
            "rewrite: judging",
            lambda asked, meter, report: [
                *self._model.label_probabilities(asked, ANSWERS, meter=meter, progress=report)
            ],
            [(passage, prompts.judge(passage.shown, passage.text)) for passage in passages],
            outcome,
        )
        judged = [(passage, row) for passage, row in replies if not isinstance(row, Failed)]
        if judged:
            self._check_mass(float(np.mean([row.sum() for _, row in judged])))
        flagged = []
        for _, group in groupby(judged, key=lambda pair: pair[0].document):
            own = list(group)
            found = margins(np.stack([row for _, row in own])).tolist()
            for (passage, _), margin, above in zip(own, found, above_running_mean(found, self._threshold), strict=True):
                outcome.record(passage, margin=round(margin, 6))
                if above:
                    flagged.append(passage)
                else:
                    outcome.note(passage.document, passage.chunk, "kept: not flagged by the judge")
        return flagged

    def _lacking(self, passages: list[Passage], documents: Vocabularies, outcome: Outcome) -> list[Lacking]:
        """Return the passages that lack something the document backs."""
        replies = self._writer.ask(
            "rewrite: what is missing",
            lambda asked, meter, report: self._model.generate_records(
                asked, Reflection, max_tokens=_FACTS_TOKENS, meter=meter, progress=report
            ),
            [(passage, prompts.reflect(passage.shown, passage.text)) for passage in passages],
            outcome,
        )
        found: list[Lacking] = []
        for passage, reply in replies:
            if isinstance(reply, Failed):
                outcome.note(passage.document, passage.chunk, f"kept: {reply.reason}")
                continue
            facts, why = backed(reply.items, passage.text, documents.of(passage.document))
            if facts:
                found.append((passage, facts))
            else:
                outcome.note(passage.document, passage.chunk, f"kept: {why}")
        return found

    def _refined(self, lacking: list[Lacking], outcome: Outcome) -> list[Lacking]:
        """Return the passages with the facts that the model keeps on a second look."""
        facts_of = {(passage.document, passage.chunk): facts for passage, facts in lacking}
        replies = self._writer.ask(
            "rewrite: second look",
            lambda asked, meter, report: self._model.generate_records(
                asked, Refinement, max_tokens=_NUMBERS_TOKENS, meter=meter, progress=report
            ),
            [(passage, prompts.refine(passage.shown, passage.text, facts)) for passage, facts in lacking],
            outcome,
        )
        found: list[Lacking] = []
        for passage, reply in replies:
            if isinstance(reply, Failed):
                outcome.note(passage.document, passage.chunk, f"kept: {reply.reason}")
            elif facts := chosen(facts_of[passage.document, passage.chunk], reply.keep):
                found.append((passage, facts))
            else:
                outcome.note(passage.document, passage.chunk, "kept: no fact survived the second look")
        return found

    def _append(self, batch: Sequence[Chunked], lacking: list[Lacking], outcome: Outcome) -> None:
        texts = []
        for passage, facts in lacking:
            before = batch[passage.document].chunks[passage.chunk].index_text
            texts.append("\n".join([before, *(f"{fact.mention}: {fact.supplement}" for fact in facts)]))
        for (passage, facts), text, fit in zip(lacking, texts, self._writer.fitting(texts), strict=True):
            if fit:
                outcome.add(passage, text, "added")
                outcome.record(passage, facts=len(facts))
            else:
                outcome.note(passage.document, passage.chunk, "kept: no room in the embedder's window")

    def _rewrite(self, batch: Sequence[Chunked], about: Sequence[tuple[Passage, Prompt]], outcome: Outcome) -> None:
        """Put the model's completed passages in the place of the chunks' texts where they pass the guards."""
        replies = self._writer.write("rewrite: completing", about, outcome, max_tokens=self._max_tokens)
        vocabularies = Vocabularies(batch)
        texts: list[tuple[Passage, str]] = []
        for passage, reply in replies:
            before = batch[passage.document].chunks[passage.chunk].index_text
            rewritten = "" if isinstance(reply, Failed) else tidy_passage(reply)
            if isinstance(reply, Failed):
                fault: str | None = reply.reason
            elif passage.text not in before:
                fault = "index_text no longer holds the chunk's text; put rewrite first"
            elif rewritten == passage.text.strip():
                fault = "the model changed nothing"
            elif (share := survival(passage.text, rewritten)) < SURVIVAL:
                fault = f"only {share:.0%} of the tokens survive in order"
            else:
                invented = vocabularies.of(passage.document).invented(rewritten)
                fault = None if invented is None else f"{invented!r} is not in the document"
            if fault is None:
                texts.append((passage, before.replace(passage.text, rewritten, 1)))
            else:
                outcome.note(passage.document, passage.chunk, f"kept: {fault}")
        for (passage, text), fit in zip(texts, self._writer.fitting([text for _, text in texts]), strict=True):
            if fit:
                outcome.add(passage, text, "rewritten")
            else:
                outcome.note(passage.document, passage.chunk, "kept: no room in the embedder's window")

    def _check_mass(self, mass: float) -> None:
        """Say once that the judge wants to say something else than yes or no: its margins are noise then."""
        if mass < 0.5 and not self._told:
            self._told = True
            warnings.warn(
                f"{self._model.name} gives yes and no together {mass:.0%} of its probability: its judgement of which "
                "chunks lack something is unreliable. Name a larger model with the option `model`, or gate: always.",
                RagkitWarning,
                stacklevel=4,
            )
