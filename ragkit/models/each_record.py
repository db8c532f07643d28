"""Records of many prompts where single replies may fail: each prompt gets its record or its own error."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ragkit.errors import ModelError, SchemaError, ServerError
from ragkit.protocols import Prompt, Record


def each_record(
    ask: Callable[[Sequence[Prompt]], Sequence[Record]], prompts: Sequence[Prompt]
) -> list[Record | ModelError]:
    """Return for each prompt what `ask`, a bulk call of `generate_records`, finds, or the error of that prompt.

    Where one reply fails, the others are asked for again: what was answered comes from the model's cache then. Raises
    ServerError, and what is no ModelError, such as a budget that is spent.
    """
    if not prompts:
        return []
    try:
        return [*ask(prompts)]
    except ServerError:
        raise
    except ModelError as error:
        if len(prompts) == 1:
            return [error]
        failed = error.failed if isinstance(error, SchemaError) else {}
    if not failed:  # which of them is not known
        return [found for prompt in prompts for found in each_record(ask, [prompt])]
    rest = iter(each_record(ask, [prompt for place, prompt in enumerate(prompts) if place not in failed]))
    return [failed[place] if place in failed else next(rest) for place in range(len(prompts))]
