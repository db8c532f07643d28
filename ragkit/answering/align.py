"""Find the span of the sources that supports each sentence of an answer: by words, not by trusting the model.

The support of a sentence by a span of one to `_LONGEST` neighbouring sentences of a source is the weighted share of the
sentence's content words that the span holds. A word's weight is log(1 + n / df) over the n sentences of the selection,
the highest where no source has it. Words of the question, repeated in the sentence or not, count `_QUESTION` times
their weight: they are given, not claimed, but they decide between spans that both hold a short answer and keep a short
answer from matching by chance.

The span is then cut to those of its sentences that hold what is claimed.

A sentence is supported where the best span reaches `THRESHOLD` and, whatever the share,
- every number and every capitalised word (but the first) of the sentence is in the span, or else in the question and
  in the span's chunk ("She was born in 1981" for a question about a person by name);
- the sentence negates nothing where the span has no negation.

Limits, known: it compares words. A sentence that puts the right words into a wrong relation ("A beat B" for "B beat A")
passes; so does one that leaves a negation of the source out. A paraphrase without common words does not pass.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ragkit.answering.text import Sentence, Word, negated, sentences, words
from ragkit.schema import Hit

THRESHOLD = 0.55
"""Least support. See benchmarks/RESULTS.md for precision and recall around it."""
_QUESTION = 0.3
_LONGEST = 3
_PER_SENTENCE = 0.1
"""Support that each further sentence of a span must add, so that the shortest sufficient span wins."""


@dataclass(frozen=True, slots=True)
class Support:
    """A span `[start, end)` of the text of `hit`'s chunk, and how far it supports a sentence, 0 to 1."""

    hit: Hit
    start: int
    end: int
    score: float


@dataclass(frozen=True, slots=True)
class _Span:
    hit: Hit
    start: int
    end: int
    forms: frozenset[str]
    sentences: int


class Aligner:
    """The spans of a selection, ready to be compared with the sentences of an answer."""

    def __init__(self, question: str, hits: Sequence[Hit], threshold: float = THRESHOLD) -> None:
        self._threshold = threshold
        self._question = words(question)
        self._spans: list[_Span] = []
        self._chunk_forms: dict[str, frozenset[str]] = {}
        frequency: Counter[str] = Counter()
        count = 0
        for hit in hits:
            parts = [(part, _forms(words(_slice(hit, part)))) for part in sentences(hit.chunk.text)]
            self._chunk_forms[hit.chunk_id] = frozenset().union(*(forms for _, forms in parts))
            for _, forms in parts:
                frequency.update(forms)
            count += len(parts)
            self._spans.extend(_spans(hit, parts))
        self._frequency = frequency
        self._count = max(1, count)

    def support(self, sentence: str) -> Support | None:
        """Return the best span for `sentence`, None where nothing supports it."""
        claimed = words(sentence)
        if not claimed or not self._spans:
            return None
        asked = {word.form: _QUESTION * self._weight(word.form) for word in self._question}
        own = {word.form: self._weight(word.form) for word in claimed}
        both = own | asked
        widest = max(self._spans, key=lambda span: _share(both, span) - _PER_SENTENCE * span.sentences)
        share = _share(both, widest)
        if share < self._threshold:
            return None
        claims = {form: both[form] for form in own}
        inside = [span for span in self._spans if _within(span, widest) and self._holds(sentence, claimed, span)]
        if not inside:
            return None
        span = max(inside, key=lambda span: (_share(claims, span) - _PER_SENTENCE * span.sentences, _share(both, span)))
        return Support(span.hit, span.start, span.end, share)

    def _weight(self, form: str) -> float:
        return math.log(1 + self._count / (self._frequency.get(form) or 0.5))

    def _holds(self, sentence: str, claimed: Sequence[Word], span: _Span) -> bool:
        """Return whether numbers, names and negation of the sentence agree with the span."""
        asked = {word.form for word in self._question}
        nearby = self._chunk_forms[span.hit.chunk_id]
        for word in claimed:
            exact = word.is_number or word.is_name
            if exact and word.form not in span.forms and not (word.form in asked and word.form in nearby):
                return False
        return not negated(sentence) or negated(span.hit.chunk.text[span.start : span.end])


def _spans(hit: Hit, parts: Sequence[tuple[Sentence, frozenset[str]]]) -> Iterator[_Span]:
    """Yield every run of one to `_LONGEST` sentences."""
    for first in range(len(parts)):
        for last in range(first, min(first + _LONGEST, len(parts))):
            forms = frozenset().union(*(parts[index][1] for index in range(first, last + 1)))
            yield _Span(hit, parts[first][0].start, parts[last][0].end, forms, last - first + 1)


def _within(span: _Span, outer: _Span) -> bool:
    return span.hit is outer.hit and outer.start <= span.start and span.end <= outer.end


def _share(weights: dict[str, float], span: _Span) -> float:
    """Return the part of the weights whose words the span holds, 0 to 1."""
    return sum(weight for form, weight in weights.items() if form in span.forms) / sum(weights.values())


def _slice(hit: Hit, part: Sentence) -> str:
    return hit.chunk.text[part.start : part.end]


def _forms(found: Sequence[Word]) -> frozenset[str]:
    return frozenset(word.form for word in found)
