"""When a reply has begun to repeat itself: greedy small models never leave a loop."""

from __future__ import annotations

from collections.abc import Sequence

LOOP_TOKENS = 16
"""Tokens that must return to end a reply; shorter runs (a closing brace, a list mark) may return for a reason."""


def loops(reply: Sequence[int], tokens: int = LOOP_TOKENS) -> bool:
    """Return whether the last `tokens` tokens of `reply` stood in it before.

    >>> loops([*range(40)]), loops([*range(20), 7, *range(16)])
    (False, True)
    """
    if len(reply) <= tokens:
        return False
    last = list(reply[-tokens:])
    earlier = range(len(reply) - tokens)
    return any(reply[at] == last[0] and list(reply[at : at + tokens]) == last for at in earlier)
