"""LongBench JSONL (Bai et al. 2023, arXiv:2308.14508): one file per task, or a folder of such files."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from ragkit.errors import LoadError
from ragkit.eval.datasets.draft import Claim, Draft
from ragkit.eval.datasets.reading import ForeignRow, lines, row
from ragkit.identity import content_hash


class LongBenchRow(ForeignRow):
    """One question with its whole context in one text."""

    input: str
    context: str
    answers: list[str]
    id: str = Field(default="", alias="_id")
    dataset: str = ""
    language: str = ""
    all_classes: list[str] | None = None


def read(source: str, draft: Draft) -> None:
    """Fill `draft`: a document is a context, which is a question's scope and, as a whole, its evidence.

    Nothing finer is annotated, so the level is "document": of use for answers, not for span recall. Tasks without a
    question (summaries, code completion) have none to retrieve for: their records are flawed.
    """
    path = Path(source)
    files = sorted(path.glob("*.jsonl")) if path.is_dir() else [path]
    if not files:
        raise LoadError(f"{path}: it holds no *.jsonl file.", hint="Give LongBench's folder 'data', or a file of it.")
    for file in files:
        for place, line in lines(file):
            with draft.record(place):
                record = row(LongBenchRow, line)
                add_record(draft, record, record.dataset or file.stem)


def add_record(draft: Draft, record: LongBenchRow, task: str) -> None:
    """Add one question, and its context unless an earlier question brought it."""
    doc_id = f"{task}_{content_hash('context', text=record.context)}"
    if doc_id not in draft.documents:
        draft.add_document(doc_id, record.context, {"task": task, "language": record.language})
    draft.add_query(
        record.id or content_hash("question", task=task, context=doc_id, question=record.input),
        record.input,
        answers=record.answers,
        evidence=[Claim(doc_id, 0, len(record.context))],
        level="document",
        scope=doc_id,
        meta={"task": task, "language": record.language, "all_classes": record.all_classes},
    )
