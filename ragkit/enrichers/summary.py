"""One sentence in front of each chunk: what the passage is about and what it does not say of itself."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Literal

from ragkit.budget import Budget
from ragkit.enrichers import prompts
from ragkit.enrichers.asking import Failed
from ragkit.enrichers.facts import occurs
from ragkit.enrichers.outcome import Outcome, Passage
from ragkit.enrichers.tidy import sentence_count, tidy
from ragkit.enrichers.writer import Vocabularies, Writer, check_least
from ragkit.errors import RagkitWarning
from ragkit.identity import content_hash
from ragkit.protocols import Embedder, LanguageModel, Progress
from ragkit.schema import Chunked


class SummaryEnricher:
    """Puts a sentence before `index_text`: the topic of the chunk and facts of its document that it needs.

    Meta-Chunking's compensating summary (arXiv 2410.12788v3): with `stages` 2 a draft from document and chunk, then
    condensed to one sentence (a draft of one sentence is left as it is); with 1 the single call of a model trained for
    it. `index_text` becomes summary, line break, `index_text`. Text and span of the chunk stay as they are.

    `verify` drops a summary with a number or capitalised word that its document does not hold. Also dropped: one that
    only repeats the chunk, and one that would not fit the embedder's window beside the chunk. `max_tokens` is the
    longest reply, `document_tokens` the most that is shown of a document (of a longer one its first chunk and the
    chunks most similar), chunks shorter than `min_characters` are left alone. The metadata `summary_status` says what
    became of each chunk.

    A document on which the model fails is left as it came, with a RagkitWarning and the metadata `enrichment`;
    `required` makes it a failure of the document. Raises BudgetExceededError where `budget`, which covers the
    enricher's life, is spent; ModelError where the model fails on three documents in a row; ConfigError for a bad
    limit.
    """

    name = "summary"

    def __init__(
        self,
        language_model: LanguageModel,
        embedder: Embedder,
        *,
        stages: Literal[1, 2] = 2,
        max_tokens: int = 80,
        document_tokens: int = 2048,
        min_characters: int = 20,
        verify: bool = True,
        required: bool = False,
        budget: Budget | None = None,
    ) -> None:
        check_least("max_tokens", max_tokens, 8)
        self._writer = Writer(language_model, embedder, document_tokens, min_characters, budget or Budget())
        self._stages, self._max_tokens, self._verify, self._required = stages, max_tokens, verify, required
        self._told = False
        self.fingerprint = content_hash(
            "enricher",
            name=self.name,
            version=1,
            prompts=prompts.PROMPTS,
            language_model=language_model.fingerprint,
            embedder=embedder.fingerprint,
            stages=stages,
            max_tokens=max_tokens,
            document_tokens=document_tokens,
            min_characters=min_characters,
            verify=verify,
        )

    def enrich(self, batch: Sequence[Chunked], progress: Progress | None = None) -> list[Chunked]:
        """Return the same documents and spans with a summary before `index_text` where one held."""
        self._writer.progress = progress
        outcome = Outcome(self.name, batch)
        passages = self._writer.passages(batch, outcome, reply=self._max_tokens, text_of=lambda chunk: chunk.index_text)
        summaries = self._drafts(passages, outcome)
        if self._stages == 2:
            summaries = self._condensed(summaries, outcome)
        self._place(summaries, Vocabularies(batch), outcome)
        self._tell(outcome)
        return outcome.chunked(required=self._required)

    def _drafts(self, passages: list[Passage], outcome: Outcome) -> list[tuple[Passage, str]]:
        prompt, sentences = (prompts.draft, 2) if self._stages == 2 else (prompts.summarise, 1)
        about = [(passage, prompt(passage.shown, passage.text)) for passage in passages]
        replies = self._writer.write("summary: drafts", about, outcome, max_tokens=self._max_tokens)
        return _tidied(replies, sentences, outcome)

    def _condensed(self, drafts: list[tuple[Passage, str]], outcome: Outcome) -> list[tuple[Passage, str]]:
        """Return each draft in one sentence, in the order given."""
        long = [(passage, prompts.condense(text)) for passage, text in drafts if sentence_count(text) > 1]
        replies = self._writer.write("summary: one sentence", long, outcome, max_tokens=self._max_tokens)
        shorter = {(passage.document, passage.chunk): text for passage, text in _tidied(replies, 1, outcome)}
        asked = {(passage.document, passage.chunk) for passage, _ in long}
        found = []
        for passage, text in drafts:
            place = (passage.document, passage.chunk)
            if place not in asked or place in shorter:
                found.append((passage, shorter.get(place, text)))
        return found

    def _place(self, summaries: list[tuple[Passage, str]], backed: Vocabularies, outcome: Outcome) -> None:
        texts = [f"{summary}\n{passage.text}" for passage, summary in summaries]
        fits = self._writer.fitting(texts)
        for (passage, summary), text, fit in zip(summaries, texts, fits, strict=True):
            invented = backed.of(passage.document).invented(summary) if self._verify else None
            if occurs(summary.rstrip(".!?"), passage.text):
                outcome.note(passage.document, passage.chunk, "dropped: repeats the passage")
            elif invented is not None:
                outcome.note(passage.document, passage.chunk, f"dropped: {invented!r} is not in the document")
            elif not fit:
                outcome.note(passage.document, passage.chunk, "dropped: no room in the embedder's window")
            else:
                outcome.add(passage, text, "added")

    def _tell(self, outcome: Outcome) -> None:
        """Say once that most summaries are dropped: the user pays for nothing then."""
        counts = outcome.counts()
        dropped, added = counts.get("dropped", 0), counts.get("added", 0)
        if dropped > added and not self._told:
            self._told = True
            warnings.warn(
                f"{dropped} of the first {dropped + added} summaries by {self._writer.model.name} were dropped (the "
                "metadata summary_status says why); a larger model is named with the enricher's option `model`.",
                RagkitWarning,
                stacklevel=3,
            )


def _tidied(
    replies: Sequence[tuple[Passage, str | Failed]], sentences: int, outcome: Outcome
) -> list[tuple[Passage, str]]:
    """Return the replies with words in them; the chunks of the others are noted."""
    found = []
    for passage, reply in replies:
        text = "" if isinstance(reply, Failed) else tidy(reply, sentences)
        if text:
            found.append((passage, text))
        else:
            reason = reply.reason if isinstance(reply, Failed) else "the model wrote nothing"
            outcome.note(passage.document, passage.chunk, f"dropped: {reason}")
    return found
