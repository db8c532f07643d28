"""Public conformance kits: prove that a part of your own keeps the contracts.

Each `check_...` raises ContractError saying what was broken and where; the built-in parts pass the same kits.
"""

from ragkit.testing.chunker import check_chunker, documents_strategy, sample_documents
from ragkit.testing.embedder import check_embedder
from ragkit.testing.enricher import check_enricher
from ragkit.testing.language_model import check_language_model
from ragkit.testing.retriever import check_retriever
from ragkit.testing.scripted import ScriptedLanguageModel
from ragkit.testing.selector import check_selector
from ragkit.testing.server import FakeServer
from ragkit.testing.toy import ToyModel

__all__ = [
    "FakeServer",
    "ScriptedLanguageModel",
    "ToyModel",
    "check_chunker",
    "check_embedder",
    "check_enricher",
    "check_language_model",
    "check_retriever",
    "check_selector",
    "documents_strategy",
    "sample_documents",
]
