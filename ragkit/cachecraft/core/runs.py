"""Repairs in aligned runs of tokens: an attention kernel takes ten runs far quicker than eighty single tokens."""

from __future__ import annotations

from bisect import bisect_left

import numpy as np
from numpy.typing import NDArray

Tokens = NDArray[np.int64]
"""Numbers of tokens, counted through all reused chunks of a prompt, ascending, shape (n,)."""


def best_tokens(scores: NDArray[np.float64], count: int) -> Tokens:
    """Return the `count` tokens of the highest scores, ascending; the smaller number first where scores are equal."""
    if count >= len(scores):
        return np.arange(len(scores))
    if count <= 0:
        return np.zeros(0, np.int64)
    least = np.partition(scores, len(scores) - count)[len(scores) - count]
    chosen = scores > least
    equal = np.flatnonzero(scores == least)
    chosen[equal[: count - np.count_nonzero(chosen)]] = True
    return np.flatnonzero(chosen)


def ascending(tokens: Tokens, count: int) -> Tokens:
    """Return different tokens of `count` in ascending order, marked and read off: half the time of a sort."""
    marked = np.zeros(count, bool)
    marked[tokens] = True
    return np.flatnonzero(marked)


def whole_runs(
    singles: Tokens,
    scores: NDArray[np.float64],
    lengths: NDArray[np.int64],
    wanted: NDArray[np.int64],
    run_length: int,
    *,
    by_chunk: bool,
    carry: bool,
) -> Tokens:
    """Return the tokens of the runs that hold most of `singles`, the tokens that would be chosen one by one.

    A chunk's runs start at its tokens 0, L, 2L, ...; the last is shorter. A run ranks by how many `singles` it holds,
    then by the sum of its scores, then by position. Runs are taken until they have as many tokens as are wanted, of
    each chunk (`by_chunk`) or of all together: never more than L - 1 above. With `carry`, what one chunk got too much
    counts for the next, so that all chunks together are never more than L - 1 above.
    """
    if run_length == 1 or not len(singles):
        return np.sort(singles)
    per_chunk = -(-lengths // run_length)
    first_run = np.cumsum(per_chunk) - per_chunk
    chunk = np.repeat(np.arange(len(lengths)), per_chunk)
    place = np.arange(len(chunk)) - np.repeat(first_run, per_chunk)
    offsets = np.cumsum(lengths) - lengths
    starts = offsets[chunk] + place * run_length
    sizes = np.minimum(run_length, lengths[chunk] - place * run_length)
    single = np.zeros(len(scores), np.int64)
    single[singles] = 1
    held = np.add.reduceat(single, starts)
    sums = np.add.reduceat(scores, starts)
    some = np.flatnonzero(held)
    group = chunk[some] if by_chunk else np.zeros_like(some)
    order = np.lexsort((-sums[some], group * (run_length + 1) - held[some]))
    runs, group = some[order], group[order]
    taken = _taken(sizes[runs], group, wanted if by_chunk else wanted.sum(keepdims=True), carry)
    runs = np.sort(runs[taken])
    taken_sizes = sizes[runs]
    shifts = starts[runs] - (np.cumsum(taken_sizes) - taken_sizes)
    return np.asarray(np.repeat(shifts, taken_sizes) + np.arange(int(taken_sizes.sum())), np.int64)


def _taken(
    sizes: NDArray[np.int64], group: NDArray[np.int64], wanted: NDArray[np.int64], carry: bool
) -> NDArray[np.bool_]:
    """Return which of the ranked runs are taken, group by group."""
    ends = np.searchsorted(group, np.arange(len(wanted)), side="right").tolist()
    total = np.cumsum(sizes).tolist()
    taken = np.zeros(len(sizes), bool)
    begin, spare = 0, 0
    for end, want in zip(ends, wanted.tolist(), strict=True):
        need, spare = want - spare, spare - want
        if need > 0:
            target = need + (total[begin - 1] if begin else 0)
            last = bisect_left(total, target, begin, end)
            taken[begin : last + 1] = True
            spare = total[last] - target
        spare = spare if carry else 0
        begin = end
    return taken
