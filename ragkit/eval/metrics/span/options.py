"""Options that several span metrics share."""

from __future__ import annotations

from ragkit.eval.metrics.measure import Option

UNIT = Option("chars", choices=("chars", "tokens"))
"""Characters, or tokens of the evaluation tokenizer (metrics.md 1.4)."""

REDUNDANCY = Option("sum", choices=("sum", "union"))
"""Whether text that was retrieved twice counts twice ("sum", as published) or once ("union")."""
