"""Scores of the tokens of a text, from a server that tells the log-probabilities of a prompt."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ragkit.errors import ModelError, ServerError
from ragkit.inference import TokenScores, Windows
from ragkit.models.arrival import Arrival
from ragkit.models.causal.passes import Pass, passes
from ragkit.models.local_windows import fitting_windows
from ragkit.models.serving.asking import Reply, Served
from ragkit.models.serving.bulk import together
from ragkit.models.serving.offsets import token_spans
from ragkit.models.serving.replies import first_choice


async def scored(served: Served, text: str, context: str, windows: Windows) -> Arrival:
    """Return the scores of the tokens of `text` after `context`."""
    if not text:
        return Arrival(0, TokenScores(np.zeros((0, 2), np.int64), np.zeros(0, np.float32)))
    way = await served.abilities.scoring()
    if way == "prompt_logprobs" and await served.abilities.tokenizes():
        return await _by_tokens(served, text, context, windows)
    return await _by_text(served, text, context, way)


async def _by_tokens(served: Served, text: str, context: str, windows: Windows) -> Arrival:
    """Score in passes over token ids, which the server's tokenizer gives: cuts between passes change no token."""
    abilities = served.abilities
    head = await abilities.start_tokens(served.start_token)
    ids, strings = await abilities.tokens(text)
    spans = token_spans(text, strings, served.url)
    before = (await abilities.tokens(context))[0] if context else []
    every = before + ids
    # a request must leave room for one new token, and without a start token a full stride for one of context
    room = served.window - 1 - max(1, len(head))
    needed = passes(len(every), fitting_windows(served.model, windows, room), len(before))

    async def read(one: Pass) -> tuple[NDArray[np.float64], Reply]:
        begin = one.start if head or one.first == 0 else min(one.start, one.first - 1)
        values, reply = await prompt_nll(served, [*head, *every[begin : one.stop]], len(head))
        return values[one.first - begin :], reply

    done = await together([read(one) for one in needed])
    values = np.concatenate([part for part, _ in done])
    return _arrival(spans, values, [reply for _, reply in done])


async def _by_text(served: Served, text: str, context: str, way: str) -> Arrival:
    """Score in one pass over text; the tokens that the server echoes must be the text's."""
    whole = context + text
    estimate = served.estimate(whole)
    if len(whole) > served.window * 16:  # no tokenizer packs more: the server would refuse or, worse, cut off
        raise ModelError(
            f"A text of {len(whole)} characters does not fit one pass of {served.model}, which reads {served.window} "
            f"tokens, and {served.url} has no /tokenize to cut it into windows.",
            hint="Use a local model, or a server with /tokenize: vllm serve MODEL.",
        )
    extra: dict[str, Any] = {"prompt_logprobs": 0} if way == "prompt_logprobs" else {"echo": True, "logprobs": 1}
    body = {"model": served.model, "prompt": whole, "temperature": 0.0, **extra}
    reply = await served.post("/completions", body, estimate, 1)
    choice = first_choice(reply.content, served.url)
    strings, values = (_echoed if way == "echo" else _decoded)(choice, whole)
    spans = token_spans(whole, strings, served.url)
    inside = spans[:, 1] > len(context)
    moved = np.maximum(spans[inside] - len(context), 0)
    return _arrival(moved, values[inside], [reply])


def _arrival(spans: NDArray[np.int64], values: NDArray[np.float64], replies: Sequence[Reply]) -> Arrival:
    return Arrival(
        0,
        TokenScores(spans, values.astype(np.float32)),
        sum(reply.prompt_tokens for reply in replies),
        sum(reply.reply_tokens for reply in replies),
        max(reply.seconds for reply in replies),
    )


async def prompt_nll(served: Served, ids: Sequence[int], skipped: int = 0) -> tuple[NDArray[np.float64], Reply]:
    """Return the negative log-likelihood of each token of a prompt after the `skipped` first; that of the first is NaN.

    Raises ServerError where the server scores another prompt than it was given.
    """
    body = {"model": served.model, "prompt": list(ids), "temperature": 0.0, "prompt_logprobs": 0}
    reply = await served.post("/completions", body, len(ids), 1)
    told = first_choice(reply.content, served.url).get("prompt_logprobs")
    if not isinstance(told, list) or len(told) != len(ids):
        raise ServerError(
            f"{served.url} told the log-probabilities of {len(told) if isinstance(told, list) else 'no'} tokens of a "
            f"prompt of {len(ids)}.",
            hint="Does it cut prompts off? See the server's log.",
        )
    values = [_value(entry, str(token)) for entry, token in zip(told, ids, strict=True)]
    return np.asarray(values[skipped:], dtype=np.float64), reply


def _value(entry: dict[str, Any] | None, token: str) -> float:
    """Return the negative log-likelihood of `token` at one place, NaN at the place before which nothing stands."""
    if entry is None:
        return float("nan")
    return -float(entry[token]["logprob"])


def _decoded(choice: dict[str, Any], whole: str) -> tuple[list[str], NDArray[np.float64]]:
    """Return the tokens and their scores from vLLM's prompt_logprobs; the first token is what the others leave."""
    entries = [next(iter(entry.values())) if entry else {} for entry in choice["prompt_logprobs"]]
    values = [-float(entry["logprob"]) if entry else float("nan") for entry in entries]
    rest = [str(entry.get("decoded_token", "")) for entry in entries[1:]]
    first = whole.removesuffix("".join(rest))
    return [first, *rest], np.asarray(values, dtype=np.float64)


def _echoed(choice: dict[str, Any], whole: str) -> tuple[list[str], NDArray[np.float64]]:
    """Return the tokens of the prompt and their scores from a completion that echoes it, without the new token."""
    logprobs = choice["logprobs"]
    strings = [str(token) for token in logprobs["tokens"]]
    if "".join(strings) != whole:
        del strings[-1:]
    values = [float("nan") if value is None else -float(value) for value in logprobs["token_logprobs"]]
    return strings, np.asarray(values[: len(strings)], dtype=np.float64)
