"""`ragkit ask`: an answer, with numbered citations that resolve to exact spans of the sources."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer
from rich.text import Text

from ragkit.cli import options
from ragkit.cli.opening import check_question, opened
from ragkit.cli.output import show, show_indented, write_reply
from ragkit.cli.settings import Settings
from ragkit.cli.text import place, visible

if TYPE_CHECKING:
    from ragkit.answering.explain import Explanation
    from ragkit.schema import Answer, Citation

Llm = Annotated[
    str | None,
    typer.Option(
        "--llm",
        metavar="MODEL",
        help="Who answers: a hub id, a local folder, or an OpenAI-compatible server as http://host:port/v1#model.",
    ),
]
Explain = Annotated[
    bool, typer.Option("--explain", help="Show which chunks were considered, why each was kept or cut, and the cost.")
]
KvReuse = Annotated[
    bool | None,
    typer.Option(
        "--kv-reuse/--no-kv-reuse",
        help="Keep the keys and values of chunks and use them again (local models); as configured where not given.",
        show_default=False,
    ),
]
MaxTokens = Annotated[
    int, typer.Option("--max-tokens", metavar="N", min=1, help="Longest answer, in the model's tokens.")
]


def ask(
    question: options.Question,
    folder: options.Index,
    *,
    k: options.Results = 10,
    retriever: options.Retriever = None,
    selector: options.Selector = None,
    controller: options.Controller = None,
    min_trust: options.MinTrust = None,
    where: options.Where = None,
    expand: options.Expand = 0,
    llm: Llm = None,
    max_tokens: MaxTokens = 128,
    kv_reuse: KvReuse = None,
    explain: Explain = False,
    config: options.Config = None,
    as_json: options.Json = False,
) -> int:
    """Answer a question from the indexed documents, and say exactly where each sentence stands.

    Citations are found by aligning the answer with the sources, not by trusting the model.
    """
    check_question(question)
    settings = Settings(config=config, llm=llm)
    with opened(folder, settings, "Answering", silent=as_json) as pipeline:
        answer = pipeline.ask(
            question,
            k,
            where=where,
            retriever=retriever,
            selector=selector,
            controller=controller,
            min_trust=min_trust,
            expand=expand,
            max_tokens=max_tokens,
            kv_reuse=kv_reuse,
        )
    explanation = _explained(answer) if explain else None
    if as_json:
        from ragkit.cli.contract import AskReply

        write_reply(AskReply.of(answer, explanation))
    else:
        _show(answer)
        if explanation is not None:
            from ragkit.cli.explaining import show_explanation

            show_explanation(explanation)
            if "kv_reuse" in answer.trace:
                from ragkit.cli.explaining_reuse import show_reuse

                show_reuse(answer.trace["kv_reuse"])
    return 0


def _explained(answer: Answer) -> Explanation:
    from ragkit.answering.explain import explain as explained

    return explained(answer)


def _show(answer: Answer) -> None:
    show(_answer(answer), Text())
    if not answer.trace.get("model_called", True):  # there was nothing to ask it about: the text says why
        return
    _show_citations(answer.citations)
    if not answer.citations:
        also = " Closest to the question in the sources:" if answer.closest else ""
        show(Text(f"No span of the sources supports this answer.{also}", style="bold yellow"))
        _show_citations(answer.closest)
    elif answer.unsupported:
        show(Text("No span was found for:", style="bold yellow"))
        for sentence in answer.unsupported:
            show_indented(visible(sentence), by=4)
    show(
        Text(),
        Text(
            f"Answered by {visible(answer.model)}. Name a better model: --llm owner/model, "
            "or --llm http://host:port/v1#model for any OpenAI-compatible server.",
            style="dim",
        ),
    )


def _show_citations(citations: Sequence[Citation]) -> None:
    for citation in citations:
        where = place(citation.source, citation.page, citation.line)
        show(Text.assemble((f"[{citation.marker}] ", "bold green"), (where, "bold cyan")))
        show_indented(visible(citation.text).rstrip(), by=4)


def _answer(answer: Answer) -> Text:
    """Return the answer with its markers in colour."""
    text = Text(visible(answer.text).strip())
    text.highlight_regex(r"\[\d+\]", "bold green")
    return text
