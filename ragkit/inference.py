"""What is asked of language models, and what they give back, as values: sampling, scoring windows, token scores."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ragkit.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Sampling:
    """How the next token is drawn; temperature 0 is greedy, and the default everywhere."""

    temperature: float = 0.0
    top_p: float = 1.0
    repetition_penalty: float = 1.0
    seed: int = 0


GREEDY = Sampling()


@dataclass(frozen=True, slots=True)
class Windows:
    """How a text longer than one forward pass is scored: `size` tokens a pass, `stride` of them new.

    The first pass scores [0, size); each further one scores `stride` tokens with `size - stride` tokens of true
    context before them: 1 + ceil((n - size) / stride) passes (Meta-Chunking, section C4 of its specification; no cache
    surgery). A text of at most `size` tokens takes one pass. Raises ConfigError unless 1 <= stride <= size.
    """

    size: int = 4096
    stride: int = 2048

    def __post_init__(self) -> None:
        if not 1 <= self.stride <= self.size:
            raise ConfigError(
                f"A scoring window of {self.size} tokens cannot move by {self.stride}.",
                hint="Give a stride from 1 to the window's size.",
            )


DEFAULT_WINDOWS = Windows()


@dataclass(frozen=True, slots=True)
class TokenScores:
    """The negative log-likelihood, in nats, of every token of a text.

    `spans` are the tokens' half-open places in the text in code points, shape (n, 2); `nll` has shape (n,), float32.
    A token without anything before it is scored after the model's start token where the model has one; else its value
    is NaN.
    """

    spans: NDArray[np.int64]
    nll: NDArray[np.float32]
