"""Rows of cells as a Markdown table."""

from __future__ import annotations

from collections.abc import Sequence


def table(header: Sequence[str], rows: Sequence[Sequence[str]], texts: int = 1) -> list[str]:
    r"""Return a Markdown table; the first `texts` columns and one headed "verdict" are left-aligned, numbers right.

    >>> table(["system", "mean"], [["a|b", "0.5"]])
    ['| system | mean |', '| --- | ---: |', '| a\\|b | 0.5 |']
    """
    rule = ["---" if place < texts or name == "verdict" else "---:" for place, name in enumerate(header)]
    return [_row(header), _row(rule), *(_row(row) for row in rows)]


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
