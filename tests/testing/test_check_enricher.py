"""The kit for enrichers passes good ones and finds each kind of bad one."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ragkit.errors import ContractError
from ragkit.schema import Chunked
from ragkit.testing.enricher import check_enricher, sample_batch


class Title:
    """Puts the document's source before each chunk."""

    name, fingerprint = "title", "title 1"

    def __init__(self, change=None) -> None:
        self._change = change
        self.runs = 0

    def enrich(self, batch, progress=None):
        self.runs += 1
        out = [
            Chunked(
                item.document,
                [replace(c, index_text=f"{item.document.source}\n{c.text}") for c in item.chunks],
                item.failure,
            )
            for item in batch
        ]
        return out if self._change is None else self._change(self, out)


def each(change):
    """Return a change of every chunk."""
    return lambda _, out: [Chunked(item.document, [change(c) for c in item.chunks], item.failure) for item in out]


def test_a_good_enricher_passes():
    check_enricher(Title())
    check_enricher(Title(), sample_batch()[:1])


@pytest.mark.filterwarnings("ignore::ragkit.errors.RagkitWarning")
def test_ours_pass():
    from ragkit.enrichers.rewrite import RewriteEnricher
    from ragkit.enrichers.summary import SummaryEnricher
    from ragkit.models.hashing import HashingEmbedder
    from tests.enrichers.conftest import Scripted

    model = Scripted(text=lambda prompt: "It is about the notes of Ada Lovelace.")
    for enricher in (SummaryEnricher, RewriteEnricher):
        check_enricher(enricher(model, HashingEmbedder(dimension=32)))


BAD = {
    "text": (each(lambda c: replace(c, text=c.text + "!")), "only index_text and metadata may"),
    "span": (each(lambda c: replace(c, end=c.end + 1)), "only index_text and metadata may"),
    "blank": (each(lambda c: replace(c, index_text=" ")), "holds no word"),
    "list in metadata": (each(lambda c: replace(c, metadata={"a": ["b"]})), r"the metadata 'a' are \['b'\]"),
    "one chunk less": (lambda _, out: [Chunked(i.document, i.chunks[1:], i.failure) for i in out], "changed"),
    "last chunk lost": (lambda _, out: [Chunked(i.document, i.chunks[:-1], i.failure) for i in out], "2 chunks came"),
    "document lost": (lambda _, out: out[1:], "documents came out of"),
    "documents swapped": (lambda _, out: out[::-1], "came out where"),
    "failure lost": (lambda _, out: [Chunked(i.document, i.chunks) for i in out], "was lost"),
    "failure with chunks": (lambda _, out: [Chunked(i.document, i.chunks, "no") for i in out], "has no chunks"),
    "another result": (
        lambda self, out: [
            Chunked(i.document, [replace(c, index_text=f"{self.runs}") for c in i.chunks], i.failure) for i in out
        ],
        "a second run gave another result",
    ),
    "depends on others": (
        lambda _, out: [
            Chunked(i.document, [replace(c, index_text=f"of {len(out)}") for c in i.chunks], i.failure) for i in out
        ],
        "a run on the document alone gave another result",
    ),
}


@pytest.mark.parametrize(("change", "message"), BAD.values(), ids=BAD)
def test_a_bad_enricher_is_found(change, message):
    with pytest.raises(ContractError, match=message):
        check_enricher(Title(change))


def test_a_nameless_one_is_found():
    enricher = Title()
    enricher.fingerprint = ""
    with pytest.raises(ContractError, match="fingerprint is ''"):
        check_enricher(enricher)
