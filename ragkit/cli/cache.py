"""`ragkit cache`: the store of chunks' keys and values that `ragkit ask --kv-reuse` uses."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.text import Text

from ragkit.cli import options
from ragkit.cli.failure import InterruptedRunError
from ragkit.cli.notices import notices
from ragkit.cli.opening import opened
from ragkit.cli.output import show, write_reply
from ragkit.cli.progress import progress
from ragkit.cli.settings import Settings
from ragkit.cli.text import visible

if TYPE_CHECKING:
    from ragkit.cachecraft.gate_file import GateResult
    from ragkit.cachecraft.spaces import SpaceStats
    from ragkit.config import KvReuseConfig, PipelineConfig

app = typer.Typer(help="Chunks' keys and values, kept to be used again (docs/kv_reuse.md).", no_args_is_help=True)

Llm = Annotated[
    str | None, typer.Option("--llm", metavar="MODEL", help="The local model: a name, a hub id or a folder.")
]
Limit = Annotated[
    int | None, typer.Option("--limit", metavar="N", min=1, help="Most chunks; by default as many as the store holds.")
]
Folder = Annotated[
    Path | None,
    typer.Option("--folder", metavar="DIR", help="The folder of the store; by default the configured one."),
]
_FAILED = 1


@app.command("build")
def build(
    folder: options.Index,
    *,
    limit: Limit = None,
    llm: Llm = None,
    config: options.Config = None,
    as_json: options.Json = False,
) -> int:
    """Compute an index's chunks ahead, those that were asked for most first, each behind the system prompt alone.

    What is stored already is skipped: an interrupted run goes on where it was.
    """
    started = time.perf_counter()
    settings = Settings(config=config, llm=llm)
    try:
        with opened(folder, settings, "Building", silent=as_json) as pipeline:
            done = pipeline.build_cache(limit=limit)
            chunks, model = pipeline.snapshot.size, pipeline.reusing_model.name
    except KeyboardInterrupt:
        raise InterruptedRunError(
            "Interrupted: the chunks built until now are kept.", hint="Run the same command again to go on."
        ) from None
    seconds = time.perf_counter() - started
    if as_json:
        from ragkit.cli.cache_replies import CacheBuildReply

        write_reply(CacheBuildReply.of(model, chunks, done, seconds))
        return 0
    show(
        Text.assemble(
            (f"{done.built} chunks computed", "bold"),
            f" for {visible(model)}, {done.bytes / 1e6:,.0f} MB; {done.present} were there, {done.left_out} left out; "
            f"{seconds:.1f} s.",
        )
    )
    return 0


@app.command("stats")
def stats(*, folder: Folder = None, config: options.Config = None, as_json: options.Json = False) -> int:
    """Show what the store holds for each model, and what the quality gate found."""
    from ragkit.cachecraft.settings import store_folder
    from ragkit.cachecraft.spaces import space_stats

    settings = _store_settings(folder, config)
    with notices(silent=as_json):
        found = space_stats(settings)
    where = str(store_folder(settings))
    if as_json:
        from ragkit.cli.cache_replies import CacheStatsReply

        write_reply(CacheStatsReply.of(where, found))
        return 0
    if not found:
        show(Text(f"Nothing is stored in {visible(where)}."))
    for one in found:
        _show_space(one)
    return 0


@app.command("clear")
def clear(*, folder: Folder = None, config: options.Config = None, as_json: options.Json = False) -> int:
    """Empty the store, for all models."""
    from ragkit.cachecraft.settings import store_folder
    from ragkit.cachecraft.spaces import clear_spaces

    settings = _store_settings(folder, config)
    with notices(silent=as_json):
        variants, size = clear_spaces(settings)
    where = str(store_folder(settings))
    if as_json:
        from ragkit.cli.cache_replies import CacheClearReply
        from ragkit.cli.text import encodable

        write_reply(CacheClearReply(folder=encodable(where), variants=variants, bytes=size))
    else:
        show(Text(f"{variants} variants removed from {visible(where)}, {size / 1e6:,.0f} MB."))
    return 0


@app.command("gate")
def gate(*, llm: Llm = None, config: options.Config = None, as_json: options.Json = False) -> int:
    """Run the quality gate: answers through chunk reuse against full recompute, on a fixed probe set.

    Exit status 1 says that reuse stays off for this model with these settings.
    """
    from ragkit.parts import make_reusing_model

    chosen = Settings(llm=llm).over(_configuration(config))
    with notices(silent=True), progress("Checking", silent=as_json) as report:
        model = make_reusing_model(chosen)
        session = model.open(report, again=True)
        model.close()
    result = session.gate
    if result is None:
        raise RuntimeError("the gate was asked for and did not run")
    if as_json:
        from ragkit.cli.cache_replies import CacheGateReply, GateReply
        from ragkit.cli.text import encodable

        write_reply(
            CacheGateReply(
                model=encodable(model.name),
                passed=not session.off,
                most_divergence=model.config.gate_divergence,
                least_agreement=model.config.gate_agreement,
                result=GateReply.of(result),
            )
        )
    else:
        verdict = ("may reuse chunks", "bold green") if not session.off else ("must not reuse chunks", "bold red")
        bounds = f"at most {model.config.gate_divergence:g} nats, at least {model.config.gate_agreement:.0%}"
        show(Text.assemble(visible(model.name), " ", verdict, f" (allowed: {bounds})."))
        show(Text(_gate_line(result)))
    return _FAILED if session.off else 0


def _show_space(found: SpaceStats) -> None:
    stats, live = found.stats, found.gate.all_live
    show(Text.assemble((visible(found.gate.model or "model not known"), "bold"), f"  {found.space}"))
    show(Text(f"  {stats.variants} variants of {stats.chunks} chunks, {stats.overhead_bytes / 1e6:.1f} MB besides"))
    for tier in stats.tiers:
        show(Text(f"  {tier.name}: {tier.used / 1e6:,.0f} of {tier.capacity / 1e6:,.0f} MB, {tier.blobs} blobs"))
    for reason, times in stats.failures.items():
        show(Text(f"  went wrong: {visible(reason)}, {times} times", style="yellow"))
    for result in (found.gate.results or {}).values():
        show(Text(f"  gate: {_gate_line(result)}"))
    if live.requests:
        show(Text(f"  sampled: {live.requests} requests, {live.parted} with another first token, {live.mean:.3f} nats"))
    for reason in found.switched_off:
        show(Text(f"  switched off: {visible(reason)}", style="yellow"))


def _gate_line(result: GateResult) -> str:
    budget = f"alpha {result.alpha:g}" if result.alpha is not None else f"share {result.share:g}"
    return (
        f"{result.policy}, {budget}, runs of {result.run_length}: first token {result.divergence:.3f} nats from full "
        f"recompute (worst {result.worst:.3f}), {result.agreement:.1%} of the answers' tokens the same"
    )


def _configuration(path: Path | None) -> PipelineConfig:
    from ragkit.config import PipelineConfig

    return PipelineConfig() if path is None else PipelineConfig.from_yaml(path)


def _store_settings(folder: Path | None, config: Path | None) -> KvReuseConfig:
    from ragkit.config import KvReuseConfig

    settings = _configuration(config).kv_reuse or KvReuseConfig()
    return settings if folder is None else settings.model_copy(update={"store": str(folder)})
