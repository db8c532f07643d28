"""Several rerankers as one: reciprocal rank fusion (Cormack et al., SIGIR 2009), or a weighted mean of their scores."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Literal

import numpy as np

from ragkit.budget import Meter
from ragkit.errors import ConfigError
from ragkit.identity import content_hash
from ragkit.protocols import Reranker
from ragkit.scoring.calibration import Calibration
from ragkit.scoring.named import make_calibration
from ragkit.scoring.order import Scores, finite


class FusionReranker:
    """Joins `members`; "rrf" adds weight / (constant + rank), "weighted" means calibrated scores.

    In "weighted" each member is calibrated as "auto" has it (`ragkit.scoring.calibration`), and one whose scores have
    no bounds by minmax. Fused ranks say nothing of how good a text is, only which is better: a rule of ratios finds no
    cliff in them. Equal scores share their best rank, so that the order of the texts changes nothing.
    """

    name = "fusion"
    scale: Literal["unbounded"] = "unbounded"

    def __init__(
        self,
        members: Sequence[Reranker],
        method: Literal["rrf", "weighted"] = "rrf",
        weights: list[float] | None = None,
        constant: float = 60.0,
    ) -> None:
        """Fuse `members` with `weights` (None: all 1); raise ConfigError for weights that do not fit them."""
        weights = [1.0] * len(members) if weights is None else weights
        if not members or len(weights) != len(members):
            raise ConfigError(
                f"The fusion has {len(members)} rerankers and {len(weights)} weights; expected one weight for each, "
                "and one reranker at least.",
                hint="Give, for instance, {name: fusion, rerankers: [cosine, bm25], weights: [0.7, 0.3]}.",
            )
        numbers = np.array([*weights, constant], np.float64)
        if not np.isfinite(numbers).all() or numbers.min() < 0 or not sum(weights):
            raise ConfigError(
                f"The fusion's weights are {weights} and its constant {constant}; expected finite numbers, none below "
                "0, and not all 0.",
                hint="Correct the weights.",
            )
        self._members, self._weights, self._method, self._constant = tuple(members), weights, method, constant
        self._calibrations = [_calibration(member) for member in members]

    def charged(self, meter: Meter) -> FusionReranker:
        """Return this fusion with the calls of its members on `meter`, where they make any."""
        members = [one.charged(meter) if hasattr(one, "charged") else one for one in self._members]
        return FusionReranker(members, self._method, self._weights, self._constant)

    @cached_property
    def listwise(self) -> bool:
        """Whether a score depends on the other texts of the call."""
        relative = any(calibration.name == "minmax" for calibration in self._calibrations)
        return self._method == "rrf" or relative or any(getattr(one, "listwise", False) for one in self._members)

    @cached_property
    def window(self) -> int | None:
        """The smallest window among the members."""
        return min((one.window for one in self._members if one.window is not None), default=None)

    @cached_property
    def fingerprint(self) -> str:
        """Identifies the members and how they are joined."""
        members = [member.fingerprint for member in self._members]
        return content_hash(
            "fusion reranker", members=members, method=self._method, weights=self._weights, constant=self._constant
        )

    def score(self, query: str, texts: Sequence[str]) -> Scores:
        """Return the fused scores, shape (texts,)."""
        total = np.zeros(len(texts))
        for member, weight, calibration in zip(self._members, self._weights, self._calibrations, strict=True):
            scores = finite(member.score(query, texts), f"scores of {member.name}", len(texts))
            if self._method == "rrf":
                total += weight / (self._constant + _ranks(scores))
            else:
                total += weight / sum(self._weights) * calibration(scores)
        return total


def _calibration(member: Reranker) -> Calibration:
    advised = getattr(member, "calibration", None)
    if advised is None and member.scale == "unbounded":
        advised = "minmax"
    return make_calibration("auto", member.scale, advised)


def _ranks(scores: Scores) -> Scores:
    """Return each score's rank from 1; equal scores share the best."""
    return np.asarray(1.0 + np.searchsorted(np.sort(-scores), -scores, side="left"))
