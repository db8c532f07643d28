"""What makes scores comparable: named functions onto a range that a cut rule can read, always explicit and traced."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np

from ragkit.errors import ConfigError, UsageError
from ragkit.identity import content_hash
from ragkit.protocols import Reranker
from ragkit.scoring.order import Scores, finite

Scale = Literal["probability", "cosine", "logit", "unbounded"]


class Calibration(Protocol):
    """A function of scores that keeps their order, ties apart."""

    @property
    def name(self) -> str:
        """The word a user types."""
        ...

    def __call__(self, scores: Scores) -> Scores:
        """Return the calibrated scores, shape and order as given."""
        ...

    def trace(self) -> dict[str, Any]:
        """Return what a trace says of it."""
        ...


@dataclass(frozen=True, slots=True)
class Plain:
    """One of the calibrations without data.

    - "none": the scores as they are;
    - "sigmoid": logits to probabilities;
    - "clamp": negative scores become 0, those above 1 become 1: for cosines;
    - "exp": mean log-likelihoods to the geometric mean of token probabilities;
    - "minmax": the best of the list 1, the worst 0. The weakest: it depends on the worst candidate.
    """

    name: Literal["none", "sigmoid", "clamp", "exp", "minmax"]

    def __call__(self, scores: Scores) -> Scores:
        """Return the calibrated scores."""
        match self.name:
            case "none":
                return scores
            case "sigmoid":
                return np.asarray(0.5 * (1 + np.tanh(scores / 2)))  # no overflow at either end
            case "clamp":
                return np.clip(scores, 0.0, 1.0)
            case "exp":
                return np.exp(np.minimum(scores, 0.0))
            case "minmax":
                return _rescaled(scores)

    def trace(self) -> dict[str, Any]:
        """Return the name."""
        return {"name": self.name}


@dataclass(frozen=True, slots=True)
class Isotonic:
    """A rising step function learnt from judged scores: linear between its points, constant beyond them.

    It maps a score to the share of relevant chunks among those that scored alike. Raises ConfigError unless `scores`
    rise strictly, `values` do not fall and lie in [0, 1], and there is one for each.
    """

    scores: tuple[float, ...]
    values: tuple[float, ...]
    scorer: str = ""
    """Fingerprint of the reranker whose scores it was learnt from; empty where that is not known."""

    name = "isotonic"

    def __post_init__(self) -> None:
        scores, values = np.asarray(self.scores, float), np.asarray(self.values, float)
        sound = len(scores) == len(values) > 0 and bool(np.isfinite(scores).all())
        if not sound or (np.diff(scores) <= 0).any() or (np.diff(values) < 0).any():
            raise ConfigError(
                f"An isotonic calibration was given {len(scores)} scores and {len(values)} values; expected as many of "
                "each, one at least, the scores rising and the values never falling.",
                hint="Make it with Isotonic.fit(scores, relevant).",
            )
        if not (values[0] >= 0 and values[-1] <= 1):
            raise ConfigError(
                f"The values of an isotonic calibration go from {values[0]} to {values[-1]}; expected shares.",
                hint="Make it with Isotonic.fit(scores, relevant).",
            )

    @classmethod
    def fit(cls, scores: Sequence[float], relevant: Sequence[bool | float]) -> Isotonic:
        """Return the calibration that fits judged `scores` best (least squares, pool adjacent violators).

        `relevant` says for each score whether the chunk was relevant, or how much, in [0, 1]. Judge with questions that
        are not evaluated afterwards. Raises UsageError without a score or where lengths differ.
        """
        from scipy.optimize import isotonic_regression  # type: ignore[import-untyped] # it ships no types

        if len(scores) != len(relevant) or not len(scores):
            raise UsageError(
                f"{len(scores)} scores came with {len(relevant)} judgements; expected as many of each, one at least.",
                hint="Give one judgement for each score.",
            )
        unique, inverse, counts = np.unique(finite(scores, "scores to fit"), return_inverse=True, return_counts=True)
        shares = np.bincount(inverse, weights=finite(relevant, "judgements")) / counts
        fitted = np.maximum.accumulate(isotonic_regression(shares, weights=counts).x)
        inner = np.ones(len(fitted), bool)
        inner[1:-1] = (fitted[1:-1] != fitted[:-2]) | (fitted[1:-1] != fitted[2:])  # the ends of each step suffice
        return cls(tuple(unique[inner].tolist()), tuple(np.clip(fitted[inner], 0, 1).tolist()))

    @classmethod
    def read(cls, path: Path) -> Isotonic:
        """Return the calibration in a JSON file {"scores": [...], "values": [...]}; raise ConfigError if it is none.

        A `scorer` is read where there is one, other keys are left alone.
        """
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            scores, values = (tuple(map(float, content[key])) for key in ("scores", "values"))
            return cls(scores, values, str(content.get("scorer", "")))
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ConfigError(
                f"{path} is no isotonic calibration: {error}.", hint="Write one with: ragkit train calibration."
            ) from error

    def write(self, path: Path) -> None:
        """Write the calibration as JSON."""
        content = {"scores": self.scores, "values": self.values, "scorer": self.scorer}
        path.write_text(json.dumps(content) + "\n", encoding="utf-8")

    def __call__(self, scores: Scores) -> Scores:
        """Return the calibrated scores."""
        return np.interp(scores, self.scores, self.values)

    def trace(self) -> dict[str, Any]:
        """Return the name, the number of points and their hash."""
        points = content_hash("isotonic", scores=list(self.scores), values=list(self.values))
        return {"name": self.name, "points": len(self.scores), "hash": points}


BY_SCALE: Mapping[Scale, Plain] = {
    "probability": Plain("none"),
    "cosine": Plain("clamp"),
    "logit": Plain("sigmoid"),
    "unbounded": Plain("none"),
}
"""What "auto" stands for; a rule of ratios refuses unbounded scores once one is negative."""


def check_scorer(calibration: Calibration, reranker: Reranker | None) -> None:
    """Raise ConfigError if `calibration` was learnt from the scores of another reranker than this one, None: of any."""
    learnt = getattr(calibration, "scorer", "")
    if learnt and reranker is None:
        raise ConfigError(
            "The calibration was learnt from a reranker's scores, and there is no reranker: a retriever's scores mean "
            "something else.",
            hint="Name the reranker that it was trained for, or leave out the calibration.",
        )
    if learnt and reranker is not None and learnt != reranker.fingerprint:
        raise ConfigError(
            f"The calibration was learnt from the scores of another reranker than {reranker.name}: fingerprint "
            f"{learnt[:12]}, not {reranker.fingerprint[:12]}.",
            hint="Train it for this one with: ragkit train calibration, or name the reranker that it was trained for.",
        )


def _rescaled(scores: Scores) -> Scores:
    if not len(scores):
        return scores
    low, high = float(scores.min()), float(scores.max())
    return (scores - low) / (high - low) if high > low else np.ones_like(scores)
