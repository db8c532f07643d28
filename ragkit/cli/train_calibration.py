"""`ragkit train calibration`: a reranker's scores as shares of relevant chunks, learnt from data sets."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.text import Text

from ragkit.cli import options
from ragkit.cli.failure import InterruptedRunError
from ragkit.cli.notices import notices
from ragkit.cli.output import show, write_reply
from ragkit.cli.progress import progress
from ragkit.cli.train_corag_agent import Data, Sample, Seed, Work, base_content

if TYPE_CHECKING:
    from ragkit.config import PartConfig
    from ragkit.train.calibration import Calibrated

Out = Annotated[
    Path, typer.Option("--out", metavar="FILE", help="Where the calibration is written.", show_default=False)
]
RerankerOption = Annotated[
    str | None,
    typer.Option(
        "--reranker",
        metavar="NAME[:MODEL]",
        help="Whose scores: cosine, cross_encoder:FOLDER, ...; by default that of the selector in --config, or cosine.",
    ),
]
Candidates = Annotated[int, typer.Option("-k", metavar="N", min=1, help="How many chunks a question are scored.")]


def calibration(
    data: Data,
    out: Out,
    *,
    reranker: RerankerOption = None,
    candidates: Candidates = 20,
    sample: Sample = None,
    seed: Seed = 0,
    config: options.Config = None,
    work: Work = None,
    as_json: options.Json = False,
) -> int:
    """Learn what share of chunks is relevant at each score of a reranker, and say on unseen questions how well.

    Use the result as calibration: {name: isotonic, path: FILE} of score_cut or tree_search with that reranker.
    """
    from ragkit.eval.datasets import load
    from ragkit.eval.experiment.run import default_work
    from ragkit.eval.experiment.workshop import Workshop
    from ragkit.train.calibration import CalibrationPlan, train_calibration
    from ragkit.train.folder import check_file

    check_file(out)
    folder, base = work or default_work(), base_content(config)
    plan = CalibrationPlan(_reranker(reranker, base), base, candidates, sample=sample, seed=seed)
    try:
        with notices(silent=as_json), progress("Reading", silent=as_json) as report:
            sets = [load(spec) for spec in data]
            with Workshop(folder, "words", report) as workshop:
                done = train_calibration(workshop, sets, plan)
    except KeyboardInterrupt:
        raise InterruptedRunError(
            "Interrupted: nothing was written.", hint="Run the same command again; indexes are kept."
        ) from None
    done.write(out)
    if as_json:
        from ragkit.cli.train_agent_replies import CalibrationReply

        write_reply(CalibrationReply.of(done, out))
    else:
        show(*(Text(line) for line in described(done)), Text(f"Written: {out}"))
    return 0


def described(done: Calibrated) -> Iterator[str]:
    """Yield what was learnt and how good it is, as lines for people."""
    result, curve = done.result, done.calibration
    found = result.difference
    yield (
        f"{done.reranker}: {len(curve.scores)} points from {result.fitted} chunks; scores from {curve.scores[0]:.3g} "
        f"to {curve.scores[-1]:.3g} mean shares from {curve.values[0]:.3f} to {curve.values[-1]:.3f}."
    )
    own = "its own scale is not one of shares" if result.default is None else f"its own scale {result.default:.4f}"
    yield (
        f"Brier score on {result.judged} held-out chunks ({result.relevant:.1%} relevant; lower is better): "
        f"{result.brier:.4f}; always the same share {result.constant:.4f}; {own}."
    )
    shown = "better than" if found.high < 0 else "WORSE than" if found.low > 0 else "NOT shown to be better than"
    yield (
        f"It is {shown} always saying the same share: {found.estimate:+.4f} (95 %: {found.low:+.4f} to "
        f"{found.high:+.4f}, mean over questions)."
    )
    for note in done.notes:
        yield f"Note: {note}."


def _reranker(named: str | None, base: dict[str, Any]) -> PartConfig:
    """Return the reranker of one word, else that of the configured selector, else cosine."""
    from ragkit.config import PartConfig, PipelineConfig
    from ragkit.parts import check_part

    if named is None:
        chosen = PipelineConfig.from_mapping(base).selector.options.get("reranker", "cosine")
        part = PartConfig.model_validate("cosine" if chosen in (None, "none") else chosen)
    else:
        name, colon, model = named.partition(":")
        part = PartConfig(name=name, options={"model": model} if colon else {})
    check_part("rerankers", part)
    return part
