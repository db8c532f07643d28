"""Evidence from sampled requests that reuse diverges more than it may: a test that may be read after every request."""

from __future__ import annotations

from dataclasses import dataclass

ERROR = 0.01
"""Chance that reuse whose divergence keeps to the bound is ever switched off, however many requests are sampled."""
BETS = (0.1, 0.3, 0.6, 0.9)
"""Stakes of the wealth per request: small ones win where divergences scatter, large ones where all are too large."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """An e-process against "the expected divergence of each request, given those before, is at most `bound`" (nats).

    A divergence x multiplies a bet's wealth by 1 + bet (x / bound - 1). Under the hypothesis that is no gain on
    average, as x is never negative, however it is distributed; so by Ville's inequality the wealth ever reaches
    1 / ERROR with probability ERROR at most (testing by betting: Waudby-Smith and Ramdas, arXiv 2010.09686). A share
    1 / (t (t + 1)) of the stake is laid from request t on, so that a model that gets worse late, behind another corpus
    for instance, is found too.
    """

    bound: float
    samples: int = 0
    wealth: tuple[float, ...] = (0.0,) * len(BETS)
    """Of the stakes laid until now, by bet."""

    @property
    def value(self) -> float:
        """The evidence, 1 without any: wealth in units of the stake, with what is not yet laid."""
        return sum(self.wealth) / len(self.wealth) + 1 / (self.samples + 1)

    @property
    def shown(self) -> bool:
        """Whether the divergence is shown to be above the bound."""
        return self.value >= 1 / ERROR

    def after(self, divergence: float) -> Evidence:
        """Return the evidence with the divergence (nats, 0 to infinity) of one more request.

        >>> all_at_twice_the_bound = Evidence(0.2)
        >>> for requests in range(1, 100):
        ...     all_at_twice_the_bound = all_at_twice_the_bound.after(0.4)
        ...     if all_at_twice_the_bound.shown:
        ...         break
        >>> requests
        10
        """
        laid = 1 / ((self.samples + 1) * (self.samples + 2))
        ratio = divergence / self.bound
        won = tuple((held + laid) * (1 - bet + bet * ratio) for held, bet in zip(self.wealth, BETS, strict=True))
        return Evidence(self.bound, self.samples + 1, won)
