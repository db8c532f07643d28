"""Public conformance kits: prove that a part of your own keeps the contracts.

Each `check_...` raises ContractError saying what was broken and where; the built-in parts pass the same kits.
"""

from ragkit.testing.chunker import check_chunker, documents_strategy, sample_documents
from ragkit.testing.embedder import check_embedder
from ragkit.testing.retriever import check_retriever
from ragkit.testing.selector import check_selector
from ragkit.testing.server import FakeServer

__all__ = [
    "FakeServer",
    "check_chunker",
    "check_embedder",
    "check_retriever",
    "check_selector",
    "documents_strategy",
    "sample_documents",
]
