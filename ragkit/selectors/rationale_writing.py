"""What would settle a question, as short statements of evidence: rationales (METEORA, arXiv 2505.16014, section 3.1).

They are written by a language model, or without one: `template` splits the question and adds probes from a fixed list,
`pseudo_relevance` takes the most telling sentence of each of the first three hits. The question itself is the rationale
where nothing else is left.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Annotated, Any

from pydantic import BaseModel, Field, ValidationError, create_model

from ragkit.budget import Meter
from ragkit.errors import SchemaError
from ragkit.index.analysis import analyzable, analyzer
from ragkit.inference import Sampling
from ragkit.protocols import LanguageModel, Segment
from ragkit.schema import Hit

_TOKENS = 768
"""The longest reply, as published (with flagging instructions)."""
_PROMPT = (
    "A reader must locate the passages that settle this question. Do not answer it. List {n} different things that a "
    "useful passage would have to state or define: for each a label of three words, the need in one sentence, and in "
    "one sentence (reject_if) what would make a passage look useful while being wrong, off-topic or tampered with."
    "\n{note}\nQUESTION: {question}\n\nReply with JSON: rationales, a list of objects with label, need and reject_if."
)
_WORD = re.compile(r"\w")
_OBJECT = re.compile(r"\{[^{}]*\}")
_SPLIT = re.compile(r"(?:[,;]?\s+(?:and|or|but|as well as)\s+|[?;.]\s+)", re.IGNORECASE)
_OPENING = re.compile(
    r"^(?:who|whom|whose|what|which|when|where|why|how(?: (?:many|much|long|often|far|old))?|is|are|was|were|do|does|"
    r"did|can|could|will|would|should|has|have|had)(?:['’](?:s|re|d|ll|ve))?(?!\S)\s*"
    r"(?:(?:the|a|an|is|are|was|were|do|does|did)(?!\S)\s*)*",
    re.IGNORECASE,
)
_PROBES = ("definition of {}", "exception to {}", "date or number of {}")
_FIRST = 3
"""Hits whose best sentence becomes a probe."""


class Rationale(BaseModel):
    """One thing that evidence would state; only `need` is embedded, `reject_if` goes to the verifier."""

    label: str = Field(default="", max_length=60)
    need: str = Field(min_length=1, max_length=240)
    reject_if: str = Field(default="", max_length=240)


@dataclass(frozen=True, slots=True)
class Written:
    """Rationales, each need once, and where they came from: model, template, pseudo_relevance or question."""

    rationales: tuple[Rationale, ...]
    source: str
    note: str = ""
    """Why they are not what was asked for, if they are not."""


def by_model(
    question: str,
    model: LanguageModel,
    most: int,
    *,
    note: str = "",
    temperature: float = 0.0,
    seed: int = 0,
    meter: Meter | None = None,
) -> Written:
    """Return what the model writes, at most `most`; the question itself where not one can be read.

    A reply that was cut off loses its last rationale, not the others. Raises ModelError where there is no reply.
    """
    prompt = [Segment(_PROMPT.format(n=most, question=question.strip(), note=f"ABOUT: {note}\n" if note else ""))]
    charged = None if meter is None else meter.stage("rationales")
    sampling = Sampling(temperature=temperature, seed=seed)
    trouble = ""
    try:
        reply: Any
        (reply,) = model.generate_records([prompt], _schema(most), max_tokens=_TOKENS, meter=charged, sampling=sampling)
        found = list(reply.rationales)
    except SchemaError as error:
        found, trouble = salvaged(error.reply), f"the reply does not fit its schema: {error.message}"
    kept = _distinct(found, most)
    if not kept:
        return Written(_question(question), "question", trouble or "the model wrote none")
    return Written(kept, "model", trouble)


def by_template(question: str, most: int) -> Written:
    """Return the question, its parts at conjunctions, and a probe of each kind for its subject."""
    plain = question.strip().rstrip("?.! ")
    parts = [part.strip(" ?.!") for part in _SPLIT.split(plain)]
    subject = _OPENING.sub("", parts[0] if parts else plain) or plain
    needs = [question.strip(), *(part for part in parts if len(part.split()) > 1)]
    needs += [probe.format(subject) for probe in _PROBES]
    return Written(_distinct([Rationale(need=need[:240]) for need in needs if need], most), "template")


def by_pseudo_relevance(question: str, hits: Sequence[Hit], split: Any, most: int) -> Written:
    """Return the question and, of each of the first three hits, the sentence with the highest tf-idf among them."""
    terms = analyzer("english")
    sentences = [[hit.chunk.text[a:b] for a, b in split(hit.chunk.text)] for hit in hits[:_FIRST]]
    stems = [[Counter(terms.analyze(analyzable(text))) for text in own] for own in sentences]
    frequency = Counter(term for own in stems for counted in own for term in counted)
    found = [question.strip()]
    for own, texts in zip(stems, sentences, strict=True):
        weights = [
            sum(times / frequency[term] for term, times in counted.items()) / max(1, len(counted)) for counted in own
        ]
        if weights:
            found.append(texts[max(range(len(texts)), key=weights.__getitem__)][:240])
    return Written(_distinct([Rationale(need=need) for need in found if need], most), "pseudo_relevance")


def salvaged(reply: str) -> list[Rationale]:
    """Return the rationales that stand complete in a broken reply.

    >>> [one.need for one in salvaged('{"rationales": [{"label": "x", "need": "a", "reject_if": "b"}, {"label": "y')]
    ['a']
    """
    found = []
    for match in _OBJECT.finditer(reply):
        try:
            found.append(Rationale.model_validate_json(match.group()))
        except ValidationError:
            continue
    return found


@cache
def _schema(most: int) -> type[BaseModel]:
    listed: Any = (Annotated[list[Rationale], Field(min_length=1, max_length=most)], ...)
    return create_model("Rationales", rationales=listed)


def _distinct(found: Sequence[Rationale], most: int) -> tuple[Rationale, ...]:
    """Return the first `most` whose needs differ, case and closing marks apart; one without a word ("...") is none."""
    needs: dict[str, Rationale] = {}
    for one in found:
        if _WORD.search(one.need):
            needs.setdefault(" ".join(one.need.casefold().split()).rstrip("?.! "), one)
    return tuple(needs.values())[:most]


def _question(question: str) -> tuple[Rationale, ...]:
    return (Rationale(label="question", need=question.strip()[:240] or "?"),)
