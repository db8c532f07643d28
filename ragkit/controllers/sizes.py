"""Selectors set to keep more or fewer chunks than they are configured to."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import fields
from typing import Any, cast

from ragkit.config import PartConfig
from ragkit.errors import UnsupportedError
from ragkit.plugins import part
from ragkit.scoring.named import make_policy

_SIZES = ("min_k", "k")
"""Options of cut policies that say how many chunks are kept at least, or exactly."""


def resized(selector: PartConfig, by: int) -> PartConfig:
    """Return `selector` with its size changed by `by`, 1 at least: `min_k` of its policy (SAGE's k), or its own `k`.

    Raises UnsupportedError for a selector that has neither.

    >>> resized(PartConfig(name="top_k", options={"k": 3}), -1).options
    {'k': 2}
    >>> resized(PartConfig(name="score_cut", options={"policy": "sage"}), 1).options["policy"]["min_k"]
    8
    """
    parameters = inspect.signature(part("selectors", selector.name)).parameters
    if "policy" in parameters:
        named = selector.options.get("policy", parameters["policy"].default)
        policy = _resized_policy(selector.name, named, by)
        if policy is not None:
            return selector.with_options(policy=policy)
    if "k" in parameters:
        k = selector.options.get("k", parameters["k"].default)
        if isinstance(k, int):
            return selector.with_options(k=max(1, k + by))
    raise UnsupportedError(
        f"The selector {selector.name!r} has no size that could be changed by {by}.",
        hint="Use adjust: effective, which changes what was selected, or a selector with k or min_k.",
    )


def _resized_policy(selector: str, named: Any, by: int) -> dict[str, Any] | None:
    """Return the policy with its size changed, None where it has none."""
    policy: Any = getattr(part("selectors", selector), "auto_policy", None)
    name = named.get("name") if isinstance(named, Mapping) else named
    if named not in (None, "auto") and (name != "auto" or policy is not None):
        policy = make_policy(named, policy)
    if policy is None:
        return None
    options = {field.name: getattr(policy, field.name) for field in fields(cast(Any, policy))}
    size = next((option for option in _SIZES if option in options), None)
    if size is None:
        return None
    options[size] = max(1, options[size] + by)
    if options.get("max_k") is not None:
        options["max_k"] = max(options["max_k"], options[size])
    return {"name": policy.name, **options}
