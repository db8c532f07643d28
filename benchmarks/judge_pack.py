"""What training a judge on a GPU needs, without an index or a data set there: questions, hits, sentences and labels.

`pack` retrieves here and writes gzipped JSON, the pairs of question and text that the selector table will ask for, and
the encoder in half precision (a third of its size is saved; training begins from it in float32).
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from ragkit.eval.types import Query
from ragkit.schema import Chunk, Hit
from ragkit.train.asked import Asked

READ = 20
"""Hits whose sentences `extractive` reads by default."""
NEIGHBOURS = 1
"""Sentences that are shown on each side of the judged one."""


class Texts:
    """Numbers for texts, each kept once."""

    def __init__(self) -> None:
        self.places: dict[str, int] = {}

    def __call__(self, text: str) -> int:
        """Return the number of `text`."""
        return self.places.setdefault(text, len(self.places))


def written(path: Path, content: Any) -> None:
    """Write `content` as compressed JSON."""
    path.write_bytes(gzip.compress(json.dumps(content, separators=(",", ":")).encode(), 6, mtime=0))


def read(path: Path) -> Any:
    """Return what `written` wrote."""
    return json.loads(gzip.decompress(path.read_bytes()))


def packed(asked: Sequence[Asked], fused: Sequence[Sequence[float]] = ()) -> dict[str, Any]:
    """Return `asked` as JSON; `fused` are the scores of `FusedSentences` for the sentences of the best hits."""
    texts = Texts()
    rows = [
        [
            one.dataset,
            one.query.query_id,
            one.query.question,
            [[hit.chunk.doc_id, hit.chunk.start, texts(hit.chunk.text), hit.rank] for hit in one.hits],
            one.sentences,
            one.labels,
            one.evidence,
        ]
        for one in asked
    ]
    return {"texts": list(texts.places), "rows": rows, "fused": [[round(x, 5) for x in own] for own in fused]}


def unpacked(content: dict[str, Any]) -> list[Asked]:
    """Return what `packed` was given, as far as training looks at it."""
    return [_asked(content["texts"], *row) for row in content["rows"]]


def _asked(
    texts: Sequence[str],
    dataset: str,
    query_id: str,
    question: str,
    hits: list[list[Any]],
    sentences: list[Any],
    labels: list[Any],
    evidence: dict[str, Any],
) -> Asked:
    found = tuple(_hit(texts[text], doc_id, start, rank) for doc_id, start, text, rank in hits)
    spans = tuple(tuple((start, end) for start, end in own) for own in sentences)
    marks = tuple(tuple(own) for own in labels)
    wholes = tuple(True if True in own else None if None in own else False for own in marks)
    wanted = {doc_id: tuple((start, end) for start, end in own) for doc_id, own in evidence.items()}
    return Asked(dataset, Query(query_id, question), found, spans, marks, wholes, wanted)


def _hit(text: str, doc_id: str, start: int, rank: int) -> Hit:
    return Hit(rank, 0.0, f"{doc_id} {start}", Chunk(doc_id, start, start + len(text), text), "", None, None)


def half(encoder: Path, target: Path) -> None:
    """Write the encoder's files to `target`, its weights in float16."""
    from safetensors.numpy import load_file, save_file

    target.mkdir(parents=True, exist_ok=True)
    weights = load_file(encoder / "model.safetensors")
    halved = {name: one.astype(np.float16) if one.dtype == np.float32 else one for name, one in weights.items()}
    save_file(halved, target / "model.safetensors", metadata={"format": "pt"})
    for name in ("config.json", "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "vocab.txt"):
        if (encoder / name).is_file():
            (target / name).write_bytes((encoder / name).read_bytes())


def english(evalset: Any) -> Any:
    """Return the set without questions that say they are in another language: the encoder reads English."""
    queries = tuple(one for one in evalset.queries if one.meta.get("language", "en") == "en")
    return replace(evalset, queries=queries)


def pairs_of(asked: Sequence[tuple[str, Sequence[Hit]]], shown: Any) -> Iterator[tuple[str, str]]:
    """Yield every pair of question and text of the table: sentences of the best hits, and whole chunks."""
    for question, hits in asked:
        for hit in hits:
            yield question, hit.chunk.index_text
        for hit in hits[:READ]:
            for text in shown(hit.chunk.text):
                yield question, text
