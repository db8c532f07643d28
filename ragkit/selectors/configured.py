"""Configured: the selector and its options are chosen for each question by a trained agent (CORAG, arXiv 2411.00744).

selector: {name: configured, agent: agent.json}
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from copy import copy
from dataclasses import asdict, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from ragkit.errors import ConfigError
from ragkit.protocols import Corpus, Embedder, Selector
from ragkit.schema import Hit, Selection
from ragkit.selectors.agent import Agent, Setting
from ragkit.selectors.agent_file import AgentFile, read_agent
from ragkit.selectors.weighing import Weights, with_weights

Make = Callable[[str, Mapping[str, Any]], Selector]
"""Makes the selector of that name with those options."""


class ConfiguredSelector:
    """Lets the selector choose whose settings suited similar questions; unlike questions get the default settings."""

    name = "configured"

    def __init__(
        self, agent: str, default: str | Mapping[str, Any] | None = None, *, embedder: Embedder, make: Make
    ) -> None:
        """Read the agent.

        Args:
            agent: The file that `ragkit train corag-agent` wrote.
            default: A selector, as in a configuration, for questions unlike those it was trained on; None: the best
                single one of its training.
            embedder: Embeds the question; the one that the agent was trained with.
            make: Makes the chosen selector.

        Raises ConfigError for a file that is no agent or was trained with another embedder.
        """
        self._file = read_agent(Path(agent).expanduser())
        self._agent = _agent(self._file, default)
        self._path, self._embedder, self._make = agent, embedder, make
        self._made: dict[str, Selector] = {}
        self._weights: Weights | None = None
        if self._file.embedder != embedder.fingerprint:
            raise ConfigError(
                f"{agent} was trained with another embedder than {embedder.name}: fingerprint "
                f"{self._file.embedder[:12]}, not {embedder.fingerprint[:12]}.",
                hint="Train it again with this embedder (--config), or ask with the one it was trained with.",
            )

    @cached_property
    def ranked(self) -> bool:
        """Whether every selector that may be chosen returns the best first."""
        options = [*self._agent.table.settings, self._agent.default]
        return all(getattr(self._selector(one), "ranked", True) for one in options)

    def weighted(self, weights: Weights) -> ConfiguredSelector:
        """Return this selector with the own scores of whichever it chooses weighed (`ragkit.selectors.weighing`)."""
        made = copy(self)
        made._weights = weights
        return made

    def select(
        self, query: str, hits: Sequence[Hit], limit: int | None = None, corpus: Corpus | None = None
    ) -> Selection:
        """Return what the chosen selector keeps; its trace says under "agent" what was chosen, why, and who voted."""
        choice = self._agent.choose(np.asarray(self._embedder.embed_queries([query])[0], np.float64))
        chosen = self._selector(choice.setting)
        selector = chosen if self._weights is None else with_weights(chosen, self._weights)
        selection = selector.select(query, hits, limit, corpus)
        trained = self._file.aim.candidates
        agent = {
            "file": self._path,
            "chosen": {"name": choice.setting.name, **choice.setting.options},
            "settings": str(choice.setting),
            "reason": choice.reason,
            "fallback": choice.fallback,
            "neighbours": [asdict(one) for one in choice.neighbours],
            "candidates": {"trained": trained, "given": len(hits)},
        }
        return replace(selection, trace={"selector": choice.setting.name, **selection.trace, "agent": agent})

    def _selector(self, setting: Setting) -> Selector:
        key = str(setting)
        if key not in self._made:
            self._made[key] = self._make(setting.name, setting.options)
        return self._made[key]


def _agent(file: AgentFile, default: str | Mapping[str, Any] | None) -> Agent:
    """Return the agent of `file` with the default that is wanted."""
    made = file.agent()
    if default is None:
        return made
    given = {"name": default} if isinstance(default, str) else dict(default)
    name = given.pop("name", None)
    if not isinstance(name, str) or name == "configured":
        raise ConfigError(
            f"The option 'default' of the selector 'configured' cannot be {default!r}; expected another selector.",
            hint="Give, for instance, {name: top_k, k: 5}.",
        )
    return replace(made, default=Setting(name, given))
