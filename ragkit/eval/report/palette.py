"""Colours by role. Plots are drawn with stand-ins, which become CSS variables that each theme sets (report.css).

The series colours keep a contrast of at least 3 to 1 to their background in both themes (WCAG 1.4.11, a test computes
it); because no eight colours can be told apart by everyone, every series also has a marker and a label of its own.
"""

from __future__ import annotations

INK, MUTED, GRID, BETTER, WORSE, FAINT = "#010101", "#020202", "#030303", "#040404", "#050505", "#060606"
SERIES = tuple(f"#0101{10 + place}" for place in range(7))
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", ">")

VARIABLES = {
    INK: "var(--ink)",
    MUTED: "var(--muted)",
    GRID: "var(--grid)",
    BETTER: "var(--better)",
    WORSE: "var(--worse)",
    FAINT: "var(--faint)",
    **{stand_in: f"var(--series-{place})" for place, stand_in in enumerate(SERIES)},
}
"""Stand-in colour -> what the page's style sheet calls it."""


def look(place: int) -> tuple[str, str]:
    """Return colour and marker of the series at `place`: 63 pairs that differ."""
    return SERIES[place % len(SERIES)], MARKERS[place % len(MARKERS)]
