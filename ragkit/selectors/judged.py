"""The value of a sequence of chunks in a reranker's opinion of their texts joined, remembered by sequence or by set."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from ragkit.errors import UsageError
from ragkit.protocols import Reranker
from ragkit.scoring.calibration import Calibration
from ragkit.scoring.order import Scores, finite
from ragkit.selectors.combining import Items

SEPARATOR = "\n\n"


@dataclass(slots=True)
class Judged:
    """Calibrated scores of the joined texts.

    Not `ordered`, a set is joined in the order of `places` (by default that of the candidates) whatever the order of
    its choice, and valued once. Most rerankers were trained on single passages: whether their opinion of several says
    how good an answer gets is for a measurement to show.
    """

    reranker: Reranker
    calibration: Calibration
    query: str
    texts: Sequence[str]
    ordered: bool = True
    places: Sequence[int] | None = None
    weights: Scores | None = None
    """By candidate: a value is multiplied by the least weight of its members; None: all 1.

    By the mean, chunks that say nothing would lend their weight to others.
    """
    scored: int = field(default=0, init=False)
    _known: dict[tuple[int, ...], float] = field(default_factory=dict, init=False)

    @property
    def name(self) -> str:
        """The reranker's name."""
        return self.reranker.name

    def start(self) -> tuple[int, ...]:
        """Return the empty sequence."""
        return ()

    def pushed(self, state: tuple[int, ...], item: int) -> tuple[int, ...]:
        """Return the sequence with `item` appended."""
        return (*state, item)

    def extended(self, state: tuple[int, ...], items: Items) -> Scores:
        """Return the value of the sequence with each of `items` appended; what is not known is scored in one call.

        Raises ContractError for scores that are not finite or not as many as the texts, UsageError for values below 0
        where there are weights.
        """
        keys = [self._key((*state, item)) for item in items.tolist()]
        new = [key for key in dict.fromkeys(keys) if key not in self._known]
        if new:
            texts = [SEPARATOR.join(self.texts[item] for item in key) for key in new]
            scores = finite(self.reranker.score(self.query, texts), f"scores of {self.reranker.name}", len(texts))
            self._known |= zip(new, self._weighed(new, self.calibration(scores)).tolist(), strict=True)
            self.scored += len(new)
        return np.array([self._known[key] for key in keys])

    def _weighed(self, keys: Sequence[tuple[int, ...]], values: Scores) -> Scores:
        if self.weights is None:
            return values
        if values.min(initial=0.0) < 0:
            raise UsageError(
                f"Weights of chunks multiply values, and those of {self.name} go down to {values.min():.4g}; expected "
                "none below 0.",
                hint="Name a calibration (sigmoid, clamp, exp or isotonic), or leave out the weight of trust.",
            )
        return values * np.array([float(self.weights[list(key)].min()) for key in keys], np.float64)

    def _key(self, sequence: tuple[int, ...]) -> tuple[int, ...]:
        if self.ordered:
            return sequence
        return tuple(sorted(sequence, key=None if self.places is None else self.places.__getitem__))
