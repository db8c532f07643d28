"""The data sets of an experiment, loaded, sampled and named."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ragkit.errors import ConfigError, UsageError
from ragkit.eval.datasets import FORMATS, load, sample
from ragkit.eval.experiment.arms import with_prefix, with_questions, with_trust, without_documents
from ragkit.eval.experiment.lines import Lines
from ragkit.eval.experiment.specification import Experiment, SetSpec
from ragkit.eval.types import EvalSet
from ragkit.plugins import suggestion


@dataclass(frozen=True, slots=True)
class LoadedSet:
    """A data set; `whole` says that its documents are not chunked, `segmented` that its gold segments are scored."""

    evalset: EvalSet
    whole: bool
    segmented: bool = False


def chosen_sets(experiment: Experiment, wanted: Sequence[str], lines: Lines) -> list[int]:
    """Return the places in the file of the sets named in `wanted`, of all if it is empty.

    Raises ConfigError for two sets of one name, UsageError for a name that none has.
    """
    by_name: dict[str, int] = {}
    for number, spec in enumerate(experiment.sets):
        if by_name.setdefault(_name(spec), number) != number:
            raise ConfigError(
                f"{lines.where(('sets', number))}: two sets are named {_name(spec)!r}.",
                hint="Give one of them another `name`.",
            )
    for name in wanted:
        if name not in by_name:
            raise UsageError(
                f"The experiment has no set named {name!r}.",
                hint=f"{suggestion(name, list(by_name))} Sets: {', '.join(by_name)}.".lstrip(),
            )
    return [by_name[name] for name in dict.fromkeys(wanted)] if wanted else list(by_name.values())


def load_set(experiment: Experiment, number: int, data: Path, lines: Lines, size: int | None) -> LoadedSet:
    """Return the set of that place in the file, `size` of its questions if it is given.

    Relative paths start from `data`. Raises ConfigError with file and line where the data set cannot be found or named,
    or what is to be left out of it is not there,
    LoadError where it is not as expected, and UsageError for an impossible sample.
    A set without questions is one of segments; `segments: true` of one that has none is a ConfigError.
    """
    spec = experiment.sets[number]
    try:
        evalset = _variant(load(_located(spec.load, data), name=spec.name or _name(spec)), spec, experiment.seed)
    except UsageError as error:
        raise lines.error(("sets", number), error) from None
    segmented = spec.segments or not evalset.queries
    if segmented and not (evalset.segments and spec.chunk):
        lacks = "is not chunked (chunk: false)" if evalset.segments else "has no gold segments"
        raise ConfigError(
            f"{lines.where(('sets', number))}: {evalset.name} {lacks}, so chunks cannot be compared with segments.",
            hint="Leave out `chunk`." if evalset.segments else "Leave out `segments`.",
        )
    wanted = size or spec.sample
    if wanted is not None:
        evalset = replace(sample(evalset, wanted, experiment.seed), name=evalset.name)
    return LoadedSet(evalset, whole=not spec.chunk, segmented=segmented)


def _variant(evalset: EvalSet, spec: SetSpec, seed: int) -> EvalSet:
    """Return what `spec` makes of the data set; trust is told before anything is left out, so that arms agree on it."""
    if spec.trust is not None:
        evalset = with_trust(evalset, spec.trust, seed)
    if spec.prefix_question:
        evalset = with_prefix(evalset, spec.prefix_question)
    if spec.leave_out:
        evalset = without_documents(evalset, spec.leave_out)
    return with_questions(evalset, spec.questions) if spec.questions else evalset


def _located(spec: str, data: Path) -> str:
    """Return `spec` with its path below `data`, unless it is absolute or names a set of the hub."""
    head, colon, tail = spec.partition(":")
    named = bool(colon) and head in FORMATS
    path = tail if named else spec
    if (named and head == "hub") or Path(path).is_absolute():
        return spec
    return f"{head}:{data / path}" if named else str(data / path)


def _name(spec: SetSpec) -> str:
    """Return the name of a set: the given one, else the last part of its path."""
    path = spec.load.partition("?")[0].rpartition(":")[2]
    name = Path(path).name
    for ending in (".gz", ".jsonl", ".json"):
        name = name.removesuffix(ending)
    return spec.name or name or path
