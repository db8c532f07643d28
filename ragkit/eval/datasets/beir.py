"""BEIR folders (Thakur et al. 2021, arXiv:2104.08663): corpus.jsonl, queries.jsonl, qrels/SPLIT.tsv."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import Field

from ragkit.errors import ConfigError, LoadError
from ragkit.eval.datasets.draft import Claim, Draft, Flaw
from ragkit.eval.datasets.reading import ForeignRow, lines, row
from ragkit.plugins import suggestion

_PREFERRED = ("test", "dev", "train")


class CorpusRow(ForeignRow):
    """One line of corpus.jsonl."""

    id: str = Field(alias="_id")
    text: str
    title: str = ""
    metadata: dict[str, Any] = Field(default_factory=dict)


class QueryRow(ForeignRow):
    """One line of queries.jsonl."""

    id: str = Field(alias="_id")
    text: str
    metadata: dict[str, Any] = Field(default_factory=dict)


def read(source: str, draft: Draft, *, split: str = "") -> None:
    """Fill `draft` with the corpus and the queries that qrels/`split`.tsv judges.

    A document's text is its title, a blank line and its text, because BEIR's systems search both. A judgement above 0
    is evidence of that grade at the level "document"; 0 and below mean "not relevant". Without `split`: test, else
    dev, else train.
    """
    folder = Path(source)
    for place, line in lines(_file(folder, "corpus.jsonl")):
        with draft.record(place):
            document = row(CorpusRow, line)
            text = f"{document.title}\n\n{document.text}".strip() if document.title else document.text
            draft.add_document(document.id, text, {"title": document.title, **document.metadata})
    qrels = _qrels(folder, split)
    judged = _judged(qrels, draft)
    without: list[str] = []
    for place, line in lines(_file(folder, "queries.jsonl")):
        with draft.record(place):
            query = row(QueryRow, line)
            if query.id not in judged:
                without.append(query.id)
                continue
            claims = judged.pop(query.id)
            if not claims:
                raise Flaw("no relevant document", f"query {query.id!r} has no judgement above 0 in {qrels.name}")
            draft.add_query(query.id, query.text, evidence=list(claims.values()), level="document", meta=query.metadata)
    if without:
        draft.drop(f"query without judgements in {qrels.name}", repr(without[0]), len(without))
    for query_id in judged:
        with draft.record(str(qrels)):
            raise Flaw("judged query is unknown", f"it judges query {query_id!r}, which is not in queries.jsonl")


def _judged(qrels: Path, draft: Draft) -> dict[str, dict[str, Claim]]:
    """Return the relevant documents of each judged query.

    A judgement of an unknown or empty document is flawed by itself: the query keeps its others, as in BEIR's own runs.
    """
    judged: dict[str, dict[str, Claim]] = {}
    for place, query_id, doc_id, grade in _judgements(qrels, draft):
        with draft.record(place):
            claims = judged.setdefault(query_id, {})
            if grade <= 0:
                continue
            document = draft.documents.get(doc_id)
            if document is None:
                raise Flaw("unknown document", f"it judges document {doc_id!r}, which is not in corpus.jsonl")
            if not document.text.strip():
                raise Flaw("empty document", f"it judges document {doc_id!r}, which has no text")
            if doc_id in claims:
                raise Flaw("duplicate judgement", f"it judges query {query_id!r} and document {doc_id!r} again")
            claims[doc_id] = Claim(doc_id, 0, len(document.text), None, grade)
    return judged


def _judgements(qrels: Path, draft: Draft) -> Iterator[tuple[str, str, str, float]]:
    for place, line in lines(qrels):
        fields = line.decode("utf-8", errors="replace").rstrip("\r\n").split("\t")
        if fields[:2] == ["query-id", "corpus-id"]:
            continue
        with draft.record(place):
            if len(fields) != 3:
                raise Flaw("malformed record", f"found {len(fields)} fields; expected query, document and score")
            try:
                grade = float(fields[2])
            except ValueError:
                raise Flaw("malformed record", f"the score is {fields[2]!r}; expected a number") from None
            yield place, fields[0], fields[1], grade


def _qrels(folder: Path, split: str) -> Path:
    splits = sorted(path.stem for path in (folder / "qrels").glob("*.tsv"))
    if not splits:
        raise LoadError(f"{folder}: there is no qrels/*.tsv; expected judgements.", hint="Give a BEIR folder.")
    if split and split not in splits:
        raise ConfigError(
            f"{folder} has no judgements for the split {split!r}.",
            hint=f"{suggestion(split, splits)} Available: {', '.join(splits)}.".lstrip(),
        )
    chosen = split or next((name for name in _PREFERRED if name in splits), splits[0])
    return folder / "qrels" / f"{chosen}.tsv"


def _file(folder: Path, name: str) -> Path:
    packed = folder / f"{name}.gz"
    return packed if packed.is_file() else folder / name
