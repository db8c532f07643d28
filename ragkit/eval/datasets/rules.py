"""What follows from a record's own fields: the document a question is asked of, and whether it can be answered."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ragkit.eval.types import EvidenceSpan

_OF_ONE_CONVERSATION = "turns"

_SAYS_UNANSWERABLE = frozenset(
    {"notmentioned", "notenoughinfo", "insufficientinformation", "unanswerable", "noanswer", "cannotbeanswered"}
)
"""Gold answers that say that the text does not tell, without case, spaces and punctuation: ContractNLI's NotMentioned,
SciFact's NOT_ENOUGH_INFO, MultiHop-RAG's "Insufficient information."."""


def scope_of(meta: Mapping[str, Any], level: str, evidence: Sequence[EvidenceSpan]) -> str | None:
    """Return the one document that a question is asked of, None if it is asked of the whole corpus.

    It is `meta.doc_id` where given. Evidence that consists of speaker turns (level "turns") belongs to a question about
    one conversation, which makes no sense for another one: the scope is then the document of the evidence.
    """
    given = meta.get("doc_id")
    if isinstance(given, str) and given:
        return given
    documents = {span.doc_id for span in evidence}
    return documents.pop() if level == _OF_ONE_CONVERSATION and len(documents) == 1 else None


def answerable_by(meta: Mapping[str, Any], answers: Sequence[str], evidence: Sequence[EvidenceSpan]) -> bool:
    """Return `meta.answerable` where given; else False for a question without evidence whose answers all say so."""
    given = meta.get("answerable")
    if isinstance(given, bool):
        return given
    return bool(evidence) or not answers or not all(says_unanswerable(answer) for answer in answers)


def says_unanswerable(answer: str) -> bool:
    """Return whether a gold answer says that the text does not tell.

    >>> says_unanswerable("Insufficient information."), says_unanswerable("no")
    (True, False)
    """
    return "".join(filter(str.isalnum, answer.casefold())) in _SAYS_UNANSWERABLE
