"""`ragkit train`: small models learnt from data sets with evidence; one file per sub-command."""

from __future__ import annotations

import typer

from ragkit.cli import train_calibration, train_corag_agent, train_reranker

app = typer.Typer(help="Train parts on data sets whose questions name their evidence.", no_args_is_help=True)
app.command("reranker")(train_reranker.reranker)
app.command("corag-agent")(train_corag_agent.corag_agent)
app.command("calibration")(train_calibration.calibration)
