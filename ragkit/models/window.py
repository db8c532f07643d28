"""How much a language model may still write: its window and the run's budget, checked before anything is spent."""

from __future__ import annotations

from ragkit.budget import Meter
from ragkit.errors import ModelError, UsageError


def answer_room(name: str, prompt_tokens: int, max_tokens: int, window: int, meter: Meter | None) -> int:
    """Return how many tokens the reply may have: `max_tokens`, or what the budget leaves of them.

    Records the prompt in `meter`. Raises UsageError for a reply of no tokens, ModelError where prompt and reply do not
    fit `window`, BudgetExceededError where the budget does not cover the prompt and one token.
    """
    if max_tokens < 1:
        raise UsageError(f"A reply of {max_tokens} tokens was asked for.", hint="Allow at least 1 token.")
    if prompt_tokens + max_tokens > window:
        raise ModelError(
            f"The prompt has {prompt_tokens} tokens and the answer may have {max_tokens}; together {name} reads "
            f"{window}.",
            hint="Select fewer or shorter chunks, ask for a shorter answer, or name a model with a longer window.",
        )
    if meter is None or meter.budget.tokens is None:
        if meter is not None:
            meter.spend("generate", prompt_tokens=prompt_tokens)
        return max_tokens
    left = meter.budget.tokens - meter.tokens - prompt_tokens
    meter.spend("generate", prompt_tokens=prompt_tokens + (0 if left >= 1 else 1))
    return min(max_tokens, left)
