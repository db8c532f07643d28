"""Probabilities of labels right after a prompt, from a served model."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ragkit.errors import UnsupportedError
from ragkit.models.arrival import Arrival
from ragkit.models.serving.asking import Messages, Reply, Served
from ragkit.models.serving.bulk import together
from ragkit.models.serving.refusal import RefusedError
from ragkit.models.serving.replies import first_choice
from ragkit.models.serving.scoring import prompt_nll
from ragkit.models.serving.writing import messages_of
from ragkit.protocols import Segment

_TOP = 20
"""Next tokens that the protocol tells at most."""


async def labelled(served: Served, prompt: Sequence[Segment], labels: Sequence[str]) -> Arrival:
    """Return the probability of each label after `prompt`, shape (labels,).

    Labels among the likeliest next tokens take one request together. Each other one, and each of several tokens, takes
    a further request that scores it after the prompt, which needs a server with /tokenize and prompt_logprobs.
    """
    messages = messages_of(prompt)
    tokens = await served.prompt_tokens(messages, 1)
    exact = await served.abilities.tokenizes()
    ids = [await served.abilities.label_tokens(label) if exact else None for label in labels]
    replies: list[Reply] = []
    found: dict[str, float] = {}
    if any(known is None or len(known) == 1 for known in ids):
        top, reply = await _top(served, messages, tokens, ids)
        replies.append(reply)
        for label, known in zip(labels, ids, strict=True):
            if known is None or len(known) == 1:
                value = top.get(f"token_id:{known[0]}" if known else label, top.get(label))
                if value is not None:
                    found[label] = value
    missing = {label: known for label, known in zip(labels, ids, strict=True) if label not in found}
    if missing:
        found |= await _scored(served, messages, missing, replies)
    row: NDArray[np.float64] = np.exp(np.asarray([found[label] for label in labels], dtype=np.float64))
    return Arrival(
        0,
        np.minimum(row, 1.0),
        sum(reply.prompt_tokens for reply in replies),
        sum(reply.reply_tokens for reply in replies),
        sum(reply.seconds for reply in replies),
    )


async def _top(
    served: Served, messages: Messages, tokens: int, ids: Sequence[list[int] | None]
) -> tuple[dict[str, float], Reply]:
    """Return the log-probabilities of the likeliest next tokens, and of the labels where the server takes wishes."""
    path, body = served.asked(messages)
    body |= {"temperature": 0.0, **({"logprobs": True, "top_logprobs": _TOP} if served.chat else {"logprobs": 5})}
    single = sorted({known[0] for known in ids if known is not None and len(known) == 1})
    if single and await served.abilities.is_vllm():  # from 0.32 on; older versions ignore it
        body |= {"logprob_token_ids": single, "return_tokens_as_token_ids": True}
    try:
        reply = await served.post(path, body, tokens, 1)
    except RefusedError as refusal:
        if refusal.says("logprobs"):
            raise _untold(served, "the probabilities of the next token") from None
        raise
    told = first_choice(reply.content, served.url).get("logprobs")
    top = _entries(told) if isinstance(told, dict) else {}
    if not top and not any(known is not None for known in ids):
        raise _untold(served, "the probabilities of the next token")
    return top, reply


def _entries(told: dict[str, Any]) -> dict[str, float]:
    """Return the log-probability of each token at the first place, from either form of the protocol."""
    if isinstance(told.get("content"), list):
        first = told["content"][0] if told["content"] else {}
        return {str(entry["token"]): float(entry["logprob"]) for entry in [*first.get("top_logprobs", ()), first]}
    places = told.get("top_logprobs")
    return {str(token): float(value) for token, value in places[0].items()} if places else {}


async def _scored(
    served: Served,
    messages: Messages,
    missing: dict[str, list[int] | None],
    replies: list[Reply],
) -> dict[str, float]:
    """Return the log-probability of each missing label, by scoring its tokens after those of the prompt."""
    if any(ids is None for ids in missing.values()):
        raise _untold(served, f"the probability of {', '.join(map(repr, missing))}, not among the {_TOP} likeliest")
    await served.abilities.scoring()
    if served.chat:
        before = await served.abilities.chat_tokens(messages)
    else:
        before = (await served.abilities.tokens(messages[0]["content"], special=True))[0]

    async def of(ids: list[int]) -> float:
        values, reply = await prompt_nll(served, [*before, *ids], len(before))
        replies.append(reply)
        return -math.fsum(values)

    scores = await together([of(ids) for ids in missing.values() if ids is not None])
    return dict(zip(missing, scores, strict=True))


def _untold(served: Served, what: str) -> UnsupportedError:
    return UnsupportedError(
        f"{served.url} does not tell {what}.",
        hint="Use a local model (its name instead of an address), or a server that does: vllm serve MODEL.",
    )
