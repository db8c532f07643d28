"""The prompt: numbered sources first and the question last, so that prefix and chunk caches can reuse the sources.

The best source comes last, next to the question. On 200 questions of squad_a with five retrieved chunks the default
model's first line held the gold answer for 31.5 % that way and for 18.0 % with the best source first. The wording is
one of the best of nine tried there (benchmarks/RESULTS.md, "Prompt").
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

from ragkit.errors import ModelError
from ragkit.protocols import LanguageModel, Segment
from ragkit.schema import Hit

INSTRUCTION = "Answer briefly, using only the text above."
_TAIL = INSTRUCTION + "\n\nQuestion: {question}"
_SOURCE_TOKENS = 12
"""Room for the number and the blank line around one source."""
_SOURCES = 16
"""Sources that this room is kept for; a longer selection may lose its last ones."""
_TEMPLATE_TOKENS = 32
"""Kept for the chat template of a model that does not say what it adds."""


def prompt_order(hits: Sequence[Hit]) -> list[Hit]:
    """Return `hits`, best first, in the order in which the prompt shows them: the best last.

    Neighbouring parts of one chunk stay in the order of their text.
    """
    chunks = [list(group) for _, group in groupby(hits, key=lambda hit: hit.part_of or hit.chunk_id)]
    return [hit for group in reversed(chunks) for hit in group]


def build_prompt(question: str, hits: Sequence[Hit]) -> list[Segment]:
    """Return the prompt with `hits` in the order given: one segment per source, which names its chunk, and the rest."""
    segments: list[Segment] = []
    for number, hit in enumerate(hits, 1):
        segments += [Segment(f"[{number}] "), Segment(hit.chunk.text, hit.chunk_id), Segment("\n\n")]
    segments.append(Segment(_TAIL.format(question=question.strip())))
    return segments


def source_limit(model: LanguageModel, question: str, max_tokens: int) -> int:
    """Return how many tokens of sources fit the model's window beside the question and `max_tokens` of answer.

    Raises ModelError where the question alone leaves no room.
    """
    fixed = sum(model.count([segment.text for segment in build_prompt(question, [])])) + template_tokens(model)
    left = model.window - fixed - max_tokens - _SOURCE_TOKENS * _SOURCES
    if left < 1:
        raise ModelError(
            f"The question and {max_tokens} tokens of answer leave no room for sources: {model.name} reads "
            f"{model.window} tokens.",
            hint="Ask a shorter question, allow a shorter answer, or name a model with a longer window.",
        )
    return left


def prompt_tokens(model: LanguageModel, prompt: Sequence[Segment]) -> int:
    """Return the tokens of `prompt`, the chat template included."""
    return model.count(["".join(segment.text for segment in prompt)])[0] + template_tokens(model)


def template_tokens(model: LanguageModel) -> int:
    """Return what the model's chat template adds to a message."""
    return int(getattr(model, "template_tokens", _TEMPLATE_TOKENS))
