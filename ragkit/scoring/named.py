"""Policies and calibrations by name, as they stand in a configuration."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any, cast

from pydantic import TypeAdapter, ValidationError

from ragkit.errors import ConfigError
from ragkit.plugins import suggestion
from ragkit.scoring import drop, elbow
from ragkit.scoring.calibration import BY_SCALE, Calibration, Isotonic, Plain, Scale
from ragkit.scoring.cut import Policy
from ragkit.scoring.drop import Drop
from ragkit.scoring.elbow import Elbow
from ragkit.scoring.fixed import Fixed
from ragkit.scoring.knee import Knee
from ragkit.scoring.share import Share
from ragkit.scoring.threshold import Threshold
from ragkit.scoring.within import Within

Named = str | Mapping[str, Any]
"""One word, or a mapping with `name` and options."""

POLICIES: Mapping[str, Policy] = {
    "drop": Drop(),
    "sage": drop.PAPER,
    "elbow": Elbow(),
    "meteora": elbow.PAPER,
    "knee": Knee(),
    "share": Share(),
    "fixed": Fixed(),
    "threshold": Threshold(),
    "within": Within(),
}
"""Each name with its defaults; "sage" and "meteora" are the published settings of "drop" and "elbow"."""

_PLAIN = ("none", "sigmoid", "clamp", "exp", "minmax")


def make_policy(named: Named, auto: Policy | None = None) -> Policy:
    """Return the policy of that name with its options; "auto" stands for the policy `auto`, where that is given.

    Raises ConfigError for an unknown name, option or value.

    >>> make_policy({"name": "sage", "min_k": 5}).min_k
    5
    """
    name, options = _parted(named, "policy")
    policies = POLICIES if auto is None else {"auto": auto, **POLICIES}
    if name not in policies:
        raise ConfigError(
            f"There is no cut policy {name!r}.",
            hint=f"{suggestion(name, list(policies))} Available: {', '.join(policies)}.".lstrip(),
        )
    base = policies[name]
    known = [field.name for field in fields(cast(Any, base))]  # every policy is a dataclass
    _check_options(f"policy {name!r}", options, known)
    values = {key: options.get(key, getattr(base, key)) for key in known}
    try:
        checked: Policy = TypeAdapter(type(base)).validate_python(values)
    except ValidationError as error:
        first = error.errors()[0]
        raise ConfigError(
            f"The option {first['loc'][0]!r} of the policy {name!r} cannot be {first['input']!r}: {first['msg']}.",
            hint="Correct the value.",
        ) from None
    return checked


def make_calibration(named: Named, scale: Scale | None, advised: str | None = None) -> Calibration:
    """Return the calibration of that name.

    "auto" stands for what the scorer advises or else what its scale asks for; `scale` None is a retriever, whose scores
    are left as they are. "isotonic" needs the option `path`. Raises ConfigError for an unknown name or option.
    """
    name, options = _parted(named, "calibration")
    if name == "auto":
        _check_options("calibration 'auto'", options, [])
        name = advised or ("none" if scale is None else BY_SCALE[scale].name)
    if name == "isotonic":
        _check_options("calibration 'isotonic'", options, ["path"])
        if not isinstance(options.get("path"), str):
            raise ConfigError(
                "The calibration 'isotonic' needs the option `path`.", hint="Give {name: isotonic, path: FILE}."
            )
        return Isotonic.read(Path(options["path"]).expanduser())
    if name not in _PLAIN:
        known = ["auto", *_PLAIN, "isotonic"]
        raise ConfigError(
            f"There is no calibration {name!r}.",
            hint=f"{suggestion(name, known)} Available: {', '.join(known)}.".lstrip(),
        )
    _check_options(f"calibration {name!r}", options, [])
    make: Callable[[Any], Plain] = Plain
    return make(name)


def _parted(named: Named, what: str) -> tuple[str, dict[str, Any]]:
    """Return name and options."""
    if isinstance(named, str):
        return named, {}
    options = {key: value for key, value in named.items() if key != "name"}
    if not isinstance(named.get("name"), str):
        raise ConfigError(f"A {what} was given without a name: {dict(named)}.", hint=f"Give a {what} by its name.")
    return str(named["name"]), options


def _check_options(label: str, options: Mapping[str, Any], known: list[str]) -> None:
    for key in options:
        if key not in known:
            raise ConfigError(
                f"The {label} has no option {key!r}.",
                hint=f"{suggestion(key, known)} Options: {', '.join(known) or 'none'}.".lstrip(),
            )
