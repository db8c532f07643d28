"""The kit finds each way in which a retriever can break its contract."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import pytest

from ragkit.errors import ContractError
from ragkit.schema import Chunk, Hit
from ragkit.testing.retriever import check_retriever

SIZE = 30


class Toy:
    """Scores chunks by their number; `bend` breaks its answers."""

    name = "toy"

    def __init__(self, bend: Callable[..., list[Hit]] = lambda hits, **_: hits) -> None:
        self.bend = bend
        self.calls = 0

    def search(self, query: str, k: int, where: str | None = None) -> list[Hit]:
        self.calls += 1
        numbers = [n for n in range(SIZE) if where is None or n % 2 == 0]
        hits = [
            Hit(
                0, float(SIZE - n // 2 * 2), f"{n:04}", Chunk("d", n, n + 1, "x", metadata={"n": n}), "s", None, None, n
            )
            for n in numbers
        ]
        hits = [replace(hit, rank=rank) for rank, hit in enumerate(hits[: max(0, k)], start=1)]
        return self.bend(hits, query=query, k=k, where=where, call=self.calls)


FILTERS = {"even = true": lambda hit: hit.chunk.metadata["n"] % 2 == 0}


def test_a_sound_retriever_passes():
    check_retriever(Toy(), ["a", "b"], filters=FILTERS, size=SIZE)
    check_retriever(Toy(), ["a"])


def first(hits, **changes):
    return [replace(hits[0], **changes), *hits[1:]] if hits else hits


@pytest.mark.parametrize(
    ("bend", "says"),
    [
        (lambda hits, **_: first(hits, rank=0), "place 1 has rank 0"),
        (lambda hits, **_: first(hits, score=math.nan), "the score of rank 1 is nan"),
        (lambda hits, **_: first(hits, score=-99.0), "the score rises"),
        (lambda hits, **_: first(hits, chunk_id="9"), "tie and are not in order"),
        (lambda hits, **_: first(hits, chunk=Chunk("d", 0, 5, "x")), "not the length of its span"),
        (lambda hits, **_: [replace(hit, chunk_id="same", row=1) for hit in hits], "a chunk comes twice"),
        (lambda hits, k, **_: hits if k == 0 else [*hits, replace(hits[-1], rank=len(hits) + 1)], "11 hits came back"),
        (lambda hits, call, **_: first(hits, score=1000.0 + call), "a second call gives"),
        (lambda hits, k, **_: hits if k >= 10 else first(hits, chunk_id="0"), "k = 1 gives"),
        (lambda hits, k, **_: hits or [Hit(1, 1.0, "0", Chunk("d", 0, 1, "x"), "s", None, None)], "k = 0"),
        (lambda hits, query, **_: hits if query != "" else [hits[0]] * 2, "query ''"),
        (lambda hits, k, **_: hits if k <= SIZE else hits[:2], "fewer hits came back for k = 40"),
        (lambda hits, where, **_: hits[:-1] if where else hits, "15 hits pass the filter"),
        (lambda hits, where, **_: [] if where else hits, "15 hits pass the filter"),
        (lambda hits, where, **_: hits if not where else first(hits, chunk=replace(hits[0].chunk, metadata={"n": 1})),
         "does not pass the filter 'even = true'"),
    ],
)  # fmt: skip
def test_each_breach_is_found(bend, says):
    with pytest.raises(ContractError, match=says):
        check_retriever(Toy(bend), ["a"], filters=FILTERS, size=SIZE)


def test_more_hits_than_chunks():
    def bend(hits, k, **_):
        extra = [replace(hits[-1], chunk_id="z", row=99, rank=SIZE + 1)] if k > SIZE else []
        return [*hits, *extra]

    with pytest.raises(ContractError, match="31 hits came back from 30 chunks"):
        check_retriever(Toy(bend), ["a"], size=SIZE)


def test_a_filter_that_never_matches_proves_nothing():
    with pytest.raises(ContractError, match="give queries and filters that meet"):
        check_retriever(Toy(lambda hits, **_: []), ["a"], filters=FILTERS, size=SIZE)


def test_an_error_on_an_odd_query_is_passed_on():
    def bend(hits, query, **_):
        if "\0" in query:
            raise ValueError("embedded null byte")
        return hits

    with pytest.raises(ValueError, match="null byte"):
        check_retriever(Toy(bend), ["a"], size=SIZE)


def test_a_name_is_needed():
    toy = Toy()
    toy.name = ""
    with pytest.raises(ContractError, match="name is ''"):
        check_retriever(toy, ["a"])
