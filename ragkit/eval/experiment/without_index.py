"""Systems without a retriever: no source at all, or the gold evidence; what retrieval can lose and win lies between."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ragkit.eval.experiment.indexes import Built
from ragkit.eval.experiment.retrieval import Run
from ragkit.eval.experiment.store import key
from ragkit.eval.experiment.systems import System
from ragkit.eval.hits import Hits, SystemHits
from ragkit.eval.metrics.layout import positive
from ragkit.eval.types import EvalSet, Query
from ragkit.protocols import Tokenizer


def without_index(system: System, evalset: EvalSet, tokenizer: Tokenizer) -> tuple[Built, Run]:
    """Return what stands for the index and the hits of a system without a retriever.

    The hits of the oracle are the evidence spans of a question, each once, in the order of the data set; they are its
    corpus too. A question without evidence gets none.
    """
    name = key("without index", context=system.context, queries=evalset.fingerprint, tokenizer=tokenizer.fingerprint)
    hits = [_hits(query if system.context == "oracle" else None, evalset, tokenizer) for query in evalset.queries]
    chunks: dict[str, set[tuple[int, int, int]]] = {doc_id: set() for doc_id in evalset.documents}
    for found in hits:
        for doc_id, (start, end), tokens in zip(found.documents, found.spans, found.tokens, strict=True):
            chunks[doc_id].add((start, end, tokens))
    ordered = {doc_id: sorted(spans) for doc_id, spans in chunks.items()}
    return Built(name, Path(), ordered, seconds=0.0, unmapped=0, embedded=None), Run(name, Hits.of(hits), unfilled=0)


def _hits(query: Query | None, evalset: EvalSet, tokenizer: Tokenizer) -> SystemHits:
    spans = [] if query is None else list(dict.fromkeys((s.doc_id, s.start, s.end, s.grade) for s in positive(query)))
    return SystemHits(
        documents=[doc_id for doc_id, *_ in spans],
        spans=[(start, end) for _, start, end, _ in spans],
        tokens=_counts([evalset.documents[doc_id].text[start:end] for doc_id, start, end, _ in spans], tokenizer),
        scores=[grade for *_, grade in spans],
        seconds=0.0,
    )


def _counts(texts: Sequence[str], tokenizer: Tokenizer) -> list[int]:
    return tokenizer.count(texts) if texts else []
