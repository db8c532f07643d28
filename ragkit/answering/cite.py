"""Put citations into an answer: markers after the sentences that a span supports, in the order of first use."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

from ragkit.answering.align import Aligner
from ragkit.answering.closest import cited
from ragkit.answering.text import sentences, words
from ragkit.schema import Citation, Hit

_MARKER = re.compile(r"(?:[ \t]+|(?<=[.!?,;:])|^)\[(\d{1,3}(?:\s*[,;]\s*\d{1,3})*)\]")

_LIST_MARK = re.compile(r"\s*\d{1,2}[.)]\s*")
"""The number of a list item, which a sentence splitter takes for a sentence; nothing can support it."""


class Cited(NamedTuple):
    """An answer with markers, its citations, and what is not supported.

    `agreed` and `disagreed` count the model's own markers that named, or did not name, the source that was found.
    """

    text: str
    citations: tuple[Citation, ...]
    unsupported: tuple[str, ...]
    agreed: int
    disagreed: int


def cite(reply: str, question: str, hits: Sequence[Hit]) -> Cited:
    """Return `reply` with the model's own markers taken out and ours put in.

    Each sentence that a span of `hits` supports gets the marker of that span; equal spans share one. Sentences without
    content words ("Yes.") get none and are not called unsupported.
    """
    aligner = Aligner(question, hits)
    text, marks = _without_markers(reply, len(hits))
    citations: dict[tuple[str, int, int], Citation] = {}
    unsupported: list[str] = []
    agreed = disagreed = done = 0
    out: list[str] = []
    for start, end in sentences(text):
        sentence = text[start:end]
        out += [text[done:start], sentence]
        if _LIST_MARK.fullmatch(sentence):
            done = end
            continue
        support = aligner.support(sentence)
        if support is not None:
            citation = cited(support.hit, support.start, support.end, len(citations) + 1)
            citation = citations.setdefault((citation.doc_id, citation.start, citation.end), citation)
            out.append(f" [{citation.marker}]")
        elif words(sentence):
            unsupported.append(sentence)
        own = {number for place, numbers in marks for number in numbers if done < place <= end or place == start == 0}
        if own:
            right = support is not None and hits.index(support.hit) + 1 in own
            agreed, disagreed = agreed + right, disagreed + (not right)
        done = end
    out.append(text[done:])
    return Cited("".join(out).strip(), tuple(citations.values()), tuple(unsupported), agreed, disagreed)


def without_markers(reply: str, sources: int) -> str:
    """Return `reply` without the markers that name one of so many sources.

    >>> without_markers("In 1932 [2]. It is green.[1]", 2)
    'In 1932. It is green.'
    """
    return _without_markers(reply, sources)[0].strip()


def _without_markers(reply: str, sources: int) -> tuple[str, list[tuple[int, set[int]]]]:
    """Return `reply` without the markers that name sources, and where each stood in what remains.

    Other numbers in brackets, such as an index in code, are left alone.
    """
    kept: list[str] = []
    marks: list[tuple[int, set[int]]] = []
    done = length = 0
    for match in _MARKER.finditer(reply):
        numbers = {int(number) for number in re.findall(r"\d+", match.group(1))}
        if not all(1 <= number <= sources for number in numbers):
            continue
        kept.append(reply[done : match.start()])
        length += len(kept[-1])
        marks.append((length, numbers))
        done = match.end()
    kept.append(reply[done:])
    return "".join(kept), marks
