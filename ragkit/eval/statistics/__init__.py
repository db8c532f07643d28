"""Intervals, tests and the verdict: no difference is reported without them."""

from ragkit.eval.statistics.bootstrap import Interval, mean_interval
from ragkit.eval.statistics.compare import Comparison, NamedComparison, compare, compare_all
from ragkit.eval.statistics.detectable import smallest_detectable_difference
from ragkit.eval.statistics.holm import holm
from ragkit.eval.statistics.permutation import permutation_p_value

__all__ = [
    "Comparison",
    "Interval",
    "NamedComparison",
    "compare",
    "compare_all",
    "holm",
    "mean_interval",
    "permutation_p_value",
    "smallest_detectable_difference",
]
