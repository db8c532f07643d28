"""How a reranker is fitted; apart from the loop, so that reading it loads no torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ragkit.errors import ConfigError

Loss = Literal["listwise", "binary"]


@dataclass(frozen=True, slots=True)
class Steps:
    """`batch` groups a step, `rate` the highest learning rate, reached after a tenth of the steps."""

    epochs: int = 3
    batch: int = 8
    rate: float = 1e-4
    decay: float = 0.01
    loss: Loss = "listwise"
    length: int = 192
    """Most tokens of question and text together, special ones included; what is longer is cut first."""
    seed: int = 0

    def __post_init__(self) -> None:
        if self.epochs < 1 or self.batch < 1 or not 0 < self.rate < 1 or self.length < 8:
            raise ConfigError(
                f"epochs is {self.epochs}, batch {self.batch}, rate {self.rate}, length {self.length}; expected at "
                "least 1, 1, above 0 and below 1, and 8.",
                hint="Correct the value.",
            )
