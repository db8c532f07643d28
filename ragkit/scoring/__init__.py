"""Scores of chunks: their total order, where to cut a descending list, and what makes them comparable.

One file per idea: `order`, `cut` with one file per family of policies (`drop`, `elbow`, `share`, `fixed`),
`calibration`, and `pruning` (which candidates are worth a costly score).
"""
