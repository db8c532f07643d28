"""Questions of one data set that another one holds out: sets often share their texts, and some their questions."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from ragkit.eval.types import EvalSet, Query

Part = tuple[EvalSet, Sequence[Query]]
"""A data set and some of its questions."""


def repeated(learn: Part, held_out: Iterable[Part]) -> set[str]:
    """Return the ids of the questions of `learn` that `held_out` parts of other sets ask, or have the evidence of.

    The same question is the same words but for case and spaces, the same evidence a document of the same text.
    """
    asked: set[str] = set()
    known: set[str] = set()
    for evalset, queries in held_out:
        asked |= {_words(query) for query in queries}
        known |= {text for query in queries for text in _texts(evalset, query)}
    evalset, queries = learn
    return {
        query.query_id for query in queries if _words(query) in asked or not known.isdisjoint(_texts(evalset, query))
    }


def repeated_in_each(parts: Sequence[tuple[EvalSet, Sequence[Query], Sequence[Query]]]) -> list[set[str]]:
    """Return for each set, with the questions to learn from and those held out, what is not to be learnt from."""
    return [
        repeated((evalset, learn), [(other, held) for at, (other, _, held) in enumerate(parts) if at != place])
        for place, (evalset, learn, _) in enumerate(parts)
    ]


def said(count: int) -> str:
    """Return what a reader of the figures should know of `count` such questions."""
    return f"{count} questions are not learnt from: another set holds them or their documents out"


def _words(query: Query) -> str:
    return " ".join(query.question.casefold().split())


def _texts(evalset: EvalSet, query: Query) -> set[str]:
    return {evalset.documents[span.doc_id].text_hash for span in query.evidence}
