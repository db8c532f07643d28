"""How uniform the labels of retrieved chunks are (metrics.md 6)."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Hashable, Sequence

from ragkit.errors import UsageError


def consistency(labels: Sequence[Hashable], categories: int | None = None) -> float:
    """Return 1 - H / ln m for the shares of the labels: 1 if all are equal, 0 if all shares are.

    m is the number of distinct labels, as published; then 9 + 1 scores low although nearly uniform. With
    `categories`, the size of the label set, m is that. Raises UsageError without labels and for too small a set.

    >>> round(consistency(["a", "a", "a", "b"]), 3)
    0.189
    """
    counts = Counter(labels)
    base = len(counts) if categories is None else categories
    if not counts or base < len(counts):
        raise UsageError(
            f"{len(labels)} labels of {len(counts)} kinds and a label set of {base} were given.",
            hint="Give at least one label, and a set that holds them all.",
        )
    if len(counts) == 1:
        return 1.0
    entropy = -sum(count / len(labels) * math.log(count / len(labels)) for count in counts.values())
    return max(0.0, 1.0 - entropy / math.log(base))


def majority_share(labels: Sequence[Hashable]) -> float:
    """Return the share of the most frequent label; raise UsageError without labels."""
    if not labels:
        raise UsageError("No labels were given.", hint="Give at least one.")
    return Counter(labels).most_common(1)[0][1] / len(labels)
