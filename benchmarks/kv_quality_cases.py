"""The ways in which `benchmarks.kv_quality` answers a question: where chunks come from, what of them is repaired."""

from __future__ import annotations

from typing import NamedTuple

from ragkit.cachecraft.core.repair import Repair

SHARES = (0.05, 0.10, 0.15, 0.20, 0.30, 0.45, 0.60)
POLICIES = ("cachecraft", "epic", "hkvd", "query_probe", "random")
ISOLATED_SHARES = (0.15, 0.30)
ALPHAS = (0.1, 0.25, 0.5, 0.75, 1.0, 1.5)
"""Of eq. 12, with its rule that a chunk with a CFO of 0.75 or more is computed as a whole; cached among others only. No
CCI is below 0.5, so that from 1.5 on every chunk without a chunk of its old context is computed whole."""
RUN_LENGTHS = (1, 4, 8, 16, 32)
E1_SHARES = (0.15,)
E1_POLICIES = ("cachecraft", "query_probe", "random")
RUN_LENGTH = 1
"""Of everything but E1: the policies themselves are compared, token by token as published."""

WRITTEN: dict[str, dict[str, tuple[float, ...]]] = {
    "shuffled": {
        **dict.fromkeys(("cachecraft", "epic", "hkvd", "query_probe"), (0.15, 0.30, 0.45, 0.60)),
        "random": (0.30,),
    },
    "isolated": dict.fromkeys(("cachecraft", "query_probe"), (0.15, 0.30)),
}
"""The shares at which whole answers are written, beside those of the full computation and those without repair."""


class Case(NamedTuple):
    """One way to answer; with `alpha`, the share is what comes out and stands here as 0."""

    store: str
    policy: str
    share: float
    run_length: int
    alpha: float | None = None

    @property
    def written(self) -> bool:
        """Whether a whole answer is written."""
        if self.policy in ("none", "full"):
            return True
        shares = WRITTEN.get(self.store, {}).get(self.policy, ())
        return self.alpha is None and self.run_length == RUN_LENGTH and self.share in shares

    def repair(self, seed: int) -> Repair:
        """Return the budget."""
        return Repair(share=self.share, alpha=self.alpha, run_length=self.run_length, seed=seed)


FULL = Case("none", "full", 1.0, 1)


def cases() -> list[Case]:
    """Return all ways, without the full computation."""
    found = [Case("shuffled", "none", 0.0, 1), Case("isolated", "none", 0.0, 1)]
    found += [Case("shuffled", policy, share, RUN_LENGTH) for policy in POLICIES for share in SHARES]
    found += [Case("isolated", policy, share, RUN_LENGTH) for policy in POLICIES for share in ISOLATED_SHARES]
    found += [Case("shuffled", "cachecraft", 0.0, RUN_LENGTH, alpha) for alpha in ALPHAS]
    found += [
        Case("shuffled", policy, share, length)
        for policy in E1_POLICIES
        for share in E1_SHARES
        for length in RUN_LENGTHS
        if length != RUN_LENGTH
    ]
    return found
