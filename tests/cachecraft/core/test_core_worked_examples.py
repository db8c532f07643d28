"""The worked examples of the specification, cachecraft.md section 5; example 4 is the transformers backend's."""

import numpy as np
import pytest

from ragkit.cachecraft.core.choice import choose, chunk_keys
from ragkit.cachecraft.core.offset import cfo, tokens_to_repair, variant_cfo
from ragkit.cachecraft.core.overlap import overlap
from ragkit.cachecraft.core.plan import Reused, Row, rows
from ragkit.cachecraft.core.planning import planned
from ragkit.cachecraft.core.preload import preload_depth, timeline
from ragkit.cachecraft.core.repair import Repair
from ragkit.cachecraft.core.size import KvShape
from ragkit.cachecraft.core.statistics import cci, chunk_statistics
from ragkit.cachecraft.core.virtual import step_slices, virtual_start
from tests.cachecraft.core.making import ids, prompt, variant

near = pytest.approx


def spread(tokens: int, *layers: dict[int, float], pieces: int) -> np.ndarray:
    """Masses by layer and piece, the same for every token."""
    masses = np.zeros((len(layers), tokens, pieces), np.float32)
    for layer, by_piece in enumerate(layers):
        for piece, mass in by_piece.items():
            masses[layer, :, piece] = mass / tokens
    return masses


FIRST = chunk_statistics(spread(200, {0: 30, 1: 10, 2: 8, 3: 152}, pieces=5), prompt(200, 200, 200, 200), 3)
SECOND = chunk_statistics(spread(80, {0: 12, 1: 6, 2: 58}, {0: 20, 1: 4, 2: 52}, pieces=4), prompt(100, 50, 80), 2)


def first(name: str = "v1", tokens: np.ndarray | None = None, chunk: str = "chunk"):
    one = variant(chunk, ids(200) if tokens is None else tokens, ["A", "B", "C"], [0, 0, 0], name=name)
    object.__setattr__(one, "statistics", FIRST)
    return one


def test_example_1_context():
    assert FIRST.inter == near([30, 10, 8], abs=1e-4)
    assert (FIRST.a_bar, FIRST.b_bar) == near((0.0012, 0.0038), abs=1e-7)
    assert cci(FIRST) == near(0.578298, abs=1e-6)


@pytest.mark.parametrize(
    ("now", "beta", "gamma", "value", "at_1", "n_1", "at_16", "n_16"),
    [
        ("ABC", 1, 0, 1, 0, 0, 0, 0),
        ("CBA", 1, 1, 0, 0.5783, 116, 0.9253, 186),
        ("BC", 0.375, 0, 0.375, 0.3614, 73, 0.5783, 116),
        ("A", 0.625, 0, 0.625, 0.2169, 44, 0.3470, 70),
        ("ACD", 0.7917, 0, 0.7917, 0.1205, 25, 0.1928, 39),
        ("DE", 0, 0, 0, 0.5783, 116, 0.9253, 186),
    ],
)
def test_example_1(now, beta, gamma, value, at_1, n_1, at_16, n_16):
    found = overlap(first(), list(now), [200] * len(now))
    assert found == near((beta, gamma, value), abs=1e-4)
    ratios = [variant_cfo(first(), found, alpha) for alpha in (1.0, 1.6)]
    assert ratios == near([at_1, at_16], abs=1e-4)
    assert [tokens_to_repair(ratio, 200) for ratio in ratios] == [n_1, n_16]


@pytest.mark.parametrize(
    ("now", "beta", "gamma", "repaired"),
    [("YX", 1, 1, 48), ("X", 0.761905, 0, 12), ("Y", 0.238095, 0, 37), ("ZXY", 1, 0, 0)],
)
def test_example_2(now, beta, gamma, repaired):
    one = variant("chunk", 80, ["X", "Y"], [0, 0])
    object.__setattr__(one, "statistics", SECOND)
    assert SECOND.inter == near([32, 10], abs=1e-4)
    assert (SECOND.a_bar, SECOND.b_bar, cci(SECOND)) == near((0.00325, 0.00859375, 0.593435), abs=1e-6)
    found = overlap(one, list(now), [100] * len(now))
    assert found[:2] == near((beta, gamma), abs=1e-6)
    assert tokens_to_repair(cfo(cci(SECOND), found.value), 80) == repaired


