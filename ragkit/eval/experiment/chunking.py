"""The chunker of a system: our own, another library's, or none, which makes every document one chunk."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from ragkit.errors import ConfigError
from ragkit.eval.experiment.systems import System
from ragkit.eval.peers import peer
from ragkit.identity import content_hash
from ragkit.models.tokenizer import HfTokenizer
from ragkit.parts import enriched, make_chunker
from ragkit.protocols import Chunker, Embedder, Gaps, Tokenizer
from ragkit.schema import Chunk, Chunked, Document

WORDS = "words"


class WholeDocuments:
    """Makes every document that is not blank one chunk."""

    name = "whole"
    gaps: Gaps = "whitespace"
    fingerprint = content_hash("chunker", name=name, version=1)

    def chunk(self, documents: Iterable[Document]) -> Iterator[Chunked]:
        """Yield every document with its only chunk."""
        for document in documents:
            end = len(document.text)
            yield Chunked(document, [Chunk.of(document, 0, end)] if document.text.strip() else [])


def chunker_of(system: System, embedder: Embedder, *, whole: bool = False) -> Chunker:
    """Return the chunker of `system`, or the one that leaves documents whole; enrichers do not run behind it.

    Raises ConfigError for options that do not fit, and for a peer with a tokenizer that other libraries cannot use.
    """
    if whole:
        return WholeDocuments()
    if system.peer is None:
        return make_chunker(system.config.model_copy(update={"enrichers": []}), embedder)
    tokenizer = embedder.tokenizer
    if not isinstance(tokenizer, HfTokenizer):
        raise ConfigError(
            f"The peer {system.peer.name!r} needs a tokenizer of a model, and {embedder.name} has none.",
            hint="Use a learned embedder, for instance embedder: {name: sentence_transformer}.",
        )
    return peer(system.peer.name, tokenizer, **system.peer.options)


def indexing_chunker(system: System, embedder: Embedder, *, whole: bool = False) -> Chunker:
    """Return the chunker whose chunks are indexed: that of `system` with its enrichers.

    Whole documents are not enriched: nothing of their document is missing in them. Raises what `chunker_of` raises.
    """
    chunker = chunker_of(system, embedder, whole=whole)
    return chunker if whole else enriched(chunker, system.config, embedder)


def evaluation_tokenizer(name: str) -> Tokenizer:
    """Return the tokenizer that lengths and budgets count in: "words", or that of the model `name`.

    Raises ModelError where the model cannot be found.
    """
    if name == WORDS:
        from ragkit.models.words import WordTokenizer

        return WordTokenizer()
    from ragkit.models.hub import model_folder

    return HfTokenizer.from_folder(model_folder(name))
