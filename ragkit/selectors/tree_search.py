"""Tree search: the best set or sequence of chunks within a budget of tokens (CORAG / CARROT, arXiv 2411.00744).

Without a reranker the value of a set is `coverage`, which needs nothing but the index. With one it is the reranker's
opinion of the joined texts; the strongest single chunks are combined.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from copy import copy
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from ragkit.errors import ConfigError
from ragkit.protocols import Corpus, Reranker
from ragkit.schema import Dropped, Hit, Selection
from ragkit.scoring.calibration import Calibration, check_scorer
from ragkit.scoring.named import make_calibration
from ragkit.scoring.order import finite
from ragkit.selectors.beam import search_beam
from ragkit.selectors.choices import check_choice
from ragkit.selectors.combining import Best, Problem, SetValue
from ragkit.selectors.coverage import coverage
from ragkit.selectors.fitting import Count, Fitting
from ragkit.selectors.greedy import improved, search_greedy
from ragkit.selectors.judged import SEPARATOR, Judged
from ragkit.selectors.knapsack import additive_optimum
from ragkit.selectors.tree import Mode, Pick, TreeRules, search_tree
from ragkit.selectors.weighing import Weights, weights_of

_COMBINED = 50
_COMBINED_JUDGED = 12
"""Chunks that are combined: a value without a model is cheap, a reranker reads each combination."""

_OUR_C, _PUBLISHED_C = 0.05, 1.4
_NOTHING = "there are no candidates"


Search = Literal["tree", "beam", "greedy"]
Order = Literal["free", "document"]


@dataclass(frozen=True, slots=True)
class _Result:
    """What a search found, how many expansions it took and why it ended."""

    sequence: tuple[int, ...]
    value: float
    expansions: int
    stopped: str


class TreeSearchSelector:
    """Keeps the hits whose combination is worth most within the limit of tokens; it need not fill the limit.

    Args:
        mode: The rules of the tree: ragkit, paper, or reference_code (`ragkit.selectors.tree`). Ours starts, for
            coverage, from the best of a beam with exchanges, and solves values that add up without a search.
        search: tree, or the baselines beam (of `width`) and greedy (with exchanges).
        tokens: Most tokens kept, beside the limit of the call; None: that limit alone.
        order: "free" shows chunks in the order found best (a reranker) or best last (coverage); "document" in the
            order of their documents, which makes the same chunks the same prompt, so that caches can reuse it.
        c: Weight of exploration; None: 1.4 as published, and in our mode 0.05, which finds better sets in the same
            time (benchmarks/selecting.py).
        cost_weight: Weight of cost/budget in choosing branches; the value itself knows no cost.
        iterations: Most expansions of the tree; None: 100 as in the published code, in our mode 50, and 10 with a
            reranker, which reads up to `candidates` texts for each.
        patience: End after so many expansions without a better value.
        pick: What the result is picked by, own value or average; None: as `mode` has it.
        width: Of the beam, as a search or as the start of ours.
        seconds: Deadline, from the start of the call; the best so far is the result. All single chunks are always
            valued, and no call of the reranker is interrupted.
        calls: Most sequences valued, but for those of the last call.
        candidates: How many of the best single chunks are combined; None: 50, with a reranker 12.
        calibration: Onto [0, 1], as in score_cut; c and cost_weight mean something on that scale only.
        allow_empty: Keep nothing where no value reaches `min_value`.
        min_value: See `allow_empty`.
        relevance: Share of the retriever's best score in coverage.
        redundancy: What coverage takes off for similar pairs.
        language: Whose words are stemmed in coverage.
        reranker: Values the joined texts; None: coverage.
        count: Measures texts in the answering model's tokens.
    """

    name = "tree_search"

    def __init__(
        self,
        mode: Mode = "ragkit",
        search: Search = "tree",
        *,
        tokens: int | None = None,
        order: Order = "free",
        c: float | None = None,
        cost_weight: float = 0.1,
        iterations: int | None = None,
        patience: int | None = None,
        pick: Pick | None = None,
        width: int = 3,
        seconds: float | None = None,
        calls: int | None = None,
        candidates: int | None = None,
        calibration: str | Mapping[str, Any] = "auto",
        allow_empty: bool = False,
        min_value: float = 0.0,
        relevance: float = 0.5,
        redundancy: float = 0.1,
        language: str = "english",
        reranker: Reranker | None = None,
        count: Count | None = None,
    ) -> None:
        """Take the options that the class describes; raise ConfigError for values out of range."""
        ours = mode == "ragkit"
        c = (_OUR_C if ours else _PUBLISHED_C) if c is None else c
        if iterations is None:
            iterations = 100 if not ours else 50 if reranker is None else 10
        check_choice("search", search, Search)
        check_choice("order", order, Order)
        self._rules = TreeRules(mode, c, cost_weight, iterations, patience, pick)
        self._weights: Weights | None = None
        self._search, self._order, self._width = search, order, width
        self._tokens, self._seconds, self._calls = tokens, seconds, calls
        self._candidates = candidates or (_COMBINED if reranker is None else _COMBINED_JUDGED)
        self._allow_empty, self._min_value = allow_empty, min_value
        self._relevance, self._redundancy, self._language = relevance, redundancy, language
        self._reranker, self._count = reranker, count
        self._calibration = _calibration(calibration, reranker)
        for option, number, least in (
            ("width", width, 1),
            ("candidates", candidates, 1),
            ("tokens", tokens, 0),
            ("seconds", seconds, 0),
            ("calls", calls, 1),
        ):
            if number is not None and not least <= number < math.inf:
                raise ConfigError(f"{option} is {number}; expected {least} or more.", hint=f"Correct {option}.")
        if not math.isfinite(min_value):
            raise ConfigError(f"min_value is {min_value}; expected a finite number.", hint="Correct min_value.")
        for option, value in (("relevance", relevance), ("redundancy", redundancy)):
            if not 0 <= value <= 1:
                raise ConfigError(f"{option} is {value}; expected 0 to 1.", hint=f"Correct {option}.")
        self.ranked = order == "free" and reranker is None
        """Whether selections come best first; else in the order in which they are shown."""

    def weighted(self, weights: Weights) -> TreeSearchSelector:
        """Return this selector with its values weighed (`ragkit.selectors.weighing`).

        What a chunk covers is multiplied by its weight; a reranker's value of a sequence by the least of its members'.
        """
        made = copy(self)
        made._weights = weights
        return made

    def select(
        self, query: str, hits: Sequence[Hit], limit: int | None = None, corpus: Corpus | None = None
    ) -> Selection:
        """Return the best combination found and, for every other hit, why it is not in it.

        Raises what the reranker raises, ContractError for scores of it that are not finite or not as many as the texts,
        UsageError for a limit without `count` and for negative values that are to be weighed.
        """
        started = time.perf_counter()
        limit = min((one for one in (limit, self._tokens) if one is not None), default=None)
        fitting, ranked = Fitting.of(hits, limit, self._count)
        ranked = _distinct(fitting, ranked)
        ranked = self._placed(ranked)
        if not ranked:
            return replace(fitting.selection(), trace=self._trace(None, _Result((), 0.0, 0, _NOTHING), limit, (), []))
        costs = np.array([fitting.costs[hit.chunk_id] for hit in ranked], np.int64)
        budget = int(costs.sum()) if limit is None else limit
        problem = self._problem(query, ranked, costs, budget, corpus)
        result, best = self._found(problem, None if self._seconds is None else started + self._seconds)
        kept = result.sequence
        if self._allow_empty and result.value < self._min_value:
            kept = ()
        chosen = [ranked[item] for item in self._shown(kept, ranked)]
        dropped = [*fitting.dropped, *self._dropped(problem, ranked, kept, result.value)]
        trace = self._trace(problem.value, result, budget, best.curve, [ranked[item].chunk_id for item in kept])
        tokens = int(costs[list(kept)].sum())
        return Selection(tuple(chosen), tuple(dropped), tokens, not self.ranked and bool(chosen), trace)

    def _placed(self, ranked: list[Hit]) -> list[Hit]:
        """Return the candidates in the order that the search numbers them."""
        if self._order == "free":
            return ranked
        return sorted(ranked, key=lambda hit: (hit.source, hit.chunk.doc_id, hit.chunk.start, hit.chunk_id))

    def _problem(
        self, query: str, ranked: list[Hit], costs: np.ndarray[Any, Any], budget: int, corpus: Corpus | None
    ) -> Problem:
        """Return the task; all candidates are in it, `_found` narrows it to the strongest."""
        texts = [hit.chunk.index_text for hit in ranked]
        ids = [hit.chunk_id for hit in ranked]
        weights = None if self._weights is None else weights_of(self._weights, ranked)
        if self._reranker is not None:
            check_scorer(self._calibration, self._reranker)
            value: SetValue = Judged(
                self._reranker, self._calibration, query, texts, ordered=self._order == "free", weights=weights
            )
            lengths, window = _lengths(self._reranker, query, texts)
            return Problem(value, costs, budget, ids, lengths=lengths, window=window)
        vectors = None
        if corpus is not None and all(hit.row >= 0 for hit in ranked):
            vectors = np.asarray(corpus.vectors([hit.row for hit in ranked]), np.float64)
        covering = coverage(
            query,
            texts,
            finite([hit.score for hit in ranked], "retriever's scores"),
            relevance=self._relevance,
            redundancy=self._redundancy,
            language=self._language,
            vectors=vectors,
            weights=weights,
        )
        return Problem(covering, costs, budget, ids)

    def _found(self, problem: Problem, deadline: float | None) -> tuple[_Result, Best]:
        """Return what the configured search finds among the strongest candidates."""
        best = Best(problem)
        items = problem.feasible(())
        if not len(items):
            return _Result((), 0.0, 0, "no candidate fits: budget_too_small"), best
        singles = problem.value.extended(problem.value.start(), items)
        best.offer((), items, singles, problem.costs_with((), items))
        if len(items) > self._candidates:
            strongest = items[np.argsort(-singles, kind="stable")[: self._candidates]]
            problem = problem.among(np.sort(strongest))
            best.problem = problem
        return self._searched(problem, best, deadline), best

    def _searched(self, problem: Problem, best: Best, deadline: float | None) -> _Result:
        def stop() -> str | None:
            if deadline is not None and time.perf_counter() >= deadline:
                return f"deadline of {self._seconds} seconds"
            if self._calls is not None and problem.value.scored >= self._calls:
                return f"{problem.value.scored} values asked of {self._calls}"
            return None

        if self._search != "tree":
            beam = self._search == "beam"
            stopped = search_beam(problem, self._width, best, stop) if beam else search_greedy(problem, best, stop)
            return _Result(best.sequence, best.value, 0, stopped)
        if self._rules.mode == "ragkit":
            if additive_optimum(problem, best, stop):
                return _Result(best.sequence, best.value, 0, "values add up: solved as a knapsack")
            if self._reranker is None:
                search_beam(problem, self._width, best, stop)
                improved(problem, best, stop)
        found = search_tree(problem, self._rules, best, stop)
        return _Result(found.sequence, found.value, found.expansions, found.stopped)

    def _shown(self, kept: tuple[int, ...], ranked: list[Hit]) -> list[int]:
        """Return the kept candidates in the order of the selection."""
        if self._order == "document":
            return sorted(kept)
        return list(kept) if self._reranker is not None else sorted(kept, key=lambda item: ranked[item].rank)

    def _dropped(self, problem: Problem, ranked: list[Hit], kept: tuple[int, ...], value: float) -> list[Dropped]:
        """Return the candidates that are not kept, each with what it would do to the result."""
        others = np.array([item for item in range(len(ranked)) if item not in kept], np.int64)
        cheap = self._reranker is None  # a reranker is not asked again only to explain
        values = problem.value.extended(problem.state(kept), others) if cheap and len(others) else None
        dropped = []
        for at, item in enumerate(others.tolist()):
            cost, spent = int(problem.costs[item]), problem.cost(kept)
            if spent + cost > problem.budget:
                reason = f"needs {cost} tokens; {spent} of the limit of {problem.budget} are taken"
            elif values is not None:
                reason = f"with it the value would go from {value if kept else 0:.4g} to {values[at]:.4g}"
            else:
                reason = f"not in the best combination found, which is worth {value:.4g}"
            dropped.append(Dropped(ranked[item], reason))
        return dropped

    def _trace(
        self,
        value: SetValue | None,
        result: _Result,
        budget: int | None,
        curve: Sequence[tuple[float, int, float]],
        kept: list[str],
    ) -> dict[str, Any]:
        """Return what the trace says; `value` None where there was nothing to value."""
        rules = self._rules
        return {
            "selector": self.name,
            "value": None if value is None else value.name,
            "calibration": self._calibration.trace() if self._reranker is not None else None,
            "rules": {"search": self._search, "mode": rules.mode, "c": rules.c, "cost_weight": rules.cost_weight,
                      "iterations": rules.iterations, "pick": rules.picks, "order": self._order},
            "budget": budget,
            "kept": kept,
            "best_value": result.value,
            "expansions": result.expansions,
            "scored": 0 if value is None else value.scored,
            "stopped": result.stopped,
            "curve": [[round(seconds, 6), scored, worth] for seconds, scored, worth in curve],
        }  # fmt: skip


def _calibration(named: str | Mapping[str, Any], reranker: Reranker | None) -> Calibration:
    """Return the reranker's calibration; raise ConfigError for a reranker whose scores depend on the other texts."""
    if reranker is None:
        if named != "auto":
            raise ConfigError(
                f"The calibration {named!r} was given, but there is no reranker whose scores it could calibrate.",
                hint="Name a reranker, or leave out the calibration: coverage lies in [0, 1] already.",
            )
        return make_calibration(named, None)
    if getattr(reranker, "listwise", False):
        raise ConfigError(
            f"The reranker {reranker.name!r} ranks texts against each other; a tree search compares the values of "
            "different calls.",
            hint="Name a reranker that scores each text by itself, or none for coverage.",
        )
    made = make_calibration(named, reranker.scale, getattr(reranker, "calibration", None))
    if made.name == "minmax":
        raise ConfigError(
            "The calibration 'minmax' depends on the other texts; a tree search compares values of different calls.",
            hint="Calibrate by sigmoid, clamp, exp or isotonic.",
        )
    return made


def _distinct(fitting: Fitting, ranked: list[Hit]) -> list[Hit]:
    """Return the hits without those whose text stands higher in the list already, which are dropped."""
    first: dict[str, Hit] = {}
    for hit in ranked:
        if first.setdefault(hit.chunk.text, hit) is not hit:
            fitting.drop(hit, f"the same text as rank {first[hit.chunk.text].rank}")
    return list(first.values())


def _lengths(reranker: Reranker, query: str, texts: Sequence[str]) -> tuple[np.ndarray[Any, Any] | None, int | None]:
    """Return the scorer's own token counts of the texts, their separator included, and its room beside the question.

    (None, None) where it has no limit or does not say how it counts.
    """
    count = getattr(reranker, "count", None)
    if reranker.window is None or count is None:
        return None, None
    separator, asked = count([SEPARATOR, query])
    # a text longer than the window alone is read in part; only its combinations would be judged unseen
    room = max(0, reranker.window - asked)
    lengths = np.array(count(list(texts)), np.int64) + separator
    return np.minimum(lengths, room), room
