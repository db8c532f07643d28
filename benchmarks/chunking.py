"""Speed and exactness of chunkers at 200 MiniLM tokens, beside the bare tokenizer and three peers, in one run.

    python -m benchmarks.chunking [DATA_FOLDER] [--repeats 5] [--sets chunking_eval squad_a ...]

Every contestant is built afresh for every repeat, outside the clock, so that no cache is warm; then the clock runs over
one pass through all documents. Repeats of all contestants are interleaved, so that whatever else the machine does hits
all alike. Figures: median MB/s (UTF-8 bytes of text, 10^6) and its ratio to the bare pass (median of the ratios within
each round).

The bare pass is `tokenizers.Tokenizer.encode_batch` over all documents in one call (both the Rust side's threads and
its computing of offsets; no special tokens, no truncation); the second row also reads `Encoding.offsets`, which builds
a tuple of integers for every token.

A span is broken if the piece is not `source[start:end]` for the offsets that the peer gives, or, where it gives none,
if the piece does not occur in the source. A piece is over the limit if, encoded alone, it has more than 200 tokens.
"Lost" counts visible characters of the sources that no unbroken piece covers.
"""

from __future__ import annotations

import argparse
import gc
import gzip
import json
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer as BareTokenizer

from benchmarks.machine import describe
from ragkit.chunkers.recursive import RecursiveChunker
from ragkit.chunkers.sentence import SentenceChunker
from ragkit.chunkers.sentences import sentence_starts
from ragkit.chunkers.token import TokenChunker
from ragkit.models.hub import model_folder
from ragkit.models.tokenizer import HfTokenizer
from ragkit.schema import Document

SIZE = 200
SETS = ("chunking_eval", "squad_a", "qmsum_val", "contract_nli")

Piece = tuple[str, int, int]
"""Text, start and end as the chunker says; start -1 where it does not say."""
Reader = Callable[[Any], list[list[Piece]]]
Entry = tuple[Callable[[], Any], Reader | None]
"""The call that is timed, and how to read its result as the pieces of each document (None if it cuts nothing)."""


class Contest:
    """The texts, the tokenizer's definition and everyone who cuts them."""

    def __init__(self, texts: list[str], definition: str) -> None:
        self.texts = texts
        self.definition = definition
        self.documents = [Document(text, source=str(number)) for number, text in enumerate(texts)]

    def bare(self) -> BareTokenizer:
        made = BareTokenizer.from_str(self.definition)
        made.no_truncation()
        made.no_padding()
        return made

    def contestants(self) -> dict[str, Callable[[], Entry]]:
        """Return by name a builder of (timed call, reader of its result into pieces)."""
        return {
            "bare tokenizer, offsets in Rust": self._bare_pass,
            "bare tokenizer, offsets read": self._bare_pass_read,
            "ragkit sentence splitter alone": lambda: (lambda: [sentence_starts(text) for text in self.texts], None),
            "**ragkit token**": lambda: self._ours(TokenChunker),
            "**ragkit sentence**": lambda: self._ours(SentenceChunker),
            "**ragkit recursive**": lambda: self._ours(RecursiveChunker),
            "chonkie 1.7 token": lambda: self._chonkie("TokenChunker"),
            "chonkie 1.7 sentence": lambda: self._chonkie("SentenceChunker"),
            "chonkie 1.7 recursive": lambda: self._chonkie("RecursiveChunker"),
            "langchain 1.1 token": self._langchain_token,
            "langchain 1.1 recursive": self._langchain_recursive,
            "semchunk 4.1": self._semchunk,
        }

    def _bare_pass(self) -> Entry:
        bare = self.bare()
        return lambda: bare.encode_batch(self.texts, add_special_tokens=False), None

    def _bare_pass_read(self) -> Entry:
        bare = self.bare()
        return lambda: [found.offsets for found in bare.encode_batch(self.texts, add_special_tokens=False)], None

    def _ours(self, kind: Callable[..., Any]) -> Entry:
        chunker = kind(HfTokenizer(self.definition), SIZE)
        return lambda: list(chunker.chunk(self.documents)), _pieces_of_ragkit

    def _chonkie(self, name: str) -> Entry:
        import chonkie

        chunker = getattr(chonkie, name)(self.bare(), chunk_size=SIZE)
        # Its batch calls; the token chunker's batch goes to the tokenizer as one, so that it uses every core too.
        options = (64, False) if name == "TokenChunker" else (False,)
        return lambda: chunker.chunk_batch(self.texts, *options), _pieces_of_chonkie

    def _langchain_token(self) -> Entry:
        from langchain_text_splitters import Tokenizer, split_text_on_tokens

        bare = self.bare()
        spec = Tokenizer(0, SIZE, bare.decode, lambda text: bare.encode(text, add_special_tokens=False).ids)
        return (
            lambda: [split_text_on_tokens(text=text, tokenizer=spec) for text in self.texts],
            lambda found: [[(piece, -1, -1) for piece in pieces] for pieces in found],
        )

    def _langchain_recursive(self) -> Entry:
        from langchain_text_splitters import RecursiveCharacterTextSplitter

        bare = self.bare()
        splitter = RecursiveCharacterTextSplitter(
            chunk_size=SIZE,
            chunk_overlap=0,
            length_function=lambda text: len(bare.encode(text, add_special_tokens=False)),
            add_start_index=True,
        )
        return lambda: [splitter.create_documents([text]) for text in self.texts], _pieces_of_langchain

    def _semchunk(self) -> Entry:
        import semchunk

        bare = self.bare()
        chunker = semchunk.chunkerify(lambda text: len(bare.encode(text, add_special_tokens=False)), SIZE)
        return (
            lambda: [chunker(text, offsets=True) for text in self.texts],
            lambda found: [[(piece, *span) for piece, span in zip(*pieces, strict=True)] for pieces in found],
        )


