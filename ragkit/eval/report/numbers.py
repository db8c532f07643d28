"""Figures as the report writes them."""

from __future__ import annotations

import math

MINUS = "\u2212"


def score(value: float) -> str:
    """Return a mean of per-query values: three decimals below 10, fewer above.

    >>> score(0.12345), score(-0.5), score(1234.5)
    ('0.123', '−0.500', '1,234')
    """
    if not math.isfinite(value):
        return "–"
    text = f"{value:,.3f}" if abs(value) < 10 else f"{value:,.1f}" if abs(value) < 1000 else f"{value:,.0f}"
    return text.replace("-", MINUS) if float(text.replace(",", "")) else text.lstrip("-")


def difference(value: float) -> str:
    """Return a difference with its sign.

    >>> difference(0.0214), difference(-0.0214), difference(0.0)
    ('+0.021', '−0.021', '0.000')
    """
    text = score(value)
    return text if value <= 0 or text in ("0.000", "–") else f"+{text}"


def interval(low: float, high: float, signed: bool = False) -> str:
    """Return both ends in brackets.

    >>> interval(0.1, 0.25)
    '[0.100, 0.250]'
    """
    write = difference if signed else score
    return f"[{write(low)}, {write(high)}]"


def p_value(value: float) -> str:
    """Return a p-value, never as zero.

    >>> p_value(0.04321), p_value(0.00001)
    ('0.043', '< 0.001')
    """
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def quantity(value: float) -> str:
    """Return a count or a time with three significant digits.

    >>> quantity(1234.5), quantity(0.01234), quantity(12.3456)
    ('1,234', '0.0123', '12.3')
    """
    if not math.isfinite(value):
        return "–"
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