@pytest.mark.parametrize(
    ("mode", "of_first", "of_second", "repaired"), [("paper", 0.2169, 0, 0), ("symmetric", 0.3976, 0.2639, 53)]
)
def test_example_3(mode, of_first, of_second, repaired):
    layout = prompt((200, 1), (200, 2), (200, 3))  # D, A, the chunk
    keys = chunk_keys(layout, "s")
    second_statistics = chunk_statistics(spread(200, {0: 20, 1: 180}, pieces=3), prompt(200, 200), 1)
    assert cci(second_statistics) == near(0.527749, abs=1e-6)
    own, key = layout.pieces[2].ids, keys[2]
    one = variant(key, own, [keys[1], "B", "C"], [0, 0, 0], name="v1")
    two = variant(key, own, [keys[0]], [0], name="v2")
    object.__setattr__(one, "statistics", FIRST)
    object.__setattr__(two, "statistics", second_statistics)
    alone = choose(layout, keys, lambda asked: [one] if asked == key else [], "", Repair(beta_mode=mode))[0][2]
    both = choose(layout, keys, lambda asked: [one, two] if asked == key else [], "", Repair(beta_mode=mode))[0][2]
    assert alone.cfo == near(of_first, abs=1e-4)
    assert (both.variant.name, both.cfo) == ("v2", near(of_second, abs=1e-4))
    assert tokens_to_repair(both.cfo, 200) == repaired
    assert tokens_to_repair(alone.cfo, 200) == {"paper": 44, "symmetric": 80}[mode]


def test_example_5():
    assert [preload_depth(*each) for each in ((32, 1, 2), (32, 3, 16), (80, 7, 4))] == [17, 27, 1]
    assert timeline(32, 1, 2, 17) == near((66, 0))
    assert timeline(32, 1, 2, 16) == near((65, 1))
    assert timeline(32, 1, 2, 1) == near((65, 31))


def test_example_6():
    layout = prompt((24, 1), question=4)
    one = variant("chunk", layout.pieces[0].ids)
    plan = planned(layout, [Reused(0, 0, one, 0.0, np.array([3, 4, 5, 9, 16, 17]))], {})
    assert plan.fresh.tolist() == [3, 4, 5, 9, 16, 17, 24, 25, 26, 27]
    assert virtual_start(plan) == 18
    (step,) = step_slices(plan, [])
    assert (step.begin, step.end) == (18, 28)
    assert list(step.rows) == rows(plan.fresh) == [Row(3, 6), Row(1, 10), Row(2, 18), Row(4, 28)]
    first_step, second_step, third_step = step_slices(plan, [4, 4, 4])  # vllm_backend 3
    assert first_step.fresh.tolist() == [3, 4, 5, 9]
    assert [(load.target, load.length) for load in first_step.loads] == [(0, 3), (6, 3), (10, 6), (18, 4)]
    assert list(first_step.rows) == [Row(3, 6), Row(1, 10)]
    assert (second_step.fresh.tolist(), list(second_step.rows)) == ([16, 17, 24, 25], [Row(2, 18), Row(2, 26)])
    assert [(load.target, load.length) for load in second_step.loads] == [(22, 2)]  # 24 and 25 are the question's
    assert (third_step.fresh.tolist(), list(third_step.rows), len(third_step.loads)) == ([26, 27], [Row(2, 28)], 0)


def test_example_7():
    llama = KvShape(layers=32, kv_heads=8, head_dim=128)
    assert llama.token_bytes == 131_072
    assert llama.variant_bytes(512) == 64 << 20
    assert 500 * llama.variant_bytes(512) == 31.25 * 2**30
    assert KvShape(layers=30, kv_heads=3, head_dim=64).token_bytes == 22.5 * 1024  # SmolLM2-135M
