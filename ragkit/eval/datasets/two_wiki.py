"""2WikiMultihopQA JSON (Ho et al. 2020, arXiv:2011.01060)."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from ragkit.eval.datasets.draft import Draft
from ragkit.eval.datasets.reading import row
from ragkit.eval.datasets.supporting_facts import MultiHopRow, add_question, records


class TwoWikiRow(MultiHopRow):
    """One question; `evidences` are the (subject, relation, object) triples of its reasoning."""

    evidences: list[Any] = Field(default_factory=list)


def read(source: str, draft: Draft) -> None:
    """Fill `draft`: all paragraphs pooled into one corpus, evidence the supporting sentences."""
    for place, item in records(source):
        with draft.record(place):
            record = row(TwoWikiRow, item)
            add_question(draft, record, {"triples": record.evidences})
