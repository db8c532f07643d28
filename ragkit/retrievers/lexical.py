"""Lexical retrieval: BM25 over the words of chunks (Robertson and Zaragoza 2009)."""

from __future__ import annotations

from ragkit.index.snapshot import Snapshot
from ragkit.protocols import Rows
from ragkit.retrievers.ranking import hits
from ragkit.retrievers.scan import nothing
from ragkit.retrievers.store import Found
from ragkit.schema import Hit


class LexicalRetriever:
    """Finds chunks that share words with the question; any text is a question, there is no query syntax."""

    name = "lexical"

    def __init__(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot

    def search(self, query: str, k: int, where: str | None = None) -> list[Hit]:
        """Return at most `k` hits (see `Retriever.search`); raise FilterError where `where` does not parse."""
        rows = None if where is None else self._snapshot.rows_where(where)
        return hits(self._snapshot, self.candidates(query, k, rows), k)

    def candidates(self, query: str, k: int, rows: Rows | None = None) -> Found:
        """Return the rows of the `k` best chunks among `rows`, and of those that tie with the last."""
        postings = self._snapshot.postings
        return nothing() if postings is None else postings.search(query, k, rows)
