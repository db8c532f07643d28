"""Questions made from the documents by a language model, each about one sentence that is chosen beforehand.

The model writes a question, copies the words that answer it, and names the question's kind. What it copied must be in
the passage to the letter (but for white space) and in one place: then that is the evidence. A model that writes no
records, or copies nothing right at first (a small one), is asked for the question alone, and the sentence is
the evidence. Guards, after the Chroma report on chunking (2024) and against what makes generated questions easier than
real ones:

- the question must be one question, and must not speak of "the text" or "the passage";
- it must not repeat a long run of the evidence's words;
- its cosine with the evidence must be at least 0.36, and higher than with every other sentence of the passage, so that
  the evidence is what answers it;
- its cosine with no kept question may exceed 0.78.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count as count_from
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from ragkit.budget import Meter
from ragkit.chunkers.sentences import split_sentences
from ragkit.errors import BudgetExceededError
from ragkit.eval.experiment.locating import places
from ragkit.eval.experiment.question_writing import Asked, QuestionWriter
from ragkit.eval.experiment.store import Store
from ragkit.eval.types import EvidenceSpan, Query
from ragkit.identity import content_hash
from ragkit.protocols import Embedder, LanguageModel
from ragkit.schema import Document

FEWEST_TRIED = 4
"""Facts after which a model is asked for questions alone, if none of its records has verbatim evidence."""
LEAST_SIMILAR = 0.36
MOST_ALIKE = 0.78
LONGEST_COPY = 6
"""Words in a row that a question may share with its evidence."""
BATCH = 16
"""Facts that a model is asked about at once."""
_CONTEXT = 2
"""Sentences around the chosen one that the model sees, on each side."""
_FEWEST_CHARACTERS, _MOST_CHARACTERS = 40, 400
_SPEAKS_OF_TEXT = re.compile(
    r"\b((?i:passage|text|sentence|article|paragraph|excerpt|document|author|above)|FACT|CONTEXT)\b"
)
"""The last two are what the prompt calls the sentence and what stands around it."""


@dataclass(slots=True)
class Generated:
    """The questions that passed, how many were asked for, and why the others fell.

    `overlap` is the mean share of a question's words that its evidence holds too: the higher, the more the questions
    favour lexical search over what real questions will. `kinds` counts the kept ones by what they ask for.
    """

    queries: list[Query] = field(default_factory=list)
    tried: int = 0
    rejected: dict[str, int] = field(default_factory=dict)
    overlap: float = 0.0
    kinds: dict[str, int] = field(default_factory=dict)

    @property
    def survival(self) -> float:
        """The share of what was asked for that passed."""
        return len(self.queries) / max(self.tried, 1)


@dataclass(frozen=True, slots=True)
class _Fact:
    """The sentence a question is to be about, and the passage around it, which begins at `begins`.

    `sentences` are the spans of the passage's sentences; all spans are of the document.
    """

    doc_id: str
    start: int
    end: int
    text: str
    sentences: tuple[tuple[int, int], ...]
    context: str
    begins: int


def generated_questions(
    documents: Mapping[str, Document],
    count: int,
    model: LanguageModel,
    embedder: Embedder,
    *,
    store: Store,
    seed: int = 0,
    meter: Meter | None = None,
    advance: Callable[[int], None] = lambda _: None,
) -> Generated:
    """Return up to `count` questions about `documents`; it stops after four tries for each that is wanted.

    Replies are kept in `store`. Where `meter` runs out, what was made until then is returned.
    """
    made = Generated()
    kept: list[NDArray[np.float32]] = []
    words: list[float] = []
    usable = 0
    writer = QuestionWriter(model, store, meter)
    facts = islice(_facts(documents, seed), 4 * count)
    while len(made.queries) < count:
        # no more at once than are wanted, so that little is asked for nothing
        some = list(islice(facts, min(BATCH, count - len(made.queries))))
        if not some:
            break
        try:
            replies = writer.written([(fact.context, fact.text) for fact in some])
        except BudgetExceededError:
            break
        for fact, asked in zip(some, replies, strict=True):
            made.tried += 1
            found = _evidence(fact, asked)
            usable += not isinstance(found, str)
            reason = found if isinstance(found, str) else _refused(asked.question, fact, found, embedder, kept)
            if reason or isinstance(found, str):
                made.rejected[reason] = made.rejected.get(reason, 0) + 1
                continue
            text = documents[fact.doc_id].text[found.start : found.end]
            meta = {"kind": asked.kind} if asked.kind else {}
            made.queries.append(Query(f"g{len(made.queries) + 1}", asked.question, (text,), (found,), meta=meta))
            if asked.kind:
                made.kinds[asked.kind] = made.kinds.get(asked.kind, 0) + 1
            words.append(shared(asked.question, text))
            advance(1)
        if writer.writes_records and not usable and made.tried >= FEWEST_TRIED:
            writer.without_records()
    made.overlap = float(np.mean(words)) if words else 0.0
    return made


def _evidence(fact: _Fact, asked: Asked) -> EvidenceSpan | str:
    """Return the span of the evidence, or why there is none."""
    if not asked.question:
        return "is no record"
    if not asked.evidence:
        return EvidenceSpan(fact.doc_id, fact.start, fact.end)
    found = places(fact.context, asked.evidence)
    if len(found) != 1:
        return "evidence is in several places" if found else "evidence is not verbatim"
    start, end = found[0]
    return EvidenceSpan(fact.doc_id, fact.begins + start, fact.begins + end)


def _refused(
    question: str, fact: _Fact, span: EvidenceSpan, embedder: Embedder, kept: list[NDArray[np.float32]]
) -> str:
    """Return which guard `question` does not pass, empty if it passes all."""
    evidence = fact.context[span.start - fact.begins : span.end - fact.begins]
    others = [
        fact.context[start - fact.begins : end - fact.begins]
        for start, end in fact.sentences
        if end <= span.start or start >= span.end
    ]
    return unfit(question, evidence) or _unlike(question, evidence, others, embedder, kept)


def unfit(question: str, evidence: str) -> str:
    """Return why `question` cannot stand, from its text alone; empty if it can.

    >>> unfit("Who built it?", "It was built by Ann."), unfit("What does the text say?", "It was built by Ann.")
    ('', 'speaks of the text')
    """
    if not question.rstrip().endswith(("?", "？")) or len(question.split()) > 40:
        return "is no short question"
    if question.count("?") + question.count("？") > 1:
        return "is more than one question"
    if _SPEAKS_OF_TEXT.search(question):
        return "speaks of the text"
    asked, told = _words(question), _words(evidence)
    runs = {tuple(told[at : at + LONGEST_COPY]) for at in range(len(told) - LONGEST_COPY + 1)}
    if any(tuple(asked[at : at + LONGEST_COPY]) in runs for at in range(len(asked) - LONGEST_COPY + 1)):
        return "copies its evidence"
    return ""


def shared(question: str, evidence: str) -> float:
    """Return the share of the question's words that the evidence holds.

    >>> shared("Who built the tower?", "The tower was built by Ann.")
    0.75
    """
    asked, told = _words(question), set(_words(evidence))
    return sum(word in told for word in asked) / max(len(asked), 1)


def _unlike(
    question: str, evidence: str, others: Sequence[str], embedder: Embedder, kept: list[NDArray[np.float32]]
) -> str:
    """Return why `question` does not belong to its evidence or was asked before; remember it if it passes."""
    vector = embedder.embed_queries([question])[0]
    sentences = embedder.embed_queries([evidence, *others]) @ vector
    if sentences[0] < LEAST_SIMILAR:
        return "is not about its evidence"
    if len(sentences) > 1 and sentences[1:].max() >= sentences[0]:
        return "is answered elsewhere in the passage"
    if kept and float(np.max(np.stack(kept) @ vector)) > MOST_ALIKE:
        return "was asked before"
    kept.append(vector)
    return ""


def _facts(documents: Mapping[str, Document], seed: int) -> Iterator[_Fact]:
    """Yield sentences in an order drawn by the seed, one after the other from different documents."""
    waiting = sorted(documents, key=lambda doc_id: content_hash("document", seed=seed, doc_id=doc_id))
    drawn: dict[str, tuple[list[tuple[int, int]], list[int]]] = {}
    for turn in count_from(0):
        waiting = [doc_id for doc_id in waiting if turn == 0 or turn < len(drawn[doc_id][1])]
        if not waiting:
            return
        for doc_id in waiting:
            if doc_id not in drawn:
                drawn[doc_id] = _drawn(doc_id, documents[doc_id].text, seed)
            spans, places = drawn[doc_id]
            if turn < len(places):
                yield _fact(doc_id, documents[doc_id].text, spans, places[turn])


def _drawn(doc_id: str, text: str, seed: int) -> tuple[list[tuple[int, int]], list[int]]:
    """Return the sentences of a document, and which of them are neither short nor long, in the order of their lots."""
    spans = split_sentences(text)
    places = [place for place, (a, b) in enumerate(spans) if _FEWEST_CHARACTERS <= b - a <= _MOST_CHARACTERS]
    return spans, sorted(places, key=lambda place: content_hash("fact", seed=seed, doc_id=doc_id, place=place))


def _fact(doc_id: str, text: str, spans: Sequence[tuple[int, int]], place: int) -> _Fact:
    around = spans[max(0, place - _CONTEXT) : place + _CONTEXT + 1]
    start, end = spans[place]
    begins = around[0][0]
    return _Fact(doc_id, start, end, text[start:end], tuple(around), text[begins : around[-1][1]], begins)


def _words(text: str) -> list[str]:
    return re.findall(r"\w+", text.casefold())
