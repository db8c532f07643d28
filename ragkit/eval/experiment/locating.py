"""Where an excerpt stands in documents: to the letter, or with other white space; never by resemblance."""

from __future__ import annotations

import re
from collections.abc import Mapping

from ragkit.eval.types import EvidenceSpan
from ragkit.schema import Document


def places(text: str, excerpt: str) -> list[tuple[int, int]]:
    """Return all spans of `text` that are `excerpt`; only if there is none, those that differ in white space alone.

    >>> places("to be, or  not to be", "or not"), places("a b a b", "a b")
    ([(7, 14)], [(0, 3), (4, 7)])
    """
    words = excerpt.split()
    if not words:
        return []
    exact = re.escape(excerpt.strip())
    loose = r"\s+".join(map(re.escape, words))
    for pattern in (exact, loose):
        found = [match.span() for match in re.finditer(pattern, text)]
        if found:
            return found
    return []


def evidence_places(documents: Mapping[str, Document], excerpt: str, source: str = "") -> list[EvidenceSpan]:
    """Return where `excerpt` stands in the documents whose source ends with `source`."""
    return [
        EvidenceSpan(doc_id, start, end)
        for doc_id, document in documents.items()
        if not source or document.source.endswith(source)
        for start, end in places(document.text, excerpt)
    ]
