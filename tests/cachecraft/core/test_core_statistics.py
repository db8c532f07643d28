"""Statistics from attention masses, against sums over a whole attention matrix."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ragkit.cachecraft.core.statistics import cci, chunk_statistics
from ragkit.cachecraft.core.variant import ChunkStatistics
from ragkit.errors import ContractError, UsageError
from tests.cachecraft.core.making import prompt

LAYOUT = prompt((5, 1), (1, 2), (7, 3), prefix=3, glue=2, question=4)
"""prefix 3, glue 2, chunk 5, glue 2, chunk 1, glue 2, chunk 7, question 4."""


def attention(layers: int = 3) -> np.ndarray:
    """Return causal attention, (layers, P, P), every row of sum 1."""
    length = len(LAYOUT.ids)
    raw = np.tril(np.random.default_rng(5).random((layers, length, length)) + 0.01)
    return raw / raw.sum(axis=2, keepdims=True)


def masses(piece: int) -> np.ndarray:
    own = LAYOUT.spans[piece]
    rows = attention()[:, own.start : own.end]
    return np.stack([rows[:, :, span.start : span.end].sum(axis=2) for span in LAYOUT.spans], axis=2).astype(np.float32)


def between(piece: int, other: int) -> np.ndarray:
    """Return the mass of each layer that the tokens of one piece put on another."""
    own, there = LAYOUT.spans[piece], LAYOUT.spans[other]
    return attention()[:, own.start : own.end, there.start : there.end].sum(axis=(1, 2))


def test_the_equations():
    made = chunk_statistics(masses(6), LAYOUT, 6)
    assert made.inter == pytest.approx([between(6, 2).sum(), between(6, 4).sum()], rel=1e-5)
    a = between(6, 2) / (7 * 5) + between(6, 4) / (7 * 1)
    assert made.a_bar == pytest.approx(a.mean(), rel=1e-5)
    assert made.b_bar == pytest.approx(between(6, 6).mean() / 49, rel=1e-5)
    own, first, second = LAYOUT.spans[6], LAYOUT.spans[2], LAYOUT.spans[4]
    rows = attention()[:, own.start : own.end]
    expected = rows[:, :, first.start : first.end].sum(axis=2) + rows[:, :, second.start : second.end].sum(axis=2)
    assert made.token_mass == pytest.approx(expected.mean(axis=0), rel=1e-5)
    assert made.token_mass.dtype == np.float32
    assert cci(made) == pytest.approx(1 / (1 + np.exp(-made.a_bar / made.b_bar)))


def test_sink_included_is_one_more_chunk():
    plain, made = chunk_statistics(masses(6), LAYOUT, 6), chunk_statistics(masses(6), LAYOUT, 6, sink="include")
    outside = sum(between(6, other) for other in (0, 1, 3, 5))
    assert made.inter == pytest.approx([*plain.inter, outside.sum()], rel=1e-5)
    assert made.a_bar == pytest.approx(plain.a_bar + (outside / (7 * 9)).mean(), rel=1e-5)
    assert made.token_mass.sum() * 3 == pytest.approx(made.inter.sum(), rel=1e-5)
    assert made.b_bar == plain.b_bar


def test_renormalised_rows_sum_to_one():
    made = chunk_statistics(masses(6), LAYOUT, 6, sink="renormalise")
    assert made.inter.sum() + made.b_bar * 49 * 3 == pytest.approx(7 * 3, rel=1e-5)
    plain = chunk_statistics(masses(6), LAYOUT, 6)
    assert made.inter.sum() > plain.inter.sum()


def test_a_row_without_mass_stays_without():
    made = chunk_statistics(np.zeros((1, 7, 8), np.float32), LAYOUT, 6, sink="renormalise")
    assert (made.a_bar, made.b_bar, cci(made)) == (0, 0, 0.5)


def test_layers_can_be_picked():
    picked = chunk_statistics(masses(6), LAYOUT, 6, layers=[2])
    assert picked.inter == pytest.approx(chunk_statistics(masses(6)[2:], LAYOUT, 6).inter)


@pytest.mark.parametrize("piece", [2, 4])
def test_a_first_chunk_and_one_of_a_single_token(piece):
    made = chunk_statistics(masses(piece), LAYOUT, piece)
    assert len(made.inter) == len([at for at in LAYOUT.chunks if at < piece])
    assert 0.5 <= cci(made) <= 1
    if piece == 2:
        assert (made.a_bar, cci(made)) == (0.0, 0.5)


def test_cci_is_never_below_a_half_and_knows_its_limits():
    def of(a: float, b: float) -> float:
        return cci(ChunkStatistics(np.zeros(0), a, b, np.zeros(1, np.float32)))

    assert [of(0.0, 1.0), of(0.0, 0.0), of(1.0, 0.0), of(1e6, 1e-6)] == [0.5, 0.5, 1.0, 1.0]


def test_the_order_of_tokens_is_stable():
    made = ChunkStatistics(np.zeros(0), 0, 1, np.array([1, 3, 3, 0, 3, 1], np.float32))
    assert made.order.tolist() == [1, 2, 4, 0, 5, 3]


@given(st.lists(st.floats(-2, 2, width=32) | st.sampled_from([0.0, -0.0, 1.0]), max_size=40))
def test_the_order_is_that_of_a_stable_sort(masses):
    made = ChunkStatistics(np.zeros(0), 0, 1, np.array(masses, np.float32))
    assert made.order.tolist() == sorted(range(len(masses)), key=lambda token: (-np.float32(masses[token]), token))


@pytest.mark.parametrize("shape", [(3, 6, 8), (3, 7, 7), (0, 7, 8), (7, 8)])
def test_masses_of_another_shape_are_refused(shape):
    with pytest.raises(ContractError, match=r"expected \(layers, 7, 8\)"):
        chunk_statistics(np.zeros(shape, np.float32), LAYOUT, 6)


def test_masses_that_are_no_numbers_and_other_modes_are_refused():
    broken = masses(6)
    broken[1, 2, 2] = np.nan
    with pytest.raises(ContractError, match="NaN"):
        chunk_statistics(broken, LAYOUT, 6)
    with pytest.raises(UsageError, match="sink mode"):
        chunk_statistics(masses(6), LAYOUT, 6, sink="drop")
