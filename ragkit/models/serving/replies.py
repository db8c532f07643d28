"""What stands in a server's replies: text, why it ended, tokens used, log-probabilities."""

from __future__ import annotations

from typing import Any, NamedTuple

from ragkit.errors import ServerError


class Said(NamedTuple):
    """A reply: its text, whether `max_tokens` cut it off, and its tokens (None where the server does not say)."""

    text: str
    cut: bool
    prompt_tokens: int | None
    reply_tokens: int | None


def said(reply: dict[str, Any], url: str) -> Said:
    """Return what a chat completion or a completion says; raise ServerError for anything else."""
    choice = first_choice(reply, url)
    message = choice.get("message")
    text = message.get("content") if isinstance(message, dict) else choice.get("text")
    cut = choice.get("finish_reason") == "length"
    if text is None and isinstance(message, dict) and cut:
        raise ServerError(
            f"{url} thought until max_tokens was reached and has not begun to answer.",
            hint="Allow a longer reply, or serve the model without thinking.",
        )
    if not isinstance(text, str):
        raise _unexpected(reply, url)
    return Said(text, cut, *usage(reply))


def usage(reply: dict[str, Any]) -> tuple[int | None, int | None]:
    """Return the tokens of the prompt and of the reply, None for what the server does not say."""
    stated = reply.get("usage")
    counts = stated if isinstance(stated, dict) else {}
    prompt, written = counts.get("prompt_tokens"), counts.get("completion_tokens")
    return (prompt if isinstance(prompt, int) else None), (written if isinstance(written, int) else None)


def first_choice(reply: dict[str, Any], url: str) -> dict[str, Any]:
    """Return the first choice of a completion; raise ServerError if there is none."""
    choices = reply.get("choices")
    if not isinstance(choices, list) or not choices or not isinstance(choices[0], dict):
        raise _unexpected(reply, url)
    choice: dict[str, Any] = choices[0]
    return choice


def _unexpected(reply: dict[str, Any], url: str) -> ServerError:
    return ServerError(
        f"{url} answered, but not with a chat completion: {str(reply)[:200]!r}.",
        hint="Check that the address ends in /v1 and that the server speaks the OpenAI protocol.",
    )
