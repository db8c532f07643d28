"""Monte Carlo tree search over sequences of chunks (CORAG / CARROT, arXiv 2411.00744), with three sets of rules.

A node is a sequence, a child appends one unused chunk. From the root the child with the highest

    U = V/N + c * sqrt(ln N_parent / N) - cost_weight * cost/budget

is followed to a leaf; all children of the leaf are valued in one call, each starting with V = its own value R and
N = 1; then the nodes on the way are updated.

| | paper | reference_code | ragkit |
|---|---|---|---|
| update of the nodes on the way | V += best child, N += 1 | V += every child, N += children | as paper |
| result | best V/N | best R, then most visits | best R, then lowest cost |
| children over the budget | never made | made, and never chosen | never made |
| a branch searched to its end | closed | followed again for nothing | closed |
| an order-free value | all orders | all orders | each set once |

The published code measures cost in words, cuts the scorer's input silently and falls back to sequences over the budget;
none of that is offered.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ragkit.errors import ConfigError
from ragkit.scoring.order import Scores
from ragkit.selectors.choices import check_choice
from ragkit.selectors.combining import Best, Items, Problem, Stop

Mode = Literal["ragkit", "paper", "reference_code"]
Pick = Literal["own", "average"]


@dataclass(frozen=True, slots=True)
class TreeRules:
    """How the tree is searched; see the module. `patience` ends it after so many expansions without a better value."""

    mode: Mode = "ragkit"
    c: float = 1.4
    cost_weight: float = 0.1
    iterations: int = 100
    patience: int | None = None
    pick: Pick | None = None

    def __post_init__(self) -> None:
        check_choice("mode", self.mode, Mode)
        if self.pick is not None:
            check_choice("pick", self.pick, Pick)
        for option, value, least in (("c", self.c, 0), ("cost_weight", self.cost_weight, 0)):
            if not least <= value < math.inf:
                raise ConfigError(
                    f"{option} is {value}; expected {least} or more, and finite.", hint=f"Correct {option}."
                )
        for option, count in (("iterations", self.iterations), ("patience", self.patience)):
            if count is not None and count < 1:
                raise ConfigError(f"{option} is {count}; expected 1 or more.", hint=f"Correct {option}.")

    @property
    def picks(self) -> Pick:
        """What the result is picked by."""
        return self.pick or ("average" if self.mode == "paper" else "own")


@dataclass(slots=True)
class Node:
    """An expanded sequence with its children, place for place: the appended item, R, V, N, cost, whether closed."""

    sequence: tuple[int, ...]
    state: Any
    items: Items
    rewards: Scores
    totals: Scores
    visits: Scores
    costs: Items
    closed: NDArray[np.bool_]
    nodes: dict[int, Node] = field(default_factory=dict)


class Searched(NamedTuple):
    """The chosen sequence, its value, how many nodes were expanded, what ended the search, and the tree."""

    sequence: tuple[int, ...]
    value: float
    expansions: int
    stopped: str
    root: Node


Path = list[tuple[Node, int]]
"""Nodes from the root, each with the place of the child that was followed."""


def search_tree(problem: Problem, rules: TreeRules, best: Best, stop: Stop) -> Searched:
    """Return the result of at most `rules.iterations` expansions; `best` holds the best value at every moment.

    The root is always expanded, then `stop` is asked before each further expansion. Nothing is drawn: equal calls grow
    equal trees. Without a feasible candidate the sequence is empty.
    """
    tree = _Tree(problem, rules, best)
    stopped = tree.grow(stop) if len(tree.root.items) else "nothing fits"
    if rules.mode == "ragkit" and rules.picks == "own":
        return Searched(best.sequence, best.value, tree.expansions, stopped, tree.root)
    sequence, value = tree.picked()
    return Searched(sequence, value, tree.expansions, stopped, tree.root)


class _Tree:
    """The growing tree."""

    def __init__(self, problem: Problem, rules: TreeRules, best: Best) -> None:
        self._problem, self._rules, self._best = problem, rules, best
        self._closes = rules.mode != "reference_code"
        self._once = rules.mode == "ragkit" and not problem.value.ordered
        self.expansions = 0
        # strong chunks first where each set is met once, so that what is built on a node is built on the strongest
        items = self._appendable((), problem.everything())
        self.root = self._node((), problem.value.start(), items, ranked=self._once)
        self._root_visits = 0.0
        self._back_up([], self.root)

    def grow(self, stop: Stop) -> str:
        """Expand nodes until something ends the search, and return what."""
        last_gain, iterations = 1, 1
        while iterations < self._rules.iterations:
            if bool(self.root.closed.all()):
                return "all searched"
            reason = stop()
            if reason is not None:
                return reason
            if self._rules.patience is not None and iterations - last_gain >= self._rules.patience:
                return f"no better value in {self._rules.patience} expansions"
            before = self._best.value
            path = self._descend()
            grown = self._expand(path)
            iterations += 1 if grown or not self._closes else 0
            last_gain = iterations if self._best.value > before else last_gain
        return "all iterations done"

    def picked(self) -> tuple[tuple[int, ...], float]:
        """Return the sequence within the budget that the rules pick from all visited nodes, and its own value."""
        found: tuple[Any, ...] | None = None
        for node in _walk(self.root):
            scores = node.rewards if self._rules.picks == "own" else node.totals / node.visits
            for place in np.flatnonzero(node.costs <= self._problem.budget).tolist():
                visits = -node.visits[place] if self._rules.mode == "reference_code" else 0
                sequence = (*node.sequence, int(node.items[place]))
                ids = [self._problem.ids[item] for item in sequence]
                key = (-scores[place], visits, int(node.costs[place]), len(sequence), ids)
                if found is None or key < found[0]:
                    found = key, sequence, float(node.rewards[place])
        return ((), float("-inf")) if found is None else (found[1], found[2])

    def _descend(self) -> Path:
        """Return the way to the leaf to expand next."""
        node, visits, path = self.root, self._root_visits, []
        while True:
            explored = np.sqrt(np.log(max(visits, 1.0)) / node.visits)
            cost = node.costs * (self._rules.cost_weight / max(1, self._problem.budget))
            utility = node.totals / node.visits + self._rules.c * explored - cost
            # never a closed one, whatever the numbers: its expansion would count for nothing and the search not end
            offered = np.flatnonzero(~node.closed) if self._closes else np.arange(len(node.items))
            place = int(offered[np.argmax(utility[offered])])
            path.append((node, place))
            child = node.nodes.get(place)
            if child is None or not len(child.items):
                return path
            node, visits = child, node.visits[place]

    def _expand(self, path: Path) -> bool:
        """Expand the leaf at the end of `path` and return whether it has children."""
        parent, place = path[-1]
        item = int(parent.items[place])
        sequence = (*parent.sequence, item)
        offered = parent.items[place + 1 :] if self._once else self._problem.everything()
        items = self._appendable(sequence, offered)
        if not len(items):
            self._close(path)
            return False
        node = self._node(sequence, self._problem.value.pushed(parent.state, item), items)
        parent.nodes[place] = node
        self._back_up(path, node)
        if self._closes and bool(node.closed.all()):
            self._close(path)
        return True

    def _back_up(self, path: Path, node: Node) -> None:
        """Tell the nodes on the way what the children of `node` are worth."""
        if not len(node.items):
            return
        if self._rules.mode == "reference_code":
            value, visits = float(node.rewards.sum()), float(len(node.rewards))
        else:
            value, visits = float(node.rewards.max()), 1.0
        self._root_visits += visits
        for parent, place in path:
            parent.totals[place] += value
            parent.visits[place] += visits

    def _close(self, path: Path) -> None:
        """Mark the leaf at the end of `path` as searched, and every ancestor that has nothing else left."""
        for node, place in reversed(path):
            node.closed[place] = True
            if not node.closed.all():
                return

    def _appendable(self, sequence: tuple[int, ...], items: Items) -> Items:
        """Return which of `items` may follow `sequence`; the reference code looks at no budget here."""
        if self._closes:
            return self._problem.feasible(sequence, items)
        unused = items[~np.isin(items, sequence)]
        return unused[self._problem.readable(sequence, unused)]

    def _node(self, sequence: tuple[int, ...], state: Any, items: Items, *, ranked: bool = False) -> Node:
        """Return the node of `sequence`, its children valued in one call and offered as results."""
        rewards = self._problem.value.extended(state, items) if len(items) else np.zeros(0)
        if ranked:
            order = np.argsort(-rewards, kind="stable")
            items, rewards = items[order], rewards[order]
        costs = self._problem.costs_with(sequence, items)
        self._best.offer(sequence, items, rewards, costs)
        self.expansions += 1
        closed = (
            costs + self._cheapest_next(items) > self._problem.budget if self._closes else np.zeros(len(items), bool)
        )
        return Node(sequence, state, items, rewards, rewards.copy(), np.ones(len(items)), costs, closed)

    def _cheapest_next(self, items: Items) -> Items:
        """Return the least that a chunk appended to each child would cost: children without one are born closed."""
        costs = self._problem.costs[items] + self._problem.separator
        far = np.int64(self._problem.budget + 1)
        if not len(items):
            return costs
        if self._once:
            after = np.minimum.accumulate(costs[::-1])[::-1]
            return np.append(after[1:], far)
        cheapest = np.full(len(items), costs.min())
        place = int(costs.argmin())
        cheapest[place] = np.delete(costs, place).min() if len(items) > 1 else far
        return cheapest


def _walk(node: Node) -> Iterator[Node]:
    yield node
    for child in node.nodes.values():
        yield from _walk(child)
