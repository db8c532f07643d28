"""Top k: the best-ranked hits that fit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from ragkit.errors import ConfigError
from ragkit.protocols import Corpus
from ragkit.schema import Hit, Selection
from ragkit.selectors.fitting import Count, Fitting


class TopKSelector:
    """Keeps the `k` best-ranked hits; within a limit of tokens, the best that fit."""

    name = "top_k"

    def __init__(self, k: int = 5, count: Count | None = None) -> None:
        """Keep `k` hits; `count` measures texts in the answering model's tokens."""
        if k < 1:
            raise ConfigError(f"k is {k}; expected at least 1.", hint="Keep one hit or more.")
        self._k = k
        self._count = count

    def select(
        self,
        query: str,  # noqa: ARG002 - the protocol's; the retriever has judged already
        hits: Sequence[Hit],
        limit: int | None = None,
        corpus: Corpus | None = None,  # noqa: ARG002 - the protocol's
    ) -> Selection:
        """Return the best hits in order of rank, and why the rest fell."""
        fitting, ranked = Fitting.of(hits, limit, self._count)
        for hit in ranked:
            if len(fitting.kept) == self._k:
                fitting.drop(hit, f"rank {hit.rank} is beyond the best {self._k} that fit")
            else:
                fitting.take(hit)
        kept = len(fitting.kept)
        reason = f"the best {kept} that fit" if kept < len(ranked) else "there are no more candidates"
        trace = {"selector": self.name, "k": self._k, "stopped": reason if ranked else "there are no candidates"}
        return replace(fitting.selection(), trace=trace)
