"""The rules of Meta-Chunking's published code, written down one by one as the specification gives them."""

from __future__ import annotations

from collections.abc import Sequence


def published_minima(scores: Sequence[float], theta: float) -> list[int]:
    """Section C2."""
    found = []
    for i in range(1, len(scores) - 1):
        before, here, after = scores[i - 1 : i + 2]
        strict = here < before and here < after and (before - here >= theta or after - here >= theta)
        plateau = here < before and here == after and before - here >= theta
        if strict or plateau:
            found.append(i)
    return found


def published_running(documents: Sequence[Sequence[float]], remembered: int) -> list[list[int]]:
    """Section C3's running minimum, with its list."""
    depths: list[float] = []
    theta = 0.0
    found = []
    for scores in documents:
        kept = []
        for i in range(1, len(scores) - 1):
            left, right = scores[i - 1] - scores[i], scores[i + 1] - scores[i]
            if left > 0 and right > 0 and (left >= theta or right >= theta):
                depths.append(min(left, right))
            elif left > 0 and right == 0 and left >= theta:
                depths.append(left)
            else:
                continue
            kept.append(i)
            if len(depths) >= remembered:
                theta = min(depths)
        found.append(kept)
    return found


def published_merge(lengths: Sequence[int], target: int) -> list[int]:
    """Section C6, with its empty string at the start taken away."""
    out, current = [], 0
    for length in lengths:
        if current + length <= target:
            current += length
        else:
            out.append(current)
            current = length
    return [length for length in [*out, current] if length]


def published_margins(margins: Sequence[float]) -> list[list[int]]:
    """Section C5: the sentences of each chunk, from the margin of each boundary."""
    theta, seen = 0.0, []
    chunks = [[0]]
    for sentence, margin in enumerate(margins, start=1):
        if margin > theta:
            chunks[-1].append(sentence)
        else:
            chunks.append([sentence])
        seen.append(margin)
        if len(seen) >= 5:
            theta = sum(seen[-5:]) / 5
    return chunks
