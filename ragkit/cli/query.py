"""`ragkit query`: the chunks that match a question best, with where they stand."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.text import Text

from ragkit.cli import options
from ragkit.cli.opening import check_question, opened
from ragkit.cli.output import show, show_indented, write_reply
from ragkit.cli.settings import Settings, names_selector
from ragkit.cli.text import place, visible

if TYPE_CHECKING:
    from ragkit.schema import Hit, Selection


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
    """Find the chunks that match a question best.

    With --selector, --min-trust or a FILE that names a selector: what that keeps of them. No language model is asked,
    but by selectors that ask one (rationale unless its source needs none, extractive with the scorer yes_no) and by the
    reranker likelihood.
    """
    check_question(question)
    selection: Selection | None = None
    with opened(folder, Settings(config), "Searching", silent=as_json) as pipeline:
        hits: Sequence[Hit] = pipeline.retrieve(question, k, where=where, retriever=retriever, expand=expand)
        if selector is not None or min_trust is not None or names_selector(config):
            selection = pipeline.select(question, hits, selector=selector, min_trust=min_trust)
    if as_json:
        from ragkit.cli.contract import QueryReply

        write_reply(QueryReply.of(question, hits, selection))
    else:
        _show(hits, selection)
    return 0


def _show(found: Sequence[Hit], selection: Selection | None) -> None:
    if not found:
        show(Text("Nothing was found."))
    elif selection is not None and not selection.hits:
        from ragkit.answering.nothing import why_nothing

        show(Text(visible(why_nothing(found, selection.dropped))))
    for hit in found if selection is None else selection.hits:
        where = place(hit.source, hit.page, hit.line)
        span = f"  [{hit.chunk.start}:{hit.chunk.end}]  score {hit.score:.4g}"
        show(Text.assemble((f"{hit.rank}. ", "bold"), (where, "bold cyan"), (span, "dim")))
        show_indented(visible(hit.chunk.text).rstrip() + "\n", by=3)
