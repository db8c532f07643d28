"""The shares of `benchmarks.prompt_order`, worked by hand on small prompts."""

import pytest

from benchmarks.prompt_order import BLOCK, ORDERS, Written, stream, written, zipf
from ragkit.schema import Chunk, Hit


def hit(rank, name, start, text):
    return Hit(rank, 1.0, name, Chunk("d", start, start + len(text), text), "s", None, 1)


def letters(text):
    return [ord(letter) for letter in text]


def test_the_orders():
    hits = [hit(1, "c", 50, "first"), hit(2, "a", 90, "second"), hit(3, "b", 0, "third")]
    shown = {name: [one.chunk_id for one in arranged(hits)] for name, arranged in ORDERS.items()}
    assert shown == {
        "best last": ["b", "a", "c"],
        "document": ["b", "c", "a"],
        "fixed, by chunk id": ["a", "b", "c"],
    }


def test_blocks_are_shared_up_to_the_first_difference():
    one = written("why?", [hit(1, "a", 0, "x" * 40), hit(2, "b", 50, "y" * 40)], letters)
    two = written("how?", [hit(1, "a", 0, "x" * 40), hit(2, "c", 90, "z" * 40)], letters)
    assert one.chunks == {"a": 40, "b": 40}
    assert one.tokens // BLOCK == len(one.blocks)
    # "[1] " + 40 letters + 2 + "[2] " are 50 equal tokens: three whole blocks
    equal = [first == second for first, second in zip(one.blocks, two.blocks, strict=True)]
    assert equal == [True] * 3 + [False] * (len(equal) - 3)


def test_a_stream_worked_by_hand():
    prompts = [
        Written(100, (1, 2, 3, 4, 5, 6), {"a": 40, "b": 40}),
        Written(80, (1, 2, 9, 4, 5), {"b": 40, "c": 20}),
    ]
    prefix, new_prefix, chunk, new_chunk = stream(prompts, [0, 1, 0])
    # prompt 1 shares two blocks with prompt 0 (the fourth follows another third); then prompt 0 is known to 96 tokens
    assert prefix == pytest.approx((32 + 96) / 280)
    assert new_prefix == pytest.approx(32 / 180)
    assert chunk == pytest.approx((40 + 80) / 280)
    assert new_chunk == pytest.approx(40 / 180)


def test_streams_are_drawn_by_popularity_and_again_alike():
    drawn = zipf(50, 5000, 1.0, seed=3)
    assert drawn == zipf(50, 5000, 1.0, seed=3) != zipf(50, 5000, 1.0, seed=4)
    counts = sorted((drawn.count(one) for one in set(drawn)), reverse=True)
    assert counts[0] / counts[1] == pytest.approx(2, rel=0.25)
    assert set(drawn) <= set(range(50))
