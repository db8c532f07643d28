"""Replies and records from a served model."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from pydantic import BaseModel, ValidationError

from ragkit.errors import SchemaError, UnsupportedError
from ragkit.inference import Sampling
from ragkit.models.arrival import Arrival
from ragkit.models.serving.asking import Messages, Reply, Served
from ragkit.models.serving.refusal import RefusedError
from ragkit.models.serving.replies import Said, said
from ragkit.protocols import Segment

_FENCED = re.compile(r"\s*```(?:json)?\s*\n(.*)\n\s*```\s*", re.S)


def messages_of(prompt: Sequence[Segment]) -> Messages:
    """Return the conversation that asks `prompt`: one message of the user."""
    return [{"role": "user", "content": "".join(segment.text for segment in prompt)}]


async def written(served: Served, prompt: Sequence[Segment], max_tokens: int, sampling: Sampling) -> Arrival:
    """Return the reply to `prompt`, without the white space around it."""
    reply, text = await _asked(served, messages_of(prompt), {}, max_tokens, sampling)
    return Arrival(0, text.text.strip(), reply.prompt_tokens, reply.reply_tokens, reply.seconds, ended=not text.cut)


async def recorded(
    served: Served,
    prompt: Sequence[Segment],
    schema: type[BaseModel],
    max_tokens: int,
    sampling: Sampling,
) -> Arrival:
    """Return the instance of `schema` that answers `prompt`; a reply that does not fit is asked to be mended once."""
    messages = messages_of(prompt)
    form = await _form(served, schema)
    try:
        first, text = await _asked(served, messages, form, max_tokens, sampling)
    except RefusedError as refusal:
        if refusal.says("response_format", "json_schema", "structured", "guided", "schema"):
            raise UnsupportedError(
                f"{served.url} does not constrain replies to a JSON schema: {refusal.message[:200]}",
                hint="Use a local model (its name instead of an address), or a server that does: vllm serve MODEL.",
            ) from None
        raise
    value, flaw = _parsed(text, schema)
    if value is not None:
        return Arrival(0, value, first.prompt_tokens, first.reply_tokens, first.seconds)
    if text.cut:
        raise SchemaError(
            f"The reply of {served.model} was cut off after {first.reply_tokens} tokens, inside the JSON.",
            hint="Raise max_tokens, or ask for less in one record.",
            reply=text.text,
        )
    messages += [
        {"role": "assistant", "content": text.text},
        {"role": "user", "content": f"That does not fit the schema: {flaw}. Reply with the corrected JSON only."},
    ]
    second, text = await _asked(served, messages, form, max_tokens, sampling)
    value, flaw = _parsed(text, schema)
    if value is None:
        raise SchemaError(
            f"The reply of {served.model} does not fit {schema.__name__}, also after one correction: {flaw}.",
            hint="Does the server constrain decoding? vLLM does. Else name a larger model or a simpler schema.",
            reply=text.text,
        )
    tokens = (first.prompt_tokens + second.prompt_tokens, first.reply_tokens + second.reply_tokens)
    return Arrival(0, value, *tokens, first.seconds + second.seconds)


async def _asked(
    served: Served,
    messages: Messages,
    form: dict[str, Any],
    max_tokens: int,
    sampling: Sampling,
) -> tuple[Reply, Said]:
    tokens = await served.prompt_tokens(messages, max_tokens)
    path, body = served.asked(messages)
    body |= {**await served.sampled(sampling), **form}
    reply = await served.post(path, body, tokens, max_tokens)
    return reply, said(reply.content, served.url)


async def _form(served: Served, schema: type[BaseModel]) -> dict[str, Any]:
    """Return the fields that constrain a reply to `schema`: vLLM's own where it is vLLM, the protocol's elsewhere."""
    if await served.abilities.is_vllm():
        return {"structured_outputs": {"json": schema.model_json_schema()}}
    import openai

    strict: dict[str, Any] = dict(openai.pydantic_function_tool(schema)["function"]["parameters"])
    named = {"name": re.sub(r"\W", "_", schema.__name__)[:64], "schema": strict, "strict": True}
    return {"response_format": {"type": "json_schema", "json_schema": named}}


def _parsed(reply: Said, schema: type[BaseModel]) -> tuple[BaseModel | None, str]:
    """Return the record in a reply, else None and what is wrong with it."""
    fenced = _FENCED.fullmatch(reply.text)
    try:
        return schema.model_validate_json(fenced[1] if fenced else reply.text), ""
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(step) for step in first["loc"])
        return None, f"{where + ': ' if where else ''}{first['msg']}"
