"""The part of an experiment file that says how chunkers are compared with gold segments."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from ragkit.config import PartConfig
from ragkit.errors import ConfigError, UsageError
from ragkit.eval.experiment.lines import Lines
from ragkit.eval.metrics import Measure
from ragkit.eval.metrics.evaluate import checked

MEASURES = ("WF1", "Pk", "WindowDiff", "BoundarySimilarity", "Purity", "Coverage")
"""What is measured if the file does not say; BOR is always there."""

SIZES = (10, 14, 20, 28, 40, 57, 80, 113, 160, 226, 320, 453, 640)
"""The sweep of a chunker's size if the file does not say: steps of the square root of 2."""


class SweepSpec(BaseModel):
    """Chunkers whose `option` takes each of `values` in turn, which traces quality against density."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    chunkers: list[str | dict[str, Any]] = Field(min_length=1)
    """Parts as in a configuration, or `{peer: NAME}` for another library's chunker."""
    option: str = "size"
    values: list[int | float] = Field(default=list(SIZES), min_length=1)


class SegmentationSpec(BaseModel):
    """How segmentation sets are scored."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    measures: list[str] = Field(default=list(MEASURES), min_length=1)
    curve: list[str] = Field(default=["WF1", "Pk"], min_length=1)
    """What is traced against density and compared at equal density."""
    units: Literal["auto", "lines", "sentences"] = "auto"
    """What boundaries stand between; "auto" is lines where all gold boundaries are ends of lines, else sentences."""
    sweeps: list[SweepSpec] | None = None
    """All chunkers of the experiment over their size if not given; an empty list for none."""
    densities: list[float] = Field(default=[0.5, 1.0, 2.0])
    """Mean BORs at which chunkers are compared."""
    draws: int = Field(default=10, ge=1)
    """Random segmentations of each document that a random baseline is the mean of."""


@dataclass(frozen=True, slots=True)
class Family:
    """A chunker with one option left open: `contents` are its configurations by the option's value."""

    name: str
    option: str
    contents: dict[float, dict[str, Any]]


def segmentation_measures(given: list[str], key: str, lines: Lines) -> list[Measure]:
    """Return the measures listed under `key`; raise ConfigError with the line of one that is none of segmentation."""
    found: dict[str, Measure] = {}
    for number, text in enumerate(given):
        place = ("segmentation", key, number)
        try:
            (measure,) = checked([text], "segmentation")
        except UsageError as error:
            raise lines.error(place, error) from None
        if measure.name == "BOR":
            raise ConfigError(
                f"{lines.where(place)}: BOR has no better or worse; it is always reported.", hint="Leave it out."
            )
        found.setdefault(str(measure), measure)
    return list(found.values())


def families(spec: SegmentationSpec, chunkers: list[PartConfig], peers: set[str]) -> Iterator[Family]:
    """Yield every chunker to be swept; `chunkers` are those of the experiment, `peers` the names of other libraries'.

    Raises UsageError for an option or value that a part does not take only when a system is made of its content.
    """
    sweeps = spec.sweeps
    if sweeps is None:
        plain = [_part(chunker, chunker.name in peers) for chunker in chunkers]
        sweeps = [SweepSpec(chunkers=[dict(item) for item in _distinct(plain)])] if plain else []
    for sweep in sweeps:
        for chunker in sweep.chunkers:
            part = dict(chunker) if isinstance(chunker, Mapping) else {"name": chunker}
            part.pop(sweep.option, None)
            name = part.get("peer") or part.get("name", "")
            rest = {key: value for key, value in part.items() if key not in ("name", "peer", "options")}
            label = "-".join([str(name), *(f"{key}{value}" for key, value in rest.items())])
            yield Family(label, sweep.option, {value: {**part, sweep.option: value} for value in sweep.values})


def _part(chunker: PartConfig, is_peer: bool) -> tuple[tuple[str, Any], ...]:
    rest = {key: value for key, value in chunker.options.items() if key != "size"}
    return (("peer" if is_peer else "name", chunker.name), *sorted(rest.items()))


def _distinct(parts: list[tuple[tuple[str, Any], ...]]) -> list[tuple[tuple[str, Any], ...]]:
    return [part for place, part in enumerate(parts) if part not in parts[:place]]
