"""MultiHop-RAG (Tang and Yang 2024, arXiv:2401.15391): corpus.json and the queries beside it."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from pydantic import Field

from ragkit.errors import LoadError
from ragkit.eval.datasets.draft import Claim, Draft, Flaw
from ragkit.eval.datasets.reading import ForeignRow, expect, json_file, row
from ragkit.eval.datasets.verify import clipped
from ragkit.schema import Document

_NULL_QUERY = "null_query"


class Article(ForeignRow):
    """One article of corpus.json."""

    title: str
    body: str
    url: str = ""
    author: str | None = None
    source: str | None = None
    published_at: str | None = None
    category: str | None = None


class Fact(ForeignRow):
    """One piece of evidence: a sentence of an article."""

    fact: str
    title: str = ""
    url: str = ""


class QueryRow(ForeignRow):
    """One question."""

    query: str
    answer: str
    question_type: str = ""
    evidence_list: list[Fact] = Field(default_factory=list)


def read(source: str, draft: Draft) -> None:
    """Fill `draft` from a folder, or from the queries' file with corpus.json beside it.

    The fact is looked for in the body of its article, with any run of white space standing for any other; a fact that
    is not there verbatim flaws its question. The question's id is its position in the file.
    """
    corpus, queries = _files(Path(source))
    fill(draft, _items(corpus), _items(queries))


def fill(draft: Draft, corpus: Iterable[tuple[str, Any]], queries: Iterable[tuple[str, Any]]) -> None:
    """Fill `draft` with (place, record) of both parts, as `read` describes."""
    by_key: dict[str, Document] = {}
    for place, item in corpus:
        with draft.record(place):
            article = row(Article, item)
            meta = article.model_dump(exclude={"body"}, exclude_none=True)
            document = draft.add_document(article.url or draft.free_id(article.title), article.body, meta)
            by_key.setdefault(article.title, document)
            by_key[article.url] = document
    for number, (place, item) in enumerate(queries):
        with draft.record(place):
            query = row(QueryRow, item)
            unanswerable = query.question_type == _NULL_QUERY
            draft.add_query(
                f"q{number:05d}",
                query.query,
                answers=[query.answer],
                evidence=[] if unanswerable else [_located(by_key, fact) for fact in query.evidence_list],
                level="none" if unanswerable or not query.evidence_list else "sentence",
                answerable=not unanswerable,
                meta={"question_type": query.question_type},
            )


def _located(by_key: dict[str, Document], fact: Fact) -> Claim:
    document = by_key.get(fact.url) or by_key.get(fact.title)
    if document is None:
        raise Flaw("unknown document", f"no article has the url {fact.url!r} or the title {clipped(fact.title)}")
    words = fact.fact.split()
    found = re.search(r"\s+".join(map(re.escape, words)), document.text) if words else None
    if found is None:
        raise Flaw("fact is not in its article", f"the fact {clipped(fact.fact)} is not in {clipped(document.doc_id)}")
    return Claim(document.doc_id, found.start(), found.end())


def _items(path: Path) -> list[tuple[str, Any]]:
    content = expect(json_file(path), list, str(path), "a list of records")
    return [(f"{path}: [{number}]", item) for number, item in enumerate(content)]


def _files(path: Path) -> tuple[Path, Path]:
    """Return the corpus and the queries; in a folder the queries are the other JSON file."""
    folder = path if path.is_dir() else path.parent
    corpus = folder / "corpus.json"
    others = [path] if path.is_file() else sorted(other for other in folder.glob("*.json") if other != corpus)
    if len(others) != 1 or not corpus.is_file() or others == [corpus]:
        found = ", ".join(sorted(other.name for other in folder.glob("*.json"))) or "no JSON file"
        raise LoadError(
            f"{folder}: found {found}; expected corpus.json and one file with queries.",
            hint="Give the queries' file itself where there are several, with corpus.json beside it.",
        )
    return corpus, others[0]
