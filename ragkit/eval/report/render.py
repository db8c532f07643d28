"""`render`: from the records of an experiment to one self-contained page."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import resources
from typing import TYPE_CHECKING

import yaml
from markupsafe import Markup
from pydantic_core import to_jsonable_python

from ragkit.errors import MissingExtraError, UsageError
from ragkit.eval.cost_rows import HEADER, NOTE
from ragkit.eval.report.browsing import browser_data, hits_shown, sets_data
from ragkit.eval.report.checking import check, chosen
from ragkit.eval.report.choosing import SAMPLED, chosen_questions
from ragkit.eval.report.embedding import json_script, policy
from ragkit.eval.report.overview import overview
from ragkit.eval.report.tables import SetTables, set_tables
from ragkit.eval.results import ExperimentResult

if TYPE_CHECKING:
    from ragkit.eval.report.plots import Plot

SCRIPTS = ("spans.js", "evidence.js", "browser.js", "sorting.js")


@dataclass(frozen=True, slots=True)
class Section:
    """What the page shows of one data set."""

    tables: SetTables
    plots: tuple[Plot, ...]


def render(result: ExperimentResult, *, measure: str | None = None, hits: int = 20) -> str:
    """Return the report as the text of one HTML file that loads nothing else; write it as UTF-8.

    `measure` is the one that is plotted and shown first, the experiment's first by default. Of each query at most
    `hits` hits of each system are embedded, fewer in very large results, of which also only some questions are shown
    one by one; the page says how many.

    Raises UsageError for a measure that the experiment does not hold and for a result without data sets or measures,
    ContractError for records that contradict each other, MissingExtraError where the extra `eval` is not installed.
    """
    check(result)
    first = chosen(result, measure)
    if hits < 1:
        raise UsageError(f"hits = {hits} was given.", hint="Show at least one hit of each query.")
    try:
        from jinja2 import Environment, StrictUndefined

        from ragkit.eval.report.plots import plots
        from ragkit.eval.report.segmentation import html, segmentation_view
    except ModuleNotFoundError as error:
        raise MissingExtraError(
            f"The report needs the package {error.name!r}, which is not installed.",
            hint="Install it with: pip install 'ragkit[eval]'.",
        ) from error
    questions = chosen_questions(result, first)
    shown = hits_shown(result, questions, hits)
    data = [json_script("data", browser_data(result, questions, first))] if result.sets else []
    data += [json_script(f"data-{place}", one) for place, one in enumerate(sets_data(result, questions, shown))]
    sections = [Section(set_tables(result, one, first), tuple(plots(result, one, first))) for one in result.sets]
    views = [segmentation_view(part, f"s{place}") for place, part in enumerate(result.segmentations)]
    drawn = [plot for section in sections for plot in section.plots]
    drawn += [plot for view in views for plot in view.plots]
    style = "\n".join([_asset("report.css"), *(plot.style for plot in drawn)])
    scripts = SCRIPTS if result.sets else tuple(name for name in SCRIPTS if name != "browser.js")
    # in one block, so that one hash allows all parts and they share names that the page does not see
    script = "\n".join(["{", *(_asset(name) for name in scripts), "}"])
    template = _asset("segmentation.html.jinja")
    page = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    return page.from_string(_asset("page.html.jinja")).render(
        result=result,
        answered_by=list(
            dict.fromkeys(run.language_model.name for one in result.sets for run in one.runs if run.language_model)
        ),
        cost_header=HEADER,
        cost_note=NOTE,
        measure=first,
        hits=shown,
        questions=sum(map(len, questions)),
        all_questions=sum(len(one.queries) for one in result.sets),
        sampled=SAMPLED,
        overview=overview(result, first),
        sections=sections,
        segmentations=[(view.name, html(view, template, place)) for place, view in enumerate(views)],
        data=data,
        experiment=yaml.safe_dump(to_jsonable_python(result.experiment), allow_unicode=True, sort_keys=False),
        style=Markup(style),  # noqa: S704 # the package's own file, and classes made of numbers
        script=Markup(script),  # noqa: S704 # the package's own files
        policy=policy(style, script),
    )


def _asset(name: str) -> str:
    return resources.files(__package__ or "").joinpath(name).read_text(encoding="utf-8")
