"""Ask a language model about a selection and say which spans support its reply."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ragkit.answering.cite import cite, without_markers
from ragkit.answering.nothing import why_nothing
from ragkit.answering.prompt import INSTRUCTION, build_prompt, prompt_order, prompt_tokens
from ragkit.answering.reply import tidied
from ragkit.budget import Meter
from ragkit.errors import ModelError
from ragkit.protocols import LanguageModel, Segment
from ragkit.schema import Answer, Dropped, Hit, Selection


@dataclass(frozen=True, slots=True)
class Asked:
    """A question made ready for a model: the prompt and the hits it shows, in its order, and the trace so far.

    `prompt` is empty where nothing was selected: then the model is not asked, and `nothing` says why.
    """

    question: str
    shown: tuple[Hit, ...]
    prompt: tuple[Segment, ...]
    trace: dict[str, Any]
    nothing: str = ""


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
    the model is not asked and the text says why. Raises what the model raises, BudgetExceededError before a limit of
    `meter` is passed.
    """
    asked = prepare(question, selection, model, max_tokens=max_tokens, hits=hits, seconds=seconds)
    if not asked.prompt:
        return nothing_found(asked, model)
    started = time.perf_counter()
    reply = model.generate(asked.prompt, max_tokens=max_tokens, meter=meter)
    asked.trace["seconds"]["generate"] = time.perf_counter() - started
    found = finish(asked, reply, model)
    return found if meter is None else replace(found, trace={**found.trace, "spent": meter.report()})


def prepare(
    question: str,
    selection: Selection,
    model: LanguageModel,
    *,
    max_tokens: int,
    hits: Sequence[Hit] = (),
    seconds: Mapping[str, float] | None = None,
) -> Asked:
    """Return the prompt that asks `question` of the selected chunks; raise ModelError if not one of them fits it.

    Many questions can be prepared, put to the model in one call, and each reply given to `finish`.
    """
    trace: dict[str, Any] = {
        "model": model.name,
        "hits": [_hit(hit) for hit in hits or selection.hits],
        "kept": [hit.chunk_id for hit in selection.hits],
        "parts": [_part(hit) for hit in selection.hits if hit.part_of],
        "dropped": [_dropped(dropped) for dropped in selection.dropped],
        "selection": dict(selection.trace),
        "seconds": dict(seconds or {}),
        "model_called": False,
    }
    if not selection.hits:
        return Asked(question, (), (), trace, why_nothing(hits, selection.dropped))
    kept, left_out = _fitting(question, selection, model, max_tokens)
    if not kept:
        raise ModelError(
            f"Not one source fits the prompt: {left_out[-1].reason}.",
            hint="Use smaller chunks, ask for a shorter answer, or name a model with a longer window.",
        )
    _add_unlisted(trace, kept)
    shown = tuple(kept if selection.ordered else prompt_order(kept))
    prompt = tuple(build_prompt(question, shown))
    trace |= {
        "model_called": True,
        "kept": [hit.chunk_id for hit in kept],
        "dropped": [_dropped(dropped) for dropped in (*selection.dropped, *left_out)],
        "prompt_tokens": prompt_tokens(model, prompt),
    }
    return Asked(question, shown, prompt, trace)


def finish(asked: Asked, reply: str, model: LanguageModel) -> Answer:
    """Return the answer that `reply` is, with the spans of the shown hits that support it."""
    started = time.perf_counter()
    cited = cite(tidied(reply, asked.question, INSTRUCTION), asked.question, asked.shown)
    timing = {**asked.trace["seconds"], "align": time.perf_counter() - started}
    trace = asked.trace | {
        "seconds": timing,
        "answer_tokens": model.count([reply])[0],
        "markers": {"agreed": cited.agreed, "disagreed": cited.disagreed},
    }
    return Answer(asked.question, cited.text, model.name, cited.citations, cited.unsupported, trace=trace)


def nothing_found(asked: Asked, model: LanguageModel) -> Answer:
    """Return the answer to a question for which nothing was selected: the reason."""
    return Answer(asked.question, asked.nothing, model.name, trace=asked.trace)


def plain(asked: Asked, reply: str) -> str:
    """Return the text of the answer that `reply` is, without any markers: what is compared with gold answers."""
    return without_markers(tidied(reply, asked.question, INSTRUCTION), len(asked.shown))


def _fitting(
    question: str, selection: Selection, model: LanguageModel, max_tokens: int
) -> tuple[list[Hit], list[Dropped]]:
    """Return the hits that fit the model's window beside the answer: the least relevant go first."""
    kept = list(selection.hits)
    dropped: list[Dropped] = []
    while kept:
        needed = prompt_tokens(model, build_prompt(question, kept)) + max_tokens
        if needed <= model.window:
            break
        reason = f"prompt and answer would have {needed} tokens; {model.name} reads {model.window}"
        last = max(range(len(kept)), key=lambda at: (kept[at].rank, at)) if selection.ordered else len(kept) - 1
        dropped.append(Dropped(kept.pop(last), reason))
    return kept, dropped


def _add_unlisted(trace: dict[str, Any], kept: Sequence[Hit]) -> None:
    """List what was kept beside the hits considered, such as neighbours that a selector fetched."""
    listed = {one["chunk_id"] for one in trace["hits"]}
    trace["hits"] += [_hit(hit) for hit in kept if (hit.part_of or hit.chunk_id) not in listed]


def _hit(hit: Hit) -> dict[str, Any]:
    chunk = hit.chunk
    return {
        "rank": hit.rank,
        "score": hit.score,
        "chunk_id": hit.chunk_id,
        "source": hit.source,
        "page": hit.page,
        "line": hit.line,
        "start": chunk.start,
        "end": chunk.end,
    }


def _part(hit: Hit) -> dict[str, Any]:
    return {"chunk_id": hit.chunk_id, "part_of": hit.part_of, "start": hit.chunk.start, "end": hit.chunk.end}


def _dropped(dropped: Dropped) -> dict[str, Any]:
    hit = dropped.hit
    found: dict[str, Any] = {"chunk_id": hit.chunk_id, "rank": hit.rank, "reason": dropped.reason}
    return found | {"flags": list(dropped.flags)} if dropped.flags else found
