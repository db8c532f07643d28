"""The options that commands share, named and explained once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Index = Annotated[Path, typer.Option("--index", metavar="DIR", help="The folder of the index.", show_default=False)]
Json = Annotated[bool, typer.Option("--json", help="Reply with one JSON object; docs/json.md describes it.")]
Config = Annotated[
    Path | None,
    typer.Option("--config", metavar="FILE", help="Settings in YAML; options given here override them."),
]
Question = Annotated[str, typer.Argument(metavar="QUESTION", help="What you want to know.", show_default=False)]

Chunker = Annotated[
    str | None,
    typer.Option(
        "--chunker",
        metavar="NAME",
        help="token, sentence, recursive (default), semantic, perplexity, margin_sampling, or a plugin's.",
    ),
]
ChunkerModel = Annotated[
    str | None,
    typer.Option(
        "--chunker-model",
        metavar="MODEL",
        help="What perplexity or margin_sampling asks: a local model, vllm:NAME, http://host:port/v1#model, or cache "
        "(no model).",
    ),
]
ChunkSize = Annotated[
    int | None,
    typer.Option("--chunk-size", metavar="N", min=1, help="Most tokens of one chunk, as the embedder counts."),
]
Overlap = Annotated[
    int | None, typer.Option("--overlap", metavar="N", min=0, help="Tokens that neighbouring chunks share.")
]
Enrich = Annotated[
    list[str] | None,
    typer.Option(
        "--enrich",
        metavar="NAME",
        help="Add to what is searched of each chunk: summary, rewrite, a plugin's, or none; may be given again.",
    ),
]
Embedder = Annotated[
    str | None,
    typer.Option("--embedder", metavar="NAME", help="hashing (no model), or any sentence-transformers model."),
]
Store = Annotated[
    str | None, typer.Option("--store", metavar="NAME", help="Where vectors are searched: faiss or chroma.")
]

Results = Annotated[int, typer.Option("-k", metavar="N", min=1, help="How many chunks to retrieve.")]
Where = Annotated[
    str | None,
    typer.Option(
        "--where", metavar="EXPR", help="Only chunks whose metadata match, e.g. \"year >= 2020 and lang = 'en'\"."
    ),
]
Retriever = Annotated[
    str | None, typer.Option("--retriever", metavar="NAME", help="dense, lexical or hybrid (default).")
]
Selector = Annotated[
    str | None,
    typer.Option(
        "--selector",
        metavar="NAME",
        help="What to keep of the hits: top_k, mmr, score_cut (until scores fall), tree_search (best set in a budget), "
        "rationale (METEORA), extractive (their best sentences), configured:FILE (chosen by a trained agent).",
    ),
]
Controller = Annotated[
    str | None,
    typer.Option(
        "--controller",
        metavar="NAME",
        help="What steers the steps: feedback (a judge; up to 3 answers), corrective (looks again), none, a plugin's.",
    ),
]
MinTrust = Annotated[
    float | None,
    typer.Option(
        "--min-trust", metavar="X", min=0.0, max=1.0, help="Leave out chunks whose metadata field `trust` is below X."
    ),
]
Expand = Annotated[
    int, typer.Option("--expand", metavar="N", min=0, help="Also take N neighbouring chunks on each side of a hit.")
]


def given_names(given: list[str] | None) -> tuple[str, ...] | None:
    """Return the names of a repeatable option, or None where it was not given."""
    return tuple(given) if given else None
