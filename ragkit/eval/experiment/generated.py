"""Questions made from the documents by a language model, each about one sentence that is chosen beforehand.

The evidence is that sentence, so it is verbatim by construction, and small models need not copy. Guards, after the
Chroma report on chunking (2024) and against what makes generated questions easier than real ones:

- the question must be one question, and must not speak of "the text" or "the passage";
- it must not repeat a long run of the sentence's words;
- its cosine with the evidence must be at least 0.36, and higher than with every other sentence of the passage, so that
  the evidence is what answers it;
- its cosine with no kept question may exceed 0.78.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count as count_from

import numpy as np
from numpy.typing import NDArray

from ragkit.budget import Meter
from ragkit.chunkers.sentences import split_sentences
from ragkit.errors import BudgetExceededError
from ragkit.eval.experiment.store import Store, key
from ragkit.eval.types import EvidenceSpan, Query
from ragkit.identity import content_hash
from ragkit.protocols import Embedder, LanguageModel, Segment
from ragkit.schema import Document

LEAST_SIMILAR = 0.36
MOST_ALIKE = 0.78
LONGEST_COPY = 6
"""Words in a row that a question may share with its evidence."""
_PROMPT_VERSION = 1
_MAX_TOKENS = 48
_CONTEXT = 2
"""Sentences around the chosen one that the model sees, on each side."""
_FEWEST_CHARACTERS, _MOST_CHARACTERS = 40, 400
_SPEAKS_OF_TEXT = re.compile(r"\b(passage|text|sentence|article|paragraph|excerpt|document|author|above)\b", re.I)

_PROMPT = """\
Write one short question that the FACT answers. Ask for a single thing. Use other words than the FACT where you can.
The question must make sense to someone who has not seen the FACT. Reply with the question only.

CONTEXT: {context}

FACT: {fact}

Question:"""


@dataclass(slots=True)
class Generated:
    """The questions that passed, how many were asked for, and why the others fell.

    `overlap` is the mean share of a question's words that its evidence holds too: the higher, the more the questions
    favour lexical search over what real questions will.
    """

    queries: list[Query] = field(default_factory=list)
    tried: int = 0
    rejected: dict[str, int] = field(default_factory=dict)
    overlap: float = 0.0


@dataclass(frozen=True, slots=True)
class _Fact:
    """The sentence a question is to be about, and the passage around it."""

    doc_id: str
    start: int
    end: int
    text: str
    others: tuple[str, ...]
    context: str


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
    for fact in _facts(documents, seed):
        if len(made.queries) == count or made.tried == 4 * count:
            break
        try:
            question = _asked(fact, model, store, meter)
        except BudgetExceededError:
            break
        made.tried += 1
        reason = unfit(question, fact.text) or _unlike(question, fact, embedder, kept)
        if reason:
            made.rejected[reason] = made.rejected.get(reason, 0) + 1
            continue
        span = EvidenceSpan(fact.doc_id, fact.start, fact.end)
        made.queries.append(Query(f"g{len(made.queries) + 1}", question, (fact.text,), (span,)))
        words.append(shared(question, fact.text))
        advance(1)
    made.overlap = float(np.mean(words)) if words else 0.0
    return made


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


def _unlike(question: str, fact: _Fact, embedder: Embedder, kept: list[NDArray[np.float32]]) -> str:
    """Return why `question` does not belong to its evidence or was asked before; remember it if it passes."""
    vector = embedder.embed_queries([question])[0]
    sentences = embedder.embed_queries([fact.text, *fact.others]) @ vector
    if sentences[0] < LEAST_SIMILAR:
        return "is not about its evidence"
    if len(sentences) > 1 and sentences[1:].max() >= sentences[0]:
        return "is answered elsewhere in the passage"
    if kept and float(np.max(np.stack(kept) @ vector)) > MOST_ALIKE:
        return "was asked before"
    kept.append(vector)
    return ""


def _asked(fact: _Fact, model: LanguageModel, store: Store, meter: Meter | None) -> str:
    """Return the model's question about `fact`, from the store if it was asked before."""
    prompt = _PROMPT.format(context=fact.context, fact=fact.text)
    known = key("question", model=model.fingerprint, prompt=prompt, version=_PROMPT_VERSION, tokens=_MAX_TOKENS)
    found = store.get([known]).get(known)
    if found is None:
        found = model.generate([Segment(prompt)], max_tokens=_MAX_TOKENS, meter=meter)
        store.put(known, found)
    return _cleaned(str(found))


def _cleaned(reply: str) -> str:
    """Return the question in a reply: its last line that asks something, without a leading label."""
    asked = [line.strip() for line in reply.splitlines() if line.strip().endswith(("?", "？"))]
    line = asked[-1] if asked else reply.strip()
    return re.sub(r"^(\W*question\W*:|[-*\d.]+\s)\s*", "", line, flags=re.I).strip(' "')


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
    others = tuple(text[a:b] for a, b in around if (a, b) != (start, end))
    return _Fact(doc_id, start, end, text[start:end], others, text[around[0][0] : around[-1][1]])


def _words(text: str) -> list[str]:
    return re.findall(r"\w+", text.casefold())
