"""What a part must offer to be plugged in. Protocols, not base classes: any class with these methods will do.

A third-party package proves its part with the kits in `ragkit.testing`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Literal, NamedTuple, Protocol, TypeVar, runtime_checkable

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel

from ragkit.budget import Meter
from ragkit.inference import DEFAULT_WINDOWS, GREEDY, Sampling, TokenScores, Windows
from ragkit.schema import Answer, Chunked, Document, Hit, Selection

Vectors = NDArray[np.float32]
"""Unit-length embeddings, shape (n, dimension)."""

Rows = NDArray[np.int64]
"""Ledger rows of chunks, shape (n,)."""

Gaps = Literal["none", "whitespace"]
"""What a chunker may leave uncovered: nothing, or only characters for which str.isspace() holds."""

Progress = Callable[[str, int, int | None], None]
"""Called with (stage, done, total or None); must be cheap and never raise."""


@runtime_checkable
class Loader(Protocol):
    """Reads one file format."""

    suffixes: tuple[str, ...]
    """Lower-case file name endings it reads, with the dot: (".md", ".markdown")."""

    def load(self, path: Path) -> Iterator[Document]:
        """Yield the documents of `path`; raise LoadError with the reason where that is not possible."""
        ...


@runtime_checkable
class Tokenizer(Protocol):
    """Counts tokens and says where they lie in a text. Special tokens are never counted; nothing is truncated."""

    fingerprint: str
    """Identifies the vocabulary and rules; equal fingerprints give equal counts."""

    def offsets(self, texts: Sequence[str]) -> list[NDArray[np.int64]]:
        """Return for each text its token spans in code points, shape (tokens, 2), in order."""
        ...

    def count(self, texts: Sequence[str]) -> list[int]:
        """Return the number of tokens of each text."""
        ...


@runtime_checkable
class BoundedTokenizer(Tokenizer, Protocol):
    """A tokenizer whose tokens never cross certain places, so that cutting there changes no token."""

    word_bounded: bool

    def keeps_tokens(self, text: str, position: int) -> bool:
        """Return whether cutting `text` at `position` is proven to leave all tokens as they are."""
        ...


@runtime_checkable
class Chunker(Protocol):
    """Cuts documents into chunks."""

    name: str
    fingerprint: str
    """Name and every parameter that changes the result, the tokenizer's or model's fingerprint among them."""
    gaps: Gaps

    def chunk(self, documents: Iterable[Document]) -> Iterator[Chunked]:
        """Yield every document, in order, with its chunks, in order.

        Many documents come in so that tokenizers and models see full batches; implementations must stream (hold a
        bounded number of documents). A document that cannot be cut (a model failed on it) comes without chunks and
        with the reason in `Chunked.failure`; the rest goes on.
        """
        ...


@runtime_checkable
class Embedder(Protocol):
    """Turns queries and chunks into unit-length vectors of one space."""

    name: str
    fingerprint: str
    dimension: int
    window: int
    """Tokens of one text that are read; what lies beyond is cut off and counted in a warning."""
    tokenizer: Tokenizer
    """Counts this embedder's tokens: chunk sizes are in its unit."""

    def embed_queries(self, texts: Sequence[str]) -> Vectors:
        """Return one vector per question."""
        ...

    def embed_chunks(self, batch: Sequence[Chunked], progress: Progress | None = None) -> Vectors:
        """Return one vector per chunk of `batch`, concatenated in order.

        Documents come along so that late and situated encodings can read around a chunk; plain ones embed
        `chunk.index_text`.
        """
        ...


@runtime_checkable
class Retriever(Protocol):
    """Finds chunks of one snapshot of an index."""

    name: str

    def search(self, query: str, k: int, where: str | None = None) -> list[Hit]:
        """Return at most `k` hits, best first, ranks from 1; ties are broken by chunk id, so the order is total."""
        ...


class Corpus(Protocol):
    """What a selector may look up about hits: vectors and neighbours."""

    def vectors(self, rows: Sequence[int]) -> Vectors:
        """Return the stored vector of each chunk row, in order."""
        ...

    def neighbours(self, row: int, before: int, after: int) -> list[Hit]:
        """Return the chunks around `row` in its document, itself included, in document order, with score 0."""
        ...


@runtime_checkable
class Selector(Protocol):
    """Chooses among hits what goes into the prompt; the prompt puts the best next to the question.

    One that scores hits itself has a method `weighted(weights)`, which returns it with these scores multiplied by
    weights by chunk id (`ragkit.selectors.weighing`); without it the weight of trust reaches only the hits' own scores.
    """

    name: str

    def select(
        self, query: str, hits: Sequence[Hit], limit: int | None = None, corpus: Corpus | None = None
    ) -> Selection:
        """Return what to keep, best first, within `limit` tokens of the answering model, and why the rest fell."""
        ...


@runtime_checkable
class Reranker(Protocol):
    """Judges how well a text answers a question; a higher score is better."""

    name: str
    fingerprint: str
    scale: Literal["probability", "cosine", "logit", "unbounded"]
    """What its scores are, so that a cut rule can refuse or calibrate them."""
    window: int | None
    """Tokens of question and text together that are read; None where there is no limit."""

    def score(self, query: str, texts: Sequence[str]) -> NDArray[np.float64]:
        """Return one score per text, shape (texts,); finite, and the same whatever else is in the batch.

        One that ranks the texts against each other has an attribute `listwise` that is true. Further attributes that
        are used where a reranker has them: `calibration`, the name of the one that suits its scores,
        `count(texts)`, the tokens of texts in the unit of `window`, and `charged(meter)`, the same reranker with the
        calls that it makes on a meter.
        """
        ...


