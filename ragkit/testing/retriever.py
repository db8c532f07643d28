"""`check_retriever`: proof that a retriever keeps its contract, or the first place where it does not."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise

from ragkit.errors import ContractError
from ragkit.protocols import Retriever
from ragkit.schema import Hit

ODD_QUERIES = (
    "",
    " \n\t",
    "\x00",
    "a\x00b",
    "🚣‍♀️ 👩‍👩‍👧‍👦",
    "e\u0301 ﬁ İ ß",
    "搜索引擎是什么？",
    "ภาษาไทยไม่เว้นวรรค",
    'title:"x" AND (y OR -z)~2^3 [a TO *] \\',
    "'; DROP TABLE chunks; --",
    "word " * 10_000,
    "x" * 100_000,
)
"""Questions that break retrievers with a query syntax, a length limit or a plain-ASCII mind."""


def check_retriever(
    retriever: Retriever,
    queries: Sequence[str],
    *,
    filters: Mapping[str, Callable[[Hit], bool]] | None = None,
    size: int | None = None,
    k: int = 10,
) -> None:
    """Return if `retriever` keeps its contract for `queries` and for a set of odd ones.

    Checked: ranks count from 1, scores are finite and never rise, ties come in order of chunk id and source, no chunk
    comes twice, at most `k` hits come back and fewer for a smaller `k` as the first of the same list, a second call
    gives the same, the span of a hit is as long as its text.

    Args:
        retriever: The retriever to check.
        queries: Questions that its index has answers to.
        filters: `where` expressions with what they mean: a filtered list must hold the passing hits of the whole
            unfiltered one, no more and no fewer. At least one query must have hits under each.
        size: The number of chunks in the index, which no list may exceed; where it is not given, 1,000.
        k: The length of the lists that are compared.

    Raises ContractError that names the query and the first violation.
    """
    if not isinstance(getattr(retriever, "name", None), str) or not retriever.name:
        raise ContractError(f"name is {getattr(retriever, 'name', None)!r}; expected a non-empty string.")
    for query in [*queries, *ODD_QUERIES]:
        hits = retriever.search(query, k)
        _check_list(query, hits, k)
        _check_same(query, "a second call", retriever.search(query, k), hits)
        for fewer in (0, 1, k // 2):
            _check_same(query, f"k = {fewer}", retriever.search(query, fewer), hits[:fewer])
    for query in queries:
        _check_beyond(retriever, query, k, size)
    for where, passes in (filters or {}).items():
        _check_filter(retriever, queries, where, passes, (size or 1000) + 10)


def _check_list(query: str, hits: Sequence[Hit], k: int) -> None:
    if len(hits) > k:
        raise _broken(query, f"{len(hits)} hits came back for k = {k}")
    for place, hit in enumerate(hits, start=1):
        if hit.rank != place:
            raise _broken(query, f"the hit in place {place} has rank {hit.rank}")
        if not math.isfinite(hit.score):
            raise _broken(query, f"the score of rank {place} is {hit.score}")
        if len(hit.chunk.text) != hit.chunk.end - hit.chunk.start:
            raise _broken(query, f"the text of rank {place} has not the length of its span")
    for one, two in pairwise(hits):
        if two.score > one.score:
            raise _broken(query, f"the score rises from {one.score} to {two.score} at rank {two.rank}")
        if two.score == one.score and (two.chunk_id, two.source) < (one.chunk_id, one.source):
            raise _broken(query, f"ranks {one.rank} and {two.rank} tie and are not in order of their chunk id")
    if len({_identity(hit) for hit in hits}) < len(hits):
        raise _broken(query, "a chunk comes twice")


def _check_same(query: str, what: str, hits: Sequence[Hit], expected: Sequence[Hit]) -> None:
    if list(hits) != list(expected):
        raise _broken(query, f"{what} gives {_shown(hits)} where {_shown(expected)} came before")


def _check_beyond(retriever: Retriever, query: str, k: int, size: int | None) -> None:
    """Ask for more hits than there are chunks."""
    most = size if size is not None else 1000
    hits = retriever.search(query, most + 10)
    _check_list(query, hits, most + 10)
    if size is not None and len(hits) > size:
        raise _broken(query, f"{len(hits)} hits came back from {size} chunks")
    if len(hits) < len(retriever.search(query, k)):
        raise _broken(query, f"fewer hits came back for k = {most + 10} than for k = {k}")


def _check_filter(
    retriever: Retriever, queries: Sequence[str], where: str, passes: Callable[[Hit], bool], k: int
) -> None:
    found = 0
    for query in queries:
        everything, hits = retriever.search(query, k), retriever.search(query, k, where)
        _check_list(query, hits, k)
        found += len(hits)
        for hit in hits:
            if not passes(hit):
                raise _broken(query, f"rank {hit.rank} does not pass the filter {where!r}")
        wanted = {_identity(hit) for hit in everything if passes(hit)}
        if len(everything) < k and wanted != {_identity(hit) for hit in hits}:
            raise _broken(query, f"{len(wanted)} hits pass the filter {where!r}, and with it {len(hits)} come back")
    if queries and not found:
        raise ContractError(f"No query has a hit under the filter {where!r}: give queries and filters that meet.")


def _identity(hit: Hit) -> tuple[str, str, int]:
    return hit.chunk_id, hit.source, hit.row


def _shown(hits: Sequence[Hit]) -> str:
    return f"[{', '.join(f'{hit.chunk_id[:8]} {hit.score:.6g}' for hit in hits[:5])}{', ...' if len(hits) > 5 else ''}]"


def _broken(query: str, what: str) -> ContractError:
    return ContractError(f"query {query[:60]!r}: {what}.")