def _pieces_of_ragkit(found: Any) -> list[list[Piece]]:
    return [[(chunk.text, chunk.start, chunk.end) for chunk in chunks] for _, chunks in found]


def _pieces_of_chonkie(found: Any) -> list[list[Piece]]:
    return [[(chunk.text, chunk.start_index, chunk.end_index) for chunk in chunks] for chunks in found]


def _pieces_of_langchain(found: Any) -> list[list[Piece]]:
    return [
        [
            (piece.page_content, start, start + len(piece.page_content))
            for piece in pieces
            for start in [piece.metadata["start_index"]]
        ]
        for pieces in found
    ]


@dataclass(frozen=True, slots=True)
class Quality:
    """What is wrong with the pieces of one contestant."""

    pieces: int
    broken: int
    over: int
    lost: int
    mean: float


def judge(texts: list[str], found: list[list[Piece]], bare: BareTokenizer) -> Quality:
    """Return how many pieces are broken or over the limit, what no piece covers, and the mean tokens of a piece."""
    broken = lost = 0
    for text, pieces in zip(texts, found, strict=True):
        covered = bytearray(len(text))
        at = 0
        for piece, start, end in pieces:
            begin = text.find(piece, at) if start == -1 else start
            stop = begin + len(piece) if start == -1 else end
            if begin < 0 or text[begin:stop] != piece:
                broken += 1
                continue
            at = begin
            covered[begin:stop] = b"\x01" * (stop - begin)
        lost += sum(1 for seen, character in zip(covered, text, strict=True) if not seen and not character.isspace())
    flat = [piece for pieces in found for piece, _, _ in pieces]
    counts = [len(encoding) for encoding in bare.encode_batch_fast(flat, add_special_tokens=False)]
    return Quality(len(flat), broken, sum(count > SIZE for count in counts), lost, statistics.fmean(counts))


def timed(contest: Contest, repeats: int) -> tuple[dict[str, list[float]], dict[str, Quality]]:
    """Return the seconds of every repeat, by name, and the quality of the first repeat's pieces."""
    seconds: dict[str, list[float]] = {}
    quality: dict[str, Quality] = {}
    for _ in range(repeats):
        for name, build in contest.contestants().items():
            call, read = build()
            gc.collect()
            began = time.perf_counter()
            found = call()
            seconds.setdefault(name, []).append(time.perf_counter() - began)
            if read is not None and name not in quality:
                quality[name] = judge(contest.texts, read(found), contest.bare())
    return seconds, quality


def table(seconds: dict[str, list[float]], quality: dict[str, Quality], megabytes: float) -> Iterator[str]:
    """Yield the lines of a Markdown table."""
    yield "| contestant | MB/s | of the bare pass | pieces | tokens a piece | broken spans | over 200 tokens | lost |"
    yield "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |"
    bare = next(iter(seconds.values()))
    for name, times in seconds.items():
        speed = statistics.median(megabytes / taken for taken in times)
        ratio = statistics.median(base / taken for base, taken in zip(bare, times, strict=True))
        row = [name, f"{speed:.2f}", f"{100 * ratio:.0f} %"]
        if found := quality.get(name):
            row += [f"{found.pieces}", f"{found.mean:.0f}", f"{found.broken}", f"{found.over}", f"{found.lost}"]
        else:
            row += [""] * 5
        yield f"| {' | '.join(row)} |"


def load(folder: Path, sets: Sequence[str]) -> list[str]:
    """Return the texts of the corpora."""
    texts = []
    for name in sets:
        with gzip.open(folder / name / "corpus.jsonl.gz", "rt", encoding="utf-8") as lines:
            texts += [json.loads(line)["text"] for line in lines]
    return texts


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="Speed and exactness of chunkers.")
    parser.add_argument("data", nargs="?", type=Path, default=Path("../shared/data"))
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--sets", nargs="+", default=list(SETS))
    arguments = parser.parse_args()
    texts = load(arguments.data, arguments.sets)
    megabytes = sum(len(text.encode()) for text in texts) / 1e6
    definition = (model_folder("all-MiniLM-L6-v2") / "tokenizer.json").read_text(encoding="utf-8")
    print(describe("chonkie", "langchain-text-splitters", "semchunk"))
    print(f"{len(texts)} documents, {megabytes:.2f} MB: {', '.join(arguments.sets)}; {arguments.repeats} repeats.\n")
    seconds, quality = timed(Contest(texts, definition), arguments.repeats)
    print("\n".join(table(seconds, quality, megabytes)))


if __name__ == "__main__":
    main()
