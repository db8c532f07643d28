"""`ragkit eval`: run an experiment, score its hits again, find good settings."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.text import Text

from ragkit.cli import eval_tune, options
from ragkit.cli.failure import InterruptedRunError
from ragkit.cli.notices import notices
from ragkit.cli.output import show, write_raw, write_reply
from ragkit.cli.progress import progress
from ragkit.cli.text import short_path

if TYPE_CHECKING:
    from ragkit.eval.results import ExperimentResult

app = typer.Typer(
    help="Compare chunkers, retrievers and selectors on data sets, with intervals and tests.", no_args_is_help=True
)

File = Annotated[Path, typer.Argument(metavar="EXPERIMENT.yaml", help="What to compare, on what.", show_default=False)]
Results = Annotated[
    Path, typer.Argument(metavar="results.json.gz", help="What `ragkit eval run` wrote.", show_default=False)
]
Out = Annotated[
    Path | None, typer.Option("--out", metavar="DIR", help="Where results are written; by default NAME-results.")
]
Work = Annotated[
    Path | None,
    typer.Option("--work", metavar="DIR", help="Where intermediate results are kept; by default ragkit's cache."),
]
Data = Annotated[
    Path | None, typer.Option("--data", metavar="DIR", help="Folder that the sets' relative paths start from.")
]
Sets = Annotated[str, typer.Option("--sets", metavar="A,B", help="Only these sets of the file.")]
Sample = Annotated[
    int | None, typer.Option("--sample", metavar="N", min=1, help="So many questions of each set, drawn by the seed.")
]
Matched = Annotated[
    int | None,
    typer.Option("--matched-length", metavar="N", min=1, help="Tune every chunker to N tokens a chunk on average."),
]
Measures = Annotated[
    list[str] | None,
    typer.Option("--measures", metavar="M,M", help="Score by these instead, such as Recall@5,IoU@tokens(400)."),
]


@app.command("run")
def run(
    experiment: File,
    *,
    out: Out = None,
    work: Work = None,
    data: Data = None,
    sets: Sets = "",
    sample: Sample = None,
    matched_length: Matched = None,
    as_json: options.Json = False,
) -> int:
    """Run every system on every data set; what earlier runs computed is not computed again."""
    from ragkit.eval.experiment.rerun import run_to
    from ragkit.eval.experiment.run import RunOptions, default_work

    names = [name.strip() for name in sets.split(",") if name.strip()]
    folder = work or default_work()
    try:
        with notices(silent=as_json), progress("Reading", silent=as_json) as report:
            options = RunOptions(folder, data, names, sample, matched_length, report)
            result, files = run_to(experiment, out, options)
    except KeyboardInterrupt:
        raise InterruptedRunError(
            f"Interrupted: what was computed is kept in {folder}.",
            hint="Run the same command again; it goes on where it was.",
        ) from None
    _say(result, files, as_json)
    return 0


@app.command("score")
def score(results: Results, *, measures: Measures = None, out: Out = None, as_json: options.Json = False) -> int:
    """Score the hits of an experiment again, with no model and no index."""
    from ragkit.eval.experiment.replay import load_result, rescored

    result = rescored(load_result(results), [name for given in measures or () for name in _separated(given)])
    if out is not None:
        from ragkit.eval.experiment.delivery import deliver

        _say(result, deliver(result, out), as_json)
    elif as_json:
        from ragkit.cli.eval_replies import EvalReply

        write_reply(EvalReply.of(result, []))
    else:
        from ragkit.eval.experiment.table import markdown

        write_raw(markdown(result))
    return 0


app.command("tune")(eval_tune.tune)


def _separated(listed: str) -> list[str]:
    """Return the measures in a list; commas inside parentheses belong to a measure.

    >>> _separated('Recall@5, R(unit="documents", min_cover=0.5)@3')
    ['Recall@5', 'R(unit="documents", min_cover=0.5)@3']
    """
    names, depth = [""], 0
    for letter in listed:
        depth += (letter == "(") - (letter == ")")
        if letter == "," and depth == 0:
            names.append("")
        else:
            names[-1] += letter
    return [name.strip() for name in names if name.strip()]


def _say(result: ExperimentResult, files: list[Path], as_json: bool) -> None:
    """Show the means of a result and say where its files are."""
    if as_json:
        from ragkit.cli.eval_replies import EvalReply

        write_reply(EvalReply.of(result, files))
        return
    from ragkit.eval.experiment import segmentation_table
    from ragkit.eval.experiment.table import overview

    for part in result.sets:
        show(Text(f"{part.name}: {len(part.counted)} questions, baseline {part.baseline}", style="bold"))
        show(*(Text(line) for line in overview(part, result.measures)), Text(""))
    for segments in result.segmentations:
        show(Text(f"{segments.name}: segments of {len(segments.counted)} documents", style="bold"))
        show(*(Text(line) for line in segmentation_table.overview(segments)), Text(""))
    show(Text("Written: " + ", ".join(short_path(str(file)) for file in files)))
