"""`ragkit train corag-agent`: which settings of the selector suit which questions, learnt from data sets."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from rich.text import Text

from ragkit.cli import options
from ragkit.cli.failure import InterruptedRunError
from ragkit.cli.notices import notices
from ragkit.cli.output import show, write_reply
from ragkit.cli.progress import progress
from ragkit.errors import ConfigError

if TYPE_CHECKING:
    from ragkit.train.agent_training import Trained

Data = Annotated[
    list[str],
    typer.Option("--data", metavar="SET", help="A data set with evidence, such as jsonl:FOLDER; may be given again."),
]
Out = Annotated[Path, typer.Option("--out", metavar="FILE", help="Where the agent is written.", show_default=False)]
SettingsFile = Annotated[
    Path | None,
    typer.Option(
        "--settings", metavar="FILE", help="YAML with `selectors:`, those to choose from; by default 12 of ragkit's."
    ),
]
Measure = Annotated[str, typer.Option("--measure", metavar="M", help="What is good; by default recall in the budget.")]
Budget = Annotated[int, typer.Option("--tokens", metavar="N", min=1, help="Tokens a question may cost.")]
Cost = Annotated[
    float, typer.Option("--cost", metavar="X", min=0, help="What the whole budget costs, in units of the measure.")
]
Candidates = Annotated[int, typer.Option("-k", metavar="N", min=1, help="How many chunks selectors are given.")]
Tokenizer = Annotated[str, typer.Option("--tokenizer", metavar="NAME", help="What counts tokens: a model, or words.")]
RuleOption = Annotated[
    Literal["utility", "vote"], typer.Option("--rule", help="Best mean utility of neighbours, or their vote.")
]
Sample = Annotated[int | None, typer.Option("--sample", metavar="N", min=1, help="So many questions of each set.")]
Seed = Annotated[int, typer.Option("--seed", metavar="N", help="Which questions are held out.")]
Work = Annotated[Path | None, typer.Option("--work", metavar="DIR", help="Where intermediate results are kept.")]


def corag_agent(
    data: Data,
    out: Out,
    *,
    settings: SettingsFile = None,
    measure: Measure = "",
    tokens: Budget = 1000,
    cost: Cost = 0.2,
    candidates: Candidates = 50,
    tokenizer: Tokenizer = "all-MiniLM-L6-v2",
    rule: RuleOption = "utility",
    sample: Sample = None,
    seed: Seed = 0,
    config: options.Config = None,
    work: Work = None,
    as_json: options.Json = False,
) -> int:
    """Learn which selector settings suit which questions, and say on unseen ones whether that beats one setting.

    Use the result with --selector configured:FILE, or selector: {name: configured, agent: FILE}.
    """
    from ragkit.eval.datasets import load
    from ragkit.eval.experiment.run import default_work
    from ragkit.eval.experiment.workshop import Workshop
    from ragkit.selectors.agent_file import Aim
    from ragkit.train.agent_training import Plan, train
    from ragkit.train.folder import check_file
    from ragkit.train.setting_utilities import SETTINGS

    check_file(out)
    folder = work or default_work()
    aim = Aim(
        measure=measure or f"Recall@tokens({tokens})",
        cost=cost,
        budget=tokens,
        candidates=candidates,
        tokenizer=tokenizer,
    )
    tried = SETTINGS if settings is None else _settings(settings)
    plan = Plan(aim, tried, base_content(config), rule, sample=sample, seed=seed)
    try:
        with notices(silent=as_json), progress("Reading", silent=as_json) as report:
            sets = [load(spec) for spec in data]
            with Workshop(folder, tokenizer, report) as workshop:
                trained = train(workshop, sets, plan)
    except KeyboardInterrupt:
        raise InterruptedRunError(
            f"Interrupted: what was computed is kept in {folder}.",
            hint="Run the same command again; it goes on where it was.",
        ) from None
    trained.file.write(out)
    if as_json:
        from ragkit.cli.train_agent_replies import AgentReply

        write_reply(AgentReply.of(trained, out))
    else:
        show(*(Text(line) for line in described(trained)), Text(f"Written: {out}"))
    return 0


def described(trained: Trained) -> Iterator[str]:
    """Yield what was learnt and how good it is, as lines for people."""
    file, result = trained.file, trained.result
    learnt = sum(one.questions for one in file.data)
    prior = "infinite (neighbours are not believed)" if file.prior is None else f"{file.prior:g}"
    believed = f", prior {prior}" if file.rule == "utility" else ""
    yield (
        f"{learnt} questions learnt, {len(file.settings)} settings; {file.neighbours} neighbours by {file.rule}"
        f"{believed}; utility = {file.aim.measure} - {file.aim.cost:g} * tokens / {file.aim.budget}."
    )
    yield f"On {result.questions} held-out questions of {result.documents} documents (95 % intervals over questions):"
    yield ""
    yield "| settings chosen by | which | utility | quality | tokens |"
    yield "|---|---|---:|---:|---:|"
    for row in result.rows:
        mean, low, high = row.utility
        utility = f"{mean:.3f} [{low:.3f}, {high:.3f}]"
        yield f"| {row.name} | {row.setting} | {utility} | {row.quality:.3f} | {row.tokens:.0f} |"
    yield ""
    closed = result.gap_closed
    yield result.verdict() + ("" if closed is None else f" {100 * closed:.0f} % of the way to the oracle.")
    yield f"{result.fallbacks} of {result.questions} questions were unlike all known ones and got the default."
    yield "Chosen: " + ", ".join(f"{setting} {count}" for setting, count in result.used.items())
    if len(result.by_set) > 1:
        yield "Difference by set: " + ", ".join(f"{name} {value:+.4f}" for name, value in result.by_set.items())
    for note in trained.notes:
        yield f"Note: {note}."


def _settings(path: Path) -> list[dict[str, Any]]:
    """Return the `selectors:` of a YAML file; raise ConfigError unless they are a list of parts."""
    from pydantic import TypeAdapter, ValidationError

    from ragkit.config import PartConfig
    from ragkit.eval.experiment.lines import read_yaml

    content, _ = read_yaml(path, "Write, for instance: selectors: [{name: top_k, k: 3}, {name: top_k, k: 8}].")
    listed = content.get("selectors")
    try:
        parts = TypeAdapter(list[PartConfig]).validate_python(listed)
    except ValidationError as error:
        first = error.errors()[0]
        raise ConfigError(
            f"{path}: {'.'.join(map(str, first['loc'])) or 'content'}: {first['msg']}; expected `selectors:`, a list.",
            hint="Write, for instance: selectors: [{name: top_k, k: 3}, {name: top_k, k: 8}].",
        ) from None
    return [{"name": part.name, **part.options} for part in parts]


def base_content(path: Path | None) -> dict[str, Any]:
    """Return the configuration around the selector, checked."""
    if path is None:
        return {}
    from ragkit.config import PipelineConfig
    from ragkit.eval.experiment.lines import read_yaml

    content, _ = read_yaml(path, "Begin with a part, such as `retriever: hybrid`.")
    PipelineConfig.from_mapping(content, str(path))
    return dict(content)
