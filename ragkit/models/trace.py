"""What a language model was asked, call by call."""

from __future__ import annotations

from collections.abc import Callable, MutableSequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Traced:
    """One prompt or text: which stage asked for which ability of which model, what it took, whether it was cached.

    Tokens and seconds of a cached one are those that it once took.
    """

    stage: str
    ability: str
    model: str
    prompt_tokens: int
    reply_tokens: int
    seconds: float
    cached: bool


Trace = Callable[[Traced], None] | MutableSequence[Traced]
"""A list that grows, or a function that is called; it must be cheap and never raise."""
