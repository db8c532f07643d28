"""`ragkit eval tune`: good settings for one's own documents."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ragkit.cli import options
from ragkit.cli.failure import InterruptedRunError
from ragkit.cli.notices import notices
from ragkit.cli.output import write_raw, write_reply
from ragkit.cli.progress import progress
from ragkit.errors import StorageError, UsageError

if TYPE_CHECKING:
    from ragkit.config import PipelineConfig
    from ragkit.eval.experiment.tuning import Tuned
    from ragkit.eval.experiment.workshop import Workshop
    from ragkit.eval.types import Query
    from ragkit.schema import Document

GENERATED = "generated"

Sources = Annotated[
    list[Path], typer.Argument(metavar="DOCS...", help="The documents to tune for.", show_default=False)
]
Questions = Annotated[
    str,
    typer.Option(
        "--questions",
        metavar="FILE|generated",
        help='JSON lines {"question": ..., "evidence": ["copied passage", ...]}, or made by the language model.',
    ),
]
Count = Annotated[int, typer.Option("--count", metavar="N", min=10, help="How many questions to generate.")]
Seconds = Annotated[
    float | None,
    typer.Option("--budget-seconds", metavar="S", min=1, help="No more settings are begun after so long."),
]
Tokens = Annotated[
    int, typer.Option("--tokens", metavar="N", min=1, help="Retrieved tokens a question may cost; recall is within it.")
]
Llm = Annotated[str | None, typer.Option("--llm", metavar="MODEL|URL", help="The model that makes questions.")]
Save = Annotated[Path | None, typer.Option("--out", metavar="FILE", help="Write the configuration here as well.")]
Work = Annotated[Path | None, typer.Option("--work", metavar="DIR", help="Where intermediate results are kept.")]


def tune(
    sources: Sources,
    *,
    questions: Questions = GENERATED,
    count: Count = 60,
    seconds: Seconds = None,
    tokens: Tokens = 1000,
    config: options.Config = None,
    llm: Llm = None,
    out: Save = None,
    work: Work = None,
    as_json: options.Json = False,
) -> int:
    """Find a chunker, its size, a retriever and a selector for these documents, and say how good they are."""
    from ragkit.eval.experiment.run import default_work

    folder = work or default_work()
    base = _base(config)
    try:
        with notices(silent=as_json), progress("Reading", silent=as_json) as report:
            found = _tuned(
                sources, questions, count, base, folder, seconds=seconds, budget=tokens, llm=llm, bars=report
            )
    except KeyboardInterrupt:
        raise InterruptedRunError(
            f"Interrupted: what was computed is kept in {folder}.",
            hint="Run the same command again; it goes on where it was.",
        ) from None
    from ragkit.eval.experiment.advice import as_markdown, as_yaml

    if out is not None:
        try:
            out.write_text(as_yaml(found), encoding="utf-8")
        except OSError as error:
            raise StorageError(f"{out}: {error.strerror}.", hint="Choose another file with --out.") from error
    if as_json:
        from ragkit.cli.eval_replies import TuneReply

        write_reply(TuneReply.of(found))
    else:
        write_raw(as_markdown(found))
    return 0


def _base(path: Path | None) -> dict[str, Any]:
    """Return the configuration that all candidates share, checked."""
    if path is None:
        return {}
    from ragkit.config import PipelineConfig
    from ragkit.eval.experiment.lines import read_yaml

    content, _ = read_yaml(path, "Begin with a part, such as `retriever: hybrid`.")
    PipelineConfig.from_mapping(content, str(path))
    return content


def _tuned(
    sources: list[Path],
    questions: str,
    count: int,
    base: dict[str, Any],
    folder: Path,
    *,
    seconds: float | None,
    budget: int,
    llm: str | None,
    bars: Any,
) -> Tuned:
    from ragkit.config import PipelineConfig
    from ragkit.eval.experiment.given import given_questions
    from ragkit.eval.experiment.tuning import documents_of, tune
    from ragkit.eval.experiment.workshop import Workshop
    from ragkit.models.spec import parse_llm

    settings = PipelineConfig.from_mapping(base)
    if llm is not None:
        settings = settings.model_copy(update={"language_model": parse_llm(llm)})
    documents, failed = documents_of(sources, settings)
    with Workshop(folder, "words", bars) as workshop:
        if questions == GENERATED:
            asked, notes = _generated(workshop, documents, count, settings, seconds)
        else:
            asked, notes = given_questions(Path(questions), documents), []
        found = tune(workshop, documents, asked, base=base, budget=budget, seconds=seconds)
    return replace(found, notes=[*found.notes, *notes, *failed])


def _generated(
    workshop: Workshop, documents: dict[str, Document], count: int, settings: PipelineConfig, seconds: float | None
) -> tuple[list[Query], list[str]]:
    """Return generated questions and what is to be known about them; raise UsageError if too few passed."""
    from ragkit.budget import Budget
    from ragkit.eval.experiment.generated import generated_questions
    from ragkit.parts import make_language_model

    made = generated_questions(
        documents,
        count,
        make_language_model(settings),
        workshop.embedder(settings),
        store=workshop.store,
        meter=Budget(seconds=None if seconds is None else seconds / 2).meter(),
        advance=workshop.stage("making questions", count),
    )
    rejected = ", ".join(f"{number} {reason}" for reason, number in made.rejected.items()) or "none"
    kinds = "".join(f", {number} {kind}" for kind, number in made.kinds.items())
    if len(made.queries) < 10:
        raise UsageError(
            f"Only {len(made.queries)} of {made.tried} generated questions passed ({rejected}).",
            hint="Give questions of your own with --questions FILE, or a better model with --llm.",
        )
    return made.queries, [
        f"{len(made.queries)} questions were generated from {made.tried} sentences ({made.survival:.0%} passed"
        f"{kinds}); rejected: {rejected}",
        f"{made.overlap:.0%} of the words of a generated question stand in its evidence, which favours lexical search; "
        "real questions use other words, so prefer your own",
    ]
