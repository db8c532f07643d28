"""The identity of a data set: a hash of everything that a measure can see."""

from __future__ import annotations

import json

from ragkit.eval.types import EvalSet, Query
from ragkit.identity import content_hash


def fingerprint(evalset: EvalSet) -> str:
    """Return the hash of the documents, segments and queries of `evalset`; its name does not count."""
    return content_hash(
        "evalset",
        documents=[[doc_id, document.text_hash] for doc_id, document in evalset.documents.items()],
        metadata=[json.dumps(dict(document.metadata), sort_keys=True) for document in evalset.documents.values()],
        segments=[[doc_id, *map(list, spans)] for doc_id, spans in evalset.segments.items()],
        queries=[_query(query) for query in evalset.queries],
    )


def _query(query: Query) -> str:
    spans = [(span.doc_id, span.start, span.end, span.grade) for span in query.evidence]
    rest = (query.answers, query.answerable, query.scope, query.level, dict(query.meta))
    return json.dumps([query.query_id, query.question, spans, *rest], sort_keys=True, default=str)
