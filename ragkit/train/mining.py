"""From a data set to its questions with the retriever's hits: what a reranker is trained on."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ragkit.config import PipelineConfig
from ragkit.errors import UsageError
from ragkit.eval.types import EvalSet
from ragkit.pipeline import Pipeline
from ragkit.protocols import Progress
from ragkit.train.asked import Asked, marked
from ragkit.train.evidence import Span, exact_evidence


def asked_of(
    evalset: EvalSet, folder: Path, config: PipelineConfig, *, k: int = 50, progress: Progress | None = None
) -> list[Asked]:
    """Return the questions of `evalset` that have exact evidence, with the best `k` chunks of an index in `folder`.

    Raises UsageError, naming the data set, where no question has such evidence; what the pipeline raises.
    """
    exact = {query.query_id: exact_evidence(query, evalset.documents) for query in evalset.queries}
    queries = [query for query in evalset.queries if exact[query.query_id]]
    if not queries:
        raise UsageError(
            f"{evalset.name}: none of its {len(evalset.queries)} questions has evidence that points at sentences.",
            hint="Give a data set with evidence spans (docs/datasets.md), or leave this one out.",
        )
    found = []
    with Pipeline(folder, config, progress=progress) as pipeline:
        pipeline.add(evalset.documents.values())  # what an earlier run indexed is left as it is
        pipeline.embedder.embed_queries([query.question for query in queries])
        for done, query in enumerate(queries):
            where = None if query.scope is None else _within(query.scope)
            hits = pipeline.retrieve(query.question, k, where=where)
            spans: dict[str, tuple[Span, ...]] = {}
            for one in exact[query.query_id]:
                spans[one.doc_id] = (*spans.get(one.doc_id, ()), (one.start, one.end))
            found.append(marked(evalset.name, query, hits, spans))
            if progress is not None:
                progress(f"searching {evalset.name}", done + 1, len(queries))
    return found


def described(evalset: EvalSet, asked: Sequence[Asked]) -> dict[str, Any]:
    """Return what a model card says of a data set."""
    return {
        "name": evalset.name,
        "fingerprint": evalset.fingerprint,
        "questions": len(evalset.queries),
        "with exact evidence": len(asked),
        "evidence retrieved": sum(one.found for one in asked),
    }


def _within(scope: str) -> str:
    """Return the filter that keeps the chunks of one document."""
    return "doc_id = '" + scope.replace("'", "''") + "'"
