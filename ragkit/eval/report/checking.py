"""Whether the records of an experiment fit together: a report of records that do not would show wrong figures."""

from __future__ import annotations

from ragkit.errors import ContractError, UsageError
from ragkit.eval.results import ExperimentResult, SetResult, SystemRun
from ragkit.plugins import suggestion

HINT = "Run the experiment again; the file of results was changed or belongs to another version."


def check(result: ExperimentResult) -> None:
    """Raise UsageError for an experiment without content, ContractError for records that contradict each other."""
    if not (result.sets and result.measures) and not result.segmentations:
        raise UsageError(
            f"The experiment {result.name!r} holds {len(result.sets)} data sets and {len(result.measures)} measures.",
            hint="Run it with at least one of each.",
        )
    for one in result.sets:
        counted = {name for names in (one.counted, *one.counted_by.values()) for name in names}
        unknown = counted - {record.query_id for record in one.queries}
        if unknown:
            raise ContractError(
                f"Data set {one.name!r} counts the query {min(unknown)!r}, which it does not hold.", hint=HINT
            )
        for record in one.queries:
            if record.grades and len(record.grades) != len(record.evidence):
                raise ContractError(
                    f"Data set {one.name!r}, query {record.query_id!r}: {len(record.grades)} grades for "
                    f"{len(record.evidence)} evidence spans.",
                    hint=HINT,
                )
        for run in one.runs:
            _check_run(one, run)


def chosen(result: ExperimentResult, measure: str | None) -> str:
    """Return the measure to show first, "" without questions; raise UsageError for one that was not computed."""
    if not result.sets and measure is None:
        return ""
    first = result.measures[0] if measure is None else measure
    if first not in result.measures:
        hint = f"{suggestion(first, result.measures)} Computed: {', '.join(result.measures)}.".lstrip()
        raise UsageError(f"The experiment {result.name!r} holds no measure {first!r}.", hint=hint)
    return first


def _check_run(one: SetResult, run: SystemRun) -> None:
    where = f"System {run.system!r} on {one.name!r}"
    for measure, values in run.scores.items():
        counted = len(one.counted_for(measure))
        if len(values) != counted:
            raise ContractError(f"{where}: {len(values)} values of {measure} for {counted} counted queries.", hint=HINT)
