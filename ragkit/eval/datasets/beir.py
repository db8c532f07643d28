"""BEIR folders (Thakur et al. 2021, arXiv:2104.08663): corpus.jsonl, queries.jsonl, qrels/SPLIT.tsv."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
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
    title: str | None = None
    metadata: dict[str, Any] | None = None


class QueryRow(ForeignRow):
    """One line of queries.jsonl."""

    id: str = Field(alias="_id")
    text: str
    metadata: dict[str, Any] | None = None


Record = tuple[str, Any]
"""Where a record is, and its content: JSON bytes or a parsed value."""

Judgement = tuple[str, str, str, float]
"""Where it is, the query, the document, the grade."""


def read(source: str, draft: Draft, *, split: str = "") -> None:
    """Fill `draft` with the corpus and the queries that qrels/`split`.tsv judges.

    A document's text is its title, a blank line and its text, because BEIR's systems search both. A judgement above 0
    is evidence of that grade at the level "document"; 0 and below mean "not relevant". Without `split`: test, else
    dev, else train.
    """
    folder = Path(source)
    qrels = _qrels(folder, split)
    corpus, queries = (lines(_file(folder, name)) for name in ("corpus.jsonl", "queries.jsonl"))
    fill(draft, corpus, queries, _judgements(qrels, draft), qrels=qrels.name, place=str(qrels))


def fill(
    draft: Draft,
    corpus: Iterable[Record],
    queries: Iterable[Record],
    judgements: Iterable[Judgement],
    *,
    qrels: str,
    place: str,
) -> None:
    """Fill `draft` with the records of BEIR's three parts, as `read` describes.

    `qrels` names the judgements and `place` says where they are.
    """
    for where, content in corpus:
        with draft.record(where):
            document = row(CorpusRow, content)
            text = f"{document.title}\n\n{document.text}".strip() if document.title else document.text
            draft.add_document(document.id, text, {"title": document.title or "", **(document.metadata or {})})
    judged = _judged(judgements, draft)
    without: list[str] = []
    for where, content in queries:
        with draft.record(where):
            query = row(QueryRow, content)
            if query.id not in judged:
                without.append(query.id)
                continue
            claims = judged.pop(query.id)
            if not claims:
                raise Flaw("no relevant document", f"query {query.id!r} has no judgement above 0 in {qrels}")
            meta = query.metadata or {}
            draft.add_query(query.id, query.text, evidence=list(claims.values()), level="document", meta=meta)
    if without:
        draft.drop(f"query without judgements in {qrels}", repr(without[0]), len(without))
    for query_id in judged:
        with draft.record(place):
            raise Flaw("judged query is unknown", f"it judges query {query_id!r}, which is not among the queries")


def _judged(judgements: Iterable[Judgement], draft: Draft) -> dict[str, dict[str, Claim]]:
    """Return the relevant documents of each judged query.

    A judgement of an unknown or empty document is flawed by itself: the query keeps its others, as in BEIR's own runs.
    """
    judged: dict[str, dict[str, Claim]] = {}
    for place, query_id, doc_id, grade in judgements:
        with draft.record(place):
            claims = judged.setdefault(query_id, {})
            if grade <= 0:
                continue
            document = draft.documents.get(doc_id)
            if document is None:
                raise Flaw("unknown document", f"it judges document {doc_id!r}, which is not in the corpus")
            if not document.text.strip():
                raise Flaw("empty document", f"it judges document {doc_id!r}, which has no text")
            if doc_id in claims:
                raise Flaw("duplicate judgement", f"it judges query {query_id!r} and document {doc_id!r} again")
            claims[doc_id] = Claim(doc_id, 0, len(document.text), None, grade)
    return judged


def _judgements(qrels: Path, draft: Draft) -> Iterator[Judgement]:
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
