"""What the language-model calls of a system cost: tokens, seconds, dollars where the model has a price."""

from __future__ import annotations

from collections.abc import Sequence

from ragkit.budget import Price
from ragkit.eval.results import AnswerRecord, Call, ModelRecord, Spent


def spent(calls: Sequence[Call], model: ModelRecord, from_cache: int) -> Spent:
    """Return the sum of `calls`; dollars are None for a model without a price, never 0."""
    prompt, reply = sum(call.prompt_tokens for call in calls), sum(call.reply_tokens for call in calls)
    return Spent(
        calls=sum(call.calls for call in calls),
        from_cache=from_cache,
        prompt_tokens=prompt,
        reply_tokens=reply,
        seconds=sum(call.seconds for call in calls),
        dollars=None if model.price is None else Price(*model.price).dollars(prompt, reply),
    )


def answer_calls(records: Sequence[AnswerRecord]) -> list[Call]:
    """Return the calls that wrote the answers."""
    return [record.call for record in records if record.call is not None]


def judge_calls(records: Sequence[AnswerRecord]) -> list[Call]:
    """Return the calls that judged the answers."""
    return [one.call for record in records for one in record.judged.values() if one.call is not None]