class Segment(NamedTuple):
    """One piece of a prompt; a piece that shows a chunk names it, so that a KV cache knows where its chunks are."""

    text: str
    chunk_id: str | None = None


Prompt = Sequence[Segment]
"""What a model is asked: the long text first, the varying question last, so that prefix and chunk caches work."""

Record = TypeVar("Record", bound=BaseModel)


@runtime_checkable
class LanguageModel(Protocol):
    """Four abilities of a causal language model over prompts made of segments; all but `generate` work in bulk.

    Bulk results come in the order asked. Where one prompt fails, what was computed before is in the cache
    (`ragkit.models.cached`), so asking again costs only the rest. `meter` is charged before and after every call and
    raises BudgetExceededError. An ability that a model lacks raises UnsupportedError, naming what has it.
    """

    name: str
    fingerprint: str
    window: int
    """Tokens of prompt and answer together."""

    def count(self, texts: Sequence[str]) -> list[int]:
        """Return the number of tokens of each text for this model."""
        ...

    def generate(
        self, prompt: Prompt, *, max_tokens: int, meter: Meter | None = None, sampling: Sampling = GREEDY
    ) -> str:
        """Return the model's reply to `prompt`, at most `max_tokens` long."""
        ...

    def generate_many(
        self,
        prompts: Sequence[Prompt],
        *,
        max_tokens: int,
        meter: Meter | None = None,
        sampling: Sampling = GREEDY,
        progress: Progress | None = None,
    ) -> list[str]:
        """Return the reply to each prompt."""
        ...

    def generate_records(
        self,
        prompts: Sequence[Prompt],
        schema: type[Record],
        *,
        max_tokens: int,
        meter: Meter | None = None,
        sampling: Sampling = GREEDY,
        progress: Progress | None = None,
    ) -> list[Record]:
        """Return one instance of `schema` for each prompt; decoding is constrained to JSON that fits it.

        Raises SchemaError, with the reply, where `max_tokens` ended the JSON too early or a value is out of range.
        """
        ...

    def score(
        self,
        texts: Sequence[str],
        *,
        contexts: Sequence[str] | None = None,
        windows: Windows = DEFAULT_WINDOWS,
        meter: Meter | None = None,
        progress: Progress | None = None,
    ) -> list[TokenScores]:
        """Return the scores of every token of each text, given the context of the same place (not itself scored)."""
        ...

    def label_probabilities(
        self,
        prompts: Sequence[Prompt],
        labels: Sequence[str],
        *,
        meter: Meter | None = None,
        progress: Progress | None = None,
    ) -> NDArray[np.float64]:
        """Return the probability of each label right after each prompt, shape (prompts, labels).

        They are those of the whole vocabulary's softmax: their sum tells how much the model wants to say something
        else. Labels of several tokens get the product of their tokens' probabilities.
        """
        ...


@runtime_checkable
class Enricher(Protocol):
    """Adds to what is embedded and searched of a chunk; the text that is shown never changes."""

    name: str
    fingerprint: str

    def enrich(self, batch: Sequence[Chunked], progress: Progress | None = None) -> list[Chunked]:
        """Return the same documents and spans with `index_text` and metadata changed; a failure as Chunked.failure."""
        ...


class Asking(Protocol):
    """One question on its way through a pipeline, step by step, for a controller to steer.

    The steps have the settings of the call; everything that they and the controller spend is booked on `meter`.
    """

    question: str
    k: int
    """How many chunks are retrieved."""
    meter: Meter

    @property
    def limit(self) -> int:
        """Tokens of the answering model that the sources may have."""
        ...

    def retrieve(self, question: str | None = None, *, k: int | None = None, retriever: str | None = None) -> list[Hit]:
        """Return the best chunks; None stands for what the call says."""
        ...

    def select(self, hits: Sequence[Hit], *, larger: int = 0) -> Selection:
        """Return what the selector keeps, set to keep `larger` chunks more than it is set to (or fewer, below 0).

        Raises UnsupportedError where the selector's size cannot be set.
        """
        ...

    def count(self, texts: Sequence[str]) -> list[int]:
        """Return the tokens of each text, as the answering model counts them."""
        ...

    def answer(self, selection: Selection, hits: Sequence[Hit]) -> Answer:
        """Return the answer from `selection`; `hits` are what was considered, for the trace."""
        ...


@runtime_checkable
class Controller(Protocol):
    """Decides over the steps of a pipeline for one question: again, otherwise, with more or less."""

    name: str

    def control(self, asking: Asking) -> Answer:
        """Return the answer; its trace says under "controller" what each round did and what it cost."""
        ...


__all__ = [
    "Asking",
    "BoundedTokenizer",
    "Chunker",
    "Controller",
    "Corpus",
    "Embedder",
    "Enricher",
    "Gaps",
    "LanguageModel",
    "Loader",
    "Progress",
    "Prompt",
    "Record",
    "Reranker",
    "Retriever",
    "Rows",
    "Segment",
    "Selector",
    "Tokenizer",
    "Vectors",
]
