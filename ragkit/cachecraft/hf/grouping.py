"""Which prompts go through the model together: little padding, bounded memory."""

from __future__ import annotations

from collections.abc import Sequence


def shards(sizes: Sequence[int], budget: int) -> list[list[int]]:
    """Return the indices of prompts in groups that share one cache, of at most `budget` slots with padding.

    Prompts of one size stay together; a larger prompt than the budget is a group of its own.

    >>> shards([10, 30, 10, 30], 60)
    [[1, 3], [0, 2]]
    """
    order = sorted(range(len(sizes)), key=lambda at: (-sizes[at], at))
    found: list[list[int]] = []
    for at in order:
        if found and sizes[found[-1][0]] * (len(found[-1]) + 1) <= budget:
            found[-1].append(at)
        else:
            found.append([at])
    return found


def slices(counts: Sequence[int], budget: int, *, waste: float = 0.1, floor: int = 0) -> list[tuple[int, int]]:
    """Return the half-open ranges of rows, whose `counts` of tokens descend, that run in one pass each.

    A range has at most `budget` tokens with padding (one row may have more), and its padding is at most the share
    `waste` of its tokens, or `floor` tokens, below which another pass costs more.

    >>> slices([100, 98, 50, 49], 1000)
    [(0, 2), (2, 4)]
    """
    found: list[tuple[int, int]] = []
    start = real = 0
    for at, count in enumerate(counts):
        padded = counts[start] * (at + 1 - start)
        if at > start and (padded > budget or padded - real - count > max(waste * (real + count), floor)):
            found.append((start, at))
            start, real = at, 0
        real += count
    return [*found, (start, len(counts))] if counts else []
