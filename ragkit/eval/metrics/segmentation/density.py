"""Boundary density ratio: how many boundaries were predicted for each gold one."""

from __future__ import annotations

from ragkit.errors import UsageError
from ragkit.eval.metrics.measure import declare


def _score(gold: frozenset[int], predicted: frozenset[int], n: int) -> float:  # noqa: ARG001 - one signature
    if not gold:
        raise UsageError(
            "BOR is undefined for a document without gold boundaries.",
            hint="Leave such documents out, and say how many.",
        )
    return len(predicted) / len(gold)


BOR = declare("BOR", "segmentation", _score, "predicted boundaries / gold boundaries; compare methods at equal BOR")
