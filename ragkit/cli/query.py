"""`ragkit query`: the chunks that match a question best, with where they stand."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.text import Text

from ragkit.cli import options
from ragkit.cli.opening import check_question, opened
from ragkit.cli.output import show, show_indented, write_reply
from ragkit.cli.settings import Settings
from ragkit.cli.text import place, visible

if TYPE_CHECKING:
    from ragkit.schema import Hit


def query(
    question: options.Question,
    folder: options.Index,
    *,
    k: options.Results = 10,
    retriever: options.Retriever = None,
    selector: options.Selector = None,
    min_trust: options.MinTrust = None,
    where: options.Where = None,
    expand: options.Expand = 0,
    config: options.Config = None,
    as_json: options.Json = False,
) -> int:
    """Find the chunks that match a question best; no language model is involved."""
    check_question(question)
    with opened(folder, Settings(config), "Searching", silent=as_json) as pipeline:
        hits: Sequence[Hit] = pipeline.retrieve(question, k, where=where, retriever=retriever, expand=expand)
        if selector is not None or min_trust is not None:
            hits = pipeline.select(question, hits, selector=selector, min_trust=min_trust).hits
    if as_json:
        from ragkit.cli.contract import QueryReply

        write_reply(QueryReply.of(question, hits))
    else:
        _show(hits)
    return 0


def _show(hits: Sequence[Hit]) -> None:

    if not hits:
        show(Text("Nothing was found."))
    for hit in hits:
        where = place(hit.source, hit.page, hit.line)
        span = f"  [{hit.chunk.start}:{hit.chunk.end}]  score {hit.score:.4g}"
        show(Text.assemble((f"{hit.rank}. ", "bold"), (where, "bold cyan"), (span, "dim")))
        show_indented(visible(hit.chunk.text).rstrip() + "\n", by=3)
