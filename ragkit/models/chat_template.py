"""A prompt as a model's chat template shows it, and the day that some templates show with it."""

from __future__ import annotations

from datetime import date
from functools import lru_cache
from typing import Any

from ragkit.errors import ConfigError

_NOW = "strftime_now"
"""The function of transformers by which templates (Llama 3.2, Mistral Small 3, SmolLM3) ask for the day."""
_LLAMA = "%d %b %Y"
"""How Llama 3.1 writes `date_string`, which it takes as a variable."""
_UNKNOWN = "ragkit: no such format"


def rendered(tokenizer: Any, text: str, day: date | None = None) -> str:
    """Return `text` as a user's message in the tokenizer's chat template, up to where the reply begins.

    A template that shows the day shows `day` (at midnight), or today without one. The tokenizer must have a template.
    Raises ConfigError where the template puts together how it writes the day, so that `day` cannot be shown.
    """
    from jinja2 import TemplateError

    message = [{"role": "user", "content": text}]
    pin = {} if day is None else _pinned(_source(tokenizer), day)
    try:
        return str(tokenizer.apply_chat_template(message, add_generation_prompt=True, tokenize=False, **pin))
    except TemplateError as error:
        if _UNKNOWN not in str(error):
            raise
        raise ConfigError(
            f"The model's chat template cannot show the template_date {day}: it puts together how it writes a day.",
            hint="Go on without template_date: the template then shows today's date.",
        ) from error


def prompt_ids(tokenizer: Any, text: str, day: date | None = None) -> list[int]:
    """Return the ids of `text` as a user's message in the chat template, or, without a template, as plain text."""
    if tokenizer.chat_template is None:
        return list(tokenizer(text)["input_ids"])
    return list(tokenizer(rendered(tokenizer, text, day), add_special_tokens=False)["input_ids"])


def shows_today(tokenizer: Any) -> bool:
    """Return whether the chat template shows the day on which a prompt is written."""
    if tokenizer.chat_template is None or _NOW not in _source(tokenizer):
        return False
    days = date(2001, 2, 3), date(2014, 11, 25)
    try:
        return rendered(tokenizer, "x", days[0]) != rendered(tokenizer, "x", days[1])
    except ConfigError:
        return True


@lru_cache(maxsize=8)
def _pinned(source: str, day: date) -> dict[str, str]:
    """Return what makes `apply_chat_template` show `day`: a macro in the place of transformers' own function.

    transformers lets no function into a template, so the macro knows the formats that the template spells.
    """
    if _NOW not in source:
        return {"date_string": day.strftime(_LLAMA)}
    known = ", ".join(f"{_quoted(one)}: {_quoted(day.strftime(one))}" for one in _formats(source))
    found = f"{{% set ragkit_days = {{{known}}} %}}\n{{% macro {_NOW}(format) %}}{{{{ ragkit_days[format]"
    otherwise = f"if format in ragkit_days else raise_exception({_quoted(_UNKNOWN)}) }}}}{{% endmacro %}}\n"
    return {"chat_template": f"{found} {otherwise}{source}"}


def _formats(source: str) -> list[str]:
    """Return the strings in a template's code that may be formats of a day."""
    from jinja2 import Environment

    tokens = Environment(autoescape=False).lexer.tokenize(source)  # noqa: S701 - nothing is rendered here
    return sorted({str(token.value) for token in tokens if token.type == "string" and "%" in token.value})


def _source(tokenizer: Any) -> str:
    return str(tokenizer.get_chat_template())


def _quoted(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"
