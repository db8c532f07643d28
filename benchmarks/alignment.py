"""How often the citation aligner supports what a source says, and how often it supports what no source says.

    python -m benchmarks.alignment [DATA_FOLDER]

Cases come from squad_a (public data), from answerable questions 400 to 800 of a fixed shuffle; the aligner's threshold
was chosen on the first 300. Sentences that a source supports: the gold short answer, and the evidence sentence with a
fifth of its lower-case words left out; the sources are the gold paragraph among four others of its article. Sentences
that none supports: the same two against four paragraphs of another article ("far") or other ones of the same article
("near"), and the evidence sentence with another number or another name put in. The positives are easy; real
paraphrases will be found less often.
"""

from __future__ import annotations

import gzip
import json
import random
import re
import sys
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.machine import describe
from ragkit.answering.align import Aligner
from ragkit.answering.text import sentences
from ragkit.schema import Chunk, Document, Hit

NAMES = ("Fitzgerald", "Okonkwo", "Bratislava", "Yamamoto")
HELD_OUT = slice(400, 800)

Place = tuple[str, int, int]


class Case(NamedTuple):
    """A sentence to align; `gold` is where the answer stands if a source supports the sentence."""

    kind: str
    question: str
    sentence: str
    hits: list[Hit]
    gold: tuple[str, int] | None


class Library:
    """The paragraphs of squad_a by article."""

    def __init__(self, folder: Path) -> None:
        self.chance = random.Random(2)
        self.documents = {
            record["doc_id"]: Document(record["text"], record["doc_id"], record["doc_id"])
            for record in _records(folder / "corpus.jsonl.gz")
        }
        queries = [query for query in _records(folder / "queries.jsonl.gz") if query["meta"].get("answer_spans")]
        self.queries = [query for query in queries if query["answers"]]
        random.Random(1).shuffle(self.queries)
        self.paragraphs: dict[str, list[Place]] = defaultdict(list)
        for query in self.queries:
            place = _place(query)
            if place not in self.paragraphs[place[0]]:
                self.paragraphs[place[0]].append(place)

    def sources(self, article: str, keep: Place | None, avoid: Place) -> list[Hit]:
        """Return four paragraphs of `article` other than `avoid`, and `keep` among them."""
        others = [place for place in self.paragraphs[article] if place not in (keep, avoid)]
        places = self.chance.sample(others, min(4, len(others))) + ([keep] if keep else [])
        self.chance.shuffle(places)
        return [
            Hit(rank, 1.0, f"{doc_id}:{start}", Chunk.of(self.documents[doc_id], start, end), doc_id, None, None)
            for rank, (doc_id, start, end) in enumerate(places, start=1)
        ]

    def cases(self) -> Iterator[Case]:
        """Yield the cases of the held-out questions."""
        articles = list(self.paragraphs)
        for query in self.queries[HELD_OUT]:
            own = _place(query)
            answer_start = query["meta"]["answer_spans"][0]["start"]
            far = self.sources(self.chance.choice([name for name in articles if name != own[0]]), None, own)
            near, good = self.sources(own[0], None, own), self.sources(own[0], own, own)
            gold = (own[0], answer_start)
            said = {"answer": query["answers"][0]}
            if (sentence := _evidence_sentence(query, answer_start)) is not None:
                said["sentence"] = self._thinned(sentence)
            for kind, text in said.items():
                yield Case(f"{kind}, supported", query["question"], text, good, gold)
                yield Case(f"{kind}, far", query["question"], text, far, None)
                yield Case(f"{kind}, near", query["question"], text, near, None)
            for kind, changed in (("wrong number", self._other_number), ("wrong name", self._other_name)):
                if "sentence" in said and (text := changed(said["sentence"])) is not None:
                    yield Case(kind, query["question"], text, good, None)

    def _thinned(self, sentence: str) -> str:
        words = sentence.split()
        if len(words) < 8:
            return sentence
        kept = [w for w in words if self.chance.random() > 0.2 or w[:1].isupper() or any(c.isdigit() for c in w)]
        return " ".join(kept)

    def _other_number(self, sentence: str) -> str | None:
        numbers = re.findall(r"\d+", sentence)
        if not numbers:
            return None
        number = self.chance.choice(numbers)
        return sentence.replace(number, str(int(number) + self.chance.choice([1, 2, 7, 10])), 1)

    def _other_name(self, sentence: str) -> str | None:
        names = re.findall(r"(?<=[a-z,] )[A-Z][a-z]{3,}", sentence)
        return sentence.replace(self.chance.choice(names), self.chance.choice(NAMES)) if names else None


def _records(path: Path) -> Iterator[dict[str, Any]]:
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        yield from map(json.loads, lines)


def _place(query: dict[str, Any]) -> Place:
    evidence = query["evidence"][0]
    return evidence["doc_id"], evidence["start"], evidence["end"]


def _evidence_sentence(query: dict[str, Any], answer_start: int) -> str | None:
    evidence = query["evidence"][0]
    for start, end in sentences(evidence["text"]):
        if evidence["start"] + start <= answer_start < evidence["start"] + end:
            return str(evidence["text"][start:end])
    return None


def main() -> None:
    """Print how often each kind of sentence is called supported, and precision, recall and place."""
    data = Path(sys.argv[1] if len(sys.argv) > 1 else "../shared/data")
    print(describe())
    cases = list(Library(data / "squad_a").cases())
    supported: dict[str, list[bool]] = defaultdict(list)
    right = 0
    started = time.perf_counter()
    for case in cases:
        support = Aligner(case.question, case.hits).support(case.sentence)
        supported[case.kind].append(support is not None)
        if support is not None and case.gold is not None:
            chunk = support.hit.chunk
            begin, end = chunk.start + support.start, chunk.start + support.end
            right += chunk.doc_id == case.gold[0] and begin <= case.gold[1] < end
    each = (time.perf_counter() - started) / len(cases) * 1000
    print("| sentence | cases | called supported, % |\n|---|---:|---:|")
    for kind, found in supported.items():
        print(f"| {kind} | {len(found)} | {100 * sum(found) / len(found):.1f} |")
    true = sum(sum(found) for kind, found in supported.items() if kind.endswith("supported"))
    every = sum(len(found) for kind, found in supported.items() if kind.endswith("supported"))
    claimed = sum(sum(found) for found in supported.values())
    print(
        f"\n{len(cases)} cases: precision {true / claimed:.3f}, recall {true / every:.3f}, "
        f"the cited span holds the gold answer {right / true:.3f}; {each:.1f} ms a sentence"
    )


if __name__ == "__main__":
    main()
