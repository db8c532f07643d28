"""A fixed number of the best, and the bounds that all policies share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from ragkit.errors import ConfigError
from ragkit.scoring.cut import Cut, Invariance
from ragkit.scoring.order import Scores


@dataclass(frozen=True, slots=True)
class Fixed:
    """Keeps the best `k`, whatever they score."""

    k: int = 5

    name: ClassVar[str] = "fixed"
    signed: ClassVar[bool] = True
    invariances: ClassVar[frozenset[Invariance]] = frozenset(Invariance)

    def __post_init__(self) -> None:
        check_bounds(self.k, None, what="k")

    def decide(self, scores: Scores) -> Cut:
        """Return min(k, candidates)."""
        if len(scores) <= self.k:
            return Cut(len(scores), f"there are no more than {self.k} candidates")
        return Cut(self.k, f"only the best {self.k} are kept")


def check_bounds(min_k: int, max_k: int | None, *, what: str = "min_k") -> None:
    """Raise ConfigError unless 1 <= min_k <= max_k."""
    if min_k < 1:
        raise ConfigError(f"{what} is {min_k}; expected at least 1.", hint="Keep one chunk or more.")
    if max_k is not None and max_k < min_k:
        raise ConfigError(f"max_k is {max_k} and min_k {min_k}.", hint="Give a max_k of at least min_k, or none.")


def floored(found: Cut, min_k: int, count: int) -> Cut:
    """Return `found`, or the best `min_k` of `count` scores where it keeps fewer."""
    if found.kept >= min_k:
        return found
    if count <= min_k:
        return Cut(count, f"there are no more than {min_k} candidates" if count > 1 else "there is only one candidate")
    return Cut(min_k, f"min_k keeps {min_k}, although {found.reason}")


def capped(found: Cut, max_k: int | None) -> Cut:
    """Return `found`, or its first `max_k`."""
    return found if max_k is None or found.kept <= max_k else Cut(max_k, f"max_k keeps {max_k}")
