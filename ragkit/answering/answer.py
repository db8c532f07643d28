"""Ask a language model about a selection and say which spans support its reply."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

from ragkit.answering.cite import cite
from ragkit.answering.prompt import INSTRUCTION, build_prompt, prompt_order, prompt_tokens
from ragkit.answering.reply import tidied
from ragkit.budget import Meter
from ragkit.errors import ModelError
from ragkit.protocols import LanguageModel
from ragkit.schema import Answer, Dropped, Hit, Selection

NOTHING_FOUND = "Nothing relevant was found in the index."


def answer(
    question: str,
    selection: Selection,
    model: LanguageModel,
    *,
    max_tokens: int = 128,
    meter: Meter | None = None,
    hits: Sequence[Hit] = (),
    seconds: Mapping[str, float] | None = None,
) -> Answer:
    """Return the model's answer to `question` from the selected chunks, with the spans that support it.

    `hits` and `seconds` are what earlier stages considered and took; they go into the trace. Without a selected chunk
    the model is not asked. Raises what the model raises, BudgetExceededError before a limit of `meter` is passed.
    """
    timing = dict(seconds or {})
    trace: dict[str, Any] = {
        "model": model.name,
        "hits": [_hit(hit) for hit in hits or selection.hits],
        "kept": [hit.chunk_id for hit in selection.hits],
        "dropped": [_dropped(dropped) for dropped in selection.dropped],
        "seconds": timing,
    }
    if not selection.hits:
        return Answer(question, NOTHING_FOUND, model.name, trace=trace | {"model_called": False})
    started = time.perf_counter()
    kept, left_out = _fitting(question, selection.hits, model, max_tokens)
    if not kept:
        raise ModelError(
            f"Not one source fits the prompt: {left_out[-1].reason}.",
            hint="Use smaller chunks, ask for a shorter answer, or name a model with a longer window.",
        )
    shown = prompt_order(kept)
    prompt = build_prompt(question, shown)
    reply = model.generate(prompt, max_tokens=max_tokens, meter=meter)
    generated = time.perf_counter()
    cited = cite(tidied(reply, question, INSTRUCTION), question, shown)
    timing.update(generate=generated - started, align=time.perf_counter() - generated)
    trace |= {
        "model_called": True,
        "kept": [hit.chunk_id for hit in kept],
        "dropped": [_dropped(dropped) for dropped in (*selection.dropped, *left_out)],
        "prompt_tokens": prompt_tokens(model, prompt),
        "answer_tokens": model.count([reply])[0],
        "markers": {"agreed": cited.agreed, "disagreed": cited.disagreed},
    }
    if meter is not None:
        trace["spent"] = meter.report()
    return Answer(question, cited.text, model.name, cited.citations, cited.unsupported, trace=trace)


def _fitting(
    question: str, hits: Sequence[Hit], model: LanguageModel, max_tokens: int
) -> tuple[list[Hit], list[Dropped]]:
    """Return the hits that fit the model's window beside the answer: the last go first, as the least relevant."""
    kept = list(hits)
    dropped: list[Dropped] = []
    while kept:
        needed = prompt_tokens(model, build_prompt(question, kept)) + max_tokens
        if needed <= model.window:
            break
        reason = f"prompt and answer would have {needed} tokens; {model.name} reads {model.window}"
        dropped.append(Dropped(kept.pop(), reason))
    return kept, dropped


def _hit(hit: Hit) -> dict[str, Any]:
    return {"rank": hit.rank, "score": hit.score, "chunk_id": hit.chunk_id, "source": hit.source}


def _dropped(dropped: Dropped) -> dict[str, Any]:
    return {"chunk_id": dropped.hit.chunk_id, "rank": dropped.hit.rank, "reason": dropped.reason}
