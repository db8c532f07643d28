"""Parts of a data set by seed: two halves that share no evidence document, and samples."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Literal

from ragkit.errors import UsageError
from ragkit.eval.datasets.fingerprint import fingerprint
from ragkit.eval.types import EvalSet, Query
from ragkit.identity import content_hash


def split(
    evalset: EvalSet, seed: int, share: float = 0.5, by: Literal["documents", "queries"] = "documents"
) -> tuple[EvalSet, EvalSet]:
    """Return two parts of `evalset`, the first with about `share` of the queries; both keep all documents.

    `by` "documents" keeps queries together that share a document (their scope, evidence or `meta.asked_of`), also by
    way of others: what is tuned on the first part has not seen the evidence of the second. "queries" splits freely. A
    segmentation set is split by its documents.

    Raises UsageError for a share outside (0, 1), and where no such split leaves both parts non-empty.
    """
    if not 0 < share < 1:
        raise UsageError(f"The share is {share}; expected more than 0 and less than 1.", hint="Give, say, 0.5.")
    clusters = _clusters(evalset, by)
    total = sum(map(len, clusters))
    first: set[str] = set()
    for cluster in sorted(clusters, key=lambda ids: _draw(seed, min(ids))):
        # Take a cluster if that comes nearer to the share than leaving it out does.
        if abs(len(first) + len(cluster) - share * total) < abs(len(first) - share * total):
            first.update(cluster)
    if not first or len(first) == total:
        raise UsageError(
            f"{evalset.name}: its {total} queries form {len(clusters)} groups without a common document; no split by "
            f"documents comes near a share of {share:g}.",
            hint='Use another share, or by="queries" and say that both parts share documents.',
        )
    second = {unit for cluster in clusters for unit in cluster} - first
    return _part(evalset, first, f"{evalset.name}-a{seed}"), _part(evalset, second, f"{evalset.name}-b{seed}")


def sample(evalset: EvalSet, n: int, seed: int) -> EvalSet:
    """Return `evalset` with `n` of its queries (all if it has no more), in their order; all documents stay.

    A segmentation set keeps `n` of its documents. With one seed, a smaller sample is a part of a larger one.
    """
    if n < 1:
        raise UsageError(f"A sample of {n} was asked for; expected at least 1.", hint="Give a positive number.")
    units = [query.query_id for query in evalset.queries] or list(evalset.segments)
    kept = set(sorted(units, key=lambda unit: _draw(seed, unit))[:n])
    return evalset if len(kept) == len(units) else _part(evalset, kept, f"{evalset.name}-{n}s{seed}")


def _draw(seed: int, unit: str) -> str:
    """Return the lot of a unit: the same on every machine, and independent of the other units."""
    return content_hash("draw", seed=seed, unit=unit)


def _part(evalset: EvalSet, kept: set[str], name: str) -> EvalSet:
    documents, segments = evalset.documents, evalset.segments
    queries = tuple(query for query in evalset.queries if query.query_id in kept)
    if not evalset.queries:
        documents = {doc_id: document for doc_id, document in documents.items() if doc_id in kept}
        segments = {doc_id: spans for doc_id, spans in segments.items() if doc_id in kept}
    part = EvalSet(name, documents, queries, segments, evalset.dropped)
    return EvalSet(name, documents, queries, segments, evalset.dropped, fingerprint(part))


def _clusters(evalset: EvalSet, by: str) -> list[list[str]]:
    """Return the ids that must stay together, in groups."""
    if not evalset.queries:
        return [[doc_id] for doc_id in evalset.segments]
    if by == "queries":
        return [[query.query_id] for query in evalset.queries]
    root: dict[str, str] = {}
    for query in evalset.queries:
        _join(root, [f"q{query.query_id}", *(f"d{doc_id}" for doc_id in _touched(query, evalset.documents))])
    groups: dict[str, list[str]] = {}
    for query in evalset.queries:
        groups.setdefault(_find(root, f"q{query.query_id}"), []).append(query.query_id)
    return list(groups.values())


def _touched(query: Query, documents: Mapping[str, object]) -> Iterator[str]:
    yield from (span.doc_id for span in query.evidence)
    asked = query.meta.get("asked_of")
    for value in (query.scope, asked.get("doc_id") if isinstance(asked, dict) else asked):
        if isinstance(value, str) and value in documents:
            yield value


def _join(root: dict[str, str], nodes: Iterable[str]) -> None:
    """Unite the sets of all `nodes`."""
    roots = [_find(root, node) for node in nodes]
    for other in roots[1:]:
        root[_find(root, other)] = _find(root, roots[0])


def _find(root: dict[str, str], node: str) -> str:
    root.setdefault(node, node)
    while root[node] != node:
        root[node] = root[root[node]]
        node = root[node]
    return node
