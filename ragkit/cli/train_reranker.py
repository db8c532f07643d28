"""`ragkit train reranker`: a cross-encoder from data sets with evidence."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from rich.text import Text

from ragkit.cli import options
from ragkit.cli.failure import InterruptedRunError
from ragkit.cli.notices import notices
from ragkit.cli.output import show, write_reply
from ragkit.cli.progress import progress
from ragkit.cli.text import short_path

if TYPE_CHECKING:
    from ragkit.train.reranker import Trained

Sets = Annotated[
    list[str],
    typer.Option("--data", metavar="SET", help="A data set with evidence; may be repeated.", show_default=False),
]
Out = Annotated[Path, typer.Option("--out", metavar="DIR", help="Where the model is written.", show_default=False)]
Encoder = Annotated[
    str,
    typer.Option("--encoder", metavar="MODEL", help="The encoder or causal language model that training begins with."),
]
Teacher = Annotated[
    str | None,
    typer.Option("--teacher", metavar="MODEL", help="A cross-encoder whose verdicts are learnt beside the labels."),
]
Work = Annotated[Path | None, typer.Option("--work", metavar="DIR", help="Keep the indexes of the sets here.")]
Device = Annotated[str, typer.Option("--device", metavar="NAME", help="cpu, cuda, or auto.")]
Epochs = Annotated[int, typer.Option("--epochs", metavar="N", min=1, help="At most so many passes over the questions.")]
Rate = Annotated[float, typer.Option("--rate", metavar="R", help="The highest learning rate.")]
Batch = Annotated[int, typer.Option("--batch", metavar="N", min=1, help="Questions a step.")]
Texts = Annotated[int, typer.Option("--texts", metavar="N", min=2, help="Texts of one question a step.")]
Neighbours = Annotated[
    int, typer.Option("--neighbours", metavar="N", min=0, help="Sentences shown on each side of the judged one.")
]
Chunks = Annotated[
    float, typer.Option("--chunks", metavar="SHARE", min=0, max=1, help="Share of steps that compare whole chunks.")
]
LossName = Annotated[Literal["listwise", "binary"], typer.Option("--loss", help="What is minimised.")]
HeldOut = Annotated[
    float, typer.Option("--held-out", metavar="SHARE", help="Share of the questions that are only tested on.")
]
Seed = Annotated[int, typer.Option("--seed", metavar="N", help="Of everything that is drawn.")]
Cloze = Annotated[
    int, typer.Option("--cloze", metavar="N", min=0, help="Questions made of sentences, for each given one, to begin.")
]
Force = Annotated[bool, typer.Option("--force", help="Replace what --out holds.")]


def reranker(
    *,
    data: Sets,
    out: Out,
    encoder: Encoder = "all-MiniLM-L6-v2",
    teacher: Teacher = None,
    work: Work = None,
    device: Device = "auto",
    epochs: Epochs = 3,
    rate: Rate = 1e-4,
    batch: Batch = 8,
    texts: Texts = 16,
    neighbours: Neighbours = 1,
    chunks: Chunks = 0.25,
    cloze: Cloze = 0,
    loss: LossName = "listwise",
    held_out: HeldOut = 0.1,
    seed: Seed = 0,
    config: options.Config = None,
    force: Force = False,
    as_json: options.Json = False,
) -> int:
    """Train a cross-encoder that ranks sentences and chunks, and say how good it is on held-out questions."""
    from ragkit.config import PipelineConfig
    from ragkit.eval.datasets import load
    from ragkit.train.groups import Drawing
    from ragkit.train.reranker import Settings, train_reranker
    from ragkit.train.settings import Steps

    settings = Settings(
        encoder=encoder,
        teacher=teacher,
        held_out=held_out,
        drawing=Drawing(size=texts, neighbours=neighbours, chunks=chunks, cloze=cloze),
        steps=Steps(epochs=epochs, batch=batch, rate=rate, loss=loss, seed=seed),
    )
    with _interruptible(out), notices(silent=as_json), progress("Reading", silent=as_json) as report:
        loaded = [load(spec) for spec in data]
        pipeline = None if config is None else PipelineConfig.from_yaml(config)
        trained = train_reranker(
            loaded, out, settings, config=pipeline, work=work, device=device, force=force, progress=report
        )
    _say(trained, as_json)
    return 0


@contextmanager
def _interruptible(out: Path) -> Iterator[None]:
    try:
        yield
    except KeyboardInterrupt:
        raise InterruptedRunError(
            f"Interrupted: nothing was written to {out}.", hint="Run the same command again; it begins anew."
        ) from None


def _say(trained: Trained, as_json: bool) -> None:
    if as_json:
        from ragkit.cli.train_reranker_replies import RerankerReply

        write_reply(RerankerReply.of(trained))
        return
    for name, figures in trained.card.held_out.items():
        told = ", ".join(f"{key} {value}" for key, value in figures.items() if value != "")
        show(Text(f"{name}: {told}", style="bold" if name == "trained" else ""))
    folder = short_path(str(trained.folder))
    show(Text(f"Written: {folder}. Use it as reranker: {{name: cross_encoder, model: {folder}}}"))
