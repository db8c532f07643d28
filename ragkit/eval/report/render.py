"""`render`: from the records of an experiment to one self-contained page."""

from __future__ import annotations

from importlib import resources
from typing import TYPE_CHECKING

import yaml
from markupsafe import Markup

from ragkit.errors import MissingExtraError, UsageError
from ragkit.eval.report.browsing import browser_data, hits_shown, sets_data
from ragkit.eval.report.embedding import json_script, policy
from ragkit.eval.report.overview import overview
from ragkit.eval.report.tables import SetTables, set_tables
from ragkit.eval.results import ExperimentResult, SetResult
from ragkit.plugins import suggestion

if TYPE_CHECKING:
    from ragkit.eval.report.plots import Plot

SCRIPTS = ("spans.js", "evidence.js", "browser.js")


def render(result: ExperimentResult, *, measure: str | None = None, hits: int = 20) -> str:
    """Return the report as the text of one HTML file that loads nothing else.

    `measure` is the one that is plotted and shown first, the experiment's first by default. Of each query at most
    `hits` hits of each system are embedded, fewer in very large results; the page says how many.

    Raises UsageError for a measure that the experiment does not hold and for a result without data sets or measures,
    MissingExtraError where the extra `eval` is not installed.
    """
    if not result.sets or not result.measures:
        raise UsageError(
            f"The experiment {result.name!r} holds {len(result.sets)} data sets and {len(result.measures)} measures.",
            hint="Run it with at least one of each.",
        )
    if hits < 1:
        raise UsageError(f"hits = {hits} was given.", hint="Show at least one hit of each query.")
    first = result.measures[0] if measure is None else measure
    if first not in result.measures:
        valid = ", ".join(result.measures)
        raise UsageError(
            f"The experiment {result.name!r} holds no measure {first!r}.",
            hint=f"{suggestion(first, result.measures)} Computed: {valid}.".lstrip(),
        )
    shown = hits_shown(result, hits)
    data = [json_script("data", browser_data(result, first))]
    data += [json_script(f"data-{place}", one) for place, one in enumerate(sets_data(result, shown))]
    sections = [_section(result, one, first) for one in result.sets]
    return _page(result, first, shown, sections, data)


def _section(result: ExperimentResult, one: SetResult, measure: str) -> tuple[SetTables, list[Plot]]:
    try:
        from ragkit.eval.report.plots import plots
    except ModuleNotFoundError as error:
        raise _missing(error) from error
    return set_tables(result, one, measure), plots(result, one, measure)


def _page(
    result: ExperimentResult,
    measure: str,
    shown: int,
    sections: list[tuple[SetTables, list[Plot]]],
    data: list[Markup],
) -> str:
    try:
        from jinja2 import Environment, StrictUndefined
    except ModuleNotFoundError as error:
        raise _missing(error) from error
    style = _asset("report.css") + "\n".join(plot.style for _, plots in sections for plot in plots)
    # one script, so that one hash allows it and its parts share a scope that the page does not see
    script = "{\n" + "\n".join(_asset(name) for name in SCRIPTS) + "}\n"
    template = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    ).from_string(_asset("page.html.jinja"))
    return template.render(
        result=result,
        measure=measure,
        hits=shown,
        overview=overview(result, measure),
        sections=sections,
        data=data,
        style=Markup(style),  # noqa: S704 # the package's own file, and classes made of numbers
        script=Markup(script),  # noqa: S704 # the package's own files
        policy=policy(style, script),
        experiment=yaml.safe_dump(result.experiment, allow_unicode=True, sort_keys=False),
    )


def _asset(name: str) -> str:
    return resources.files(__package__ or "").joinpath(name).read_text(encoding="utf-8")


def _missing(error: ModuleNotFoundError) -> MissingExtraError:
    return MissingExtraError(
        f"The report needs the package {error.name!r}, which is not installed.",
        hint="Install it with: pip install 'ragkit[eval]'.",
    )
