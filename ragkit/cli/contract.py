"""The JSON replies: keys, types and meanings. docs/json.md is generated from these classes.

The contract is stable: keys are added, never renamed or removed, and no number is infinite or not a number.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Self

from pydantic import Field, FiniteFloat

from ragkit.cli.cache_replies import COMMANDS as CACHE
from ragkit.cli.eval_replies import EvalReply, TuneReply
from ragkit.cli.query_replies import HitReply, JsonValue, LeftOutReply, QueryReply, finite
from ragkit.cli.reply import Reply
from ragkit.cli.text import encodable
from ragkit.cli.train_agent_replies import COMMANDS as TRAINED
from ragkit.cli.train_reranker_replies import RerankerReply

if TYPE_CHECKING:
    from ragkit.answering.explain import Explanation
    from ragkit.index.repair import RepairReport
    from ragkit.index.verify import VerifyReport
    from ragkit.ingest import IndexReport
    from ragkit.models.hub import ModelInfo
    from ragkit.schema import Answer, Chunked, Citation, Document

__all__ = [
    "COMMANDS", "AskReply", "ChunkReply", "ChunkingReply", "CitationReply", "ConsideredReply", "ErrorReply",
    "ExplanationReply", "FailureReply", "HitReply", "IndexReply", "JsonValue", "LeftOutReply", "ModelReply",
    "ModelsReply", "PartReply", "ProblemReply", "QueryReply", "RepairReply", "Reply", "RerankerReply", "SpentReply",
    "TextReply", "VerifyReply", "finite",
]  # fmt: skip


class ErrorReply(Reply):
    """Any failure, as the only thing on standard error."""

    error: str = Field(description="Name of the error class, such as MissingIndexError, UsageError or Interrupted")
    message: str = Field(description="What was given or found, and what was expected")
    hint: str = Field(description="What to do next; may be empty")


class FailureReply(Reply):
    """One input that was left out."""

    source: str = Field(description="The file, or the record of a file")
    reason: str = Field(description="Why it could not be read, cut or enriched")


class IndexReply(Reply):
    """`ragkit index SRC... --index DIR`. Exit status 3 if `failed` is not empty."""

    documents: int = Field(description="Documents in the index now", ge=0)
    chunks: int = Field(description="Chunks in the index now", ge=0)
    added: int = Field(description="Documents that are new", ge=0)
    updated: int = Field(description="Documents whose content changed", ge=0)
    unchanged: int = Field(description="Documents that were left as they are", ge=0)
    removed: int = Field(description="Documents that are gone from the sources and from the index", ge=0)
    failed: list[FailureReply] = Field(
        description="Inputs that could not be read, or that a model failed on; all others were indexed"
    )
    seconds: FiniteFloat = Field(description="Wall-clock time of the run", ge=0)
    generation: int = Field(description="Number of the commit that the index is at", ge=0)

    @classmethod
    def of(cls, report: IndexReport) -> Self:
        """Return the reply that says what `report` says."""
        failed = [
            FailureReply(source=encodable(failure.source), reason=encodable(failure.reason))
            for failure in report.failed
        ]
        counts = {key: getattr(report, key) for key in ("documents", "chunks", "added", "updated", "unchanged")}
        return cls(
            **counts,
            removed=report.removed,
            failed=failed,
            seconds=report.seconds,
            generation=report.generation,
        )


class CitationReply(Reply):
    """A span of a source that supports the answer where it says `[marker]`."""

    marker: int = Field(ge=1)
    source: str
    start: int = Field(ge=0)
    end: int = Field(ge=0)
    text: str = Field(description="Exactly the document's text from `start` to `end`")
    page: int | None
    line: int | None

    @classmethod
    def of(cls, citation: Citation) -> Self:
        """Return the reply that says what `citation` says."""
        keys = ("marker", "start", "end", "text", "page", "line")
        return cls(source=encodable(citation.source), **{key: getattr(citation, key) for key in keys})


class PartReply(Reply):
    """A span of a document, in code points."""

    start: int = Field(ge=0)
    end: int = Field(ge=0)


class ConsideredReply(Reply):
    """One chunk that was considered for an answer."""

    chunk_id: str
    rank: int = Field(description="Place in the list that was considered, from 1; those fetched beside it come after")
    score: FiniteFloat | None = Field(description="What it was retrieved with")
    judged: FiniteFloat | None = Field(description="What the selector scored it, on its calibrated scale; null without")
    kept: bool
    reason: str = Field(description="Why it was kept or cut")
    flags: list[str] = Field(description="What is wrong with it: distrusted, factual, contradiction, instruction, ...")
    source: str
    page: int | None
    line: int | None
    start: int = Field(ge=0)
    end: int = Field(ge=0)
    parts: list[PartReply] = Field(description="The spans of it that were shown, where it was narrowed")


class SpentReply(Reply):
    """What one stage of an answer took."""

    stage: str
    seconds: FiniteFloat | None = Field(
        description="Wall-clock time; of language models' stages the sum of their calls"
    )
    calls: int = Field(description="Calls of language models", ge=0)
    cached: int = Field(description="Further ones that were answered from the cache and cost nothing", ge=0)
    prompt_tokens: int
    reply_tokens: int
    dollars: FiniteFloat = Field(description="Of the models with a price")
    unpriced: int = Field(description="Calls of models without one", ge=0)


class ExplanationReply(Reply):
    """Why an answer is what it is."""

    selector: str
    policy: str = Field(description="Its cut rule with all options; empty where it has none")
    considered: list[ConsideredReply] = Field(description="Those kept first, then by rank")
    spent: list[SpentReply] = Field(description="One row a stage, in the order in which they began")
    tokens: int = Field(description="Of all language models", ge=0)
    dollars: FiniteFloat = Field(ge=0)
    seconds: FiniteFloat = Field(ge=0)
    selection: dict[str, Any] = Field(description="How the selector decided, as it tells; `selection` of the trace")
    controller: dict[str, Any] = Field(
        description="What each round of the controller came to, as it tells; empty without one"
    )

    @classmethod
    def of(cls, explanation: Explanation) -> Self:
        """Return the reply that says what `explanation` says."""
        considered = [
            ConsideredReply.model_validate(
                {
                    **{key: getattr(one, key) for key in ConsideredReply.model_fields},
                    "score": finite(one.score),
                    "judged": finite(one.judged),
                    "reason": encodable(one.reason),
                    "flags": list(one.flags),
                    "source": encodable(one.source),
                    "parts": [PartReply(start=start, end=end) for start, end in one.parts],
                }
            )
            for one in explanation.considered
        ]
        spent = [SpentReply(**{key: getattr(row, key) for key in SpentReply.model_fields}) for row in explanation.spent]
        totals = {key: getattr(explanation, key) for key in ("selector", "policy", "tokens", "dollars", "seconds")}
        stories = {key: finite(getattr(explanation, key)) for key in ("selection", "controller")}
        return cls(considered=considered, spent=spent, **totals, **stories)


class AskReply(Reply):
    """`ragkit ask QUESTION --index DIR`."""

    question: str
    answer: str = Field(description="With markers [1], [2], ... where a citation supports it")
    model: str = Field(description="The language model that wrote the answer")
    citations: list[CitationReply]
    trace: dict[str, Any] = Field(
        description="How the answer came about: hits, scores, what was cut and why, tokens, times, and under "
        "`unsupported` the sentences for which no span was found; where none is supported, under `closest` the "
        "sentences of the sources that come closest to the question"
    )

    explanation: ExplanationReply | None = Field(description="With --explain; else null")

    @classmethod
    def of(cls, answer: Answer, explanation: Explanation | None = None) -> Self:
        """Return the reply that says what `answer` and `explanation` say."""
        return cls(
            explanation=None if explanation is None else ExplanationReply.of(explanation),
            question=answer.question,
            answer=answer.text,
            model=answer.model,
            citations=[CitationReply.of(citation) for citation in answer.citations],
            trace=finite(
                {
                    "unsupported": list(answer.unsupported),
                    "closest": [CitationReply.of(citation).model_dump() for citation in answer.closest],
                    **answer.trace,
                }
            ),
        )


class ChunkReply(Reply):
    """One chunk of a file."""

    start: int = Field(ge=0)
    end: int = Field(ge=0)
    text: str = Field(description="Exactly the document's text from `start` to `end`")
    index_text: str = Field(description="What is embedded and searched")
    metadata: dict[str, JsonValue] = Field(
        description="The document's metadata overlaid with the chunk's; `doc_id` too where the file holds several "
        "documents, each with offsets of its own"
    )


class ChunkingReply(Reply):
    """`ragkit chunk FILE`. `ragkit chunk --text FILE` prints the text that the offsets count in.

    Exit status 3 if `failed` is not empty.
    """

    source: str
    chunker: str
    chunks: list[ChunkReply]
    failed: list[FailureReply] = Field(description="Documents of the file that a model failed on, by their id")

    @classmethod
    def of(cls, source: str, chunker: str, documents: Sequence[Chunked]) -> Self:
        """Return the reply that lists the chunks of `documents`."""
        several = len(documents) > 1
        chunks = [
            ChunkReply(
                start=chunk.start,
                end=chunk.end,
                text=chunk.text,
                index_text=chunk.index_text,
                metadata=finite(
                    {**document.metadata, **chunk.metadata, **({"doc_id": document.doc_id} if several else {})}
                ),
            )
            for document, found in documents
            for chunk in found
        ]
        failed = [
            FailureReply(source=item.document.doc_id, reason=encodable(item.failure))
            for item in documents
            if item.failure is not None
        ]
        return cls(source=encodable(source), chunker=chunker, chunks=chunks, failed=failed)


class TextReply(Reply):
    """`ragkit chunk FILE --text`: the text that offsets count in."""

    source: str
    doc_id: str
    text: str

    @classmethod
    def of(cls, source: str, document: Document) -> Self:
        """Return the reply that holds the text of `document`."""
        return cls(source=encodable(source), doc_id=document.doc_id, text=document.text)


class ModelReply(Reply):
    """A model that ragkit knows by name."""

    name: str
    role: str = Field(description="embedder or language model")
    license: str
    cached: bool = Field(description="Whether it is on this machine and can be used with the network off")
    path: str = Field(description="Folder that holds its files, or would")
    bytes: int = Field(description="What it occupies, or what fetching it downloads", ge=0)
    source: str = Field(description="Where it came from, or would come from")

    @classmethod
    def of(cls, model: ModelInfo) -> Self:
        """Return the reply that says what `model` says."""
        return cls(
            name=model.name,
            role=model.role,
            license=model.license,
            cached=model.present,
            path=encodable(str(model.path)),
            bytes=model.bytes,
            source=model.source,
        )


class ModelsReply(Reply):
    """`ragkit models`, and `ragkit models fetch` once all are there."""

    models: list[ModelReply]


class ProblemReply(Reply):
    """One thing that does not hold."""

    part: str = Field(description="The part of the index: ledger, segment, postings, ...")
    detail: str = Field(description="What was found and what was expected")


class VerifyReply(Reply):
    """`ragkit verify --index DIR`. Exit status 1 if `problems` is not empty."""

    ok: bool
    generation: int = Field(ge=0)
    documents: int = Field(ge=0)
    chunks: int = Field(ge=0)
    problems: list[ProblemReply]

    @classmethod
    def of(cls, report: VerifyReport) -> Self:
        """Return the reply that says what `report` says."""
        problems = [ProblemReply(part=item.part, detail=encodable(item.detail)) for item in report.problems]
        return cls(
            ok=not problems,
            generation=report.generation,
            documents=report.documents,
            chunks=report.chunks,
            problems=problems,
        )


class RepairReply(Reply):
    """`ragkit repair --index DIR`. Exit status 1 if something remains."""

    ok: bool
    generation: int = Field(ge=0)
    repaired: list[str] = Field(description="What was restored")
    remaining: list[ProblemReply] = Field(description="What could not be restored")

    @classmethod
    def of(cls, report: RepairReport) -> Self:
        """Return the reply that says what `report` says."""
        remaining = [ProblemReply(part=item.part, detail=encodable(item.detail)) for item in report.remaining]
        return cls(
            ok=not remaining,
            generation=report.generation,
            repaired=[encodable(part) for part in report.repaired],
            remaining=remaining,
        )


COMMANDS: dict[str, type[Reply]] = {
    "index": IndexReply,
    "query": QueryReply,
    "ask": AskReply,
    "chunk": ChunkingReply,
    "chunk --text": TextReply,
    "eval run": EvalReply,
    "eval score": EvalReply,
    "eval tune": TuneReply,
    "train reranker": RerankerReply,
    **TRAINED,
    "models": ModelsReply,
    **CACHE,
    "verify": VerifyReply,
    "repair": RepairReply,
    "errors": ErrorReply,
}
"""Every reply by the command it answers; `errors` goes to standard error, all others to standard output."""
