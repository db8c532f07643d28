"""What the language model is asked (Meta-Chunking, arXiv 2410.12788v3, global information compensation; own wording).

The document comes first and is the same for all chunks of a document, so that a server's prefix cache holds it; the
passage and the question follow. `PROMPTS` is the hash of the wording: it is in every enricher's fingerprint.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from ragkit.identity import content_hash
from ragkit.protocols import Segment


class Fact(Protocol):
    """What a passage lacks: its own words, and what explains them."""

    mention: str
    supplement: str


_DRAFT = (
    "Write at most two sentences about PASSAGE. Sentence one: only facts from DOCUMENT that PASSAGE needs but does not "
    "say (who pronouns refer to, what short forms stand for, background that was cut off). Leave it out if nothing is "
    "needed. Sentence two: the topic of PASSAGE. Plain text, no quotation marks, nothing else."
)
_CONDENSE = "Merge the text above into one sentence without losing names, numbers or negations. Reply with it only."
_SUMMARISE = (
    "Write one sentence: the topic of PASSAGE, with the facts from DOCUMENT that PASSAGE needs but does not say. "
    "Plain text, nothing else."
)
_REFLECT = (
    "List what someone who sees only PASSAGE cannot understand although DOCUMENT explains it. For each item give "
    "mention (exact words of PASSAGE), kind (reference, term or background), supplement (a short fact) and evidence "
    '(an exact quote from DOCUMENT). Reply with JSON: {"items": [...]}. Give an empty list if nothing is missing.'
)
_REFINE = (
    "CANDIDATES lists facts that PASSAGE may lack. Keep a candidate only if PASSAGE needs it and its evidence supports "
    'it. Reply with JSON: {"keep": [numbers of the candidates to keep]}.'
)
_COMPLETE = (
    "Insert each fact into PASSAGE where its mention first appears. Change nothing else, keep the tone, invent "
    "nothing. Return the passage only."
)
_JUDGE = (
    "Is PASSAGE hard to understand correctly without facts found elsewhere in DOCUMENT? Reply with one word, yes or no."
)
_REWRITE = (
    "Complete PASSAGE with facts from DOCUMENT: resolve references, add background that was cut off, explain terms. "
    "Keep the style and everything that PASSAGE says; leave nothing out and invent nothing. Return the passage only."
)

PROMPTS = content_hash(
    "prompts of enrichers",
    layout=1,
    texts=[_DRAFT, _CONDENSE, _SUMMARISE, _REFLECT, _REFINE, _COMPLETE, _JUDGE, _REWRITE],
)


def draft(document: str, passage: str) -> list[Segment]:
    """Return M2: facts that the passage lacks, and its topic, in at most two sentences."""
    return _about(document, passage, _DRAFT)


def condense(text: str) -> list[Segment]:
    """Return M3: a draft in one sentence."""
    return [Segment(f"{text}\n\n"), Segment(_CONDENSE)]


def summarise(document: str, passage: str) -> list[Segment]:
    """Return M9: the one sentence at once, for a model trained to write it."""
    return _about(document, passage, _SUMMARISE)


def reflect(document: str, passage: str) -> list[Segment]:
    """Return M4: what the passage lacks, as JSON."""
    return _about(document, passage, _REFLECT)


def refine(document: str, passage: str, facts: Sequence[Fact]) -> list[Segment]:
    """Return M5: the numbers of the facts to keep, counted from 1; numbers, so that no fact can be altered."""
    return _about(document, passage, f"CANDIDATES:\n{listed(facts)}\n\n{_REFINE}")


def complete(passage: str, facts: Sequence[Fact]) -> list[Segment]:
    """Return M6: the passage with the facts put in."""
    return [Segment(f"PASSAGE:\n{passage}\n\n"), Segment(f"FACTS:\n{listed(facts)}\n\n{_COMPLETE}")]


def judge(document: str, passage: str) -> list[Segment]:
    """Return M7: whether the passage needs the document, yes or no."""
    return _about(document, passage, _JUDGE)


def rewrite(document: str, passage: str) -> list[Segment]:
    """Return M8: the completed passage at once, for a model trained to write it."""
    return _about(document, passage, _REWRITE)


def listed(facts: Sequence[Fact]) -> str:
    """Return the facts one a line, numbered from 1."""
    return "\n".join(f'{number}. "{fact.mention}": {fact.supplement}' for number, fact in enumerate(facts, 1))


def _about(document: str, passage: str, instruction: str) -> list[Segment]:
    return [Segment(f"DOCUMENT:\n{document}\n\n"), Segment(f"PASSAGE:\n{passage}\n\n"), Segment(instruction)]
