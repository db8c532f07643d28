"""The index that each system of a data set needs: shared where chunks and vectors are the same."""

from __future__ import annotations

from collections.abc import Sequence

from ragkit.eval.experiment.chunking import indexing_chunker
from ragkit.eval.experiment.indexes import Order, corpus_fingerprint, index_key
from ragkit.eval.experiment.metering import Metering
from ragkit.eval.experiment.systems import System
from ragkit.eval.experiment.vectorless import NoVectors, needs_vectors
from ragkit.eval.experiment.workshop import Workshop
from ragkit.eval.types import EvalSet
from ragkit.parts import watched
from ragkit.protocols import Embedder


def orders_of(
    workshop: Workshop, systems: Sequence[System], evalset: EvalSet, *, whole: bool = False
) -> list[Order | None]:
    """Return the order of each system's index, None for one that has no index.

    An index gets vectors only if one of the systems that share its chunks needs them.
    """
    corpus = corpus_fingerprint(evalset)
    orders = [
        None if system.context != "index" else order_of(workshop, system, corpus, vectors=True, whole=whole)
        for system in systems
    ]
    embedded = {
        order.name for system, order in zip(systems, orders, strict=True) if order is not None and needs_vectors(system)
    }
    return [
        order
        if order is None or order.name in embedded
        else order_of(workshop, system, corpus, vectors=False, whole=whole)
        for system, order in zip(systems, orders, strict=True)
    ]


def order_of(workshop: Workshop, system: System, corpus: str, *, vectors: bool, whole: bool = False) -> Order:
    """Return the order of the index of `system` over the corpus of that fingerprint."""
    metering = Metering()
    embedder: Embedder = workshop.embedder(system.config)
    with watched(metering):
        chunker = indexing_chunker(system, embedder, whole=whole)
    if not vectors:
        embedder = NoVectors(embedder)
    return Order(index_key(corpus, system, chunker, embedder), embedder, chunker, metering)
