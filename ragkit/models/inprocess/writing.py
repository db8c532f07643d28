"""What the engine is asked for so that it writes replies or records, and how its tokens become text."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel

from ragkit.inference import Sampling
from ragkit.models.causal.loops import LOOP_TOKENS, loops
from ragkit.models.inprocess.calls import Answer
from ragkit.models.inprocess.vocabulary import Vocabulary


def sampled(sampling: Sampling) -> dict[str, Any]:
    """Return how tokens are drawn in vLLM's words."""
    return {
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        "repetition_penalty": sampling.repetition_penalty,
        "seed": sampling.seed,
    }


def constrained(schema: type[BaseModel]) -> dict[str, Any]:
    """Return what makes vLLM write only JSON that fits `schema`."""
    from vllm.sampling_params import StructuredOutputsParams

    return {"structured_outputs": StructuredOutputsParams(json=schema.model_json_schema())}


def reply_text(answer: Answer, vocabulary: Vocabulary) -> str:
    """Return the text of a reply up to where it begins to repeat itself, as the local model writes it."""
    ids = list(answer.ids)
    ends = (end for end in range(LOOP_TOKENS + 1, len(ids) + 1) if loops(ids[:end]))
    return vocabulary.text(ids[: next(ends, len(ids))])
