"""HotpotQA JSON, distractor setting (Yang et al. 2018, arXiv:1809.09600)."""

from __future__ import annotations

from ragkit.eval.datasets.draft import Draft
from ragkit.eval.datasets.reading import row
from ragkit.eval.datasets.supporting_facts import MultiHopRow, add_question, records


class HotpotRow(MultiHopRow):
    """One question."""

    level: str = ""


def read(source: str, draft: Draft) -> None:
    """Fill `draft`: all paragraphs pooled into one corpus, evidence the supporting sentences."""
    for place, item in records(source):
        with draft.record(place):
            record = row(HotpotRow, item)
            add_question(draft, record, {"difficulty": record.level})
