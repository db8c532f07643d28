"""Options that are one of a few words, checked by name."""

from __future__ import annotations

from typing import Any, get_args

from ragkit.errors import ConfigError
from ragkit.plugins import suggestion


def check_choice(option: str, given: object, words: Any) -> None:
    """Raise ConfigError, naming `option`, where `given` is none of the words of the Literal `words`.

    >>> from typing import Literal
    >>> check_choice("order", "free", Literal["free", "document"])
    """
    known = [str(word) for word in get_args(words)]
    if given not in known:
        raise ConfigError(
            f"{option} is {given!r}; expected {', '.join(known[:-1])} or {known[-1]}.",
            hint=suggestion(str(given), known) or f"Correct {option}.",
        )
