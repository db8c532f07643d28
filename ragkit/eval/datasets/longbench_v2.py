"""LongBench v2 JSON (Bai et al. 2024, arXiv:2412.15204): multiple choice over one long context."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from ragkit.eval.datasets.draft import Claim, Draft
from ragkit.eval.datasets.reading import ForeignRow, expect, json_file, lines, opened, row
from ragkit.identity import content_hash

LABELS = "ABCD"


class LongBenchV2Row(ForeignRow):
    """One question with its context and four options."""

    id: str = Field(default="", alias="_id")
    question: str
    context: str
    choice_A: str  # noqa: N815 - the format's own name
    choice_B: str  # noqa: N815 - the format's own name
    choice_C: str  # noqa: N815 - the format's own name
    choice_D: str  # noqa: N815 - the format's own name
    answer: Literal["A", "B", "C", "D"]
    domain: str = ""
    sub_domain: str = ""
    difficulty: str = ""
    length: str = ""


def read(source: str, draft: Draft) -> None:
    """Fill `draft` from a list of records (data.json) or a record a line: documents and scopes as for LongBench.

    The answer is the text of the right option; `meta.options` holds all four, `meta.gold_option` its place from 0 and
    `meta.gold_label` its letter, which is what `choice_accuracy` compares.
    """
    for place, content in _records(Path(source)):
        with draft.record(place):
            add_record(draft, row(LongBenchV2Row, content))


def add_record(draft: Draft, record: LongBenchV2Row) -> None:
    """Add one question, and its context unless an earlier question brought it."""
    doc_id = f"{record.domain or 'context'}_{content_hash('context', text=record.context)}"
    about = {"task": record.domain, "sub_domain": record.sub_domain, "length": record.length}
    if doc_id not in draft.documents:
        draft.add_document(doc_id, record.context, about)
    options = [record.choice_A, record.choice_B, record.choice_C, record.choice_D]
    gold = LABELS.index(record.answer)
    draft.add_query(
        record.id or content_hash("question", context=doc_id, question=record.question, options=options),
        record.question,
        answers=[options[gold]],
        evidence=[Claim(doc_id, 0, len(record.context))],
        level="document",
        scope=doc_id,
        meta={
            **about,
            "difficulty": record.difficulty,
            "options": options,
            "gold_option": gold,
            "gold_label": record.answer,
        },
    )


def _records(path: Path) -> Iterable[tuple[str, Any]]:
    with opened(path) as file:
        is_list = file.read(4096).lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"[")
    if not is_list:
        return lines(path)
    content = expect(json_file(path), list, str(path), "a list of records")
    return [(f"{path}: [{number}]", item) for number, item in enumerate(content)]
